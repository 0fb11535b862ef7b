//! How much of a mixture is of the second kind.

/// Maximum-likelihood share w in 0..=1 of (1 - w) `first` + w `second` after `counts` of each cell (Liang et al. 2024, "Monitoring
/// AI-modified content at scale", do this with words). The log likelihood is concave: its slope falls, and its zero is found by Newton's
/// steps, or by halving where one leaves what is known to hold it, to 2^-20. 0 of nothing.
///
/// All three have one number per cell; `first` and `second` are probabilities, known without error.
pub fn mixture_share(counts: &[u64], first: &[f64], second: &[f64]) -> f64 {
    // The slope, and how fast it falls.
    let slope = |w: f64| {
        let (mut slope, mut fall) = (0., 0.);
        for ((&count, &a), &b) in counts.iter().zip(first).zip(second).filter(|((count, a), b)| **count > 0 && a != b) {
            let relative = (b - a) / ((1. - w) * a + w * b).max(f64::MIN_POSITIVE);
            slope += count as f64 * relative;
            fall += count as f64 * relative * relative;
        }
        (slope, fall)
    };
    let (at_start, mut fall) = slope(0.);
    if at_start <= 0. {
        return 0.;
    }
    if slope(1.).0 >= 0. {
        return 1.;
    }
    let (mut low, mut high, mut w, mut now) = (0., 1., 0., at_start);
    for _ in 0..40 {
        let step = w + now / fall;
        let next = if low < step && step < high { step } else { (low + high) / 2. };
        let moved = f64::abs(next - w);
        w = next;
        (now, fall) = slope(w);
        if now > 0. {
            low = w
        } else {
            high = w
        }
        if moved < 1. / f64::from(1 << 20) || now == 0. {
            break;
        }
    }
    w
}
