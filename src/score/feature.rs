//! The statistics in the shape that the fitted score takes them in: always defined, and of one order of size at every length.

use super::Statistics;
use serde::{Deserialize, Serialize};

/// Keeps ratios and logarithms of near-zero sums in bounds, nats.
const SOFT: f64 = 0.05;

/// One input of the fitted score. A calibration file names those that it uses, so new ones can be added without breaking old files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Mean surprisal, nats.
    MeanSurprisal,
    /// Mean ln rank.
    MeanLogRank,
    /// ln of mean surprisal over mean ln rank, both moved up a little so that it is always defined.
    LogLrr,
    /// Mean entropy, nats.
    MeanEntropy,
    /// Discrepancy over the square root of the token count: it grows with that by itself. 0 where undefined.
    Curvature,
    /// Lag-1 autocorrelation of surprisal; 0 where undefined.
    Autocorrelation,
    /// Mean absolute difference of neighbouring tokens' surprisal, nats; 0 where undefined.
    SurprisalStep,
    /// Mean of what surprisal lies above its expectation by more than two standard deviations, nats.
    SurprisalExcess,
    /// Share of tokens at which the prediction's entropy is above 5 nats.
    HighEntropy,
    /// Log-likelihood ratio of the model's two branches less what the model expects of it, nats per token. The fit takes it only where nearly
    /// every text has it.
    LogLikelihoodRatioExcess,
}

impl Feature {
    /// Every feature, in the order of the fit.
    pub const ALL: [Self; 10] = [
        Self::MeanSurprisal,
        Self::MeanLogRank,
        Self::LogLrr,
        Self::MeanEntropy,
        Self::Curvature,
        Self::Autocorrelation,
        Self::SurprisalStep,
        Self::SurprisalExcess,
        Self::HighEntropy,
        Self::LogLikelihoodRatioExcess,
    ];

    /// Whether these statistics have it: a model without branches has no ratio of theirs.
    pub fn is_known(self, s: &Statistics) -> bool {
        match self {
            Self::LogLikelihoodRatioExcess => s.log_likelihood_ratio_excess.is_some(),
            _ => true,
        }
    }

    /// Its value for a document of `tokens` tokens; finite.
    pub fn of(self, s: &Statistics, tokens: usize) -> f64 {
        match self {
            Self::MeanSurprisal => s.mean_surprisal_nats,
            Self::MeanLogRank => s.mean_log_rank,
            Self::LogLrr => ((s.mean_surprisal_nats.max(0.) + SOFT) / (s.mean_log_rank.max(0.) + SOFT)).ln(),
            Self::MeanEntropy => s.mean_entropy_nats,
            Self::Curvature => s.discrepancy.unwrap_or(0.) / (tokens.max(1) as f64).sqrt(),
            Self::Autocorrelation => s.surprisal_autocorrelation.unwrap_or(0.),
            Self::SurprisalStep => s.surprisal_step.unwrap_or(0.),
            Self::SurprisalExcess => s.surprisal_excess,
            Self::HighEntropy => s.high_entropy_fraction,
            Self::LogLikelihoodRatioExcess => s.log_likelihood_ratio_excess.unwrap_or(0.),
        }
    }
}
