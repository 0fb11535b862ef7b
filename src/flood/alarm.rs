//! What is told when a stream crosses its threshold, in either direction.

use crate::text::StreamKey;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A stream that went into a flood, or came out of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Running number over all streams, from 1 and without gaps; it goes on after a restart.
    pub sequence: u64,
    /// Into a flood or out of it.
    pub event: AlarmEvent,
    /// The stream; `*` is the whole stream.
    pub key: StreamKey,
    /// When the deciding document arrived.
    pub at: Timestamp,
    /// Arrival of the first document of the evidence: the estimated onset for `raised`, the alarm for `cleared`.
    pub since: Timestamp,
    /// What the documents of the evidence have in common, as far as it is known at `at`.
    pub kind: AlarmKind,
    /// The kind of machine text whose score found the flood; `None` is the score that verdicts go by. A hint at the generator, and no proof.
    #[serde(default)]
    pub found_by: Option<String>,
    /// How much of the stream is machine text.
    pub severity: Severity,
    /// Documents of the key so far.
    pub documents: u64,
    /// Natural logarithm of the detector's value that crossed (the e-SR of the event's direction).
    pub log_sr: f64,
    /// Share of the documents with small p-values that have a near-duplicate among them; `None` with fewer than two.
    pub near_duplicate_share: Option<f64>,
    /// Ids of documents with small p-values, newest last, at most 8; documents without an id are not listed.
    pub examples: Vec<String>,
}

/// Direction of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmEvent {
    /// A flood began.
    Raised,
    /// It is over.
    Cleared,
}

/// What the documents of a flood have in common. The alarm itself rests on the scores alone: this describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// Most are near-duplicates of one another.
    TemplateFlood,
    /// Different texts that the model represents alike: one subject, one style, one prompt.
    Campaign,
    /// Machine-like texts that have nothing else in common, or too few to say.
    BroadRise,
}

/// How much of a stream is machine text, as point estimates by the score that found the flood.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Severity {
    /// Machine documents per minute; `None` where documents have no times, or all the same.
    pub machine_per_minute: Option<f64>,
    /// Share of the stream that they take, in 0..=1.
    pub share: f64,
}
