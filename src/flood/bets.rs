//! The bets of all streams, computed once: by which factor each piece of evidence grows after a p-value of each cell, in each length bin.
//!
//! Bets look at the length before the p-value is known: little is staked on short texts, where machine texts hardly differ.

use super::{
    Settings,
    reference::{Bounds, CELLS, LEVELS, PerLevel, Reference, unknown_detection},
};
use crate::stats::{self, factors, likelihood_gains};

/// Bets that are mixed with equal weights.
pub(super) const BETS: usize = 8;
/// Shares of machine text that the bets are made for: a geometric grid.
const SHARES: [f64; BETS / 2] = [0.9, 0.35, 0.12, 0.04];

/// Factors for one cell of one bin.
pub(super) type Factors = [f32; BETS];

/// Everything that follows from the settings and the reference.
#[derive(Debug)]
pub(super) struct Bets {
    reference: Reference,
    /// Bounds for evidence: all levels of a bin hold together with the confidence of the settings.
    pub(super) bounds: Vec<Bounds>,
    /// Bounds for share intervals: the four that an interval takes fail together with probability at most alpha / 2.
    pub(super) share_bounds: Vec<Bounds>,
    forward: Vec<[Factors; CELLS]>,
    /// Logarithms of the factors against "the flood goes on".
    back: Vec<[f64; CELLS]>,
}

impl Bets {
    pub(super) fn new(settings: &Settings, reference: Reference) -> Self {
        let bounds_at = |each: f64| reference.bins().iter().map(|bin| Bounds::of(bin, each)).collect::<Vec<_>>();
        let bounds = bounds_at(1. - (1. - settings.confidence) / LEVELS.len() as f64);
        let share_bounds = bounds_at(1. - settings.alpha / 8.);
        let forward = bounds.iter().map(|b| forward(b, settings.base_share)).collect();
        let back = bounds.iter().zip(reference.bins()).map(|(b, bin)| back(b, bin.machine > 0, settings)).collect();
        Self { reference, bounds, share_bounds, forward, back }
    }

    pub(super) fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Bin and cell of a document; `None` where it carries no evidence.
    pub(super) fn place(&self, tokens: usize, p_value: Option<f64>) -> Option<(usize, usize)> {
        let p = p_value.filter(|p| (0. ..=1.).contains(p))?;
        Some((self.reference.bin(tokens)?, stats::cell(&LEVELS, p)))
    }

    pub(super) fn forward(&self, (bin, cell): (usize, usize)) -> &Factors {
        &self.forward[bin][cell]
    }

    pub(super) fn back(&self, (bin, cell): (usize, usize)) -> f64 {
        self.back[bin][cell]
    }
}

/// Bets against "at most the base share": P(p <= q) <= (1 - pi0) q+ + pi0 beta+ (STATISTICS 4).
///
/// Half of them expect machine texts like those of the reference, half ones that are found as often as sqrt(q): the reference's generators
/// are not the flood's. Each is the likelihood ratio for its share. STATISTICS 4 mixes levels as bets of their own; here one bet uses all
/// levels at once, as `stats::factors` allows, which needs a quarter of the memory and finds a flood sooner.
fn forward(b: &Bounds, base: f64) -> [Factors; CELLS] {
    let null = Bounds::mixed(&b.human_high, &b.machine_high, base);
    let today = Bounds::mixed(&b.human, &b.machine, base);
    let mut all = [[1f32; BETS]; CELLS];
    let expected = [b.machine, unknown_detection()];
    for (i, (machine, share)) in expected.iter().flat_map(|m| SHARES.map(|s| (*m, s))).enumerate() {
        let flood: PerLevel = std::array::from_fn(|j| (1. - share) * today[j] + share * machine[j].max(today[j]));
        for (cell, factor) in factors(&likelihood_gains(&flood, &null, true), &null).into_iter().enumerate() {
            all[cell][i] = rounded_down(factor);
        }
    }
    all
}

/// The bet against "at least the clearing share": P(p <= q) >= (1 - s) q- + s beta-. Without a machine reference the detection rate is
/// guessed, and the promise of the clearing is as good as the guess.
fn back(b: &Bounds, known: bool, settings: &Settings) -> [f64; CELLS] {
    let machine_low = if known { b.machine_low } else { b.machine };
    let null = Bounds::mixed(&b.human_low, &machine_low, settings.clear_at());
    let quiet = Bounds::mixed(&b.human, &b.machine, settings.base_share);
    let factors = factors(&likelihood_gains(&quiet, &null, false), &null);
    std::array::from_fn(|cell| factors[cell].ln())
}

/// A factor in f32 that makes up for the two roundings of every update, each at most 2^-24 of the value: evidence is never rounded up.
fn rounded_down(factor: f64) -> f32 {
    (factor * (1. - 1. / f64::from(1 << 22))) as f32
}

/// Bounds averaged over the bins, each weighing as many documents as it has.
pub(super) fn averaged(bounds: &[Bounds], documents: &[u16]) -> Bounds {
    let total: f64 = documents.iter().map(|&n| f64::from(n)).sum();
    let mut mean = Bounds::default();
    for (bin, &n) in bounds.iter().zip(documents).filter(|(_, n)| **n > 0) {
        mean.add(bin, f64::from(n) / total);
    }
    mean
}

/// Probabilities of the cells from P(p <= level).
pub(super) fn cell_probabilities(cumulative: &PerLevel) -> [f64; CELLS] {
    let mut cells = stats::cells(cumulative);
    std::array::from_fn(|_| cells.next().unwrap_or(0.))
}
