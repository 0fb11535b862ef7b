//! The document statistics: plain numbers of one text, each by its standard name. Sums are in f64; no number is ever NaN or infinite.

use crate::{
    model::TokenScores,
    stats::{autocorrelation, mean, quantile, standard_deviation},
};
use serde::{Deserialize, Serialize};

/// Statistics of one document with at least one token (STATISTICS 2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean surprisal, nats per token.
    pub mean_surprisal_nats: f64,
    /// exp(mean surprisal), at most the largest f64.
    pub perplexity: f64,
    /// Mean ln rank.
    pub mean_log_rank: f64,
    /// Sum of surprisal over sum of ln rank (DetectLLM's log-likelihood log-rank ratio); null where every rank is 1.
    pub lrr: Option<f64>,
    /// Mean entropy of the model's prediction, nats.
    pub mean_entropy_nats: f64,
    /// Fast-DetectGPT's analytic curvature, the model sampling and scoring; null where the variance is 0.
    pub discrepancy: Option<f64>,
    /// Standard deviation of surprisal over the text's tokens, nats.
    pub surprisal_std: f64,
    /// 10th percentile of surprisal, nats.
    pub surprisal_p10: f64,
    /// 90th percentile of surprisal, nats.
    pub surprisal_p90: f64,
    /// Correlation of each token's surprisal with the next one's; null where all are equal or there is but one.
    pub surprisal_autocorrelation: Option<f64>,
    /// Mean surprisal under the model's human branch less that under its machine branch, nats per token, over the tokens that hold no line
    /// break; null where there are no branches.
    pub log_likelihood_ratio: Option<f64>,
    /// Standard deviation of that difference over the same tokens, nats.
    pub log_likelihood_ratio_std: Option<f64>,
    /// Mean of that difference less what the model itself expects of it before it sees the token, over the same tokens, nats.
    pub log_likelihood_ratio_excess: Option<f64>,
    /// Mean absolute difference of neighbouring tokens' surprisal, over the tokens that hold no line break, nats; null where there is but one.
    pub surprisal_step: Option<f64>,
    /// Mean of what surprisal lies above its expectation by more than two of its standard deviations, as the model predicts both, over the
    /// tokens that hold no line break, nats.
    pub surprisal_excess: f64,
    /// Share of the tokens that hold no line break at which the entropy of the prediction is above 5 nats: the model has hardly an idea of them.
    pub high_entropy_fraction: f64,
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
    /// Statistics of a text's tokens and of those that hold no line break, which may be the same; `None` where there are none of either, or
    /// where a number is not finite (a model that overflowed): a guess put in its place would pass as evidence.
    pub fn of(tokens: &TokenScores, in_line: &TokenScores) -> Option<Self> {
        let surprisal = wide(&tokens.surprisal)?;
        let entropy = wide(&tokens.entropy)?;
        let variance: f64 = wide(&tokens.variance)?.iter().sum();
        let mean_surprisal_nats = mean(&surprisal)?;
        let log_ranks: f64 = tokens.rank.iter().map(|&r| f64::from(r.max(1)).ln()).sum();
        let sum: f64 = surprisal.iter().sum();
        let ratios = ratios(in_line)?;
        let mut sorted = surprisal.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Self {
            mean_surprisal_nats,
            perplexity: mean_surprisal_nats.exp().min(f64::MAX),
            mean_log_rank: log_ranks / surprisal.len() as f64,
            lrr: (log_ranks > 0.).then(|| sum / log_ranks),
            mean_entropy_nats: mean(&entropy)?,
            discrepancy: (variance > 0.).then(|| (entropy.iter().sum::<f64>() - sum) / variance.sqrt()),
            surprisal_std: standard_deviation(&surprisal)?,
            surprisal_p10: quantile(&sorted, 0.1)?,
            surprisal_p90: quantile(&sorted, 0.9)?,
            surprisal_autocorrelation: autocorrelation(&surprisal),
            log_likelihood_ratio: mean(&ratios),
            log_likelihood_ratio_std: standard_deviation(&ratios),
            log_likelihood_ratio_excess: mean(&wide(&in_line.ratio_excess)?),
            surprisal_step: mean(&steps(&wide(&in_line.surprisal)?)),
            surprisal_excess: mean(&excesses(in_line)?)?,
            high_entropy_fraction: mean(&high(&in_line.entropy))?,
            rank_fractions: RankFractions::of(&tokens.rank)?,
        })
    }
}

impl RankFractions {
    fn of(ranks: &[u32]) -> Option<Self> {
        let n = ranks.len() as f64;
        let up_to = |limit: u32| ranks.iter().filter(|&&r| r <= limit).count();
        let (ten, hundred, thousand) = (up_to(10), up_to(100), up_to(1000));
        let share = |count: usize| count as f64 / n;
        (!ranks.is_empty()).then(|| Self {
            top_10: share(ten),
            top_100: share(hundred - ten),
            top_1000: share(thousand - hundred),
            rest: share(ranks.len() - thousand),
        })
    }
}

/// An entropy above this is high, nats.
const HIGH_ENTROPY: f32 = 5.;

/// 1 where an entropy is high, else 0.
fn high(entropy: &[f32]) -> Vec<f64> {
    entropy.iter().map(|&h| f64::from(u8::from(h > HIGH_ENTROPY))).collect()
}

/// How far each number is from the next one.
fn steps(values: &[f64]) -> Vec<f64> {
    values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect()
}

/// What each token's surprisal has above the prediction's entropy and two standard deviations, 0 where it is below; `None` where a number is
/// not finite.
fn excesses(tokens: &TokenScores) -> Option<Vec<f64>> {
    let (surprisal, entropy, variance) = (wide(&tokens.surprisal)?, wide(&tokens.entropy)?, wide(&tokens.variance)?);
    let above = |((s, h), v): ((f64, f64), f64)| (s - h - 2. * v.max(0.).sqrt()).max(0.);
    Some(surprisal.into_iter().zip(entropy).zip(variance).map(above).collect())
}

/// Surprisal under the human branch less that under the machine branch, token by token; nothing where there are no branches, `None` where
/// a number is not finite.
fn ratios(tokens: &TokenScores) -> Option<Vec<f64>> {
    let (human, machine) = (wide(&tokens.human_surprisal)?, wide(&tokens.machine_surprisal)?);
    Some(human.iter().zip(machine).map(|(human, machine)| human - machine).collect())
}

/// The same numbers in f64; `None` where one is not finite.
fn wide(values: &[f32]) -> Option<Vec<f64>> {
    values.iter().map(|&v| v.is_finite().then_some(f64::from(v))).collect()
}
