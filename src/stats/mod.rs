//! Numbers to p-values, bets, e-values, change detectors and confidence sequences; small descriptive numbers, ROC numbers and the two
//! regressions of the fit.
//!
//! Pure functions: no I/O, no clock, no randomness of its own: what draws takes a seed.

mod betting;
mod confidence;
mod conformal;
mod describe;
mod detector;
mod dirichlet;
mod ebh;
mod mixture;
pub(crate) mod random;
mod ranking;
mod rates;
mod regression;
mod roc;
pub use betting::{Agrapa, Ons, cell, cells, factors, likelihood_gains};
pub use confidence::{mean_bounds, mean_lower_bound, poisson_bounds};
pub use conformal::{
    few_rate_upper_bound, mean_rate, p_value, p_value_low, proportion_interval, rate_lower_bound, rate_upper_bound, reference_shapes,
};
pub use describe::{autocorrelation, mean, quantile, short, standard_deviation};
pub use detector::{e_cusum, e_sr, log_add, onset_rest, onset_weight};
pub use dirichlet::mean_upper_bound;
pub use ebh::e_bh;
pub use mixture::mixture_share;
pub use ranking::{Estimate, Measures, Ranked, Ranking, Resampling, measured};
pub use rates::{BinRates, Detected, MOST_KINDS};
pub use regression::{Rows, least_squares, logistic};
pub use roc::{auroc, tpr_at_fpr};

#[cfg(test)]
mod evidence_tests;
#[cfg(test)]
mod tests;
