//! Many hypotheses at once.

/// e-BH (Wang & Ramdas 2022, "False discovery rate control with e-values"): which of K hypotheses to reject so that the false-discovery
/// rate is at most `alpha`, under any dependence between them. The k largest e-values, with k the largest number for which the k-th is at
/// least K / (k alpha).
///
/// Takes logarithms of e-values (means at most 1 under each true hypothesis: a running maximum is none) of the hypotheses that can be
/// rejected, and `hypotheses` = K, all that there are. Gives the places of the rejected ones in `log_e`, largest e-value first, equals in
/// their order.
pub fn e_bh(log_e: &[f64], hypotheses: usize, alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..log_e.len()).filter(|&i| !log_e[i].is_nan()).collect();
    order.sort_by(|&a, &b| log_e[b].total_cmp(&log_e[a]));
    let needed = |k: usize| (hypotheses as f64 / (k as f64 * alpha)).ln();
    let rejected = (1..=order.len()).rev().find(|&k| log_e[order[k - 1]] >= needed(k)).unwrap_or(0);
    order.truncate(rejected);
    order
}
