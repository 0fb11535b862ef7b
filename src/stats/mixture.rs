//! How much of a mixture is of the second kind.

/// Maximum-likelihood share w in 0..=1 of (1 - w) `first` + w `second` after `counts` of each cell (Liang et al. 2024, "Monitoring
/// AI-modified content at scale", do this with words). The log likelihood is concave: its slope is bisected to 2^-20. 0 of nothing.
///
/// All three have one number per cell; `first` and `second` are probabilities, known without error.
pub fn mixture_share(counts: &[u64], first: &[f64], second: &[f64]) -> f64 {
    let slope = |w: f64| {
        let term = |((&count, &a), &b): ((&u64, &f64), &f64)| {
            let mixed = (1. - w) * a + w * b;
            if count == 0 || a == b { 0. } else { count as f64 * (b - a) / mixed.max(f64::MIN_POSITIVE) }
        };
        counts.iter().zip(first).zip(second).map(term).sum::<f64>()
    };
    if slope(0.) <= 0. {
        return 0.;
    }
    if slope(1.) >= 0. {
        return 1.;
    }
    let (mut low, mut high) = (0., 1.);
    for _ in 0..20 {
        let middle = (low + high) / 2.;
        if slope(middle) > 0. { low = middle } else { high = middle }
    }
    (low + high) / 2.
}
