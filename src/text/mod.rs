//! Bytes to documents: what a text is called, which streams it belongs to, and its normalised form.

use serde::{Deserialize, Serialize};

mod normalize;
pub use normalize::{Normalization, Normalized, normalize};

/// One text to be assessed, as its sender wrote it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// The sender's name for it, given back unchanged.
    pub id: Option<String>,
    /// The original text. Offsets in answers are bytes of this string.
    pub text: String,
    /// The streams that this document is evidence for (a forum, an author, a thread).
    pub streams: Vec<StreamKey>,
    /// When it was posted, if its sender said so.
    pub time: Option<jiff::Timestamp>,
    /// Byte sequences that were not UTF-8 and stand in `text` as U+FFFD.
    pub invalid_utf8: u32,
    /// Whether the answer should carry the per-token scores.
    pub with_tokens: bool,
}

impl Document {
    /// A document of this text and nothing else.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// What floods are counted per: a forum, an author, a thread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamKey(String);

impl StreamKey {
    /// Takes 1 to 256 bytes without control characters.
    pub fn new(key: impl Into<String>) -> Result<Self, StreamKeyError> {
        let key = key.into();
        if key.is_empty() || key.len() > 256 {
            return Err(StreamKeyError::Length(key.len()));
        }
        if key.chars().any(char::is_control) {
            return Err(StreamKeyError::Control);
        }
        Ok(Self(key))
    }

    /// The key as its sender wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a stream key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamKeyError {
    /// Empty, or longer than 256 bytes.
    #[error("a stream key takes 1 to 256 bytes, this one has {0}")]
    Length(usize),
    /// A control character, which would break logs and metrics.
    #[error("a stream key may not hold control characters")]
    Control,
}

/// Words of a text: runs between white space.
pub fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Why no model of English can judge this text, if so; `None` where it can be tried.
pub fn unsupported_language(_text: &str) -> Option<&'static str> {
    None
}
