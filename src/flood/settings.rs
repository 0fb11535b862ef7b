//! How the monitor works: thresholds, limits, windows; each is checked before it is used.

use crate::text::StreamKey;

/// How a [`super::Monitor`] works.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Average run length: while no more than the base share is machine text, a stream has on average at least this many documents with a
    /// p-value between two alarms. At least 2, default 10,000.
    pub arl: f64,
    /// Share of machine text that is tolerated, in 0..0.9; default 0.
    pub base_share: f64,
    /// A flood is over when its share is seen to be below this, in `base_share`..1; default `base_share` + 0.1.
    pub clear_share: Option<f64>,
    /// Average number of documents after which a flood of at least `clear_share` is wrongly cleared; at least 2, default 1,000.
    pub clear_arl: f64,
    /// Error of share intervals and of the false-discovery rate, above 0 and below 1; default 0.05.
    pub alpha: f64,
    /// Confidence over the reference sets with which the promises hold (STATISTICS 3), above 0.5 and below 1; default 0.95.
    pub confidence: f64,
    /// Most keys kept, at least 16, default 1,000,000 (about 300 MB). Beyond them the least informative key is forgotten.
    pub max_keys: usize,
    /// Most keys that are looked at closely at once (sketches and hidden states of their documents), default 1,024 (about 20 MB).
    pub max_watched: usize,
    /// Entries (key, document id) that are remembered so that a repeated document counts once; 0 counts every document. Default 1,000,000 (about 30 MB).
    pub dedup_window: usize,
    /// Streams that the operator vouches for: for them any departure from uniform p-values is a mismatch of the calibration.
    pub trusted: Vec<StreamKey>,
    /// Secret that spreads keys and ids in tables, so that a sender cannot make them collide. A restored monitor keeps the saved one.
    pub seed: u64,
}
