//! What every test of the monitor needs: made-up references, documents and assessments.

use super::*;
use crate::{
    stats::{self, BinRates, random::Random},
    text::{Document, StreamKey},
    verdict::Assessment,
};
use jiff::Timestamp;

mod behaviour;
mod bytes;
mod promises;
mod sameness;

pub(super) fn key(name: &str) -> StreamKey {
    StreamKey::new(name).unwrap()
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// An assessment of a text of `tokens` tokens with this p-value.
pub(super) fn assessment(tokens: usize, p_value: Option<f64>) -> Assessment {
    Assessment { score: p_value, words: tokens, ..Assessment::evidence(tokens, p_value, p_value.is_some_and(|p| p <= 0.01)) }
}

pub(super) fn document(streams: &[&str], id: Option<&str>) -> Document {
    let streams = streams.iter().map(|name| key(name)).collect();
    Document { id: id.map(Into::into), streams, ..Document::new("a text of a few words") }
}

/// A reference of one bin from 8 tokens on, with machine texts found with probability q^`gamma` at level q.
pub(super) fn reference(human: usize, machine: usize, gamma: f64) -> Reference {
    let detected = LEVELS.iter().map(|q| (q.powf(gamma) * machine as f64).round() as usize).collect();
    Reference::new(vec![BinRates { from_tokens: 8, human, few_shot: false, machine, detected }]).unwrap()
}

/// A calibration that was really drawn: human scores are uniform, and a machine text's score is above that of a share q of humans with
/// probability q^gamma.
pub(super) struct Drawn {
    human: Vec<f32>,
    gamma: f64,
    machine: usize,
    detected: Vec<usize>,
}

impl Drawn {
    pub(super) fn new(random: &mut Random, human: usize, machine: usize, gamma: f64) -> Self {
        let mut scores: Vec<f32> = (0..human).map(|_| random.uniform() as f32).collect();
        scores.sort_unstable_by(f32::total_cmp);
        let mut drawn = Self { human: scores, gamma, machine, detected: Vec::new() };
        let p_values: Vec<f64> = (0..machine).map(|_| drawn.machine_p(random)).collect();
        drawn.detected = LEVELS.iter().map(|q| p_values.iter().filter(|p| *p <= q).count()).collect();
        drawn
    }

    pub(super) fn reference(&self) -> Reference {
        let bin =
            BinRates { from_tokens: 8, human: self.human.len(), few_shot: false, machine: self.machine, detected: self.detected.clone() };
        Reference::new(vec![bin]).unwrap()
    }

    pub(super) fn human_p(&self, random: &mut Random) -> f64 {
        stats::p_value(&self.human, random.uniform() as f32)
    }

    pub(super) fn machine_p(&self, random: &mut Random) -> f64 {
        stats::p_value(&self.human, (1. - random.uniform().powf(1. / self.gamma)) as f32)
    }

    pub(super) fn p(&self, random: &mut Random, share: f64) -> f64 {
        if random.uniform() < share { self.machine_p(random) } else { self.human_p(random) }
    }
}

/// Settings for one stream and no table of ids.
pub(super) fn settings(arl: f64) -> Settings {
    Settings { arl, max_keys: 16, dedup_window: 0, ..Settings::default() }
}

/// One document of the whole stream.
pub(super) fn feed(monitor: &mut Monitor, p: f64, second: i64) {
    monitor.count(&Document::default(), &assessment(100, Some(p)), at(second));
}

pub(super) fn whole(monitor: &Monitor) -> StreamStatus {
    monitor.status(&StreamKey::whole()).unwrap()
}
