//! `/v1/feedback`: what people say about texts, kept in the state file for a later calibration, and given back as JSON Lines.

use super::parameters::{Parameters, Raw};
use crate::{
    flood::StoreError,
    service::{body::read, error::ApiError, state::Service, wire},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;

/// Corrections in one answer, unless asked otherwise, and at most.
const PAGE: u64 = 1000;
const MOST: u64 = 10_000;

const NO_STATE: ApiError = ApiError::NoState("feedback is kept in the state file, and this service has none; start it with --state FILE");

/// One correction, as it is kept.
#[derive(Debug, Serialize)]
pub(crate) struct Correction {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    pub(crate) label: &'static str,
    pub(crate) received: Timestamp,
}

pub(crate) async fn feedback(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    service.require_open()?;
    let body = read(&service, &headers, body).await?;
    let correction = wire::feedback_request(&body, &service.limits(false), Timestamp::now())?;
    let json = serde_json::to_vec(&correction).map_err(|e| ApiError::Internal(e.to_string()))?;
    let number = service.ask_floods(move |floods| floods.store().ok_or(NO_STATE)?.add_feedback(&json).map_err(|e| told(&e))).await?;
    Ok((StatusCode::CREATED, Json(serde_json::json!({ "number": number }))).into_response())
}

/// Lines that `highwater calibrate` reads; `number` of the last one is the next `after`. Only an empty answer is the end: long texts make
/// one shorter than it was asked to be.
pub(crate) async fn take_feedback(State(service): State<Arc<Service>>, parameters: Raw) -> Result<Response, ApiError> {
    let mut parameters = Parameters::read(parameters)?;
    let after = parameters.number("after", u64::MAX)?.unwrap_or(0);
    let limit = parameters.number("limit", MOST)?.unwrap_or(PAGE) as usize;
    parameters.finish("`after` and `limit`")?;
    let rows = service.ask_floods(move |floods| floods.store().ok_or(NO_STATE)?.feedback(after, limit).map_err(|e| told(&e))).await?;
    let mut body = Vec::new();
    for (number, json) in rows {
        // The stored object, with its number before its first field.
        body.extend_from_slice(format!("{{\"number\":{number},").as_bytes());
        body.extend_from_slice(json.get(1..).unwrap_or_default());
        body.push(b'\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn told(error: &StoreError) -> ApiError {
    tracing::error!("{error}");
    ApiError::StateUnavailable("the feedback could not be written to the state file; try again later".into())
}
