//! `/v1/stream`: lines in, answers out, in order, while the body is still being sent.
//!
//! Pull-driven: the next line is read when an answer has left or fewer than the allowed number are on their way, so a slow reader slows
//! its own sending and memory stays bounded. Faults of one line are lines of the answer; a fault of the body is the last line.

use super::{
    body::uncompressed,
    error::ApiError,
    lines::{Line, Splitter},
    queue::Answers,
    routes::tokens_wanted,
    state::{Phase, Service},
    wire::{self, Entry, Limits},
};
use axum::{
    body::{Body, BodyDataStream},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{convert::Infallible, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

/// JSON may escape a character of two bytes with six.
const ESCAPES: usize = 3;

pub(super) async fn stream(
    State(service): State<Arc<Service>>,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    service.require_open()?;
    uncompressed(&headers)?;
    let limits = service.limits(tokens_wanted(parameters)?);
    let lines_on_their_way = service.settings.stream_lines.max(1);
    let most_bytes = service.settings.batch_bytes.saturating_mul(BATCHES_ON_THEIR_WAY).clamp(1, u32::MAX as usize);
    let input = Input {
        body: body.into_data_stream(),
        splitter: Splitter::new(limits.text.saturating_mul(ESCAPES)),
        phase: service.watch_phase(),
        limits,
        service,
        room: (Arc::new(Semaphore::new(most_bytes)), most_bytes),
        ended: false,
    };
    // Admitted one after the other, so that lines are observed in their order; awaited together, so that they share batches.
    let admitted = stream::unfold(input, |mut input| async { Some((input.admit().await?, input)) });
    let answers = admitted.map(Pending::answer).buffered(lines_on_their_way).map(Ok::<_, Infallible>);
    let headers = [(header::CONTENT_TYPE.as_str(), "application/x-ndjson"), ("cache-control", "no-store"), ("x-accel-buffering", "no")];
    Ok((headers, Body::from_stream(answers)).into_response())
}

/// Batches that one stream's unanswered lines may fill: the one that the model reads, and the next. What others send waits for no more than these.
const BATCHES_ON_THEIR_WAY: usize = 2;

/// The reading half.
struct Input {
    body: BodyDataStream,
    splitter: Splitter,
    phase: watch::Receiver<Phase>,
    limits: Limits,
    service: Arc<Service>,
    /// Bytes of text for which no answer has come yet, and how many there may be.
    room: (Arc<Semaphore>, usize),
    ended: bool,
}

/// A line on its way.
struct Pending {
    line: u64,
    id: Option<String>,
    answers: Result<Answers, ApiError>,
    /// Held until the answer is there.
    room: Option<OwnedSemaphorePermit>,
}

impl Input {
    /// The next line, admitted to the queue or refused; `None` after the last one.
    async fn admit(&mut self) -> Option<Pending> {
        let line = match self.line().await {
            Ok(line) => line?,
            Err(error) => {
                self.ended = true;
                return Some(Pending { line: self.splitter.number(), id: None, answers: Err(error), room: None });
            }
        };
        let (number, document) = match line {
            Line::Text(number, text) => (number, wire::document(&text, &self.limits)),
            Line::TooLong(number) => {
                let most = self.limits.text.saturating_mul(ESCAPES);
                (number, Err(ApiError::TooLarge(format!("the line is longer than {most} bytes and was skipped"))))
            }
        };
        let document = match document {
            Ok(document) => document,
            Err(error) => return Some(Pending { line: number, id: None, answers: Err(error), room: None }),
        };
        let (room, most) = &self.room;
        let bytes = document.text.len().min(*most) as u32;
        // nobody closes it
        let room = room.clone().acquire_many_owned(bytes).await.ok();
        Some(Pending { line: number, id: document.id.clone(), answers: self.service.queue.submit(document).await, room })
    }

    /// The next line that is not blank. An error ends the stream.
    async fn line(&mut self) -> Result<Option<Line>, ApiError> {
        let patience = self.service.settings.timeouts.stream;
        while !self.ended {
            if let Some(line) = self.splitter.next() {
                return Ok(Some(line));
            }
            let chunk = tokio::select! {
                biased;
                _ = self.phase.wait_for(|p| *p == Phase::Draining) => return Err(ApiError::Draining),
                chunk = timeout(patience, self.body.next()) => chunk,
            };
            match chunk {
                Ok(Some(Ok(bytes))) => self.splitter.push(&bytes),
                Ok(Some(Err(error))) => return Err(ApiError::Malformed(format!("the body ended early: {error}"))),
                Ok(None) => {
                    self.ended = true;
                    return Ok(self.splitter.finish());
                }
                Err(_) => return Err(ApiError::Timeout(format!("no line arrived for {patience:?}"))),
            }
        }
        Ok(None)
    }
}

impl Pending {
    /// Waits for the answer and writes it as one line.
    async fn answer(self) -> Bytes {
        let answer = match self.answers {
            Ok(answers) => answers.await.ok().and_then(|mut one| one.answers.pop()).unwrap_or_else(|| Err(ApiError::lost())),
            Err(error) => Err(error),
        };
        drop(self.room);
        let mut line = serde_json::to_vec(&Entry::of(answer, self.id, Some(self.line))).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }
}
