//! A service over the fake model, by `oneshot` where no socket is needed. Gates stand where tests elsewhere would sleep.

use super::{
    error::ApiError,
    queue::Answer,
    routes,
    settings::Settings,
    state::{Phase, Service},
    worker::{Observer, Unobserved},
};
use crate::{
    calibration::Calibration,
    detector::{Detector, Options},
    flood::StreamStatus,
    model::{Fake, ModelError, ModelInfo, Scorer, TokenScores, Tokens},
    text::Document,
    verdict::Assessment,
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, mpsc};
use tower::ServiceExt;

mod access;
mod floods;
mod http;
mod life;
mod parsers;
mod queueing;
mod shapes;
mod sockets;
mod streams;
mod webhooks;

/// A text that the fake can score: 40 tokens.
pub(super) const TEXT: &str = "the quick brown fox jumps over lazy dogs";

type Hook = Box<dyn FnMut(&[&[u32]]) + Send + Sync>;

/// The fake, but the first token of each text has a surprisal that no binary fraction is.
pub(super) struct Tenth(Fake);

impl Scorer for Tenth {
    fn info(&self) -> &ModelInfo {
        self.0.info()
    }
    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        self.0.tokenize(text)
    }
    fn score(&mut self, texts: &[&[u32]]) -> Result<Vec<TokenScores>, ModelError> {
        let mut scores = self.0.score(texts)?;
        scores.iter_mut().for_each(|s| s.surprisal[0] = 0.1);
        Ok(scores)
    }
}

/// The fake, with something done before each run.
pub(super) struct Hooked(Fake, Hook);

impl Scorer for Hooked {
    fn info(&self) -> &ModelInfo {
        self.0.info()
    }
    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        self.0.tokenize(text)
    }
    fn score(&mut self, texts: &[&[u32]]) -> Result<Vec<TokenScores>, ModelError> {
        (self.1)(texts);
        self.0.score(texts)
    }
}

pub(super) fn detector(scorer: impl Scorer + 'static) -> Detector {
    Detector::new(Box::new(scorer), Arc::new(Calibration::for_fake()), Options::default()).unwrap()
}

pub(super) fn hooked(hook: impl FnMut(&[&[u32]]) + Send + Sync + 'static) -> Detector {
    detector(Hooked(Fake::default(), Box::new(hook)))
}

/// A model that says when a run begins and waits for leave to do it: (began, leave, detector).
pub(super) fn gated() -> (tokio::sync::mpsc::UnboundedReceiver<usize>, mpsc::Sender<()>, Detector) {
    let (say, began) = tokio::sync::mpsc::unbounded_channel();
    let (leave, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let detector = hooked(move |texts| {
        say.send(texts.len()).ok();
        wait.lock().unwrap().recv().ok();
    });
    (began, leave, detector)
}

/// Notes the texts that it is told of.
#[derive(Clone, Default)]
pub(super) struct Notes(pub(super) Arc<Mutex<Vec<String>>>);

impl Observer for Notes {
    fn observe(&mut self, batch: &[(&Document, &Assessment)]) -> Result<Vec<Vec<StreamStatus>>, ApiError> {
        self.0.lock().unwrap().extend(batch.iter().map(|(document, _)| document.text.clone()));
        Ok(vec![Vec::new(); batch.len()])
    }
}

/// A ready service over this detector.
pub(super) async fn ready(settings: Settings, detector: Detector) -> (Router, Arc<Service>) {
    observed(settings, detector, Unobserved).await
}

pub(super) async fn observed(settings: Settings, detector: Detector, observer: impl Observer + 'static) -> (Router, Arc<Service>) {
    let (service, worker) = Service::new(settings);
    std::thread::spawn(move || worker.work(detector, Box::new(observer)));
    service.watch_phase().wait_for(|p| *p == Phase::Ready).await.unwrap();
    (routes::router(service.clone()), service)
}

/// A ready service with defaults.
pub(super) async fn usual() -> Router {
    ready(Settings::default(), detector(Fake::default())).await.0
}

pub(super) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    // What `curl -d` sends.
    Request::post(path).header("content-type", "application/x-www-form-urlencoded").body(body.into()).unwrap()
}

pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub(super) async fn text_of(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) async fn call(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let text = text_of(response).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
}

/// Asserts status and code and gives the message.
pub(super) async fn refused(router: &Router, request: Request<Body>, status: u16, code: &str) -> String {
    let (found, body) = call(router, request).await;
    assert_eq!((found.as_u16(), body["error"]["code"].as_str()), (status, Some(code)), "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}
