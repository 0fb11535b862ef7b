//! The routes and what every request passes: counting, access, body limits and timeouts. Handlers turn wire into documents and back.

use super::{
    access::authorize,
    body::read,
    error::ApiError,
    floods,
    metrics::Metric,
    moderations::moderations,
    openapi, page,
    state::{Phase, Service},
    stream::stream,
    wire::{self, AssessRequest, Assessments, Entry},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{MatchedPath, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, Method, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tower_http::catch_panic::CatchPanicLayer;

/// Every route, for people who ask for one that is not there.
const ROUTES: &str = "POST /v1/assess, POST /v1/stream, POST /v1/moderations, GET /v1/streams, GET /v1/streams/{key}, GET /v1/alarms, \
                      POST /v1/feedback, GET /v1/feedback, GET /v1/model, GET /health/live, GET /health/ready, \
                      GET /metrics, GET /openapi.json, GET /docs, GET /";

/// All routes over this service.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let guarded = Router::new()
        .route("/v1/assess", post(assess))
        .route("/v1/stream", post(stream))
        .route("/v1/moderations", post(moderations))
        .route("/v1/streams", get(floods::streams))
        // Keys may hold slashes, which some proxies decode on the way.
        .route("/v1/streams/{*key}", get(floods::stream))
        .route("/v1/alarms", get(floods::alarms))
        .route("/v1/feedback", post(floods::feedback).get(floods::take_feedback))
        .route("/v1/model", get(model))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(service.clone(), authorize));
    Router::new()
        .merge(guarded)
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/openapi.json", get(openapi::document))
        .merge(page::router())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(|_| ApiError::Internal("a handler panicked; the service's log says where".into()).into_response()))
        .layer(from_fn_with_state(service.clone(), measure))
        .with_state(service)
}

type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

async fn assess(State(service): State<Arc<Service>>, parameters: Parameters, headers: HeaderMap, body: Body) -> Result<Response, ApiError> {
    service.require_open()?;
    let limits = service.limits(tokens_wanted(parameters)?);
    let asked = wire::assess_request(&read(&service, &headers, body).await?, &limits)?;
    match asked {
        AssessRequest::One(document) => {
            let mut answered = service.assess(vec![document]).await?;
            let answer = answered.answers.pop().ok_or_else(ApiError::lost)?;
            Ok((timing(answered.model), Json(answer?)).into_response())
        }
        AssessRequest::Many(documents) => {
            let ids: Vec<_> = documents.iter().map(|d| d.id.clone()).collect();
            let answered = service.assess(documents).await?;
            let assessments = answered.answers.into_iter().zip(ids).map(|(answer, id)| Entry::of(answer, id, None));
            Ok((timing(answered.model), Json(Assessments { assessments: assessments.collect() })).into_response())
        }
    }
}

/// How long the model ran for the batches of this answer: browsers show it, benchmarks subtract it.
fn timing(model: Duration) -> [(HeaderName, String); 1] {
    [(HeaderName::from_static("server-timing"), format!("model;dur={:.3}", model.as_secs_f64() * 1000.))]
}

async fn model(State(service): State<Arc<Service>>) -> Result<Response, ApiError> {
    Ok(Json(service.require_ready()?).into_response())
}

async fn live() -> Response {
    Json(serde_json::json!({ "status": "live" })).into_response()
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
    match service.phase() {
        Phase::Loading => ApiError::NotReady.into_response(),
        Phase::Draining => ApiError::Draining.into_response(),
        Phase::Ready => match service.require_open() {
            Ok(_) => Json(serde_json::json!({ "status": "ready" })).into_response(),
            Err(error) => error.into_response(),
        },
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    service.metrics.set(Metric::QueueBytes, service.queue.waiting_bytes() as f64);
    let listening = service.settings.max_listeners - service.listeners.available_permits();
    service.metrics.set(Metric::Listeners, listening as f64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], service.metrics.render()).into_response()
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound { path: uri.path().to_owned(), routes: ROUTES.into() }
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::MethodNotAllowed { path: uri.path().to_owned(), method: method.to_string() }
}

/// One count and one time per answered request.
async fn measure(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    service.metrics.record(Metric::RequestSeconds, vec![("route", route.clone())], start.elapsed().as_secs_f64());
    service.metrics.count_labelled(Metric::Requests, vec![("route", route), ("status", status)], 1);
    response
}

/// `?tokens=true`, and no other parameter.
pub(super) fn tokens_wanted(parameters: Parameters) -> Result<bool, ApiError> {
    let Query(parameters) = parameters.map_err(|e| ApiError::Invalid(e.to_string()))?;
    let mut wanted = false;
    for (name, value) in parameters {
        wanted = match (name.as_str(), value.as_str()) {
            ("tokens", "true" | "1") => true,
            ("tokens", "false" | "0") => false,
            ("tokens", other) => return Err(ApiError::Invalid(format!("`tokens` is true or false, found `{other}`"))),
            (other, _) => return Err(ApiError::Invalid(format!("unknown parameter `{other}`, expected `tokens`"))),
        };
    }
    Ok(wanted)
}
