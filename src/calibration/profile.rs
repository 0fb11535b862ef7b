//! A community's own calibration: the score of another one, read against that community's human texts.
//!
//! Many texts are a reference by themselves (conformal). A few only say how far the community lies from the base and how much wider it
//! is; the shape comes from the base. Deterministic: the same samples and base give the same profile.

use super::{
    Bin, Calibration, Kind, SHORTEST, Source,
    bins::{self, merge},
    fit::{Crossed, FitError, MIN_HUMAN, Sample, mark_first, narrow, reference, sources},
};
use crate::{
    score::ScoreModel,
    stats::{self, random::Random},
};
use jiff::Timestamp;
use std::collections::HashSet;

/// Human documents from which on a profile is purely conformal, and which each of its length bins then holds: with 299 the third largest
/// score is the threshold of 1%, and the rate above it is at most 2.1% with 95% confidence.
pub const SUFFICIENT: usize = 300;
/// Bins of a profile over a model without a calibration: there is nothing to lean on.
const ALONE: usize = 100;
/// A bin of the base with fewer human scores has no shape to lend.
const SHAPE: usize = 200;
/// Draws of what a text of the community may score, per bin: what a large bin of the base holds.
const DRAWS: usize = 4000;
/// Where the draws start.
const SEED: u64 = 0x05EE_D0F7;

impl Calibration {
    /// The same score read against these human samples (machine ones are ignored): a profile for one community, from 20 documents on.
    ///
    /// **With [`SUFFICIENT`] documents or more** the samples are the reference. Bins are unions of this calibration's bins with at least
    /// that many documents each, and P(p <= q) <= q holds for human texts of the community whatever their scores look like.
    ///
    /// **With fewer**, n of them, no conformal p-value is below 1/(n + 1), so the base lends its shape. Each score s in bin b is
    /// standardised by the bin's human mean m and standard deviation d: z = (s - m) / d. *Assumption:* the community's z are those of the
    /// base, moved and stretched alike at every length: z = shift + scale Z, Z as in the base. With the mean a and standard deviation c of
    /// the community's z, the pivot R = (z - a) / c of a new text then has a law that does not depend on shift and scale: that of
    /// (Z0 - mean(Z1..Zn)) / sd(Z1..Zn), which is drawn from the base's own scores, at the lengths of the few texts. (For normal Z this is
    /// Student's prediction interval.) The reference of bin b is m + d (a + c R) for 4000 such draws: it is wider than the base stretched
    /// to fit, and that is how the error of a and c is paid for. On top, where any of the community's own texts
    /// scores as high, the p-value is at least their conformal one.
    ///
    /// *Promised:* P(p <= q) <= q for every q of 1/(n + 1) or more, over the draw of the few texts and the new one, whatever the scores look
    /// like: then the conformal p-value is at most q as well. For smaller q the same under the assumption, up to the base's own finite
    /// reference, and without it at most 1/(n + 1). Given the few texts, the true rate of {p <= q} over the community's mix of lengths is at most
    /// [`Calibration::rate_upper_bound`] with 95% confidence, again whatever the scores look like.
    ///
    /// The machine reference is this calibration's in both cases.
    pub fn profile(&self, samples: &[Sample], name: impl Into<String>, created: Timestamp) -> Result<Self, FitError> {
        let humans: Vec<&Sample> = samples.iter().filter(|s| !s.machine && s.tokens >= SHORTEST).collect();
        let mut seen = HashSet::new();
        let lengths: Vec<usize> = humans.iter().filter(|s| seen.insert(s.group)).map(|s| s.tokens).collect();
        if lengths.len() < MIN_HUMAN {
            return Err(FitError::TooFewHuman { found: lengths.len() });
        }
        let scales = || self.scales().collect::<Vec<_>>();
        let few = |scale: Scale<'_>| scale.few_shot(&mark_first(scale.scored(&humans), &[]));
        let lent: Option<Vec<_>> = if lengths.len() < SUFFICIENT { scales().into_iter().map(few).collect() } else { None };
        let is_lent = lent.is_some();
        let conformal = || scales().into_iter().map(|scale| scale.conformal(&humans, &lengths)).collect();
        let mut read = lent.unwrap_or_else(conformal).into_iter();
        let bins = read.next().unwrap_or_default();
        let kinds = self.kinds.iter().zip(read).map(|(kind, bins)| Kind { bins, in_profiles_only: false, ..kind.clone() }).collect();
        // what a conformal profile keeps of the base are its machine scores
        let base = self.sources.iter().map(|s| Source { human: if is_lent { s.human } else { 0 }, ..s.clone() });
        let sources = sources(&humans, &[]).into_iter().chain(base.filter(|s| s.human + s.machine > 0)).collect();
        Ok(Self { name: name.into(), created, sources, bins, kinds, ..self.clone() })
    }

    /// Its own scale, and that of each kind.
    fn scales(&self) -> impl Iterator<Item = Scale<'_>> {
        let kinds = self.kinds.iter().map(|k| Scale { score: &k.score, bins: &k.bins });
        std::iter::once(Scale { score: &self.score, bins: &self.bins }).chain(kinds)
    }
}

/// A score and its reference.
#[derive(Clone, Copy)]
struct Scale<'a> {
    score: &'a ScoreModel,
    bins: &'a [Bin],
}

impl Scale<'_> {
    fn scored<'s>(&self, samples: &[&'s Sample]) -> impl Iterator<Item = (&'s Sample, f64)> {
        samples.iter().map(|&s| (s, self.score.score(&s.statistics, s.tokens)))
    }

    /// Bins whose reference is the community's own texts.
    fn conformal(&self, humans: &[&Sample], lengths: &[usize]) -> Vec<Bin> {
        let (edges, enough) =
            if self.bins.is_empty() { (vec![SHORTEST], ALONE) } else { (self.bins.iter().map(|b| b.from_tokens).collect(), SUFFICIENT) };
        let starts = merge(&edges, lengths, enough);
        let crossed = mark_first(self.scored(humans), &starts);
        let bin = |(i, &from): (usize, &usize)| {
            let to = starts.get(i + 1).copied().unwrap_or(usize::MAX);
            self.with_machines(from, to, &reference(&crossed, from, to))
        };
        starts.iter().enumerate().map(bin).collect()
    }

    /// This calibration's bins, moved and stretched to these documents; `None` where a bin has no shape to lend, or nothing varies.
    fn few_shot(&self, documents: &[Crossed<'_>]) -> Option<Vec<Bin>> {
        let shapes = self.bins.iter().map(Shape::of).collect::<Option<Vec<_>>>()?;
        let bin_at = |tokens: usize| self.bins.partition_point(|b| b.from_tokens <= tokens).saturating_sub(1);
        let own: Vec<(usize, f64)> = documents
            .iter()
            .filter(|c| c.first)
            .map(|c| (bin_at(c.sample.tokens), c.score))
            .map(|(bin, score)| Some((bin, shapes.get(bin)?.z(score))))
            .collect::<Option<_>>()?;
        let z: Vec<f64> = own.iter().map(|(_, z)| *z).collect();
        let (shift, scale) = location(&z)?;
        let mut random = Random(SEED);
        let mut pivot = |shape: &Shape| {
            let alike: Vec<f64> = own.iter().map(|(bin, _)| shapes[*bin].draw(&mut random)).collect();
            let (mean, sd) = location(&alike)?;
            Some((shape.draw(&mut random) - mean) / sd)
        };
        let mut bin = |(i, shape): (usize, &Shape)| {
            let human = (0..DRAWS).map(|_| Some(shape.score(shift + scale * pivot(shape)?))).collect::<Option<Vec<f64>>>()?;
            let few: Vec<f64> = z.iter().map(|&z| shape.score(z)).collect();
            let (from, to) = (self.bins[i].from_tokens, self.bins.get(i + 1).map_or(usize::MAX, |b| b.from_tokens));
            Some(self.with_machines(from, to, &human).with_few(narrow(&few)))
        };
        shapes.iter().enumerate().map(&mut bin).collect()
    }

    fn with_machines(&self, from: usize, to: usize, human: &[f64]) -> Bin {
        let within = self.bins.iter().filter(|b| b.from_tokens >= from && b.from_tokens < to);
        let machine: Vec<f64> = within.flat_map(|b| b.machine().iter().map(|&s| f64::from(s))).collect();
        let probability = bins::probability(human, &machine);
        Bin::new(from, narrow(human), narrow(&machine), probability)
    }
}

/// How the human scores of one bin of the base lie.
struct Shape {
    mean: f64,
    sd: f64,
    z: Vec<f64>,
}

impl Shape {
    /// `None` where the bin holds too little.
    fn of(bin: &Bin) -> Option<Self> {
        // the draws of another few-shot profile are no texts
        if bin.human().len() < SHAPE || !bin.few.is_empty() {
            return None;
        }
        let scores: Vec<f64> = bin.human().iter().map(|&s| f64::from(s)).collect();
        let (mean, sd) = location(&scores)?;
        let z = scores.iter().map(|s| (s - mean) / sd).collect();
        Some(Self { mean, sd, z })
    }

    fn z(&self, score: f64) -> f64 {
        (score - self.mean) / self.sd
    }

    fn score(&self, z: f64) -> f64 {
        self.mean + self.sd * z
    }

    fn draw(&self, random: &mut Random) -> f64 {
        self.z[random.below(self.z.len())]
    }
}

/// Mean and standard deviation; `None` where nothing varies.
fn location(values: &[f64]) -> Option<(f64, f64)> {
    let found = (stats::mean(values)?, stats::standard_deviation(values)?);
    (found.1 > 1e-9 && found.0.is_finite() && found.1.is_finite()).then_some(found)
}

#[cfg(test)]
mod tests;
