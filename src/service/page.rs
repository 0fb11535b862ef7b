//! The page for people and the documentation page: files in the binary, nothing from elsewhere, a policy that lets nothing else in.

use super::state::Service;
use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};
use std::sync::Arc;

/// Scripts and styles come from this service only; no inline script, no frame, no form target.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub(super) fn router() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", include_str!("page/index.html"))))
        .route("/docs", get(|| file("text/html; charset=utf-8", include_str!("page/docs.html"))))
        .route("/assets/style.css", get(|| file("text/css; charset=utf-8", include_str!("page/style.css"))))
        .route("/assets/page.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/page.js"))))
        .route("/assets/streams.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/streams.js"))))
        .route("/assets/docs.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/docs.js"))))
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text)
}
