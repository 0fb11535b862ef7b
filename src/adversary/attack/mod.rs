//! Attacked copies of texts: the eleven attacks of the RAID benchmark (Dugan et al. 2024) under its names, letter case and
//! the links of advertising.
//!
//! Takes a text, an attack, a rate and random numbers; gives the places that may change, the edits, and the changed text. Eleven attacks
//! need the text alone and are here; `paraphrase` and `synonym` ask a language model and are in `rewrite`.
//! Must not change anything that its attack does not name.

use super::Random;
use std::{fmt, ops::Range, str::FromStr};

mod alternative_spelling;
mod article_deletion;
mod chain;
mod homoglyph;
mod insert_paragraphs;
mod letter_case;
mod links;
mod misspelling;
mod number;
mod pieces;
mod rewrite;
mod upper_lower;
mod whitespace;
mod zero_width_space;

#[cfg(test)]
mod tests;

pub use chain::{Chain, Variant};
pub use rewrite::{Proposer, Quality, Rewriter, words_kept};

/// One attack of RAID, or `links`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attack {
    /// American spellings become British.
    AlternativeSpelling,
    /// `a`, `an` and `the` are left out.
    ArticleDeletion,
    /// Letters become letters of other scripts that look alike.
    Homoglyph,
    /// Empty lines between sentences.
    InsertParagraphs,
    /// All in capitals, each word with one, or none at all. Not of RAID.
    LetterCase,
    /// Links, names, tags and codes before sentences. Not of RAID.
    Links,
    /// Digits of numbers become others.
    Number,
    /// Runs of words are written anew by the language model.
    Paraphrase,
    /// Words are misspelt as people misspell them.
    Misspelling,
    /// Words become others that the language model thinks as fitting.
    Synonym,
    /// The first letter of words changes its case.
    UpperLower,
    /// Spaces are doubled.
    Whitespace,
    /// Invisible spaces between characters.
    ZeroWidthSpace,
}

/// A place of a text and what shall stand there; an empty place is an insertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// Their replacement.
    pub with: String,
}

/// How many of the places are changed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Rate {
    /// Half of them; all of them for `homoglyph`.
    #[default]
    Usual,
    /// What RAID itself took for each attack.
    Raid,
    /// This share, from 0 to 1.
    Share(f64),
}

/// Where a text can be changed: byte ranges.
type Places = fn(&str) -> Vec<Range<usize>>;
/// What the text of one place becomes.
type Change = fn(&str, &mut Random) -> String;

/// An attack that needs nothing but the text.
struct Plain {
    /// Where the text may change, in order and without overlap.
    places: Places,
    /// What one place becomes.
    change: Change,
}

impl Attack {
    /// All, in the order in which RAID lists its own.
    pub const ALL: [Self; 13] = [
        Self::AlternativeSpelling,
        Self::ArticleDeletion,
        Self::Homoglyph,
        Self::InsertParagraphs,
        Self::LetterCase,
        Self::Links,
        Self::Number,
        Self::Paraphrase,
        Self::Misspelling,
        Self::Synonym,
        Self::UpperLower,
        Self::Whitespace,
        Self::ZeroWidthSpace,
    ];

    /// Its name, in RAID too where it is there.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlternativeSpelling => "alternative_spelling",
            Self::ArticleDeletion => "article_deletion",
            Self::Homoglyph => "homoglyph",
            Self::InsertParagraphs => "insert_paragraphs",
            Self::LetterCase => "letter_case",
            Self::Links => "links",
            Self::Number => "number",
            Self::Paraphrase => "paraphrase",
            Self::Misspelling => "misspelling",
            Self::Synonym => "synonym",
            Self::UpperLower => "upper_lower",
            Self::Whitespace => "whitespace",
            Self::ZeroWidthSpace => "zero_width_space",
        }
    }

    /// Whether it asks a language model.
    pub fn needs_model(self) -> bool {
        self.plain().is_none()
    }

    /// The share of places that `rate` means for this attack.
    pub fn share(self, rate: Rate) -> f64 {
        match (rate, self) {
            (Rate::Share(share), _) => share,
            (_, Self::Homoglyph | Self::LetterCase) => 1.,
            (Rate::Usual, _) => 0.5,
            // generation/adversarial/attack.py of liamdugan/raid
            (Rate::Raid, Self::AlternativeSpelling | Self::Paraphrase | Self::ZeroWidthSpace) => 1.,
            (Rate::Raid, Self::Misspelling | Self::Whitespace) => 0.2,
            (Rate::Raid, Self::UpperLower) => 0.05,
            (Rate::Raid, Self::ArticleDeletion | Self::InsertParagraphs | Self::Links | Self::Number | Self::Synonym) => 0.5,
        }
    }

    /// How many of `places` a share of this attack changes: rounded down, as RAID does. The share of `misspelling` and `synonym` is
    /// of all words, whether they can be changed or not; that of the others is of the places.
    pub fn count(self, text: &str, places: usize, share: f64) -> usize {
        let of = if matches!(self, Self::Misspelling | Self::Synonym) { pieces::words(text).count() } else { places };
        // a share such as 0.3 is a little less than it says: 0.3 of 10 are 3
        ((of as f64 * share + 1e-9).floor() as usize).min(places)
    }

    fn plain(self) -> Option<Plain> {
        let (places, change): (Places, Change) = match self {
            Self::AlternativeSpelling => (alternative_spelling::places, alternative_spelling::change),
            Self::ArticleDeletion => (article_deletion::places, article_deletion::change),
            Self::Homoglyph => (homoglyph::places, homoglyph::change),
            Self::InsertParagraphs => (insert_paragraphs::places, insert_paragraphs::change),
            Self::LetterCase => (letter_case::places, letter_case::change),
            Self::Links => (links::places, links::change),
            Self::Number => (number::places, number::change),
            Self::Misspelling => (misspelling::places, misspelling::change),
            Self::UpperLower => (upper_lower::places, upper_lower::change),
            Self::Whitespace => (whitespace::places, whitespace::change),
            Self::ZeroWidthSpace => (zero_width_space::places, zero_width_space::change),
            Self::Paraphrase | Self::Synonym => return None,
        };
        Some(Plain { places, change })
    }

    /// The edits that change `share` of the places of `text`, in order. Empty for an attack that needs a model.
    pub fn edits(self, text: &str, share: f64, random: &mut Random) -> Vec<Edit> {
        let Some(plain) = self.plain() else { return Vec::new() };
        let places = (plain.places)(text);
        let wanted = self.count(text, places.len(), share);
        let chosen = choose(places, wanted, random);
        chosen.into_iter().map(|at| Edit { with: (plain.change)(&text[at.clone()], random), at }).collect()
    }
}

/// `wanted` of `items`, each as likely as the others, in their order (Knuth's algorithm S).
pub(super) fn choose<T>(items: Vec<T>, wanted: usize, random: &mut Random) -> Vec<T> {
    let (mut left, mut wanted) = (items.len(), wanted.min(items.len()));
    let mut keep = |_: &T| {
        let keep = wanted == left || (wanted > 0 && random.below(left) < wanted);
        left -= 1;
        wanted -= usize::from(keep);
        keep
    };
    items.into_iter().filter(|item| keep(item)).collect()
}

/// The text with these edits made, which are in order and do not overlap.
pub fn apply<'a>(text: &str, edits: impl IntoIterator<Item = &'a Edit>) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut from = 0;
    for edit in edits {
        out.push_str(&text[from..edit.at.start]);
        out.push_str(&edit.with);
        from = edit.at.end;
    }
    out.push_str(&text[from..]);
    out
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Attack {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|attack| attack.name() == s).ok_or_else(|| format!("`{s}` is no attack"))
    }
}
