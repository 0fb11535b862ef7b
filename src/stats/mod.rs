//! Numbers to p-values and their finite-sample bounds; small descriptive numbers, ROC numbers and the two regressions of the fit.
//!
//! Pure functions: no I/O, no clock, no randomness of its own.

mod conformal;
mod describe;
mod regression;
mod roc;
pub use conformal::{p_value, p_value_low, rate_upper_bound};
pub use describe::{autocorrelation, mean, quantile, short, standard_deviation};
pub use regression::{Rows, least_squares, logistic};
pub use roc::{auroc, tpr_at_fpr};

#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;
