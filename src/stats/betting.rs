//! Bets against "small p-values are no more frequent than this": factors that multiply a wealth, with mean at most 1 while that is true.
//!
//! A p-value is only looked at by its cell: cell j holds the p-values in (level j-1, level j], the last one all that are larger.

/// Factor for each cell from a gain for each cell: g_j / (g_last + sum_j (g_j - g_(j+1)) bound_j).
///
/// The factor has mean at most 1 whatever else is true, if
///  - gains fall from cell to cell (small p-values pay) and P(p <= level_j | past) <= bound_j for every j, or
///  - gains rise (large p-values pay) and P(p <= level_j | past) >= bound_j for every j:
///
/// the mean of g is g_last + sum_j (g_j - g_(j+1)) P(p <= level_j), and the bounds can only make it larger. With one level this is
/// 1 + lambda (X - m0), lambda = (g_1 - g_2) / normaliser, of Waudby-Smith & Ramdas (2024, "Estimating means of bounded random variables
/// by betting"); with several it bets on all levels at once. `gains` has one number more than `bounds`; all are at least 0.
pub fn factors(gains: &[f64], bounds: &[f64]) -> Vec<f64> {
    let steps = gains.windows(2).zip(bounds).map(|(g, bound)| (g[0] - g[1]) * bound);
    let mean = gains.last().copied().unwrap_or(1.) + steps.sum::<f64>();
    gains.iter().map(|g| if mean > 0. { g / mean } else { 1. }).collect()
}

/// Likelihood ratio of each cell, made monotone: the gains that let the logarithm of the wealth grow fastest where the alternative is
/// true (Kelly 1956; Grünwald, de Heide & Koolen 2024 call it the growth-rate optimal e-value).
///
/// `alternative` and `null` are P(p <= level) at ascending levels. Gains fall from cell to cell if `falling`, otherwise they rise. Each is
/// held in `1 / MOST ..= MOST`, so that no single document decides.
pub fn likelihood_gains(alternative: &[f64], null: &[f64], falling: bool) -> Vec<f64> {
    const MOST: f64 = 50.;
    let mut gains: Vec<f64> =
        cells(alternative).zip(cells(null)).map(|(a, n)| if a > 0. || n > 0. { (a / n).clamp(1. / MOST, MOST) } else { 1. }).collect();
    // A step in the wrong direction is levelled up: from the end that pays least.
    if falling {
        (0..gains.len().saturating_sub(1)).rev().for_each(|j| gains[j] = gains[j].max(gains[j + 1]));
    } else {
        (1..gains.len()).for_each(|j| gains[j] = gains[j].max(gains[j - 1]));
    }
    gains
}

/// Probability of each cell from P(p <= level) at ascending levels.
pub fn cells(cumulative: &[f64]) -> impl Iterator<Item = f64> {
    let ends = cumulative.iter().copied().chain([1.]);
    let starts = [0.].into_iter().chain(cumulative.iter().copied());
    ends.zip(starts).map(|(end, start)| (end - start).max(0.))
}

/// The cell of a p-value among ascending levels: the number of levels below it.
pub fn cell(levels: &[f64], p_value: f64) -> usize {
    levels.iter().filter(|&&level| p_value > level).count()
}

/// aGRAPA, a bet that learns (Waudby-Smith & Ramdas 2024, section 5.2): lambda = (mean - m) / (variance + (mean - m)^2), clipped to
/// [0, `MOST` / m], where mean and variance are those of the observations so far and of two imagined ones, 0 and 1.
///
/// An alternative to the mixture of fixed bets where nothing is known of the other side. Observations lie in 0..=1; `m` above 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agrapa {
    seen: f64,
    sum: f64,
    squares: f64,
}

/// No bet of [`Agrapa`] and [`Ons`] stakes more than this part of the wealth.
const MOST: f64 = 0.75;

impl Agrapa {
    /// The bet on the next observation.
    pub fn bet(&self, m: f64) -> f64 {
        let seen = self.seen + 2.;
        let mean = (self.sum + 1.) / seen;
        let variance = ((self.squares + 1.) / seen - mean * mean).max(0.);
        let edge = mean - m;
        (edge / (variance + edge * edge)).clamp(0., MOST / m)
    }

    /// The factor 1 + lambda (x - m) of the bet that stood, and the lesson from it.
    pub fn observe(&mut self, x: f64, m: f64) -> f64 {
        let factor = 1. + self.bet(m) * (x - m);
        self.seen += 1.;
        self.sum += x;
        self.squares += x * x;
        factor
    }
}

/// Online Newton step, a bet that learns with a bound on its regret (Cutkosky & Orabona 2018, algorithm 1; Waudby-Smith & Ramdas 2024,
/// section 5.3), kept in [0, `MOST` / m]. Observations lie in 0..=1; `m` above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ons {
    lambda: f64,
    curvature: f64,
}

impl Default for Ons {
    fn default() -> Self {
        Self { lambda: 0., curvature: 1. }
    }
}

impl Ons {
    /// The factor 1 + lambda (x - m) of the bet that stood, and the lesson from it.
    pub fn observe(&mut self, x: f64, m: f64) -> f64 {
        let factor = 1. + self.lambda * (x - m);
        let slope = -(x - m) / factor;
        self.curvature += slope * slope;
        let rate = 2. / (2. - 3f64.ln());
        self.lambda = (self.lambda - rate * slope / self.curvature).clamp(0., MOST / m);
        factor
    }
}
