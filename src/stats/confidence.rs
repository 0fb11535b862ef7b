//! A confidence sequence for a mean of 0s and 1s, from their counts alone, and the interval of a count.

use statrs::distribution::{ContinuousCDF, Gamma};
use std::sync::LazyLock;

/// Bets of different size, as logarithms of an odds ratio: from those for 50,000 observations up to those for a handful.
const BETS: [f64; 12] = [0.05, 0.075, 0.1125, 0.169, 0.253, 0.38, 0.57, 0.854, 1.28, 1.92, 2.88, 4.32];
/// The odds ratios less 1.
static ODDS: LazyLock<[f64; BETS.len()]> = LazyLock::new(|| BETS.map(f64::exp_m1));

/// Lower bound of the running mean (E\[X_1\] + … + E\[X_n | past\]) / n after `hits` in `n`, right for all n together with probability
/// at least 1 - `alpha`, under any dependence, also where the mean moves.
///
/// For theta > 0 the product of (1 + theta X_i) / (1 + theta mu_i) is a martingale with mean 1, and the product of 1 + theta mu_i is at most
/// (1 + theta mean)^n because the logarithm is concave. So by Ville's inequality (1 + theta)^hits / (1 + theta mean)^n reaches 1 / alpha
/// with probability at most alpha, and solving for the mean gives a bound. It is the betting sequence of Waudby-Smith & Ramdas (2024) with
/// lambda = theta / (1 + theta m): that choice makes it hold for a moving mean and need no more than two counts. Of twelve bets with
/// alpha / 12 each the best one counts.
pub fn mean_lower_bound(hits: u64, n: u64, alpha: f64) -> f64 {
    if hits == 0 || n == 0 {
        return 0.;
    }
    let (hits, n) = (hits as f64, n as f64);
    let price = (BETS.len() as f64 / alpha).ln();
    // Each bet alone gives a bound that holds; one that has not earned its price gives one below 0.
    let bound = |i: usize| ((hits * BETS[i] - price) / n).exp_m1() / ODDS[i];
    // With the size of the bet they rise and then fall: up from the bet that would be best for a normal mean of this variance.
    let variance = hits * (n - hits) / n;
    let start = BETS.partition_point(|bet| bet * bet * variance < 2. * price).min(BETS.len() - 1);
    let mut best = bound(start);
    for larger in start + 1..BETS.len() {
        let next = bound(larger);
        if next <= best {
            break;
        }
        best = next;
    }
    for smaller in (0..start).rev() {
        let next = bound(smaller);
        if next <= best {
            break;
        }
        best = next;
    }
    best.clamp(0., 1.)
}

/// Lower and upper bound of the running mean, each right with probability at least 1 - `alpha` / 2: see [`mean_lower_bound`].
pub fn mean_bounds(hits: u64, n: u64, alpha: f64) -> (f64, f64) {
    (mean_lower_bound(hits, n, alpha / 2.), 1. - mean_lower_bound(n.saturating_sub(hits), n, alpha / 2.))
}

/// Two-sided interval of the mean of a Poisson count (Garwood 1936); of a count of 0, the upper bound alone, with all of the error.
pub fn poisson_bounds(count: u64, confidence: f64) -> (f64, f64) {
    if count == 0 {
        return (0., -(1. - confidence).ln());
    }
    let quantile = |shape: f64, at: f64| Gamma::new(shape, 1.).map_or(f64::NAN, |gamma| gamma.inverse_cdf(at));
    let tail = (1. - confidence) / 2.;
    (quantile(count as f64, tail), quantile(count as f64 + 1., 1. - tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_climb_finds_the_best_of_all_bets() {
        let counts = (0..12).map(|k| 3u64.pow(k)).flat_map(|n| (0..=20).map(move |share| (n * share / 20, n)));
        for ((hits, n), alpha) in counts.flat_map(|count| [0.5, 0.05, 1e-3, 1e-9].map(|alpha| (count, alpha))) {
            let price = (BETS.len() as f64 / alpha).ln();
            let bound = |bet: f64| ((hits as f64 * bet - price) / n as f64).exp_m1() / bet.exp_m1();
            let best = BETS.into_iter().map(bound).fold(0., f64::max).min(1.);
            assert_eq!(mean_lower_bound(hits, n, alpha), best, "{hits} of {n} at {alpha}");
        }
    }
}
