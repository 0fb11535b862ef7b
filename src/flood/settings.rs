//! How the monitor works: thresholds, limits, windows; each is checked before it is used.

use crate::text::StreamKey;

/// How a [`super::Monitor`] works.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Average run length: while no more than the base share is machine text, a stream has on average at least this many documents with a
    /// p-value between two alarms. At least 2; 10,000 by default.
    pub arl: f64,
    /// Share of machine text that is tolerated, in 0..0.9; 0 by default.
    pub base_share: f64,
    /// A flood is over when its share is seen to be below this, above `base_share` and below 1; `base_share` + 0.25 by default.
    pub clear_share: Option<f64>,
    /// Average number of documents after which a flood of at least `clear_share` is wrongly cleared; at least 2, 1,000 by default.
    pub clear_arl: f64,
    /// Error of share intervals and of the false-discovery rate, above 0 and below 1; 0.05 by default.
    pub alpha: f64,
    /// Confidence over the reference sets with which the promises hold (STATISTICS 3), from 0.5 and below 1; 0.95 by default.
    pub confidence: f64,
    /// Most keys kept, at least 16; 1,000,000 by default. Beyond them the least informative key is forgotten.
    pub max_keys: usize,
    /// Most keys that are looked at closely at once: sketches and hidden states of their documents; 1,024 by default.
    pub max_watched: usize,
    /// Pairs (key, document id) that are remembered, so that a repeated document counts once; 0 counts every document. 1,000,000 by
    /// default.
    pub dedup_window: usize,
    /// Streams that the operator vouches for: any departure of theirs from uniform p-values is a mismatch of the calibration.
    pub trusted: Vec<StreamKey>,
    /// Whether changes are noted for [`super::Monitor::drain_changes`]; whoever sets it drains them after each batch. Off by default.
    pub track_changes: bool,
    /// Whether documents arrive as they are posted, so that one without a time of its own is counted at its arrival; on by default. Where
    /// they are read from a file its time is not known, and it says nothing of rates.
    pub live: bool,
    /// Secret that spreads keys and ids in tables, so that no sender can make them collide. A restored monitor keeps the saved one.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            arl: 10_000.,
            base_share: 0.,
            clear_share: None,
            clear_arl: 1_000.,
            alpha: 0.05,
            confidence: 0.95,
            max_keys: 1_000_000,
            max_watched: 1_024,
            dedup_window: 1_000_000,
            trusted: Vec::new(),
            track_changes: false,
            live: true,
            seed: 0,
        }
    }
}

/// A setting that cannot be meant.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the flood setting {name} is {found}, expected {expected}")]
pub struct SettingsError {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub found: f64,
    /// What it may be.
    pub expected: &'static str,
}

impl Settings {
    /// The share below which a flood is over.
    pub(super) fn clear_at(&self) -> f64 {
        self.clear_share.unwrap_or((self.base_share + 0.25).min(0.95))
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let clear = self.clear_at();
        let checks = [
            ("arl", self.arl, self.arl >= 2. && self.arl <= 1e15, "2 to 1e15 documents"),
            ("base_share", self.base_share, self.base_share >= 0. && self.base_share < 0.9, "a share from 0, below 0.9"),
            ("clear_share", clear, clear > self.base_share && clear < 1., "a share above base_share and below 1"),
            ("clear_arl", self.clear_arl, self.clear_arl >= 2. && self.clear_arl <= 1e15, "2 to 1e15 documents"),
            ("alpha", self.alpha, self.alpha > 0. && self.alpha < 1., "a probability above 0 and below 1"),
            ("confidence", self.confidence, self.confidence >= 0.5 && self.confidence < 1., "a probability from 0.5, below 1"),
            ("max_keys", self.max_keys as f64, self.max_keys >= 16 && self.max_keys < u32::MAX as usize, "16 to 4 billion keys"),
            ("max_watched", self.max_watched as f64, self.max_watched <= 1 << 20, "at most 1,048,576 keys"),
            ("dedup_window", self.dedup_window as f64, self.dedup_window <= 1 << 30, "at most 1,073,741,824 entries"),
        ];
        match checks.into_iter().find(|check| !check.2) {
            Some((name, found, _, expected)) => Err(SettingsError { name, found, expected }),
            None => Ok(()),
        }
    }
}
