//! Per-token scores to document statistics, and those to one number, larger = more machine-like.
//!
//! The score is raw: never clamped or rounded, which would put some false-positive rates out of reach.

use serde::{Deserialize, Serialize};

mod feature;
mod fitted;
mod memorised;
mod plain;
mod repeats;
mod statistics;
pub use feature::Feature;
pub use fitted::{FittedScore, ScoreFitError, Term, TrainingRow};
pub use memorised::memorised;
pub use plain::ScoreName;
pub use repeats::repeated;
pub use statistics::{RankFractions, Statistics};

#[cfg(test)]
mod tests;

/// How a document's statistics become its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreModel {
    /// One statistic, without any fit.
    Plain(ScoreName),
    /// A fitted combination of statistics that knows the length.
    Fitted(FittedScore),
}

impl ScoreModel {
    /// The score of a document of `tokens` tokens; larger = more machine-like. 0, "no evidence", where a plain statistic is undefined.
    pub fn score(&self, statistics: &Statistics, tokens: usize) -> f64 {
        match self {
            Self::Plain(name) => name.of(statistics).unwrap_or(0.),
            Self::Fitted(fitted) => fitted.score(statistics, tokens),
        }
    }
}
