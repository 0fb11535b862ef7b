//! The one-statistic scores of the literature, by name, each turned so that larger = more machine-like.

use super::Statistics;
use serde::{Deserialize, Serialize};

/// A plain score: one statistic with its usual direction.
///
/// The direction holds for text decoded below temperature 1 or by top-k or top-p. Text sampled at temperature 1 from a base model, or with
/// a repetition penalty, turns most of them round; the fitted score is there for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreName {
    /// -(mean surprisal), nats per token.
    Likelihood,
    /// -(mean ln rank).
    LogRank,
    /// LRR, log-likelihood log-rank ratio (Su et al. 2023, DetectLLM).
    Lrr,
    /// -(mean entropy), nats. DetectGPT's baseline of this name has the opposite sign, which loses on chat models.
    Entropy,
    /// Share of tokens of rank 1 to 10 (Gehrmann et al. 2019, GLTR).
    Top10,
    /// Analytic conditional probability curvature (Bao et al. 2024, Fast-DetectGPT).
    Discrepancy,
    /// -(standard deviation of surprisal), nats: "burstiness" turned round.
    Evenness,
    /// Mean surprisal under the model's human branch less that under its machine branch, nats; only of a model with branches.
    LogLikelihoodRatio,
    /// That difference less what the model expects of it, nats; only of a model with branches.
    LogLikelihoodRatioExcess,
}

impl ScoreName {
    /// Every plain score.
    pub const ALL: [Self; 9] = [
        Self::Likelihood,
        Self::LogRank,
        Self::Lrr,
        Self::Entropy,
        Self::Top10,
        Self::Discrepancy,
        Self::Evenness,
        Self::LogLikelihoodRatio,
        Self::LogLikelihoodRatioExcess,
    ];

    /// The score of these statistics; `None` where the statistic is undefined for them.
    pub fn of(self, s: &Statistics) -> Option<f64> {
        match self {
            Self::Likelihood => Some(-s.mean_surprisal_nats),
            Self::LogRank => Some(-s.mean_log_rank),
            Self::Lrr => s.lrr,
            Self::Entropy => Some(-s.mean_entropy_nats),
            Self::Top10 => Some(s.rank_fractions.top_10),
            Self::Discrepancy => s.discrepancy,
            Self::Evenness => Some(-s.surprisal_std),
            Self::LogLikelihoodRatio => s.log_likelihood_ratio,
            Self::LogLikelihoodRatioExcess => s.log_likelihood_ratio_excess,
        }
    }
}
