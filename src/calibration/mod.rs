//! Human and machine reference scores: from a score to a p-value and a probability; load, save, fit.
//!
//! Knows no text and no model: it takes statistics. A calibration belongs to one model, named by its hash.

use crate::{
    score::{Feature, FittedScore, ScoreModel, ScoreName, Statistics, Term},
    stats,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod bins;
mod file;
mod fit;
mod kinds;
mod profile;
mod report;
mod weights;
pub use bins::{Bin, Logistic, RateBound};
pub use file::CalibrationError;
pub use fit::{FitError, FitOptions, Sample};
pub use kinds::{Kind, KindOf};
pub use profile::SUFFICIENT;
pub use report::{BinQuality, FamilyQuality, FitReport, LeftOut, Quality};

#[cfg(test)]
mod tests;

/// Version of the file format.
pub const SCHEMA: u32 = 3;
/// Texts with fewer tokens get no p-value: there is nothing to tell them apart by.
pub const SHORTEST: usize = 8;
/// [`Calibration::min_tokens`] of a calibration that judges no text: more than any has.
pub const NO_VERDICTS: usize = u32::MAX as usize;
/// Confidence of every printed bound of a false-positive rate, over the reference sets.
pub const CONFIDENCE: f64 = 0.95;

/// Reference scores of human (and machine) texts by length, the score that they were made with, and where both came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    schema: u32,
    /// Its name in answers.
    pub name: String,
    /// Name of the model that it was made with.
    pub model_name: String,
    model_hash: String,
    /// Whether the texts were normalised before scoring; a detector must do the same.
    pub normalize: bool,
    /// When it was made.
    pub created: Timestamp,
    /// What it was made from.
    pub sources: Vec<Source>,
    min_tokens: usize,
    score: ScoreModel,
    bins: Vec<Bin>,
    /// By name, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<Kind>,
}

/// One data set that a calibration was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The data set's name.
    pub name: String,
    /// Different human documents.
    pub human: usize,
    /// Machine texts.
    pub machine: usize,
    /// Generators of the machine texts, sorted.
    pub generators: Vec<String>,
    /// Domains of all texts, sorted.
    pub domains: Vec<String>,
    /// Whether only kinds' scores were fitted on its machine texts, and not the score for verdicts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
}

/// What a calibration says of one document's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The raw score, larger = more machine-like.
    pub score: f64,
    /// Conformal p-value under "written by a human, exchangeable with the reference"; `None` below the smallest calibrated length.
    pub p_value: Option<f64>,
    /// The p-value by the score of each kind of which the reference has texts of this length, by the kind's name.
    pub kinds: BTreeMap<String, f64>,
    /// Conformal share of machine reference texts of this length that score as low or lower; `None` without a machine reference.
    pub machine_tail: Option<f64>,
    /// Probability of machine text where human and machine texts are equally many; `None` without a machine reference.
    pub machine_probability: Option<f64>,
}

impl Calibration {
    /// For a model that nobody has calibrated: the score is the plain discrepancy, there is no p-value and no verdict.
    pub fn none(model_hash: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA,
            name: "none".into(),
            model_name: String::new(),
            model_hash: model_hash.into(),
            normalize: true,
            created: Timestamp::UNIX_EPOCH,
            sources: Vec::new(),
            min_tokens: SHORTEST,
            score: ScoreModel::Plain(ScoreName::Discrepancy),
            bins: Vec::new(),
            kinds: Vec::new(),
        }
    }

    /// For tests with [`crate::model::Fake`]: score = 3 - mean surprisal, human scores around -1, machine scores around 1, one bin from 8
    /// tokens on, verdicts from 30, and a kind `fake` with the same score.
    pub fn for_fake() -> Self {
        // 999 quantiles of the logistic distribution around `middle`.
        let around = |middle: f64| (1..1000).map(|i| (middle + 0.5 * (f64::from(i) / f64::from(1000 - i)).ln()) as f32).collect();
        let term =
            Term { feature: Feature::MeanSurprisal, mean: [3., 0., 0.], log_sd: [0.; 3], weight: -1., tail_weight: 0., length_weight: 0. };
        let score = ScoreModel::Fitted(FittedScore { intercept: 0., shortest: SHORTEST, terms: vec![term] });
        let bins = vec![Bin::new(SHORTEST, around(-1.), around(1.), Some(Logistic { intercept: 0., slope: 2. }))];
        let kind = Kind { name: "fake".into(), families: Vec::new(), in_profiles_only: false, score: score.clone(), bins: bins.clone() };
        Self {
            name: "fake".into(),
            model_name: "fake".into(),
            min_tokens: 30,
            score,
            bins,
            kinds: vec![kind],
            ..Self::none("0000000000000000")
        }
    }

    /// Hash of the model that it was made with.
    pub fn model_hash(&self) -> &str {
        &self.model_hash
    }

    /// Texts with fewer tokens get no verdict of their own; [`NO_VERDICTS`] where none gets one.
    pub fn min_tokens(&self) -> usize {
        self.min_tokens
    }

    /// The same for people: `None` where no text gets a verdict.
    pub fn verdicts_from(&self) -> Option<usize> {
        Some(self.min_tokens).filter(|least| *least < NO_VERDICTS)
    }

    /// Whether there is any reference: without one every document is an abstention.
    pub fn is_calibrated(&self) -> bool {
        !self.bins.is_empty()
    }

    /// The score that the reference was made with.
    pub fn score_model(&self) -> &ScoreModel {
        &self.score
    }

    /// The length bins, shortest first.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// Kinds of machine text with a score of their own, by name.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Those that texts are read by.
    pub fn kinds_read(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().filter(|kind| !kind.in_profiles_only)
    }

    /// The bin of a document of `tokens` tokens; `None` below the smallest calibrated length.
    pub fn bin(&self, tokens: usize) -> Option<&Bin> {
        self.place(tokens).map(|i| &self.bins[i])
    }

    fn place(&self, tokens: usize) -> Option<usize> {
        self.bins.partition_point(|b| b.from_tokens <= tokens).checked_sub(1)
    }

    /// Upper bound, right with 95% confidence over the reference sets, of the true rate of {p <= `level`} among human texts of `tokens`
    /// tokens: the q+ of STATISTICS 3. In a few-shot profile it comes from the community's few texts alone and pays for their small number:
    /// it holds over the community's own mix of lengths, whatever its scores look like. `None` below the smallest calibrated length.
    pub fn rate_upper_bound(&self, tokens: usize, level: f64) -> Option<f64> {
        self.bin(tokens).map(|b| b.rate_upper_bound(level))
    }

    /// What each bin's reference says of p-values at these ascending levels, as plain counts: what streams bet with.
    pub fn bin_rates(&self, levels: &[f64]) -> Vec<stats::BinRates> {
        let kinds = |i: usize| self.kinds_read().map(|kind| (kind.name.clone(), kind.bins[i].detected(levels))).collect();
        let rates = |(i, bin): (usize, &Bin)| stats::BinRates {
            from_tokens: bin.from_tokens,
            human: bin.documents(),
            few_shot: bin.is_few_shot(),
            machine: bin.detected(levels),
            kinds: kinds(i),
        };
        self.bins.iter().enumerate().map(rates).collect()
    }

    /// Reads one document's statistics.
    pub fn read(&self, statistics: &Statistics, tokens: usize) -> Reading {
        let score = self.score.score(statistics, tokens);
        let place = self.place(tokens);
        let bin = place.map(|i| &self.bins[i]);
        let known = |i: usize| self.kinds_read().filter(move |k| !k.bins[i].machine().is_empty());
        let kind = |i: usize, kind: &Kind| (kind.name.clone(), kind.bins[i].p_value(kind.score.score(statistics, tokens)));
        Reading {
            score,
            p_value: bin.map(|b| b.p_value(score)),
            kinds: place.map(|i| known(i).map(|k| kind(i, k)).collect()).unwrap_or_default(),
            machine_tail: bin.and_then(|b| b.machine_tail(score)),
            machine_probability: bin.and_then(|b| b.machine_probability(score)),
        }
    }
}
