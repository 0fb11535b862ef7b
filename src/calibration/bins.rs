//! One length bin: its reference scores, and what they say of a score.
//!
//! Scores are compared in f32, the precision of the file, on both sides: rounding is monotone, so the p-value stays valid.

use crate::stats::{self, Detected, Rows};
use serde::{Deserialize, Serialize};

/// Levels whose bound is printed in the file.
const LEVELS: [f64; 4] = [0.01, 0.05, 0.2, 0.5];
/// Order statistics kept of the machine scores.
const SKETCH: usize = 500;
/// With fewer machine scores than this there is no machine reference: a tail of 10% would be one text.
pub(super) const MIN_MACHINE: usize = 20;

/// Reference scores of one range of lengths; it reaches up to the next bin's `from_tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Fewest tokens.
    pub from_tokens: usize,
    /// Machine probability from the score at equal shares; `None` without a machine reference.
    pub(super) probability: Option<Logistic>,
    pub(super) rate_bounds: Vec<RateBound>,
    pub(super) human: Vec<f32>,
    pub(super) machine: Vec<f32>,
    /// In a few-shot profile: the community's own texts of every length, their scores moved to this length; then `human` is what the base
    /// calibration expects of this community. Empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) few: Vec<f32>,
}

/// P(machine) = 1 / (1 + exp(-(intercept + slope score))) (Platt 1999).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// Log odds at score 0.
    pub intercept: f64,
    /// Log odds per unit of score, at least 0.
    pub slope: f64,
}

/// What a level of the p-value promises given this very reference set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateBound {
    /// The level q of {p <= q}.
    pub level: f64,
    /// The true rate is at most this, with 95% confidence over the reference sets.
    pub upper: f64,
}

impl Bin {
    /// A bin of these scores; a machine reference is kept only with a probability.
    pub(super) fn new(from_tokens: usize, mut human: Vec<f32>, mut machine: Vec<f32>, probability: Option<Logistic>) -> Self {
        human.sort_unstable_by(f32::total_cmp);
        machine.sort_unstable_by(f32::total_cmp);
        let machine = if probability.is_some() { sketch(&machine) } else { Vec::new() };
        Self { from_tokens, probability, rate_bounds: rate_bounds(human.len(), 0), human, machine, few: Vec::new() }
    }

    /// The same, and what these few texts of the community say.
    pub(super) fn with_few(mut self, mut few: Vec<f32>) -> Self {
        few.sort_unstable_by(f32::total_cmp);
        self.rate_bounds = rate_bounds(self.human.len(), few.len());
        Self { few, ..self }
    }

    /// Human reference scores, ascending. In a few-shot profile they are not texts but draws of what a text of the community may score.
    pub fn human(&self) -> &[f32] {
        &self.human
    }

    /// Different human documents behind its p-values: the reference scores, or the few texts of a few-shot profile.
    pub fn documents(&self) -> usize {
        if self.few.is_empty() { self.human.len() } else { self.few.len() }
    }

    /// The smallest p-value that it can give.
    pub fn smallest_p_value(&self) -> f64 {
        1. / (self.human.len() + 1) as f64
    }

    /// Machine reference scores, ascending: at most 500 order statistics. Empty without a machine reference.
    pub fn machine(&self) -> &[f32] {
        &self.machine
    }

    /// Bounds of the true false-positive rate at standard levels.
    pub fn rate_bounds(&self) -> &[RateBound] {
        &self.rate_bounds
    }

    /// The conformal p-value; in a few-shot profile, at least that of the community's own texts where any of them scores as high: only below
    /// what they can say at all is the lent shape believed.
    pub(super) fn p_value(&self, score: f64) -> f64 {
        let score = score as f32;
        let lent = stats::p_value(&self.human, score);
        let beyond_all = self.few.last().is_none_or(|&highest| highest < score);
        if beyond_all { lent } else { lent.max(stats::p_value(&self.few, score)) }
    }

    /// Upper bound of the true rate of {p <= `level`}, right with confidence [`super::CONFIDENCE`].
    pub(super) fn rate_upper_bound(&self, level: f64) -> f64 {
        rate_upper_bound(self.human.len(), self.few.len(), level)
    }

    /// How many of its machine scores have a p-value at or below each of these ascending levels.
    pub(super) fn detected(&self, levels: &[f64]) -> Detected {
        let at = |level: &f64| self.machine.iter().filter(|&&score| self.p_value(f64::from(score)) <= *level).count();
        Detected { texts: self.machine.len(), at: levels.iter().map(at).collect() }
    }

    pub(super) fn is_few_shot(&self) -> bool {
        !self.few.is_empty()
    }

    pub(super) fn machine_tail(&self, score: f64) -> Option<f64> {
        (!self.machine.is_empty()).then(|| stats::p_value_low(&self.machine, score as f32))
    }

    pub(super) fn machine_probability(&self, score: f64) -> Option<f64> {
        self.probability.map(|l| 1. / (1. + (-(l.intercept + l.slope * score)).exp()))
    }

    /// What is wrong with it, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        let at = self.from_tokens;
        let sorted = |scores: &[f32]| scores.iter().all(|s| s.is_finite()) && scores.is_sorted();
        let same = |(a, b): (&RateBound, &RateBound)| a.level == b.level && (a.upper - b.upper).abs() < 1e-6;
        let bounds = rate_bounds(self.human.len(), self.few.len());
        if self.human.is_empty() {
            Some(format!("the bin from {at} tokens holds no human score, expected at least 1"))
        } else if ![&self.human, &self.machine, &self.few].into_iter().all(|scores| sorted(scores)) {
            Some(format!("the scores of the bin from {at} tokens are not finite and ascending"))
        } else if self.machine.is_empty() != self.probability.is_none() {
            Some(format!("the bin from {at} tokens has only one of machine scores and a machine probability"))
        } else if self.probability.is_some_and(|l| !(l.slope >= 0. && l.slope < 1e9 && l.intercept.abs() < 1e9)) {
            Some(format!("the machine probability of the bin from {at} tokens is not a finite line with a slope of at least 0"))
        } else if self.rate_bounds.len() != bounds.len() || !self.rate_bounds.iter().zip(&bounds).all(same) {
            Some(format!("the rate bounds of the bin from {at} tokens do not belong to its {} human texts", self.documents()))
        } else {
            None
        }
    }
}

/// Fits the machine probability of a bin at equal shares; `None` with too few machine scores. A score that is turned round here says
/// nothing: 1/2.
pub(super) fn probability(human: &[f64], machine: &[f64]) -> Option<Logistic> {
    if machine.len() < MIN_MACHINE || human.is_empty() {
        return None;
    }
    let values: Vec<f64> = human.iter().chain(machine).flat_map(|&s| [1., s]).collect();
    let labels: Vec<bool> = human.iter().map(|_| false).chain(machine.iter().map(|_| true)).collect();
    let share = |machine_row: &bool| 0.5 / if *machine_row { machine.len() as f64 } else { human.len() as f64 };
    let weights: Vec<f64> = labels.iter().map(share).collect();
    let line = stats::logistic(Rows { values: &values, width: 2, weights: &weights }, &labels, 1e-4)?;
    let useful = line[1] > 0.;
    Some(if useful {
        Logistic { intercept: stats::short(line[0]), slope: stats::short(line[1]) }
    } else {
        Logistic { intercept: 0., slope: 0. }
    })
}

/// First edges of bins that are unions of those between `edges` and hold at least `enough` human documents each, where there are as
/// many; what is left at the long end joins the last bin. `lengths` are the token counts of different human documents.
pub(super) fn merge(edges: &[usize], lengths: &[usize], enough: usize) -> Vec<usize> {
    let between = |from: usize, to: usize| lengths.iter().filter(|&&t| t >= from && t < to).count();
    let mut starts = Vec::new();
    for &edge in edges {
        if starts.last().is_none_or(|&from| between(from, edge) >= enough) {
            starts.push(edge);
        }
    }
    while starts.len() > 1 && starts.last().is_some_and(|&from| between(from, usize::MAX) < enough) {
        starts.pop();
    }
    starts
}

fn rate_bounds(human: usize, few: usize) -> Vec<RateBound> {
    LEVELS.iter().map(|&level| RateBound { level, upper: stats::short(rate_upper_bound(human, few, level)) }).collect()
}

fn rate_upper_bound(human: usize, few: usize, level: f64) -> f64 {
    match few {
        0 => stats::rate_upper_bound(human, level, super::CONFIDENCE),
        few => stats::few_rate_upper_bound(few, level, super::CONFIDENCE),
    }
}

/// At most [`SKETCH`] evenly spaced order statistics, both ends among them.
fn sketch(sorted: &[f32]) -> Vec<f32> {
    if sorted.len() <= SKETCH {
        return sorted.to_vec();
    }
    (0..SKETCH).map(|i| sorted[i * (sorted.len() - 1) / (SKETCH - 1)]).collect()
}
