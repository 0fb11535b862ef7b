//! Why a server gave no text, and whether asking again may help. Messages never hold the key.

use super::request::Key;
use crate::client::ClientError;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answered, or not in time.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server refused.
    #[error("the server answered {status}{}", told(.message))]
    Status {
        /// The HTTP status.
        status: u16,
        /// What the server says, cut to a line.
        message: String,
        /// Seconds that it asks to wait.
        retry_after: Option<u64>,
    },
    /// An answer that is none.
    #[error("the server's answer cannot be used: {0}")]
    Answer(String),
    /// A whole answer without a text in it: the model refused, or said nothing.
    #[error("the server's answer holds no text: {0}")]
    NoText(String),
    /// The server dropped the connection, or closed it, in the middle of a text.
    #[error("the server stopped in the middle of its answer")]
    CutOff,
    /// More than is taken.
    #[error("the server's answer is longer than {0} bytes")]
    TooLong(usize),
    /// It failed every time.
    #[error("gave up after {attempts} attempts: {source}")]
    GaveUp {
        /// How many.
        attempts: u32,
        /// The last failure.
        source: Box<ApiError>,
    },
    /// Stopped while it waited.
    #[error("stopped")]
    Cancelled,
}

fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// Bytes of a server's message that are shown.
const SHOWN: usize = 300;

impl ApiError {
    /// A refusal, its message taken from the body where that is the protocol's JSON.
    pub(super) fn status(status: u16, retry_after: Option<u64>, body: &[u8]) -> Self {
        let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let field = |name: &str| json.as_ref().and_then(|json| json.pointer(name)?.as_str().map(str::to_owned));
        let message = field("/error/message").or_else(|| field("/error")).or_else(|| field("/message"));
        Self::Status { status, retry_after, message: one_line(&message.unwrap_or_default()) }
    }

    /// Whether the same request may be answered later.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Client(_) | Self::CutOff | Self::Answer(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 409 | 425 | 429 | 500..=599),
            Self::NoText(_) | Self::TooLong(_) | Self::GaveUp { .. } | Self::Cancelled => false,
        }
    }

    /// Whether no other prompt would be answered either: a wrong key, model or address, a spent quota, a server that is down.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 401..=405),
            Self::GaveUp { source, .. } => match **source {
                Self::Client(_) => true,
                // with 500 some servers break on a text that they cannot take
                Self::Status { status, .. } => matches!(status, 429 | 501..=599),
                _ => false,
            },
            Self::Cancelled => true,
            _ => false,
        }
    }

    /// Whether the server refused the request and named this parameter.
    pub(super) fn names(&self, parameter: &str) -> bool {
        matches!(self, Self::Status { status: 400, message, .. } if message.contains(parameter))
    }

    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The same, its message without the key: servers repeat what they were sent.
    pub(super) fn without(self, key: Option<&Key>) -> Self {
        let Some(key) = key else { return self };
        match self {
            Self::Status { status, message, retry_after } => Self::Status { status, message: key.hide_in(&message), retry_after },
            Self::Answer(message) => Self::Answer(key.hide_in(&message)),
            Self::NoText(message) => Self::NoText(key.hide_in(&message)),
            other => other,
        }
    }
}

/// A foreign message: one line, a few hundred bytes, nothing that drives a terminal.
pub(super) fn one_line(message: &str) -> String {
    let cut = &message[..message.floor_char_boundary(SHOWN)];
    let line: String = cut.split_whitespace().collect::<Vec<_>>().join(" ");
    let harmless: String = line.chars().filter(|c| !c.is_control()).collect();
    if cut.len() < message.len() { format!("{harmless} …") } else { harmless }
}
