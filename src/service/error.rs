//! Every way a request can fail: its stable code, its HTTP status, its sentence. Nothing else makes error bodies.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Why a request, a document or a line has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    Malformed(String),
    #[error("{0}; send the key as `Authorization: Bearer KEY`")]
    Unauthorized(&'static str),
    #[error(
        "a page of another site may not call this service, which has no key: call it from your server, or give it a key with \
         HIGHWATER_API_KEY"
    )]
    CrossOrigin,
    #[error(
        "`{0}` may be anybody's name, and this service has no key and listens for its own machine only: call it as localhost or by its IP \
         address (a proxy in front of it must send that as Host), or give it a key with HIGHWATER_API_KEY"
    )]
    UnknownHost(String),
    #[error("there is no `{path}`; there are: {routes}")]
    NotFound { path: String, routes: String },
    #[error("`{path}` does not take {method}; the header Allow says what it takes")]
    MethodNotAllowed { path: String, method: String },
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Invalid(String),
    #[error("too much text is waiting for the model; try again in {retry_after} s")]
    QueueFull { retry_after: u64 },
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    Internal(String),
    #[error("the model is still loading; try again in a moment")]
    NotReady,
    #[error("{0}")]
    StateUnavailable(String),
    #[error("{0}")]
    NoState(&'static str),
    #[error("{0}")]
    NoSuchStream(String),
    #[error("the service is shutting down; send this again to another instance, or later")]
    Draining,
}

/// `{"code":…,"message":…}`, as it stands in answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorBody {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl ApiError {
    /// The stable code and the status.
    pub(crate) fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::Malformed(_) => ("malformed", StatusCode::BAD_REQUEST),
            Self::Unauthorized(_) => ("unauthorized", StatusCode::UNAUTHORIZED),
            Self::CrossOrigin => ("cross_origin", StatusCode::FORBIDDEN),
            Self::UnknownHost(_) => ("unknown_host", StatusCode::FORBIDDEN),
            Self::NotFound { .. } => ("not_found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed { .. } => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::Timeout(_) => ("timeout", StatusCode::REQUEST_TIMEOUT),
            Self::TooLarge(_) => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Invalid(_) => ("invalid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::QueueFull { .. } => ("queue_full", StatusCode::TOO_MANY_REQUESTS),
            Self::Busy(_) => ("busy", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal(_) => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::NotReady => ("not_ready", StatusCode::SERVICE_UNAVAILABLE),
            Self::StateUnavailable(_) => ("state_unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::NoState(_) => ("no_state", StatusCode::SERVICE_UNAVAILABLE),
            Self::NoSuchStream(_) => ("no_such_stream", StatusCode::NOT_FOUND),
            Self::Draining => ("draining", StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    /// What stands under `"error"`.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody { code: self.code().0, message: self.to_string() }
    }

    /// The worker is gone or dropped the request: nothing that the sender did.
    pub(crate) fn lost() -> Self {
        Self::Internal("the model's worker stopped before it answered; the service's log says why".into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code().1, axum::Json(serde_json::json!({ "error": self.body() }))).into_response();
        let headers = response.headers_mut();
        match self {
            Self::QueueFull { retry_after } => drop(headers.insert(header::RETRY_AFTER, retry_after.into())),
            Self::NotReady | Self::Draining | Self::StateUnavailable(_) | Self::Busy(_) => {
                drop(headers.insert(header::RETRY_AFTER, 1.into()))
            }
            Self::Unauthorized(_) => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::Timeout(_) => drop(headers.insert(header::CONNECTION, HeaderValue::from_static("close"))),
            _ => {}
        }
        response
    }
}
