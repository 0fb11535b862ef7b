//! Numbers to p-values and their finite-sample bounds; small descriptive numbers, ROC numbers and the two regressions of the fit.
//!
//! Pure functions: no I/O, no clock, no randomness of its own: what draws takes a seed.

mod conformal;
mod describe;
pub(crate) mod random;
mod ranking;
mod regression;
mod roc;
pub use conformal::{few_rate_upper_bound, p_value, p_value_low, proportion_interval, rate_upper_bound};
pub use describe::{autocorrelation, mean, quantile, short, standard_deviation};
pub use ranking::{Estimate, Measures, Ranked, Ranking, Resampling, measured};
pub use regression::{Rows, least_squares, logistic};
pub use roc::{auroc, tpr_at_fpr};

#[cfg(test)]
mod tests;
