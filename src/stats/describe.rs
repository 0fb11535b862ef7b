//! Descriptive numbers of a list, in f64.

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of the values themselves (divisor n, so that one value has 0); `None` of nothing.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let m = mean(values)?;
    Some((values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
}

/// Quantile at `level` in 0..=1 of an ascending list, linear between order statistics (Hyndman & Fan's type 7); `None` of nothing.
pub fn quantile(sorted: &[f64], level: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = level.clamp(0., 1.) * last as f64;
    let low = at.floor() as usize;
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    Some(a + (b - a) * (at - low as f64))
}

/// Correlation of each value with the next: lag-1 autocorrelation in -1..=1; `None` where all values are equal or there is but one.
pub fn autocorrelation(values: &[f64]) -> Option<f64> {
    let m = mean(values)?;
    let all: f64 = values.iter().map(|v| (v - m).powi(2)).sum();
    let pairs: f64 = values.windows(2).map(|w| (w[0] - m) * (w[1] - m)).sum();
    (all > 0.).then(|| (pairs / all).clamp(-1., 1.))
}

/// The number with twelve significant digits, and 0 below 1e-9: more than any data set holds, and few enough digits that JSON gives the
/// very same number back.
pub fn short(x: f64) -> f64 {
    if x.abs() < 1e-9 { 0. } else { format!("{x:.11e}").parse().unwrap_or(x) }
}
