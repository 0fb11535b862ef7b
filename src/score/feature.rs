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
    /// Standard deviation of surprisal, nats.
    SurprisalStd,
    /// 10th percentile of surprisal, nats.
    SurprisalP10,
    /// 90th percentile of surprisal, nats.
    SurprisalP90,
    /// Lag-1 autocorrelation of surprisal; 0 where undefined.
    Autocorrelation,
    /// Share of tokens of rank 1 to 10.
    Top10,
    /// Share of tokens of rank 11 to 100.
    Top100,
    /// Share of tokens of rank above 1000.
    Rest,
    /// Log-likelihood ratio of the model's two branches, nats per token. The fit takes it only where nearly every text has it.
    LogLikelihoodRatio,
    /// Its standard deviation over the text's tokens, nats. As above.
    LogLikelihoodRatioStd,
}

impl Feature {
    /// Every feature, in the order of the fit.
    pub const ALL: [Self; 14] = [
        Self::MeanSurprisal,
        Self::MeanLogRank,
        Self::LogLrr,
        Self::MeanEntropy,
        Self::Curvature,
        Self::SurprisalStd,
        Self::SurprisalP10,
        Self::SurprisalP90,
        Self::Autocorrelation,
        Self::Top10,
        Self::Top100,
        Self::Rest,
        Self::LogLikelihoodRatio,
        Self::LogLikelihoodRatioStd,
    ];

    /// Whether these statistics have it: a model without branches has no ratio of theirs.
    pub fn is_known(self, s: &Statistics) -> bool {
        match self {
            Self::LogLikelihoodRatio => s.log_likelihood_ratio.is_some(),
            Self::LogLikelihoodRatioStd => s.log_likelihood_ratio_std.is_some(),
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
            Self::SurprisalStd => s.surprisal_std,
            Self::SurprisalP10 => s.surprisal_p10,
            Self::SurprisalP90 => s.surprisal_p90,
            Self::Autocorrelation => s.surprisal_autocorrelation.unwrap_or(0.),
            Self::Top10 => s.rank_fractions.top_10,
            Self::Top100 => s.rank_fractions.top_100,
            Self::Rest => s.rank_fractions.rest,
            Self::LogLikelihoodRatio => s.log_likelihood_ratio.unwrap_or(0.),
            Self::LogLikelihoodRatioStd => s.log_likelihood_ratio_std.unwrap_or(0.),
        }
    }
}
