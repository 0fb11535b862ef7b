//! Normalisation before scoring: takes a text, gives its normal form, a count of everything that was
//! changed, and the way back to the original's bytes. Linear in the text; idempotent; never fails.
//! Must not judge: what was changed is evidence for others.

use serde::{Deserialize, Serialize};
use std::ops::Range;

mod case;
mod characters;
mod homoglyphs;
#[cfg(test)]
mod tests;
mod write;

use characters::Characters;
use write::{Piece, Writer};

/// What normalisation changed, in characters of the original.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Normalization {
    /// Letters of another script put in a word to look like Latin ones.
    pub homoglyphs: u32,
    /// Zero-width, bidirectional and other invisible formatting characters.
    pub zero_width: u32,
    /// Control characters other than line breaks and tabs.
    pub control: u32,
    /// White space taken away or replaced: runs, unusual spaces, carriage returns, both ends of the text.
    #[serde(default)]
    pub whitespace: u32,
    /// Variant forms of a character replaced by the usual one (full-width, mathematical, ligatures: Unicode NFKC).
    #[serde(default)]
    pub compatibility: u32,
    /// Letters whose case was changed, in texts written all in capitals or without any.
    #[serde(default)]
    pub case: u32,
    /// Byte sequences that were not UTF-8. Known before normalisation: [`normalize`] leaves it 0.
    #[serde(default)]
    pub invalid_utf8: u32,
}

/// A normalised text with its way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized {
    /// The text to score.
    pub text: String,
    /// What was changed.
    pub counts: Normalization,
    /// Runs of the text, in order. Empty where each byte stands where it stood in the original.
    pieces: Vec<Piece>,
}

impl Normalized {
    /// The bytes of the original text that a byte range of the normalised text came from.
    ///
    /// Both ends are character boundaries of the original. A range that lies outside the text, or cuts a
    /// character, is brought to the next boundaries around it. Later ranges never give earlier bytes.
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(range.start);
        let end = self.text.ceil_char_boundary(range.end).max(start);
        if self.pieces.is_empty() {
            return start..end;
        }
        let from = self.start_of(start);
        if end == start { from..from } else { from..self.end_of(end) }
    }

    fn piece_at(&self, byte: usize) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.normalized <= byte);
        self.pieces.get(after.checked_sub(1)?)
    }

    /// Where the character at `byte` starts in the original.
    fn start_of(&self, byte: usize) -> usize {
        if byte >= self.text.len() {
            return self.end_of(self.text.len());
        }
        self.piece_at(byte).map_or(0, |piece| piece.original + if piece.replaced == 0 { byte - piece.normalized } else { 0 })
    }

    /// Where the character that ends before `byte` ends in the original.
    fn end_of(&self, byte: usize) -> usize {
        let Some(last) = byte.checked_sub(1) else { return self.start_of(0) };
        self.piece_at(last).map_or(0, |piece| piece.original + if piece.replaced == 0 { byte - piece.normalized } else { piece.replaced })
    }
}

/// Normalises `text`; with `on` false it is taken as it is.
///
/// Letters of other scripts that stand for Latin ones are mapped back; invisible and control characters go,
/// except where an emoji or a script is written with them; runs of white space become one space or at most
/// two line breaks; the rest is Unicode NFKC, but for emoji and for accents that stand alone (`´`). Sentences in capitals, and
/// texts whose sentences begin with small letters, get the usual case.
pub fn normalize(text: &str, on: bool) -> Normalized {
    if !on {
        return Normalized { text: text.to_owned(), counts: Normalization::default(), pieces: Vec::new() };
    }
    let mut words = homoglyphs::disguised(text).into_iter().peekable();
    let mut characters = Characters::new(text);
    let mut writer = Writer::new(text);
    loop {
        let plain = characters.skip_plain();
        if !plain.is_empty() {
            writer.plain(plain);
        }
        let Some(mut character) = characters.next() else { break };
        while words.next_if(|word| word.characters.end <= character.index).is_some() {}
        if let Some(word) = words.peek().filter(|word| word.characters.contains(&character.index))
            && let Some(latin) = word.undisguise(character.c, writer.last())
        {
            character.c = latin;
            writer.count_homoglyph(&character);
        }
        writer.push(character);
    }
    let removed = characters.removed();
    let (text, pieces, written) = writer.finish();
    let (text, case) = case::sentence_case(text);
    let counts = Normalization {
        homoglyphs: written.homoglyphs,
        whitespace: written.whitespace + removed.whitespace,
        compatibility: written.compatibility + removed.compatibility,
        case,
        ..removed
    };
    Normalized { text, counts, pieces }
}
