//! How much each sample counts in the fit, and which fold sees it.

use super::fit::Sample;
use std::collections::{HashMap, HashSet};

/// No family counts for more than this many times the median family of its class.
const FAMILY_CAP: f64 = 2.;

/// One weight per sample, adding up to 1. `bins` holds each sample's length bin.
///
/// In this order: a human document that occurs k times counts 1/k each time; a family's total is capped at twice the median family of
/// its class; the human documents of families without machine texts count together at most as much as those of families with, so that
/// what machine texts are about does not pass for how machines write; in each length bin both classes get 2hm/(h + m), the effective size
/// of comparing h human with m machine documents, so that
/// length gives no class away and a bin without one class counts nothing.
pub(super) fn weights(samples: &[&Sample], bins: &[usize]) -> Vec<f64> {
    let mut repeats: HashMap<u64, f64> = HashMap::new();
    for s in samples.iter().filter(|s| !s.machine) {
        *repeats.entry(s.group).or_default() += 1.;
    }
    let mut out: Vec<f64> = samples.iter().map(|s| if s.machine { 1. } else { 1. / repeats[&s.group] }).collect();

    let families = totals(samples.iter().map(|s| (s.machine, s.family.as_str())), &out);
    let caps: HashMap<bool, f64> = [false, true].map(|machine| (machine, FAMILY_CAP * median(&families, machine))).into();
    for (w, s) in out.iter_mut().zip(samples) {
        *w *= (caps[&s.machine] / families[&(s.machine, s.family.as_str())]).min(1.);
    }

    let paired: HashSet<&str> = samples.iter().filter(|s| s.machine).map(|s| s.family.as_str()).collect();
    let beside = |s: &Sample| paired.contains(s.family.as_str());
    let people = totals(samples.iter().map(|s| (s.machine, beside(s))), &out);
    let of = |beside: bool| people.get(&(false, beside)).copied().unwrap_or(0.);
    if of(true) > 0. {
        let elsewhere = out.iter_mut().zip(samples).filter(|(_, s)| !s.machine && !beside(s));
        elsewhere.for_each(|(w, _)| *w *= (of(true) / of(false)).min(1.));
    }

    let sides = totals(samples.iter().zip(bins).map(|(s, &bin)| (s.machine, bin)), &out);
    for ((w, s), &bin) in out.iter_mut().zip(samples).zip(bins) {
        let own = sides[&(s.machine, bin)];
        let other = sides.get(&(!s.machine, bin)).copied().unwrap_or(0.);
        *w *= 2. * other / (own + other);
    }
    let total: f64 = out.iter().sum();
    out.iter().map(|w| if total > 0. { w / total } else { 0. }).collect()
}

/// The fold that does not see a group while it is scored; independent of the order of the samples.
pub(super) fn fold(group: u64, folds: usize) -> usize {
    (shuffled(group) % folds.max(1) as u64) as usize
}

/// SplitMix64's finaliser: a fixed, well-mixed permutation of numbers.
pub(super) fn shuffled(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn totals<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>, weights: &[f64]) -> HashMap<K, f64> {
    let mut out = HashMap::new();
    for (key, w) in keys.zip(weights) {
        *out.entry(key).or_insert(0.) += w;
    }
    out
}

fn median(families: &HashMap<(bool, &str), f64>, machine: bool) -> f64 {
    let mut sizes: Vec<f64> = families.iter().filter(|((m, _), _)| *m == machine).map(|(_, &size)| size).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    crate::stats::quantile(&sizes, 0.5).unwrap_or(0.)
}
