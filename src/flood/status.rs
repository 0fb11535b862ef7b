//! What is said of one stream.

use super::AlarmKind;
use crate::text::StreamKey;
use jiff::Timestamp;
use serde::Serialize;

/// The state of one stream after its latest document (CONTRACT, "One assessment": an entry of `streams`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamStatus {
    /// The stream; `*` is the whole stream.
    pub key: StreamKey,
    /// Quiet, or in a flood.
    pub state: State,
    /// Natural logarithm of the e-value against "never since the last clearing was more than the base share machine text".
    /// A value of ln(1/alpha) or more has probability at most alpha, over all time, where that is true.
    pub log_e: f64,
    /// Documents counted, each id once.
    pub documents: u64,
    /// Share of machine text among the recent documents that have a p-value.
    pub share: Share,
    /// Documents whose p-value is at most the threshold of single verdicts.
    pub flagged: u64,
    /// Natural logarithm of the e-SR: the alarm is raised at ln(arl). While in a flood, that of the detector that clears it.
    pub log_sr: f64,
    /// Arrivals.
    pub rate: Rate,
    /// Share of the recent documents with small p-values that are near-duplicates of another; null while the stream is too quiet to look.
    pub near_duplicate_share: Option<f64>,
    /// What the recent documents with small p-values have in common; null while quiet, and while there are fewer than four. An alarm is often
    /// raised before that many are there.
    pub kind: Option<AlarmKind>,
    /// Since when the state holds: the alarm, the clearing, or the first document.
    pub since: Timestamp,
    /// Documents whose time was older than one that had been seen by more than a minute, or lay in the future.
    pub late: u64,
    /// The p-values are not uniform in a way that no share of machine text explains: this stream's humans write unlike the calibration's,
    /// and neither alarms nor shares are to be trusted here. Make a profile with `highwater calibrate`.
    pub calibration_mismatch: bool,
}

/// Quiet, or in a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No alarm stands.
    Quiet,
    /// From an alarm to its clearing.
    Flood,
}

/// A share of machine text with its confidence interval, all in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Lower end: right at all times with probability 1 - alpha, together with the upper end, however often the machine texts are found.
    pub low: f64,
    /// Maximum-likelihood estimate, as if they were found as often as the calibration's.
    pub estimate: f64,
    /// Upper end, for machine texts that are found as often as the calibration's or more often.
    pub high: f64,
}

/// Arrivals of a stream against its own history.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Documents per minute, lately.
    pub per_minute: f64,
    /// Documents per minute, usually.
    pub usual_per_minute: f64,
    /// Natural logarithm of an e-SR against "arrivals are Poisson and no more frequent than twice the usual".
    pub log_surge: f64,
}
