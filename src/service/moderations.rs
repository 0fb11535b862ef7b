//! `/v1/moderations` as OpenAI's clients speak it: all of its categories, never set, and `machine-generated`, which is what we judge.

use super::{body::read, error::ApiError, state::Service, wire};
use crate::verdict::Assessment;
use axum::{
    Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// OpenAI's own categories. This service judges none of them.
pub(crate) const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];
/// Ours.
pub(crate) const MACHINE: &str = "machine-generated";

pub(super) async fn moderations(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    let model = service.require_open()?.model.name.clone();
    let documents = wire::moderation_request(&read(&service, &headers, body).await?, &service.limits(false))?;
    let answers = service.assess(documents).await?.answers;
    let results = answers.into_iter().map(|a| a.map(|a| result(&a.assessment))).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "id": service.moderation_id(), "model": model, "results": results })).into_response())
}

/// One result. Where nothing could be told, the score is 0 and nothing is flagged.
fn result(assessment: &Assessment) -> Value {
    let all = |other: Value, ours: Value| -> Map<String, Value> {
        CATEGORIES.iter().map(|&c| (c.to_owned(), other.clone())).chain([(MACHINE.to_owned(), ours)]).collect()
    };
    json!({
        "flagged": assessment.flagged,
        "categories": all(false.into(), assessment.flagged.into()),
        "category_scores": all(0.0.into(), assessment.machine_probability.unwrap_or(0.).into()),
        "category_applied_input_types": all(json!([]), json!(["text"])),
    })
}
