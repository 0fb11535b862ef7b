//! `GET /v1/alarms`: a list, or live as server-sent events that go on where the client left off.
//!
//! A live answer is pulled: each listener reads the board from its own place, so that one that is slow costs nobody anything; its
//! connection ends when it takes nothing for the write timeout. Ends when the service drains.

use super::{
    board::{Board, Published},
    parameters::Parameters,
};
use crate::service::{
    error::ApiError,
    state::{Phase, Service},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use std::{convert::Infallible, fmt::Write, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};

/// Alarms in one answer, unless asked otherwise, and at most.
const PAGE: usize = 100;
const MOST: usize = 1000;
/// Alarms written to a listener at once.
const BURST: usize = 64;
/// How long a browser waits before it connects again, milliseconds.
const RECONNECT: u32 = 3000;

pub(crate) async fn alarms(
    State(service): State<Arc<Service>>,
    parameters: super::parameters::Raw,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    service.require_ready()?;
    let mut parameters = Parameters::read(parameters)?;
    let after = parameters.number("after", u64::MAX)?;
    let limit = parameters.number("limit", MOST as u64)?;
    parameters.finish("`after` and `limit`")?;
    let live = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/event-stream"));
    if live {
        let left_off = last_event(&headers)?.or(after);
        return listen(service, left_off);
    }
    let limit = limit.map_or(PAGE, |n| n as usize);
    let alarms = service.board.after(after.unwrap_or(0), limit);
    let list: Vec<_> = alarms.iter().map(|a| String::from_utf8_lossy(&a.json)).collect();
    let body = format!("{{\"alarms\":[{}],\"newest\":{}}}", list.join(","), service.board.newest());
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// `Last-Event-ID`: browsers send it when they connect again.
fn last_event(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    match value.to_str().unwrap_or("?").trim() {
        "" => Ok(None),
        text => {
            let wrong = |_| ApiError::Invalid(format!("`Last-Event-ID` is the number of an alarm, found `{}`", text.escape_default()));
            text.parse().map(Some).map_err(wrong)
        }
    }
}

/// One client that listens.
struct Listener {
    service: Arc<Service>,
    /// The last alarm that it was sent.
    place: u64,
    news: watch::Receiver<u64>,
    phase: watch::Receiver<Phase>,
    /// What it is told first.
    greeting: Option<String>,
    _seat: OwnedSemaphorePermit,
}

fn listen(service: Arc<Service>, left_off: Option<u64>) -> Result<Response, ApiError> {
    let seat = service.listeners.clone().try_acquire_owned().map_err(|_| {
        let most = service.settings.max_listeners;
        ApiError::Busy(format!("{most} clients already listen for alarms; try again later, or ask for the list"))
    })?;
    let (news, phase) = (service.board.watch(), service.watch_phase());
    let (place, lost) = begin(&service.board, left_off);
    // with its place, which it has to name should it come back before the first alarm
    let greeting = Some(format!("retry: {RECONNECT}\nid: {place}\n\n{lost}"));
    let listener = Listener { service, place, news, phase, greeting, _seat: seat };
    let events = stream::unfold(listener, |mut listener| async { Some((Ok::<_, Infallible>(listener.next().await?), listener)) });
    let headers = [(header::CONTENT_TYPE.as_str(), "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// The alarm that a listener goes on after, and what it is told of those that it cannot be sent.
fn begin(board: &Board, left_off: Option<u64>) -> (u64, String) {
    match (left_off, board.newest()) {
        // Its number is from a run whose alarms ended with it: all of ours are new to this listener. With an id, so that it goes on from
        // our numbers from now on.
        (Some(theirs), newest) if theirs > newest => {
            let first = board.oldest().unwrap_or(1);
            let place = first.saturating_sub(1);
            (place, format!("id: {place}\nevent: lost\ndata: {{\"after\":{theirs},\"before\":{first}}}\n\n"))
        }
        (left_off, newest) => (left_off.unwrap_or(newest), String::new()),
    }
}

impl Listener {
    /// The next bytes to send; `None` at the end of the service.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting.into());
        }
        let heartbeat = self.service.settings.timeouts.heartbeat;
        loop {
            // Seen before looking: what comes in between wakes the wait below.
            self.news.borrow_and_update();
            if let Some(events) = self.events() {
                return Some(events);
            }
            let wait = async {
                tokio::select! {
                    biased;
                    _ = self.phase.wait_for(|p| *p == Phase::Draining) => false,
                    changed = self.news.changed() => changed.is_ok(),
                }
            };
            match timeout(heartbeat, wait).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => return Some(Bytes::from_static(b": still here\n\n")),
            }
        }
    }

    /// What this client has not been sent yet.
    fn events(&mut self) -> Option<Bytes> {
        let alarms = self.service.board.after(self.place, BURST);
        let (first, last) = (alarms.first()?.seq, alarms.last()?.seq);
        let mut text = String::new();
        if first > self.place + 1 && self.service.board.oldest() == Some(first) {
            // Without an id: a client that connects again must still be told.
            let _infallible = write!(text, "event: lost\ndata: {{\"after\":{},\"before\":{first}}}\n\n", self.place);
        }
        for Published { seq, json } in alarms {
            let _infallible = write!(text, "id: {seq}\nevent: alarm\ndata: {}\n\n", String::from_utf8_lossy(&json));
        }
        self.place = last;
        Some(text.into())
    }
}
