//! How well scores tell two classes apart, with intervals by resampling whole clusters of rows; larger scores mean machine.
//!
//! Rows of one cluster (a document, its machine counterparts, its attacked forms) are not independent, so they are drawn together
//! (Field & Welsh 2007, "Bootstrapping clustered data"). Deterministic: the seed is an argument.

use super::{quantile, random::Random};
use serde::Serialize;

/// The false-positive rates at which true-positive rates are measured.
const RATES: [f64; 2] = [0.01, 0.05];
/// AUROC and one true-positive rate each.
const NUMBERS: usize = 1 + RATES.len();

/// One row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Its score.
    pub score: f64,
    /// Its class.
    pub machine: bool,
    /// Its cluster, from 0 on.
    pub cluster: usize,
    /// How much it counts, at least 0.
    pub weight: f64,
}

/// Rows by falling score.
#[derive(Debug, Clone)]
pub struct Ranking(Vec<Ranked>);

/// How intervals are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampling {
    /// Clusters are numbered below this.
    pub clusters: usize,
    /// Samples drawn.
    pub samples: usize,
    /// Where the draws start.
    pub seed: u64,
    /// Share of the samples' numbers that an interval holds.
    pub confidence: f64,
}

/// A number with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number, from all rows.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What a ranking can do; null where a class is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Measures {
    /// Area under the ROC curve.
    pub auroc: Option<Estimate>,
    /// Share of machine rows found at a false-positive rate of 1%.
    pub tpr_at_fpr_01: Option<Estimate>,
    /// The same at 5%.
    pub tpr_at_fpr_05: Option<Estimate>,
}

impl Ranking {
    /// Sorts rows; those whose score is NaN are left out.
    pub fn new(rows: impl IntoIterator<Item = Ranked>) -> Self {
        let mut rows: Vec<_> = rows.into_iter().filter(|r| !r.score.is_nan()).collect();
        rows.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self(rows)
    }

    /// The ROC curve: false-positive rate and true-positive rate at every threshold, from (0, 0) to (1, 1); empty where a class is missing.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let mut points = vec![(0., 0.)];
        let all = |_| 1.;
        let (human, machine) = self.totals(all);
        if human <= 0. || machine <= 0. {
            return Vec::new();
        }
        self.walk(all, |level| points.push(((level.human_above + level.human) / human, (level.machine_above + level.machine) / machine)));
        points
    }

    /// AUROC (ties count half) and the true-positive rates, each cluster counting `times(cluster)`. As [`super::auroc`] and
    /// [`super::tpr_at_fpr`] have them where every weight is 1. `None` where a class has no weight.
    fn numbers(&self, times: impl Fn(usize) -> f64 + Copy) -> Option<[f64; NUMBERS]> {
        let (human, machine) = self.totals(times);
        if !(human > 0. && machine > 0.) {
            return None;
        }
        let (mut area, mut found, mut open) = (0., [0.; RATES.len()], [true; RATES.len()]);
        self.walk(times, |level| {
            area += level.machine * (human - level.human_above - level.human / 2.);
            for (i, rate) in RATES.into_iter().enumerate() {
                // a threshold is open while it flags no more humans than it may; ties are never split
                open[i] &= (level.human_above + level.human) / human <= rate;
                if open[i] {
                    found[i] = level.machine_above + level.machine;
                }
            }
        });
        Some([area / human / machine, found[0] / machine, found[1] / machine])
    }

    fn totals(&self, times: impl Fn(usize) -> f64) -> (f64, f64) {
        self.0.iter().fold((0., 0.), |(human, machine), row| {
            let weight = row.weight * times(row.cluster);
            if row.machine { (human, machine + weight) } else { (human + weight, machine) }
        })
    }

    /// Every distinct score, falling.
    fn walk(&self, times: impl Fn(usize) -> f64, mut each: impl FnMut(&Level)) {
        let mut level = Level::default();
        for (i, row) in self.0.iter().enumerate() {
            let weight = row.weight * times(row.cluster);
            if row.machine {
                level.machine += weight;
            } else {
                level.human += weight;
            }
            if self.0.get(i + 1).is_none_or(|next| next.score < row.score) {
                each(&level);
                level = Level {
                    human: 0.,
                    machine: 0.,
                    human_above: level.human_above + level.human,
                    machine_above: level.machine_above + level.machine,
                };
            }
        }
    }
}

/// The weights at one score and above it.
#[derive(Default)]
struct Level {
    human: f64,
    machine: f64,
    human_above: f64,
    machine_above: f64,
}

/// Measures rankings of the same clusters, all on the same draws: one set of measures each, in order. Percentile intervals.
pub fn measured(rankings: &[Ranking], resampling: Resampling) -> Vec<Measures> {
    let values: Vec<_> = rankings.iter().map(|r| r.numbers(|_| 1.)).collect();
    let mut drawn: Vec<[Vec<f64>; NUMBERS]> = rankings.iter().map(|_| Default::default()).collect();
    let mut random = Random(resampling.seed);
    let mut times = vec![0.; resampling.clusters];
    for _ in 0..resampling.samples {
        times.fill(0.);
        (0..resampling.clusters).for_each(|_| times[random.below(resampling.clusters)] += 1.);
        for (ranking, drawn) in rankings.iter().zip(&mut drawn) {
            if let Some(numbers) = ranking.numbers(|cluster| times.get(cluster).copied().unwrap_or(0.)) {
                drawn.iter_mut().zip(numbers).for_each(|(all, one)| all.push(one));
            }
        }
    }
    let tail = (1. - resampling.confidence) / 2.;
    let one = |(value, mut drawn): (Option<[f64; NUMBERS]>, [Vec<f64>; NUMBERS])| {
        drawn.iter_mut().for_each(|d| d.sort_unstable_by(f64::total_cmp));
        let estimate = |i: usize| {
            let value = value?[i];
            Some(Estimate { value, low: quantile(&drawn[i], tail).unwrap_or(value), high: quantile(&drawn[i], 1. - tail).unwrap_or(value) })
        };
        Measures { auroc: estimate(0), tpr_at_fpr_01: estimate(1), tpr_at_fpr_05: estimate(2) }
    };
    values.into_iter().zip(drawn).map(one).collect()
}

#[cfg(test)]
mod tests;
