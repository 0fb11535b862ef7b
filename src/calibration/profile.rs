//! A community's own calibration: the score of another one, read against that community's human texts.

use super::{
    Bin, Calibration, SHORTEST, Source,
    bins::{self, merge},
    fit::{FitError, MIN_HUMAN, Sample, mark_first, narrow, scores, sources},
};
use jiff::Timestamp;
use std::collections::HashSet;

impl Calibration {
    /// The same score with a reference of these human samples (machine ones are ignored): a profile for one community.
    ///
    /// 20 documents are enough; n documents can give no p-value below 1/(n + 1), so flagging at 0.01 takes 99. Bins are unions of this
    /// calibration's bins with at least 100 documents each; their machine reference is this calibration's.
    pub fn profile(&self, samples: &[Sample], name: impl Into<String>, created: Timestamp) -> Result<Self, FitError> {
        const ENOUGH: usize = 100;
        let humans: Vec<&Sample> = samples.iter().filter(|s| !s.machine && s.tokens >= SHORTEST).collect();
        let mut seen = HashSet::new();
        let lengths: Vec<usize> = humans.iter().filter(|s| seen.insert(s.group)).map(|s| s.tokens).collect();
        if lengths.len() < MIN_HUMAN {
            return Err(FitError::TooFewHuman { found: lengths.len() });
        }
        let edges: Vec<usize> = if self.is_calibrated() { self.bins.iter().map(|b| b.from_tokens).collect() } else { vec![SHORTEST] };
        let starts = merge(&edges, &lengths, ENOUGH);
        let crossed = mark_first(humans.iter().map(|s| (*s, self.score.score(&s.statistics, s.tokens))), &starts);
        let bin = |(i, &from): (usize, &usize)| {
            let to = starts.get(i + 1).copied().unwrap_or(usize::MAX);
            let human = scores(&crossed, false, from, to);
            let machine: Vec<f64> = self.machine_scores(from, to);
            let probability = bins::probability(&human, &machine);
            Bin::new(from, narrow(&human), narrow(&machine), probability)
        };
        let bins = starts.iter().enumerate().map(bin).collect();
        let others = self.sources.iter().map(|s| Source { human: 0, ..s.clone() }).filter(|s| s.machine > 0);
        let sources = sources(&humans).into_iter().chain(others).collect();
        Ok(Self { name: name.into(), created, sources, bins, ..self.clone() })
    }

    fn machine_scores(&self, from: usize, to: usize) -> Vec<f64> {
        let within = self.bins.iter().filter(|b| b.from_tokens >= from && b.from_tokens < to);
        within.flat_map(|b| b.machine().iter().map(|&s| f64::from(s))).collect()
    }
}
