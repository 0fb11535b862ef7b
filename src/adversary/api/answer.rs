//! What a server sends to a `Completion`: one JSON object, or server-sent events of them. Bounded, and sure that a text is whole.

use super::{
    ApiError, Completion, Usage,
    error::one_line,
    sse::{Events, TooLong},
};
use crate::client::Head;
use serde::Deserialize;
use std::ops::ControlFlow;

/// One object of either protocol, whole or a piece.
#[derive(Deserialize)]
struct Part {
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Counts>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// Completions.
    text: Option<String>,
    /// Chat, whole.
    message: Option<Message>,
    /// Chat, a piece.
    delta: Option<Message>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// An answer on its way.
pub(super) struct Reading {
    limit: usize,
    taken: usize,
    /// Bytes of an answer that is one object, or of an error.
    body: Vec<u8>,
    events: Option<Events>,
    so_far: Completion,
    /// Whether the server has said that the text is whole.
    whole: bool,
    fault: Option<ApiError>,
}

impl Reading {
    /// Takes at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: 0, body: Vec::new(), events: None, so_far: Completion::default(), whole: false, fault: None }
    }

    /// Takes the next bytes; `Break` where no more are wanted.
    pub(super) fn take(&mut self, head: &Head, bytes: &[u8]) -> ControlFlow<()> {
        if self.taken == 0 && head.status == 200 && head.content_type.starts_with("text/event-stream") {
            self.events = Some(Events::new(self.limit));
        }
        self.taken = self.taken.saturating_add(bytes.len());
        if self.taken > self.limit {
            self.fault = Some(ApiError::TooLong(self.limit));
            return ControlFlow::Break(());
        }
        let Some(mut events) = self.events.take() else {
            self.body.extend_from_slice(bytes);
            return ControlFlow::Continue(());
        };
        if events.push(bytes, &mut |data| self.event(data)) == Err(TooLong) {
            self.fault = Some(ApiError::TooLong(self.limit));
        }
        self.events = Some(events);
        if self.fault.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn event(&mut self, data: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        match data.trim_ascii() {
            b"[DONE]" => self.whole = true,
            b"" => {}
            data => self.part(data),
        }
    }

    fn part(&mut self, json: &[u8]) {
        let part: Part = match serde_json::from_slice(json) {
            Ok(part) => part,
            Err(error) => return self.fault = Some(ApiError::Answer(format!("it is not the JSON of this protocol: {error}"))),
        };
        if let Some(error) = part.error {
            let told = error.get("message").or(Some(&error)).and_then(|m| m.as_str()).unwrap_or("no reason given");
            return self.fault = Some(ApiError::Answer(one_line(told)));
        }
        if let Some(counts) = part.usage {
            self.so_far.usage = Some(Usage { input: counts.prompt_tokens, output: counts.completion_tokens });
        }
        self.so_far.model = self.so_far.model.take().or(part.model);
        let Some(choice) = part.choices.into_iter().next() else { return };
        let message = choice.message.or(choice.delta);
        if let Some(refusal) = message.as_ref().and_then(|m| m.refusal.as_deref()).filter(|refusal| !refusal.is_empty()) {
            return self.fault = Some(ApiError::NoText(format!("the model refused: {}", one_line(refusal))));
        }
        if let Some(text) = choice.text.or(message.and_then(|m| m.content)) {
            self.so_far.text.push_str(&text);
        }
        if let Some(reason) = choice.finish_reason {
            self.so_far.finish = Some(reason);
            self.whole = true;
        }
    }

    /// The answer has ended.
    pub(super) fn finish(mut self, head: &Head) -> Result<Completion, ApiError> {
        if let Some(mut events) = self.events.take() {
            events.finish(&mut |data| self.event(data));
        } else if self.fault.is_none() {
            if head.status != 200 {
                return Err(ApiError::status(head.status, head.retry_after, &self.body));
            }
            let body = std::mem::take(&mut self.body);
            self.part(&body);
            // one object is whole when it can be read
            self.whole = true;
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !self.whole {
            return Err(ApiError::CutOff);
        }
        if self.so_far.text.trim().is_empty() {
            let why =
                self.so_far.finish.map_or_else(|| "no reason given".to_owned(), |reason| format!("finish_reason `{}`", one_line(&reason)));
            return Err(ApiError::NoText(why));
        }
        Ok(self.so_far)
    }
}

/// Reads foreign bytes as an answer, whole and in pieces: both must come to the same. For fuzzing.
#[doc(hidden)]
pub fn parse_any(bytes: &[u8]) {
    let (kind, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let content_type = if kind & 1 == 0 { "application/json" } else { "text/event-stream" };
    let head = Head { status: if kind & 2 == 0 { 200 } else { 500 }, retry_after: None, content_type: content_type.to_owned() };
    let read = |size: usize| {
        let mut reading = Reading::new(1 << 12);
        for piece in bytes.chunks(size) {
            if reading.take(&head, piece).is_break() {
                break;
            }
        }
        reading.finish(&head).ok()
    };
    assert_eq!(read(1 + usize::from(*kind)), read(bytes.len().max(1)));
}
