//! `/openapi.json`: the routes and shapes as documentation. The structs here are read by no handler; tests hold them against real answers.
#![allow(dead_code, reason = "documentation-only shapes")]

mod floods;
mod refusals;

use axum::Json;
use refusals::Refusals;
use serde::Serialize;
use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Highwater", description = "Says which texts a language model wrote, and when a stream is flooded by them. Every error is `{\"error\":{\"code\":…,\"message\":…}}`."),
    paths(
        assess, stream, moderations, floods::streams, floods::stream, floods::alarms, floods::feedback, floods::take_feedback, model, live,
        ready, metrics
    ),
    components(schemas(TokenScore)),
    security((), ("key" = [])),
    modifiers(&Key, &Refusals),
)]
struct Api;

struct Key;

impl Modify for Key {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// The document itself.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}

/// Assess one text or several
#[utoipa::path(post, path = "/v1/assess", tag = "assess",
    params(("tokens" = Option<bool>, Query, description = "Add per-token scores")),
    request_body(content = AssessRequest, description = "One text, or `documents`. Any content type is read as JSON.",
        example = json!({"text": "I walked down to the harbour this morning and all of the boats were gone."})),
    responses(
        (status = 200, description = "One assessment, or `assessments` in order", body = AssessAnswer),
        (status = 429, description = "`queue_full`: try again after `Retry-After` seconds", body = ErrorAnswer),
        (status = 500, description = "`internal`: the model failed on this text", body = ErrorAnswer)))]
fn assess() {}

/// Assess a stream of lines
///
/// One document per line in, one assessment or error per line out, in order, while the body is still being sent. Read the answer while
/// you send: the service stops reading when nobody takes its answers.
#[utoipa::path(post, path = "/v1/stream", tag = "assess",
    params(("tokens" = Option<bool>, Query, description = "Add per-token scores")),
    request_body(content = String, content_type = "application/x-ndjson", description = "One document per line; blank lines are passed over",
        example = "{\"text\":\"first post\",\"id\":\"1\"}\n{\"text\":\"second post\",\"id\":\"2\"}\n"),
    responses((status = 200, description = "One `Assessment` or `EntryError` per line", body = Entry, content_type = "application/x-ndjson")))]
fn stream() {}

/// OpenAI-compatible moderation
///
/// OpenAI's own categories are there and never set; `machine-generated` is what this service judges.
#[utoipa::path(post, path = "/v1/moderations", tag = "assess",
    request_body(content = ModerationRequest, example = json!({"input": "I walked down to the harbour this morning."})),
    responses(
        (status = 200, description = "One result per text", body = Moderation),
        (status = 429, description = "`queue_full`: try again after `Retry-After` seconds", body = ErrorAnswer),
        (status = 500, description = "`internal`: the model failed on a text", body = ErrorAnswer)))]
fn moderations() {}

/// Model, calibration, device, limits
#[utoipa::path(get, path = "/v1/model", tag = "service",
    responses((status = 200, description = "What is loaded", body = ModelAnswer)))]
fn model() {}

/// The process runs
#[utoipa::path(get, path = "/health/live", tag = "service", responses((status = 200, description = "It does")))]
fn live() {}

/// Requests are taken
#[utoipa::path(get, path = "/health/ready", tag = "service",
    responses((status = 200, description = "They are"), (status = 503, description = "`not_ready`, `draining` or `state_unavailable`", body = ErrorAnswer)))]
fn ready() {}

/// Prometheus metrics
#[utoipa::path(get, path = "/metrics", tag = "service", responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain")))]
fn metrics() {}

/// One text.
#[derive(ToSchema)]
struct Document {
    /// The text, as it was posted.
    text: String,
    /// Your name for it, given back.
    id: Option<Id>,
    /// What floods are counted per (a forum, an author, a thread): a key or a list of at most 16, each of 1 to 256 bytes. An integer is its digits.
    stream: Option<StreamKeys>,
    /// When it was posted.
    time: Option<Time>,
}

/// A string of at most 512 bytes, or an integer, which comes back as a string of its digits.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Integer(i64),
}

/// RFC 3339 (without an offset, UTC), or seconds since 1970.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
enum Time {
    Text(String),
    Seconds(f64),
}

/// One key or several.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
enum StreamKeys {
    One(String),
    Many(Vec<String>),
}

/// One text or several.
#[derive(ToSchema)]
#[serde(untagged)]
enum AssessRequest {
    One(Document),
    Many(Batch),
}

/// Several texts.
#[derive(ToSchema)]
struct Batch {
    documents: Vec<Document>,
}

/// One assessment or several.
#[derive(ToSchema)]
#[serde(untagged)]
enum AssessAnswer {
    One(Box<Assessment>),
    Many(AssessmentList),
}

/// Answers in the order of the documents.
#[derive(ToSchema)]
struct AssessmentList {
    assessments: Vec<Entry>,
}

/// An assessment, or why there is none.
#[derive(ToSchema)]
#[serde(untagged)]
enum Entry {
    Assessment(Box<Assessment>),
    Error(EntryError),
}

/// One document's or line's error.
#[derive(ToSchema)]
struct EntryError {
    /// Where the document had one.
    id: Option<String>,
    /// In streams: the line, from 1.
    line: Option<u64>,
    error: ErrorBody,
}

/// An error.
#[derive(ToSchema)]
struct ErrorAnswer {
    error: ErrorBody,
}

/// A stable code and a sentence.
#[derive(ToSchema)]
struct ErrorBody {
    code: String,
    message: String,
}

/// What is said of one document.
#[derive(ToSchema)]
struct Assessment {
    id: Option<String>,
    stream: Option<StreamKeys>,
    /// `human`, `machine` or `abstain`.
    verdict: Verdict,
    /// Where the verdict is `abstain`.
    abstain_reason: Option<AbstainReason>,
    /// `p_value` is at most the threshold.
    flagged: bool,
    /// Raw score, larger = more machine-like; null where nothing was scored.
    score: Option<f64>,
    /// How seldom a human text scores at least this high; null where it cannot be said.
    p_value: Option<f64>,
    /// The same by the score of each kind of machine text that the calibration knows: what streams look at as well. No verdict rests on it.
    kind_p_values: Option<std::collections::BTreeMap<String, f64>>,
    /// Probability of machine text where human and machine texts are equally many.
    machine_probability: Option<f64>,
    tokens: u64,
    words: u64,
    /// The evidence; null where nothing was scored.
    statistics: Option<Statistics>,
    /// What normalisation changed.
    normalization: Normalization,
    /// Name and hash.
    model: String,
    calibration: String,
    /// How the document's streams stand with it, where it named any.
    streams: Option<Vec<floods::StreamStatus>>,
    /// With `?tokens=true`.
    token_scores: Option<Vec<TokenScore>>,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Human,
    Machine,
    Abstain,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum AbstainReason {
    Empty,
    TooShort,
    UnsupportedLanguage,
    NotProse,
    Memorised,
    Uncalibrated,
    Unscorable,
    Uncertain,
}

/// Surprisal and entropy in nats; rank from 1.
#[derive(ToSchema)]
struct Statistics {
    mean_surprisal_nats: f64,
    perplexity: f64,
    mean_log_rank: f64,
    lrr: Option<f64>,
    mean_entropy_nats: f64,
    discrepancy: Option<f64>,
    surprisal_std: f64,
    surprisal_p10: f64,
    surprisal_p90: f64,
    surprisal_autocorrelation: Option<f64>,
    /// Of a model with branches: surprisal under the human branch less that under the machine branch, nats per token.
    log_likelihood_ratio: Option<f64>,
    log_likelihood_ratio_std: Option<f64>,
    /// The ratio less what the model expects of it.
    log_likelihood_ratio_excess: Option<f64>,
    /// Mean absolute difference of neighbouring tokens' surprisal.
    surprisal_step: Option<f64>,
    /// Mean of what surprisal lies above its expectation by more than two standard deviations.
    surprisal_excess: f64,
    /// Share of tokens at which the prediction's entropy is above 5 nats.
    high_entropy_fraction: f64,
    rank_fractions: RankFractions,
}

/// Shares of tokens by rank: 1-10, 11-100, 101-1000, above.
#[derive(ToSchema)]
struct RankFractions {
    top_10: f64,
    top_100: f64,
    top_1000: f64,
    rest: f64,
}

/// Characters replaced or taken out before scoring.
#[derive(ToSchema)]
struct Normalization {
    homoglyphs: u32,
    zero_width: u32,
    control: u32,
    whitespace: u32,
    compatibility: u32,
    case: u32,
    invalid_utf8: u32,
}

/// One token; offsets in bytes of the original text.
#[derive(ToSchema)]
struct TokenScore {
    text: String,
    start: u64,
    end: u64,
    surprisal_nats: f32,
    rank: u32,
    entropy_nats: f32,
}

/// As OpenAI's clients send it.
#[derive(ToSchema)]
struct ModerationRequest {
    input: ModerationInput,
    /// Taken and not used: there is one model.
    model: Option<String>,
}

/// A text, a list of texts (one result each), or a list of text parts (one result together).
#[derive(ToSchema)]
#[serde(untagged)]
enum ModerationInput {
    One(String),
    Many(Vec<String>),
    Parts(Vec<ModerationPart>),
}

/// A part of type `text`.
#[derive(ToSchema)]
struct ModerationPart {
    #[serde(rename = "type")]
    kind: String,
    text: String,
}

/// As OpenAI's clients read it.
#[derive(ToSchema)]
struct Moderation {
    id: String,
    model: String,
    results: Vec<ModerationResult>,
}

/// One text's result.
#[derive(ToSchema)]
struct ModerationResult {
    flagged: bool,
    categories: std::collections::BTreeMap<String, bool>,
    category_scores: std::collections::BTreeMap<String, f64>,
    category_applied_input_types: std::collections::BTreeMap<String, Vec<String>>,
}

/// What is loaded.
#[derive(ToSchema)]
struct ModelAnswer {
    model: Model,
    calibration: Calibration,
    device: String,
    limits: Limits,
}

/// The model and where it runs.
#[derive(ToSchema)]
struct Model {
    name: String,
    hash: String,
    parameters: u64,
    vocabulary: u64,
    context: u64,
    layers: u64,
    width: u64,
    device: String,
    precision: String,
    runtime: String,
    /// Its two adapted branches, where it has them.
    branches: Option<Branches>,
}

/// Two adapted copies of a model's upper layers.
#[derive(ToSchema)]
struct Branches {
    /// The first layer that is not shared, from 0.
    first_layer: u64,
    provenance: Option<String>,
}

/// The calibration and the verdict's thresholds.
#[derive(ToSchema)]
struct Calibration {
    name: String,
    /// Flagged when the p-value is at most this.
    fpr: f64,
    /// Texts with fewer tokens get no verdict; null where none gets one.
    min_tokens: Option<u64>,
    normalize: bool,
    /// Kinds of machine text with a score of their own, which streams are also watched for.
    kinds: Vec<String>,
    lengths: Vec<CalibratedLength>,
}

/// What p-values promise from one length on, up to the next.
#[derive(ToSchema)]
struct CalibratedLength {
    from_tokens: u64,
    /// Different human documents behind the p-values.
    human_documents: u64,
    smallest_p_value: f64,
    rate_bounds: Vec<RateBound>,
}

/// Of human texts like those of the calibration, at most `upper` have a p-value of at most `level`, with 95% confidence.
#[derive(ToSchema)]
struct RateBound {
    level: f64,
    upper: f64,
}

/// What one request may hold.
#[derive(ToSchema)]
struct Limits {
    body_bytes: u64,
    text_bytes: u64,
    documents: u64,
}
