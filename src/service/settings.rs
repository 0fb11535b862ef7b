//! What the service may use and how long it waits: plain values, each with a default that suits one small machine.

use std::{fmt, time::Duration};

/// How the service runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Address to listen on, `host:port`; port 0 takes a free one.
    pub listen: String,
    /// Asked for as `Authorization: Bearer …` by `/v1/*` and `/metrics`; `None` lets everybody in but the pages of other sites. Health,
    /// documentation and page stay open.
    pub api_key: Option<ApiKey>,
    /// Longest body of one request, bytes; more is 413. `/v1/stream` has no such limit.
    pub max_body: usize,
    /// Bytes of all bodies on their way, each beyond its first 64 KiB; more is 429. At least one of the longest has room.
    pub body_bytes: usize,
    /// Longest text of one document, bytes, also the longest line of a stream (times 3, for JSON escapes); more is 413.
    pub max_text: usize,
    /// Most documents in one request; more is 422.
    pub max_documents: usize,
    /// Text that may wait for the model, bytes, half for requests and half for streams; more is 429 (requests) or a pause (streams). One
    /// request takes at most half of its half, so that two of the largest may wait together.
    pub queue_bytes: usize,
    /// Text that one run of the model takes, bytes (about 4 per token). Larger requests are taken up in pieces, in turn with the others.
    pub batch_bytes: usize,
    /// Lines of one stream that may wait for their answers.
    pub stream_lines: usize,
    /// Connections open at once; more wait in the kernel's backlog.
    pub max_connections: usize,
    /// Clients that may listen to `/v1/alarms` at once; more are 429.
    pub max_listeners: usize,
    /// Where alarms are sent.
    pub webhooks: Vec<Webhook>,
    /// How long the service waits for others.
    pub timeouts: Timeouts,
}

/// How long the service waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a whole request head. An idle keep-alive connection is closed after the same time.
    pub head: Duration,
    /// Between two chunks of a request body.
    pub chunk: Duration,
    /// For a whole request body, streams excepted.
    pub body: Duration,
    /// Between two chunks of a `/v1/stream` body: a forum may be quiet for a while.
    pub stream: Duration,
    /// For a client that takes nothing of its answer.
    pub write: Duration,
    /// For admitted requests to be answered after shutdown was asked for; what is not answered by then is lost, and the service ends with
    /// [`ServiceError::Unanswered`](super::ServiceError::Unanswered).
    pub drain: Duration,
    /// Between two signs of life to somebody who listens for alarms.
    pub heartbeat: Duration,
    /// For one delivery of an alarm to a webhook, from looking up the name to the last byte of the answer.
    pub webhook: Duration,
    /// After the first failed delivery; doubled after each further one, up to [`Timeouts::webhook_retry_most`], with jitter.
    pub webhook_retry: Duration,
    /// Longest wait between two deliveries.
    pub webhook_retry_most: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            api_key: None,
            max_body: 4 << 20,
            body_bytes: 256 << 20,
            max_text: 256 << 10,
            max_documents: 1000,
            queue_bytes: 8 << 20,
            batch_bytes: 16 << 10,
            stream_lines: 32,
            max_connections: 1024,
            max_listeners: 64,
            webhooks: Vec::new(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            chunk: Duration::from_secs(20),
            body: Duration::from_secs(60),
            stream: Duration::from_secs(300),
            write: Duration::from_secs(60),
            // About what two cores take for the requests of a full queue.
            drain: Duration::from_secs(300),
            heartbeat: Duration::from_secs(15),
            webhook: Duration::from_secs(10),
            webhook_retry: Duration::from_secs(1),
            webhook_retry_most: Duration::from_secs(300),
        }
    }
}

/// An address that every alarm is posted to.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where to: `http://` or `https://`.
    pub url: String,
    /// What deliveries are signed with; unsigned without one.
    pub secret: Option<String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("to", &crate::client::place(&self.url)).finish_non_exhaustive()
    }
}

/// A secret that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes any text that is not empty; `None` for the empty one.
    pub fn new(key: impl Into<String>) -> Option<Self> {
        Some(key.into()).filter(|k| !k.is_empty()).map(Self)
    }

    /// Compares in a time that depends only on the lengths.
    pub(super) fn matches(&self, given: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), given.as_bytes());
        let differing = ours.iter().zip(theirs).fold(0, |d, (a, b)| std::hint::black_box(d | (a ^ b)));
        ours.len() == theirs.len() && differing == 0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}
