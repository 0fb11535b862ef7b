//! What every test of the monitor needs: made-up references, documents and assessments.

use super::*;
use crate::{
    stats::{self, BinRates, Detected, random::Random},
    text::{Document, StreamKey},
    verdict::Assessment,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

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
    let machine = Detected { texts: machine, at: detected };
    Reference::new(vec![BinRates { from_tokens: 8, human, few_shot: false, machine, kinds: Default::default() }]).unwrap()
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
        Reference::new(vec![self.bin(BTreeMap::new())]).unwrap()
    }

    fn bin(&self, kinds: BTreeMap<String, Detected>) -> BinRates {
        BinRates { from_tokens: 8, human: self.human.len(), few_shot: false, machine: self.detected(), kinds }
    }

    fn detected(&self) -> Detected {
        Detected { texts: self.machine, at: self.detected.clone() }
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

/// A calibration with kinds that was really drawn: each score has its own reference, and the scores of a text agree by half.
pub(super) struct DrawnKinds {
    scores: Vec<Drawn>,
}

pub(super) const KINDS: [&str; 3] = ["assistant", "base", "other"];

impl DrawnKinds {
    /// The pooled score finds machine texts with probability q^`gamma` at level q, and so do the kinds' scores, each by its own.
    pub(super) fn new(random: &mut Random, human: usize, machine: usize, gammas: [f64; 4]) -> Self {
        Self { scores: gammas.map(|gamma| Drawn::new(random, human, machine, gamma)).into() }
    }

    pub(super) fn reference(&self) -> Reference {
        let (pooled, kinds) = (&self.scores[0], KINDS.into_iter().zip(&self.scores[1..]));
        Reference::new(vec![pooled.bin(kinds.map(|(name, drawn)| (name.to_owned(), drawn.detected())).collect())]).unwrap()
    }

    /// A text by a human, or by a machine.
    pub(super) fn text(&self, random: &mut Random, machine: bool) -> Assessment {
        let shared = random.bits();
        let one = |drawn: &Drawn| {
            let mut of = Random(if random.uniform() < 0.5 { shared } else { random.bits() });
            if machine { drawn.machine_p(&mut of) } else { drawn.human_p(&mut of) }
        };
        let mut p = self.scores.iter().map(one).collect::<Vec<_>>().into_iter();
        let pooled = assessment(100, p.next());
        Assessment { kind_p_values: KINDS.iter().map(|kind| (*kind).to_owned()).zip(p).collect(), ..pooled }
    }
}

/// Settings for one stream and no table of ids.
pub(super) fn settings(arl: f64) -> Settings {
    Settings { arl, max_keys: 16, dedup_window: 0, ..Settings::default() }
}

/// One document of the whole stream.
pub(super) fn feed(monitor: &mut Monitor, p: f64, second: i64) {
    feed_text(monitor, &assessment(100, Some(p)), second);
}

pub(super) fn feed_text(monitor: &mut Monitor, text: &Assessment, second: i64) {
    monitor.count(&Document::default(), text, at(second));
}

pub(super) fn whole(monitor: &Monitor) -> StreamStatus {
    monitor.status(&StreamKey::whole()).unwrap()
}
