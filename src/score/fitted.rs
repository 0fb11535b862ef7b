//! The fitted score: ridge logistic regression over statistics that are standardised against human texts of the same length.
//!
//! score = intercept + sum over features of `weight` z + `tail_weight` z²/(z² + 3) + `length_weight` z v, the raw log odds, with
//! z = (x - m(T)) / sd(T), m and ln sd each linear in (1, u, u²), u = 1/sqrt(T), and v = ln(T/128); T tokens, held within the shortest text of the
//! fit, 8 or more, and 2048.

use super::{Feature, Statistics};
use crate::stats::{Rows, least_squares, logistic, short};
use serde::{Deserialize, Serialize};

/// Lengths outside these are standardised like these: nothing was fitted there.
const LENGTHS: (usize, usize) = (8, 2048);
/// A feature that hardly varies among human texts may not turn rounding into evidence.
const SMALLEST_SD: f64 = 1e-3;
/// Largest coefficient of ln sd along length.
const LARGEST_LOG_SD: f64 = 1e4;
/// -E ln |x| of a standard normal x: (ln 2 + Euler's constant) / 2.
const MEAN_LOG_NORMAL: f64 = 0.635_181_422_730_739;
/// z² at which a tail counts half.
const TAIL: f64 = 3.;
const SCORING_STEPS: usize = 12;
/// A feature is fitted where at least this share of the texts has it: a few odd ones would cost the fit its strongest.
const NEARLY_ALL: f64 = 0.999;
/// Only so that texts of one single length can be fitted.
const LENGTH_RIDGE: f64 = 1e-9;

/// A fitted score as plain numbers; larger = more machine-like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedScore {
    /// Log odds where every term is 0.
    pub intercept: f64,
    /// Tokens of the shortest text that it was fitted on: shorter ones are standardised like it.
    #[serde(default = "least", skip_serializing_if = "is_least")]
    pub shortest: usize,
    /// One entry per feature.
    pub terms: Vec<Term>,
}

fn least() -> usize {
    LENGTHS.0
}

fn is_least(tokens: &usize) -> bool {
    *tokens == LENGTHS.0
}

/// What one feature adds to the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Which statistic.
    pub feature: Feature,
    /// Mean among human texts: coefficients of 1, u, u².
    pub mean: [f64; 3],
    /// ln of the standard deviation among human texts: coefficients of 1, u, u².
    pub log_sd: [f64; 3],
    /// Weight of z: which side is machine-like.
    pub weight: f64,
    /// Weight of z²/(z² + 3): what both tails have in common. It never exceeds 1: people of a kind that the fit has not seen can lie further
    /// out than any text of its own, and what is merely unlike must not grow into evidence of a machine.
    pub tail_weight: f64,
    /// Weight of z v: how the side changes with length.
    pub length_weight: f64,
}

/// One text of the fit.
#[derive(Debug, Clone, Copy)]
pub struct TrainingRow<'a> {
    /// Its statistics.
    pub statistics: &'a Statistics,
    /// Its tokens.
    pub tokens: usize,
    /// Whether a machine wrote it.
    pub machine: bool,
    /// How much it counts, at least 0.
    pub weight: f64,
}

/// Why a score could not be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreFitError {
    /// A class has no weight.
    #[error(
        "the fit takes human and machine texts that share lengths, expected some of both, found {human} human and {machine} machine; give texts of both that are about as long"
    )]
    OneClass {
        /// Human rows of positive weight.
        human: usize,
        /// Machine rows of positive weight.
        machine: usize,
    },
    /// The equations have no finite solution.
    #[error("the score's equations have no finite solution; look for texts with the same statistics or give more texts")]
    Singular,
}

impl FittedScore {
    /// The raw log odds of a document of `tokens` tokens.
    pub fn score(&self, statistics: &Statistics, tokens: usize) -> f64 {
        let length = tokens.max(self.shortest);
        let v = log_length(length);
        let term = |t: &Term| {
            let z = t.z(statistics, tokens, length);
            t.weight * z + t.tail_weight * tail(z) + t.length_weight * z * v
        };
        self.intercept + self.terms.iter().map(term).sum::<f64>()
    }

    /// Fits the score over the features that all rows have or nearly all, on the rows that have them; `ridge` is the penalty on squared weights
    /// relative to the mean log loss. Deterministic.
    pub fn fit(rows: &[TrainingRow<'_>], ridge: f64) -> Result<Self, ScoreFitError> {
        let (known, rows) = known(rows);
        let count = |machine| rows.iter().filter(|r| r.machine == machine && r.weight > 0.).count();
        let (human, machine) = (count(false), count(true));
        if human == 0 || machine == 0 {
            return Err(ScoreFitError::OneClass { human, machine });
        }
        let humans: Vec<_> = rows.iter().filter(|r| !r.machine).copied().collect();
        let mut terms = known.into_iter().map(|f| standardise(f, &humans)).collect::<Option<Vec<_>>>().ok_or(ScoreFitError::Singular)?;
        let values: Vec<f64> = rows.iter().flat_map(|r| design(&terms, r)).collect();
        let weights: Vec<f64> = rows.iter().map(|r| r.weight).collect();
        let labels: Vec<bool> = rows.iter().map(|r| r.machine).collect();
        let design = Rows { values: &values, width: 1 + 3 * terms.len(), weights: &weights };
        let found = logistic(design, &labels, ridge).ok_or(ScoreFitError::Singular)?;
        for (term, b) in terms.iter_mut().zip(found[1..].chunks_exact(3)) {
            (term.weight, term.tail_weight, term.length_weight) = (short(b[0]), short(b[1]), short(b[2]));
        }
        let shortest = rows.iter().filter(|r| r.weight > 0.).map(|r| r.tokens).min().unwrap_or_default().clamp(LENGTHS.0, LENGTHS.1);
        let fitted = Self { intercept: short(found[0]), shortest, terms };
        if fitted.is_sound() { Ok(fitted) } else { Err(ScoreFitError::Singular) }
    }

    /// Whether every number is finite and small enough that the score of any statistics is finite.
    pub fn is_sound(&self) -> bool {
        let numbers = |t: &Term| t.mean.into_iter().chain([t.weight, t.tail_weight, t.length_weight]).all(|x| x.abs() < 1e9);
        let lengths = LENGTHS.0..=LENGTHS.1;
        lengths.contains(&self.shortest)
            && self.intercept.abs() < 1e9
            && self.terms.iter().all(|t| numbers(t) && t.log_sd.iter().all(|x| x.abs() < LARGEST_LOG_SD))
    }
}

impl Term {
    /// How many human standard deviations the feature lies above the human mean of a length, which is the text's own or nearly so. 0 for a text
    /// that does not have it: what is not known is no evidence.
    fn z(&self, statistics: &Statistics, tokens: usize, length: usize) -> f64 {
        if !self.feature.is_known(statistics) {
            return 0.;
        }
        let basis = length_basis(length);
        let along = |c: &[f64; 3]| c.iter().zip(basis).map(|(c, b)| c * b).sum::<f64>();
        (self.feature.of(statistics, tokens) - along(&self.mean)) / along(&self.log_sd).clamp(-50., 50.).exp().max(SMALLEST_SD)
    }
}

/// The features that nearly all rows have, and the rows that have all of these.
fn known<'a>(rows: &[TrainingRow<'a>]) -> (Vec<Feature>, Vec<TrainingRow<'a>>) {
    let share = |f: &Feature| rows.iter().filter(|r| f.is_known(r.statistics)).count() as f64 / rows.len() as f64;
    let features: Vec<Feature> = Feature::ALL.into_iter().filter(|f| share(f) >= NEARLY_ALL).collect();
    let whole = rows.iter().filter(|r| features.iter().all(|f| f.is_known(r.statistics)));
    let whole = whole.copied().collect();
    (features, whole)
}

/// The human mean and standard deviation of a feature along length: least squares of the value, then the normal likelihood of the
/// residuals with ln sd linear in the basis, by Fisher scoring from a regression of ln |residual| (Harvey 1976, "Estimating regression
/// models with multiplicative heteroscedasticity"). Squared residuals are cut at 9, so that one odd text does not set the scale.
fn standardise(feature: Feature, humans: &[TrainingRow<'_>]) -> Option<Term> {
    let values: Vec<f64> = humans.iter().flat_map(|r| length_basis(r.tokens)).collect();
    let weights: Vec<f64> = humans.iter().map(|r| r.weight).collect();
    let rows = Rows { values: &values, width: 3, weights: &weights };
    let ridge = LENGTH_RIDGE * weights.iter().sum::<f64>();
    let found: Vec<f64> = humans.iter().map(|r| feature.of(r.statistics, r.tokens)).collect();
    let mean = three(&least_squares(rows, &found, ridge)?);
    let mut term = Term { feature, mean, log_sd: [0.; 3], weight: 0., tail_weight: 0., length_weight: 0. };
    let logs: Vec<f64> =
        humans.iter().map(|r| term.z(r.statistics, r.tokens, r.tokens).abs().max(SMALLEST_SD).ln() + MEAN_LOG_NORMAL).collect();
    let mut log_sd = least_squares(rows, &logs, ridge)?;
    for _ in 0..SCORING_STEPS {
        term.log_sd = three(&log_sd);
        let off: Vec<f64> = humans.iter().map(|r| (term.z(r.statistics, r.tokens, r.tokens).powi(2).min(9.) - 1.) / 2.).collect();
        log_sd.iter_mut().zip(least_squares(rows, &off, ridge)?).for_each(|(c, step)| *c += step);
    }
    term.log_sd = three(&log_sd);
    if !term.log_sd.iter().all(|x| x.abs() < LARGEST_LOG_SD) {
        // lengths so much alike do not tell how the spread goes along with them
        let total: f64 = weights.iter().sum();
        term.log_sd = [short(logs.iter().zip(&weights).map(|(log, weight)| log * weight).sum::<f64>() / total), 0., 0.];
    }
    Some(term)
}

fn design(terms: &[Term], row: &TrainingRow<'_>) -> Vec<f64> {
    let v = log_length(row.tokens);
    let three = |t: &Term| {
        let z = t.z(row.statistics, row.tokens, row.tokens);
        [z, tail(z), z * v]
    };
    std::iter::once(1.).chain(terms.iter().flat_map(three)).collect()
}

fn tail(z: f64) -> f64 {
    z * z / (z * z + TAIL)
}

fn length_basis(tokens: usize) -> [f64; 3] {
    let length = tokens.clamp(LENGTHS.0, LENGTHS.1) as f64;
    [1., 1. / length.sqrt(), 1. / length]
}

fn log_length(tokens: usize) -> f64 {
    (tokens.clamp(LENGTHS.0, LENGTHS.1) as f64 / 128.).ln()
}

fn three(coefficients: &[f64]) -> [f64; 3] {
    std::array::from_fn(|i| coefficients.get(i).map_or(0., |&c| short(c)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::TokenScores, stats::random::Random};

    /// Texts that differ in nothing but the branches' ratio; every `odd`-th has none.
    fn by_ratio(odd: usize) -> Vec<(Statistics, bool)> {
        let mut random = Random(6);
        let one = |i: usize| {
            let machine = i % 2 == 1;
            let surprisal: Vec<f32> = (0..40).map(|_| (3. + 1.5 * random.normal()).abs() as f32).collect();
            let rank = surprisal.iter().map(|s| 1 + s.exp() as u32).collect();
            let tokens = TokenScores { rank, entropy: vec![2.5; 40], variance: vec![4.; 40], surprisal, ..TokenScores::default() };
            let ratio = (i % odd != odd - 1).then(|| if machine { 0.3 } else { -0.3 } + 0.2 * random.normal());
            let plain = Statistics::of(&tokens, &tokens).unwrap();
            (Statistics { log_likelihood_ratio_excess: ratio, ..plain }, machine)
        };
        (0..3000).map(one).collect()
    }

    fn fit(texts: &[(Statistics, bool)]) -> FittedScore {
        let rows = texts.iter().map(|(statistics, machine)| TrainingRow { statistics, tokens: 40, machine: *machine, weight: 1. });
        FittedScore::fit(&rows.collect::<Vec<_>>(), 1e-3).unwrap()
    }

    #[test]
    fn a_few_odd_texts_do_not_cost_the_fit_a_feature_and_get_no_evidence_from_it() {
        let (few, more) = (by_ratio(1500), by_ratio(500));
        let score = fit(&few);
        assert_eq!(score.terms.len(), Feature::ALL.len());
        let whole: Vec<_> = few.iter().filter(|(s, _)| s.log_likelihood_ratio_excess.is_some()).copied().collect();
        assert_eq!((few.len() - whole.len(), &score), (2, &fit(&whole)), "fitted on the others");
        let terms = score.terms.iter().filter(|t| t.feature != Feature::LogLikelihoodRatioExcess).cloned().collect();
        let without = FittedScore { terms, ..score.clone() };
        let odd = &few[1499].0;
        assert_eq!(score.score(odd, 40), without.score(odd, 40));
        assert_eq!(fit(&more).terms.len(), Feature::ALL.len() - 1, "six of 3000 are more than a few");
    }
}
