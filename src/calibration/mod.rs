//! Human and machine reference scores: from a score to a p-value and a probability.

use crate::score::Statistics;

/// Reference scores of human (and machine) texts by length, the fitted score, and where both came from.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    /// Its name in answers.
    pub name: String,
}

/// What a calibration says of one document's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The raw score, larger = more machine-like.
    pub score: f64,
    /// Conformal p-value under "written by a human, exchangeable with the reference"; `None` below the smallest calibrated length.
    pub p_value: Option<f64>,
    /// Share of machine reference texts of this length that score as low or lower; `None` without a machine reference.
    pub machine_tail: Option<f64>,
    /// Probability of machine text where human and machine texts are equally many; `None` without a machine reference.
    pub machine_probability: Option<f64>,
}

impl Calibration {
    /// For tests with [`crate::model::Fake`]: score = 3 - mean surprisal, human scores around -2, machine scores around 2.
    pub fn for_fake() -> Self {
        Self { name: "fake".into() }
    }

    /// Reads one from a file.
    pub fn load(path: &std::path::Path) -> Result<Self, std::io::Error> {
        std::fs::read(path).map(|_| Self::for_fake())
    }

    /// The embedded model's own.
    pub fn embedded() -> Result<Self, std::io::Error> {
        Ok(Self::for_fake())
    }

    /// None: every document abstains.
    pub fn none(_model_hash: &str) -> Self {
        Self::default()
    }

    /// Hash of the model that it was made with.
    pub fn model_hash(&self) -> &str {
        "0000000000000000"
    }

    /// Texts with fewer tokens get no verdict of their own.
    pub fn min_tokens(&self) -> usize {
        30
    }

    /// Reads one document's statistics.
    pub fn read(&self, statistics: &Statistics, tokens: usize) -> Reading {
        let score = 3. - statistics.mean_surprisal_nats;
        let p = 1. / (1. + (2. * score + 2.).exp());
        Reading {
            score,
            p_value: (tokens >= 8).then_some(p.max(1. / 1001.)),
            machine_tail: Some(1. - p),
            machine_probability: Some(1. - p),
        }
    }
}
