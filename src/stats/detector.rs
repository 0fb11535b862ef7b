//! Evidence over time, from factors with mean at most 1 (see `betting`): change detectors and an e-process, all in logarithms.
//!
//! Start a detector at minus infinity. No update over- or underflows, however many there are.

/// ln(e^a + e^b) without overflow; either may be minus infinity.
pub fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// One step of the e-SR detector: R = L (1 + R), so ln R = ln L + ln(1 + R); begin with R = 0.
///
/// R_t - t is a supermartingale while E[L | past] <= 1, so the first time that R >= A has mean at least A, under any dependence
/// (Shin, Ramdas & Rinaldo 2024, "E-detectors", theorem 2.4; Roberts 1966). That mean is no false-alarm probability: of quiet streams about
/// 63% alarm before A. The average of several detectors keeps the promise. After an alarm begin again with R = 0.
pub fn e_sr(log_r: f64, log_factor: f64) -> f64 {
    log_factor + log_add(log_r, 0.)
}

/// One step of the e-CUSUM detector: C = L max(1, C); begin with C = 0. C <= R, so it keeps the promise of [`e_sr`] and is later.
pub fn e_cusum(log_c: f64, log_factor: f64) -> f64 {
    log_factor + log_c.max(0.)
}

/// What the e-process stakes on "the change was just before document `t`", t from 1: half on the start, the rest falling as 1 / t^2.
pub fn onset_weight(t: u64) -> f64 {
    if t <= 1 { 0.5 } else { 0.5 / (t as f64 * (t - 1) as f64) }
}

/// What is not yet staked after document `t`: 1 minus the sum of the weights so far.
pub fn onset_rest(t: u64) -> f64 {
    if t == 0 { 1. } else { 0.5 / t as f64 }
}
