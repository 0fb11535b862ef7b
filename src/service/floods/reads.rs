//! `GET /v1/streams` and `GET /v1/streams/{key}`: how streams stand, asked of the monitor between two batches.

use super::parameters::{Parameters, Raw};
use crate::{
    flood::{State as StreamState, StreamStatus, stored_key},
    service::{error::ApiError, state::Service},
    text::StreamKey,
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use serde::Serialize;
use std::sync::Arc;

/// Streams in one answer, unless asked otherwise, and at most.
const PAGE: u64 = 100;
const MOST: u64 = 1000;

/// A page of streams.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    streams: Vec<StreamStatus>,
    /// What to ask for as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<StreamKey>,
}

pub(crate) async fn streams(State(service): State<Arc<Service>>, parameters: Raw) -> Result<Json<Page>, ApiError> {
    let mut parameters = Parameters::read(parameters)?;
    let flood = parameters.yes("flood")?.unwrap_or(false);
    let limit = parameters.number("limit", MOST)?.unwrap_or(PAGE).max(1) as usize;
    let after = parameters.text("after").map(|text| key("after", &text)).transpose()?;
    let state = parameters.text("state").map(|text| state(&text)).transpose()?;
    parameters.finish("`flood`, `state`, `after` and `limit`")?;
    if flood && state.is_some() {
        return Err(ApiError::Invalid("`flood` lists streams by their evidence, in alarm or not; give it or `state`, not both".into()));
    }
    if flood && after.is_some() {
        return Err(ApiError::Invalid("with `flood` the streams come by their evidence, so there is no `after`; raise `limit`".into()));
    }
    let page = service.ask_floods(move |floods| {
        if flood {
            return Ok(Page { streams: floods.in_flood(limit), next: None });
        }
        let mut streams = floods.monitor().streams(state, after.as_ref(), limit + 1);
        let more = streams.len() > limit;
        streams.truncate(limit);
        let next = streams.last().filter(|_| more).map(|s| s.key.clone());
        Ok(Page { streams, next })
    });
    page.await.map(Json)
}

pub(crate) async fn stream(
    State(service): State<Arc<Service>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<StreamStatus>, ApiError> {
    let Path(text) = path.map_err(|e| ApiError::Invalid(format!("the stream's key is no UTF-8: {e}")))?;
    let wanted = key("key", &text)?;
    let status = service.ask_floods(move |floods| {
        let unknown = || ApiError::NoSuchStream(format!("no document of the stream `{}` is remembered", text.escape_debug()));
        floods.monitor().status(&wanted).ok_or_else(unknown)
    });
    status.await.map(Json)
}

fn state(text: &str) -> Result<StreamState, ApiError> {
    match text {
        "flood" => Ok(StreamState::Flood),
        "quiet" => Ok(StreamState::Quiet),
        other => Err(ApiError::Invalid(format!("`state` is flood or quiet, found `{:.40}`", other.escape_debug().to_string()))),
    }
}

fn key(name: &str, text: &str) -> Result<StreamKey, ApiError> {
    stored_key(text).map_err(|e| ApiError::Invalid(format!("`{name}`: {e}")))
}
