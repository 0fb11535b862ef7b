//! What a finite reference set leaves open about the mean of a bet.

use statrs::distribution::{ContinuousCDF, Normal};

/// Halvings of an interval: to the precision of f64 relative to its width.
const HALVINGS: usize = 50;
/// The tail's approximation is within this part of it (a test compares).
const MARGIN: f64 = 0.03;

/// Upper bound, right with probability `confidence`, of the mean sum_c g_c P_c where the probabilities P of the cells are Dirichlet with
/// these shapes: those of the cells that a reference set of scores cuts, see `reference_shapes`. A shape of 0 is a cell that never comes.
///
/// With independent gammas G_c of these shapes, P_c = G_c / sum G, so that the mean is above x just where sum_c (g_c - x) G_c > 0. That
/// tail is taken by the saddlepoint (Lugannani & Rice 1980, "Saddle point approximation for the distribution of the sum of independent random
/// variables"), cut by 3% for its error. Bounds on every cell that hold together, added up, are wider by a third and more.
///
/// `gains` and `shapes` are as many; at least one shape is above 0.
pub fn mean_upper_bound(shapes: &[f64], gains: &[f64], confidence: f64) -> f64 {
    let cells: Vec<(f64, f64)> = shapes.iter().copied().zip(gains.iter().copied()).filter(|(shape, _)| *shape > 0.).collect();
    let total: f64 = cells.iter().map(|(shape, _)| shape).sum();
    let mut low = cells.iter().map(|(shape, gain)| shape * gain).sum::<f64>() / total;
    let mut high = cells.iter().map(|(_, gain)| *gain).fold(f64::NEG_INFINITY, f64::max);
    let most = (1. - confidence) * (1. - MARGIN);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        *(if tail(&cells, middle) > most { &mut low } else { &mut high }) = middle;
    }
    high
}

/// P(sum_c (g_c - x) G_c > 0) for x above the mean of g.
fn tail(cells: &[(f64, f64)], x: f64) -> f64 {
    let weights = || cells.iter().map(|(shape, gain)| (*shape, gain - x));
    let heaviest = weights().map(|(_, w)| w).fold(0., f64::max);
    if heaviest <= 0. {
        return 0.;
    }
    // The derivative of the cumulant generating function K(t) = -sum a ln(1 - t w) rises from below 0 without end.
    let slope = |t: f64| weights().map(|(a, w)| a * w / (1. - t * w)).sum::<f64>();
    let (mut low, mut high) = (0., 1. / heaviest);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        *(if slope(middle) < 0. { &mut low } else { &mut high }) = middle;
    }
    let t = low;
    let r = (2. * weights().map(|(a, w)| a * (-t * w).ln_1p()).sum::<f64>()).max(0.).sqrt();
    let u = t * weights().map(|(a, w)| a * (w / (1. - t * w)).powi(2)).sum::<f64>().sqrt();
    if r < 1e-4 {
        return 0.5;
    }
    let density = (-0.5 * r * r).exp() / std::f64::consts::TAU.sqrt();
    (Normal::standard().cdf(-r) + density * (1. / u - 1. / r)).clamp(0., 1.)
}
