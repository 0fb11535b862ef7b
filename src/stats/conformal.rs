//! Conformal p-values of a score among sorted reference scores, and what a fixed reference set costs.
//!
//! Must not assume any distribution: exchangeability with the reference is the only assumption.

use statrs::distribution::{Beta, ContinuousCDF};

/// Conformal p-value of a large score: (1 + number of reference scores >= `score`) / (n + 1).
///
/// `sorted` is ascending. P(p <= q) <= q for every q where the score is exchangeable with the reference (Vovk, Gammerman & Shafer 2005,
/// prop. 2.8). Ties count against the score, so rounding both sides alike keeps the promise. An empty reference gives 1.
pub fn p_value(sorted: &[f32], score: f32) -> f64 {
    let below = sorted.partition_point(|&a| a < score);
    (1 + sorted.len() - below) as f64 / (sorted.len() + 1) as f64
}

/// Conformal p-value of a small score: (1 + number of reference scores <= `score`) / (n + 1); `sorted` is ascending.
pub fn p_value_low(sorted: &[f32], score: f32) -> f64 {
    let at_most = sorted.partition_point(|&a| a <= score);
    (1 + at_most) as f64 / (sorted.len() + 1) as f64
}

/// Upper bound of the true rate of {p <= `level`} given one fixed reference set of `n` scores, right with probability `confidence`
/// over the reference sets.
///
/// Given the set, that rate is Beta(k, n + 1 - k) with k = floor(level (n + 1)) where scores have no ties, and stochastically smaller
/// where they have (Vovk 2012, "Conditional validity of inductive conformal predictors"). 0 where no p-value can be that small,
/// 1 where every one is.
pub fn rate_upper_bound(n: usize, level: f64, confidence: f64) -> f64 {
    let k = attainable(n, level);
    if k == 0 {
        return 0.;
    }
    if k > n || !(0. ..=1.).contains(&confidence) {
        return 1.;
    }
    beta_quantile(k, n + 1 - k, confidence)
}

/// Upper bound, right with probability `confidence` over sets of `n` scores, of the true rate of {p <= `level`} where p is at least the
/// conformal p-value of the set for all scores that the set reaches, and anything for those beyond all of the set.
///
/// The rate is at most that of the larger of the level and 1 / (n + 1), the smallest conformal p-value; as [`rate_upper_bound`], but never 0.
pub fn few_rate_upper_bound(n: usize, level: f64, confidence: f64) -> f64 {
    let k = attainable(n, level).max(1);
    if k > n || !(0. ..=1.).contains(&confidence) {
        return 1.;
    }
    beta_quantile(k, n + 1 - k, confidence)
}

/// Interval of a proportion seen as `successes` of `trials` independent trials, right with probability `confidence` at least (Clopper &
/// Pearson 1934). (0, 1) without trials.
pub fn proportion_interval(successes: usize, trials: usize, confidence: f64) -> (f64, f64) {
    let tail = (1. - confidence) / 2.;
    let low = if successes == 0 { 0. } else { beta_quantile(successes, trials + 1 - successes.min(trials), tail) };
    let high = if successes >= trials { 1. } else { beta_quantile(successes + 1, trials - successes, 1. - tail) };
    (low, high)
}

fn beta_quantile(a: usize, b: usize, level: f64) -> f64 {
    Beta::new(a as f64, b as f64).map_or(1., |beta| beta.inverse_cdf(level))
}

/// Number of different p-values at most `level`, by the same division that makes them: `level * (n + 1)` rounds the wrong way at times.
fn attainable(n: usize, level: f64) -> usize {
    let total = (n + 1) as f64;
    let near = (level * total).floor().clamp(0., total) as usize;
    (near.saturating_sub(1)..=(near + 1).min(n + 1)).rev().find(|&k| k as f64 / total <= level).unwrap_or(0)
}

/// What the rates of the p-value's cells are, given one fixed reference set of `n` scores without ties: Dirichlet with these shapes, one for each
/// cell between ascending `levels` and one above them (order statistics of uniforms, Wilks 1962, section 7.7). With ties, small p-values are
/// rarer. Of a few-shot profile (`few`, see [`few_rate_upper_bound`]) they are at most as frequent as with these shapes.
pub fn reference_shapes(n: usize, levels: &[f64], few: bool) -> Vec<f64> {
    let least = usize::from(few).min(n);
    let ends = levels.iter().map(|&level| attainable(n, level).max(least)).chain([n + 1]);
    let mut last = 0;
    ends.map(|end| (end - std::mem::replace(&mut last, end)) as f64).collect()
}

/// Lower bound of the true rate of {p <= `level`} given one fixed reference set of `n` scores without ties, right with probability
/// `confidence`: the other side of [`rate_upper_bound`].
pub fn rate_lower_bound(n: usize, level: f64, confidence: f64) -> f64 {
    let k = attainable(n, level);
    if k == 0 || !(0. ..=1.).contains(&confidence) {
        return 0.;
    }
    if k > n {
        return 1.;
    }
    beta_quantile(k, n + 1 - k, 1. - confidence)
}

/// Rate of {p <= `level`} on average over the reference sets of `n` scores without ties: the largest p-value at most `level`.
pub fn mean_rate(n: usize, level: f64) -> f64 {
    attainable(n, level) as f64 / (n + 1) as f64
}
