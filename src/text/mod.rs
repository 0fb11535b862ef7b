//! Bytes to documents: what a text is called, which streams it belongs to, and its normalised form.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

mod asides;
mod harmless;
mod language;
mod normalize;
mod prose;
mod time;
pub use asides::{asides, is_link_or_name};
pub use harmless::harmless;
pub use language::{Unsupported, unsupported_language};
pub use normalize::{Normalization, Normalized, normalize};
pub use prose::not_prose;
pub use time::{timestamp, timestamp_of_seconds};

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

    /// A document of these bytes, read as UTF-8 without the byte-order mark that may stand first.
    /// Each sequence that is not UTF-8 becomes one U+FFFD and is counted in `invalid_utf8`.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes);
        let mut document = Self { text: String::with_capacity(bytes.len()), ..Self::default() };
        for chunk in bytes.utf8_chunks() {
            document.text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                document.text.push(char::REPLACEMENT_CHARACTER);
                document.invalid_utf8 = document.invalid_utf8.saturating_add(1);
            }
        }
        document
    }
}

/// What floods are counted per: a forum, an author, a thread. Up to 24 bytes take no memory of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamKey(CompactString);

const WHOLE: &str = "*";

impl StreamKey {
    /// Takes 1 to 256 bytes without control characters, and not `*` alone.
    pub fn new(key: impl Into<String>) -> Result<Self, StreamKeyError> {
        let key = key.into();
        if key.is_empty() || key.len() > 256 {
            return Err(StreamKeyError::Length(key.len()));
        }
        if key.chars().any(char::is_control) {
            return Err(StreamKeyError::Control);
        }
        if key == WHOLE {
            return Err(StreamKeyError::Reserved);
        }
        Ok(Self(key.into()))
    }

    /// The key of all documents together, `*`, which no sender can use.
    pub fn whole() -> Self {
        Self(WHOLE.into())
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
    /// The name of all documents together.
    #[error("the stream key `*` is reserved for the whole stream; use another")]
    Reserved,
}

/// Words of a text: runs between white space.
pub fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Line breaks of a text, those at its ends left out: `\n`, `\r\n` or `\r`.
pub fn line_breaks(text: &str) -> usize {
    let text = text.trim();
    text.matches('\n').count() + text.matches('\r').count() - text.matches("\r\n").count()
}

/// Texts that start alike are one document: its hash (FNV-1a, the same everywhere) is over the first 40 letters and digits, lower-case.
pub fn group(text: &str) -> u64 {
    let folded = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(40);
    folded.fold(0xcbf2_9ce4_8422_2325, |hash, c| (hash ^ u64::from(c)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_their_faults_counted() {
        let cases: [(&[u8], &str, u32); 6] = [
            (b"", "", 0),
            ("\u{FEFF}caf\u{E9} \u{FEFF}".as_bytes(), "caf\u{E9} \u{FEFF}", 0),
            (b"\xEF\xBBab", "\u{FFFD}ab", 1),
            (b"caf\xE9 is\xFF\xFEok\0", "caf\u{FFFD} is\u{FFFD}\u{FFFD}ok\0", 3),
            // A lone surrogate, as some encoders write it.
            (b"\xED\xA0\x80", "\u{FFFD}\u{FFFD}\u{FFFD}", 3),
            ("\u{FFFD}".as_bytes(), "\u{FFFD}", 0),
        ];
        for (bytes, text, invalid) in cases {
            let document = Document::from_bytes(bytes);
            assert_eq!((document.text.as_str(), document.invalid_utf8), (text, invalid));
        }
    }

    #[test]
    fn words_are_runs_between_white_space() {
        for (text, count) in [("", 0), (" \n\t", 0), ("one", 1), (" don't  stop - me\u{A0}now ", 5)] {
            assert_eq!(words(text), count, "{text:?}");
        }
    }

    #[test]
    fn line_breaks_are_counted_between_lines_whatever_ends_them() {
        for (text, count) in [("", 0), ("one\n", 0), ("\none\ntwo\n\n", 1), ("a\r\nb\r\n\r\nc", 3), ("a\rb", 1)] {
            assert_eq!(line_breaks(text), count, "{text:?}");
        }
    }

    #[test]
    fn texts_that_start_alike_are_one_group() {
        assert_eq!(group("The  CAT, sat\non"), group("the cat sat ON"));
        assert_eq!(group(&"é1".repeat(20)), group(&"É1".repeat(90)));
        assert_ne!(group("the cat sat"), group("the cat sits"));
        // the recipe's folds name groups by this value too: scripts/test_recipe.py
        assert_eq!(group("The cat sat on"), 0x68e7_bb46_43c8_3c9d);
    }
}
