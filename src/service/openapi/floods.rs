//! The routes and shapes around floods, as documentation; read by no handler.
#![allow(dead_code, reason = "documentation-only shapes")]

use super::ErrorAnswer;
use utoipa::ToSchema;

/// Every stream, or those in flood
///
/// By key, with `next` for the next page; with `state=flood` those in alarm. With `flood=true`: the streams that are above the tolerated base share, most evidence first;
/// among those listed the expected share of wrong ones is at most 5%, however many streams are watched (e-BH).
#[utoipa::path(get, path = "/v1/streams", tag = "floods",
    params(("flood" = Option<bool>, Query, description = "Only streams whose evidence stands out among all, in alarm or not, with a controlled false-discovery rate"),
        ("state" = Option<StreamState>, Query, description = "Only streams in this state: `flood` from an alarm to its clearing"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Streams in one answer: 100 unless said, at most 1,000")),
    responses((status = 200, description = "Streams", body = StreamPage),
        (status = 429, description = "`busy`: too many questions wait", body = ErrorAnswer),
        (status = 503, description = "`not_ready`, `draining`, or `no_state` where the model has no calibration", body = ErrorAnswer)))]
pub(super) fn streams() {}

/// One stream
#[utoipa::path(get, path = "/v1/streams/{key}", tag = "floods",
    params(("key" = String, Path, description = "The stream's key, percent-encoded; `*` is all documents together")),
    responses((status = 200, description = "How it stands", body = StreamStatus),
        (status = 404, description = "`no_such_stream`", body = ErrorAnswer),
        (status = 429, description = "`busy`: too many questions wait", body = ErrorAnswer),
        (status = 503, description = "`not_ready`, `draining`, or `no_state` where the model has no calibration", body = ErrorAnswer)))]
pub(super) fn stream() {}

/// Alarms
///
/// A list; with `Accept: text/event-stream` the alarms as they come, as events named `alarm` whose id is their number. `Last-Event-ID`
/// goes on where a client left off. An event named `lost` says that the alarms between its `after` and its `before` are no longer kept (the
/// newest 10,000 are), or, where `before` is not above `after`, that the service began anew without its state and counts from 1 again.
#[utoipa::path(get, path = "/v1/alarms", tag = "floods",
    params(("after" = Option<u64>, Query, description = "Only alarms with a higher number"),
        ("limit" = Option<u64>, Query, description = "Alarms in one list: 100 unless said, at most 1,000"),
        ("Last-Event-ID" = Option<u64>, Header, description = "For a live answer: the last alarm that you have")),
    responses((status = 200, description = "Alarms, oldest first", body = AlarmList),
        (status = 429, description = "`busy`: too many listeners", body = ErrorAnswer)))]
pub(super) fn alarms() {}

/// Say who wrote a text
///
/// Kept in the state file for a later calibration, the newest 10,000. A calibration needs texts: for what is only named by its `id`, keep
/// your own.
#[utoipa::path(post, path = "/v1/feedback", tag = "floods",
    request_body(content = FeedbackRequest, example = json!({"id": "a1", "text": "I walked down to the harbour.", "label": "human"})),
    responses((status = 201, description = "It is kept", body = FeedbackAnswer),
        (status = 429, description = "`busy`: too many questions wait", body = ErrorAnswer),
        (status = 503, description = "`not_ready`, `draining`, `state_unavailable`, or `no_state`: the service was started without `--state`",
            body = ErrorAnswer)))]
pub(super) fn feedback() {}

/// What was said about texts
///
/// JSON Lines that `highwater calibrate` reads; it passes over entries without a `text`: join those with your own posts by `id` first. All
/// of it may take several answers: ask with the last `number` as `after` until one is empty.
#[utoipa::path(get, path = "/v1/feedback", tag = "floods",
    params(("after" = Option<u64>, Query, description = "Only entries with a higher number"),
        ("limit" = Option<u64>, Query, description = "Entries in one answer: 1,000 unless said, at most 10,000 and about 4 MB")),
    responses((status = 200, description = "One entry a line", body = Correction, content_type = "application/x-ndjson"),
        (status = 429, description = "`busy`: too many questions wait", body = ErrorAnswer),
        (status = 503, description = "`not_ready`, `draining`, `state_unavailable`, or `no_state`: the service was started without `--state`",
            body = ErrorAnswer)))]
pub(super) fn take_feedback() {}

/// A page of streams.
#[derive(ToSchema)]
struct StreamPage {
    streams: Vec<StreamStatus>,
    /// Send it as `after` to get the next page; absent on the last.
    next: Option<String>,
}

/// How a stream stands.
#[derive(ToSchema)]
pub(super) struct StreamStatus {
    /// `*` is all documents together.
    key: String,
    state: StreamState,
    /// Natural logarithm of the evidence against "no more than the base share is machine text"; ln(20), 3.0, or more is seldom, at most 1 in 20, where that is true.
    log_e: f64,
    /// Each id once.
    documents: u64,
    /// Machine text among the recent documents.
    share: Share,
    /// Documents whose `p_value` is at most the threshold.
    flagged: u64,
    /// The alarm's own evidence: it is raised at ln of the average run length.
    log_sr: f64,
    rate: Rate,
    /// Share of near-duplicates among recent documents with small p-values; null while the stream is quiet.
    near_duplicate_share: Option<f64>,
    /// What they have in common; null while the stream is quiet, and with fewer than four.
    kind: Option<AlarmKind>,
    /// Since when the state holds.
    since: String,
    /// Documents that came out of order.
    late: u64,
    /// People here write unlike those of the calibration: make a profile of your own.
    calibration_mismatch: bool,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum StreamState {
    Quiet,
    Flood,
}

/// An estimate and its interval, all from 0 to 1.
#[derive(ToSchema)]
struct Share {
    low: f64,
    estimate: f64,
    high: f64,
}

/// Documents per minute, against the stream's own history.
#[derive(ToSchema)]
struct Rate {
    per_minute: f64,
    usual_per_minute: f64,
    /// Natural logarithm of the evidence for a surge.
    log_surge: f64,
}

/// Alarms, oldest first.
#[derive(ToSchema)]
struct AlarmList {
    alarms: Vec<Alarm>,
    /// The number of the newest alarm there is; below your `after` where the service began anew without its state.
    newest: u64,
}

/// A flood began, or is over.
#[derive(ToSchema)]
struct Alarm {
    /// Running number, without gaps.
    sequence: u64,
    event: AlarmEvent,
    key: String,
    /// When the deciding document arrived.
    at: String,
    /// The estimated beginning.
    since: String,
    /// What the texts have in common.
    kind: AlarmKind,
    /// The kind of machine text whose score found it; null is the score that verdicts go by.
    found_by: Option<String>,
    severity: Severity,
    documents: u64,
    log_sr: f64,
    near_duplicate_share: Option<f64>,
    /// Ids of documents that are part of the evidence, at most 8.
    examples: Vec<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum AlarmEvent {
    Raised,
    Cleared,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum AlarmKind {
    TemplateFlood,
    Campaign,
    BroadRise,
}

/// How much machine text there is.
#[derive(ToSchema)]
struct Severity {
    machine_per_minute: Option<f64>,
    share: f64,
}

/// Who wrote a text: its `id`, its `text`, or both.
#[derive(ToSchema)]
struct FeedbackRequest {
    id: Option<String>,
    text: Option<String>,
    label: Label,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum Label {
    Human,
    Machine,
}

/// It is kept.
#[derive(ToSchema)]
struct FeedbackAnswer {
    number: u64,
}

/// One entry of the feedback.
#[derive(ToSchema)]
struct Correction {
    number: u64,
    id: Option<String>,
    text: Option<String>,
    label: Label,
    /// When it came.
    received: String,
}
