//! A reading to an assessment: the evidence, the verdict, and when to say "cannot tell". No action is taken here.

use crate::{
    calibration::{Calibration, Reading},
    model::TokenScores,
    score::{Statistics, memorised},
    text::{Document, Normalization, StreamKey},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who wrote it, as far as the evidence goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Machine texts of the reference seldom score this low.
    Human,
    /// Human texts of the reference seldom score this high: `p_value` is at most the threshold.
    Machine,
    /// Cannot tell; the reason says why.
    Abstain,
}

/// Why no verdict is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbstainReason {
    /// No text, or nothing but white space.
    Empty,
    /// Fewer tokens than a verdict takes; the p-value is still given from 8 tokens on.
    TooShort,
    /// Not a language that the model was trained on.
    UnsupportedLanguage,
    /// Hardly a word, mostly something else than words (code, a table, numbers), or the same few words over and over.
    NotProse,
    /// The model knows most of it by heart.
    Memorised,
    /// The loaded model has no calibration: there is a score and no p-value.
    Uncalibrated,
    /// The model gave a number that is not finite.
    Unscorable,
    /// Scored, with a p-value, but both human and machine texts often score like this.
    Uncertain,
}

/// Everything that is said of one document (CONTRACT, "One assessment").
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// The sender's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The sender's stream keys: one as a string, several as a list, none left out.
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "one_or_many")]
    pub stream: Vec<StreamKey>,
    /// Human, machine, or cannot tell.
    pub verdict: Verdict,
    /// Set where the verdict is `abstain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstain_reason: Option<AbstainReason>,
    /// `p_value` is at most the threshold.
    pub flagged: bool,
    /// Raw score, larger = more machine-like; null where nothing was scored.
    pub score: Option<f64>,
    /// Conformal p-value under "human-written".
    pub p_value: Option<f64>,
    /// Conformal p-values by the score of each kind of machine text that the calibration knows: what streams look at as well. They judge no
    /// single text: the smallest of several is small more often than it says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kind_p_values: BTreeMap<String, f64>,
    /// Probability of machine text where both are equally many.
    pub machine_probability: Option<f64>,
    /// Tokens that the statistics are made of: all but repetitions, what is no word (links, names, markup), and the pieces of characters that
    /// the tokenizer splits.
    pub tokens: usize,
    /// Words of the original text.
    pub words: usize,
    /// The evidence; null where nothing was scored.
    pub statistics: Option<Statistics>,
    /// What normalisation changed.
    pub normalization: Normalization,
    /// Model name and hash.
    pub model: String,
    /// Calibration name.
    pub calibration: String,
    /// Per-token evidence, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_scores: Option<Vec<TokenScore>>,
    /// The model's mean hidden state, by which texts are compared with one another; empty where nothing was scored. Not part of answers.
    #[serde(skip)]
    pub embedding: Vec<f32>,
}

impl Assessment {
    /// As much of one as streams look at, for evidence without its text: an uncertain verdict, and all else empty.
    pub fn evidence(tokens: usize, p_value: Option<f64>, flagged: bool) -> Self {
        Self {
            id: None,
            stream: Vec::new(),
            verdict: Verdict::Abstain,
            abstain_reason: Some(AbstainReason::Uncertain),
            flagged,
            score: None,
            p_value,
            kind_p_values: BTreeMap::new(),
            machine_probability: None,
            tokens,
            words: 0,
            statistics: None,
            normalization: Normalization::default(),
            model: String::new(),
            calibration: String::new(),
            token_scores: None,
            embedding: Vec::new(),
        }
    }
}

/// One token's evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenScore {
    /// The token's stretch of the original text.
    pub text: String,
    /// First byte in the original text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Surprisal, nats.
    pub surprisal_nats: f32,
    /// Rank, 1-based.
    pub rank: u32,
    /// Entropy of the prediction, nats.
    pub entropy_nats: f32,
}

/// How verdicts are reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// False-positive rate: flagged when the p-value is at most this.
    pub fpr: f64,
    /// A text is called human where at most this share of machine reference texts scores as low; without a machine reference, where the
    /// p-value is above 0.5.
    pub miss_rate: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { fpr: 0.01, miss_rate: 0.1 }
    }
}

/// What the detector found out about one document before judging it.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The document.
    pub document: &'a Document,
    /// What normalisation changed.
    pub normalization: Normalization,
    /// Scores of the tokens that count.
    pub tokens: &'a TokenScores,
    /// Those of them that hold no line break.
    pub in_line: &'a TokenScores,
    /// Whether there is no text.
    pub empty: bool,
    /// Whether the text is in a language that the model does not know.
    pub unsupported_language: bool,
    /// Whether the text is no prose.
    pub not_prose: bool,
}

/// A higher p-value is called human where there is no machine reference.
const TYPICAL_HUMAN: f64 = 0.5;

impl Policy {
    /// Judges one document. The first reason to abstain wins: nothing scored, what the text is, no calibration,
    /// length, then the score itself.
    ///
    /// `Uncertain` keeps its p-value: at these two rates the conformal prediction set holds both labels. Where it holds neither, since the text scores
    /// higher than nearly all by people and lower than most by machines, the verdict is `Machine`.
    pub fn judge(&self, evidence: &Evidence<'_>, calibration: &Calibration, model: &str) -> Assessment {
        let statistics = Statistics::of(evidence.tokens, evidence.in_line);
        let tokens = evidence.tokens.len();
        let reading = statistics.as_ref().map(|s| calibration.read(s, tokens));
        let reason = match reading {
            None if evidence.empty => Some(AbstainReason::Empty),
            None if !evidence.tokens.is_empty() => Some(AbstainReason::Unscorable),
            _ if evidence.unsupported_language => Some(AbstainReason::UnsupportedLanguage),
            _ if evidence.not_prose => Some(AbstainReason::NotProse),
            _ if memorised(evidence.tokens) => Some(AbstainReason::Memorised),
            _ if !calibration.is_calibrated() => Some(AbstainReason::Uncalibrated),
            // also where no token counts
            _ if tokens < calibration.min_tokens().max(1) => Some(AbstainReason::TooShort),
            _ => None,
        };
        let score = reading.as_ref().map(|r| r.score);
        let believed = reading.filter(|_| matches!(reason, None | Some(AbstainReason::TooShort)));
        let p_value = believed.as_ref().and_then(|r| r.p_value);
        let flagged = p_value.is_some_and(|p| p <= self.fpr);
        let (verdict, abstain_reason) = match (reason, &believed) {
            (None, Some(reading)) => self.decide(reading),
            (reason, _) => (Verdict::Abstain, reason.or(Some(AbstainReason::Unscorable))),
        };
        Assessment {
            id: evidence.document.id.clone(),
            stream: evidence.document.streams.clone(),
            verdict,
            abstain_reason,
            flagged,
            score,
            p_value,
            machine_probability: believed.as_ref().and_then(|r| r.machine_probability),
            kind_p_values: believed.map(|r| r.kinds).unwrap_or_default(),
            tokens,
            words: crate::text::words(&evidence.document.text),
            statistics,
            normalization: evidence.normalization,
            model: model.to_owned(),
            calibration: calibration.name.clone(),
            token_scores: None,
            embedding: Vec::new(),
        }
    }

    fn decide(&self, reading: &Reading) -> (Verdict, Option<AbstainReason>) {
        let human = match reading.machine_tail {
            Some(tail) => tail <= self.miss_rate,
            None => reading.p_value.is_some_and(|p| p > TYPICAL_HUMAN),
        };
        if reading.p_value.is_some_and(|p| p <= self.fpr) {
            (Verdict::Machine, None)
        } else if human {
            (Verdict::Human, None)
        } else {
            (Verdict::Abstain, Some(AbstainReason::Uncertain))
        }
    }
}

fn one_or_many<S: serde::Serializer>(keys: &[StreamKey], out: S) -> Result<S::Ok, S::Error> {
    match keys {
        [one] => one.serialize(out),
        many => many.serialize(out),
    }
}

#[cfg(test)]
mod tests;
