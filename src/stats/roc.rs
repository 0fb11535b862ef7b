//! How well scores tell two classes apart; larger scores mean machine.

/// Area under the ROC curve: P(machine score > human score) + half of P(equal) (Mann & Whitney 1947). `None` where a class is empty
/// or a score is NaN.
pub fn auroc(human: &[f64], machine: &[f64]) -> Option<f64> {
    if human.is_empty() || machine.is_empty() || human.iter().chain(machine).any(|s| s.is_nan()) {
        return None;
    }
    let mut sorted = human.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let wins = |&score: &f64| sorted.partition_point(|&h| h < score) + sorted.partition_point(|&h| h <= score);
    let doubled: usize = machine.iter().map(wins).sum();
    Some(doubled as f64 / 2. / human.len() as f64 / machine.len() as f64)
}

/// Share of machine scores at or above the lowest threshold that at most `fpr` of the human scores reach; `None` where a class is empty
/// or a score is NaN. No interpolation: the threshold is one that can be used.
pub fn tpr_at_fpr(human: &[f64], machine: &[f64], fpr: f64) -> Option<f64> {
    if human.is_empty() || machine.is_empty() || human.iter().chain(machine).any(|s| s.is_nan()) {
        return None;
    }
    let mut descending = human.to_vec();
    descending.sort_unstable_by(|a, b| b.total_cmp(a));
    let allowed = (0..=descending.len()).rev().find(|&k| k as f64 / descending.len() as f64 <= fpr)?;
    // Strictly above the first human score that may not be flagged: ties are never split.
    let found = descending.get(allowed).map_or(machine.len(), |&limit| machine.iter().filter(|&&m| m > limit).count());
    Some(found as f64 / machine.len() as f64)
}
