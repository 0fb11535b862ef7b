//! First stage: a text as its decomposed characters, without what cannot be seen.
//! Gives each character with its place in the original and counts what it left out.
//! Must not look further than the neighbouring characters.

use super::Normalization;
use std::{collections::VecDeque, ops::Range};
use unicode_normalization::char::{canonical_combining_class, decompose_canonical, decompose_compatible};
use unicode_script::{Script, UnicodeScript};

/// One character of a decomposed text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Character {
    pub(super) c: char,
    /// Its number in the decomposed text.
    pub(super) index: usize,
    /// Bytes of the original character that it is from.
    pub(super) at: Range<usize>,
}

/// Iterates over the characters of a text.
pub(super) struct Characters<'a> {
    text: &'a str,
    at: usize,
    index: usize,
    /// The rest of a character's decomposition, and where that character stands.
    queue: VecDeque<char>,
    queue_at: Range<usize>,
    /// What was given last, and the last of these that is no combining mark.
    last: char,
    base: char,
    /// How many tag characters from here on belong to a flag.
    tags: usize,
    removed: Normalization,
}

/// Characters that are looked at to find the next visible one.
const LOOK_AHEAD: usize = 8;

const ZERO_WIDTH_NON_JOINER: char = '\u{200C}';
const ZERO_WIDTH_JOINER: char = '\u{200D}';

impl<'a> Characters<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let removed = Normalization::default();
        Self { text, at: 0, index: 0, queue: VecDeque::new(), queue_at: 0..0, last: ' ', base: ' ', tags: 0, removed }
    }

    /// Counts of what was left out or decomposed so far.
    pub(super) fn removed(&self) -> Normalization {
        self.removed
    }

    /// Passes over printable ASCII with single spaces and line breaks in it, which nothing changes.
    /// The last character before anything else stays: there may be an accent for it.
    pub(super) fn skip_plain(&mut self) -> Range<usize> {
        let start = self.at;
        if !self.queue.is_empty() {
            return start..start;
        }
        let bytes = self.text.as_bytes();
        let visible = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_graphic);
        while visible(self.at) || (self.at > start && matches!(bytes.get(self.at), Some(b' ' | b'\n')) && visible(self.at + 1)) {
            self.at += 1;
        }
        if self.at > start && bytes.get(self.at).is_some_and(|byte| !byte.is_ascii_whitespace()) {
            self.at -= 1;
        }
        if self.at > start {
            self.index += self.at - start;
            self.last = char::from(bytes[self.at - 1]);
            self.base = self.last;
        }
        start..self.at
    }

    /// Reads one character of the original into the queue, or leaves it out.
    fn read(&mut self, c: char) {
        let rest = &self.text[self.queue_at.end..];
        match c {
            ' '..='~' | '\n' | '\t' => self.queue.push_back(c),
            '\r' => {
                self.removed.whitespace += 1;
                if !rest.starts_with('\n') {
                    self.queue.push_back('\n');
                }
            }
            _ if c.is_control() => {
                self.removed.control += 1;
                // Vertical tab, form feed and next line do break lines.
                if c.is_whitespace() {
                    self.queue.push_back('\n');
                }
            }
            '\u{2028}' | '\u{2029}' => {
                self.removed.whitespace += 1;
                self.queue.push_back('\n');
            }
            _ if is_invisible(c) && !self.is_needed(c, rest) => self.removed.zero_width += 1,
            _ => self.decompose(c, rest),
        }
    }

    fn decompose(&mut self, c: char, rest: &str) {
        if is_space(c) || is_text_emoji(c) && rest.starts_with(is_variation_selector) {
            return self.queue.push_back(c);
        }
        if c == '\u{1F3F4}' {
            self.tags = flag_tags(rest);
        }
        decompose_compatible(c, |part| self.queue.push_back(part));
        // A lone accent would become a space and an accent: a new word where the writer had none.
        if self.queue.len() > 1 && self.queue[0] == ' ' {
            self.queue.clear();
            decompose_canonical(c, |part| self.queue.push_back(part));
            return;
        }
        let mut canonical = 0;
        let mut same = true;
        decompose_canonical(c, |part| {
            same &= self.queue.get(canonical) == Some(&part);
            canonical += 1;
        });
        if !same || canonical != self.queue.len() {
            self.removed.compatibility += 1;
        }
    }

    /// Whether an invisible character is part of how an emoji or a word is written.
    fn is_needed(&mut self, c: char, rest: &str) -> bool {
        // Invisible characters put between the parts of an emoji go, and must not take the emoji with them. The look ahead is bounded,
        // so that a million of them cost no more than a million looks.
        let next = rest.chars().take(LOOK_AHEAD).find(|&c| !is_invisible(c)).unwrap_or(' ');
        match c {
            ZERO_WIDTH_JOINER if is_pictographic(self.last) || is_variation_selector(self.last) => is_pictographic(next),
            ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER => is_joining(self.base) && next_base(rest).is_some_and(is_joining),
            _ if is_variation_selector(c) => {
                let keycap = next == '\u{20E3}' && matches!(self.last, '0'..='9' | '#' | '*');
                keycap || is_pictographic(self.last) || is_text_emoji(self.last)
            }
            '\u{E0020}'..='\u{E007F}' if self.tags > 0 => {
                self.tags -= 1;
                true
            }
            _ => false,
        }
    }
}

impl Iterator for Characters<'_> {
    type Item = Character;

    fn next(&mut self) -> Option<Character> {
        while self.queue.is_empty() {
            let c = self.text[self.at..].chars().next()?;
            self.queue_at = self.at..self.at + c.len_utf8();
            self.at = self.queue_at.end;
            self.read(c);
        }
        let c = self.queue.pop_front()?;
        self.last = c;
        if canonical_combining_class(c) == 0 {
            self.base = c;
        }
        self.index += 1;
        Some(Character { c, index: self.index - 1, at: self.queue_at.clone() })
    }
}

/// The next letter that is seen, past its accents, whose order is not yet the normal one; `None` where none is near.
fn next_base(rest: &str) -> Option<char> {
    let mut looked = 0;
    for c in rest.chars().take(LOOK_AHEAD) {
        let mut base = None;
        decompose_canonical(c, |part| {
            looked += 1;
            if base.is_none() && canonical_combining_class(part) == 0 {
                base = Some(part);
            }
        });
        if looked > LOOK_AHEAD {
            break;
        }
        if base.is_some_and(|base| !is_invisible(base)) {
            return base;
        }
    }
    None
}

/// White space, and the Braille pattern without dots.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// Unicode's Default_Ignorable_Code_Point, and the marks of interlinear annotation.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFC}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// Chooses an emoji's form: as text or in colour.
fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{FE0E}' | '\u{FE0F}')
}

/// Pictures that NFKC leaves alone.
pub(super) fn is_pictographic(c: char) -> bool {
    matches!(c,
        '©' | '®' | '\u{2194}'..='\u{2199}' | '\u{21A9}'..='\u{21AA}' | '\u{231A}'..='\u{231B}' | '\u{2328}' | '\u{23CF}'
        | '\u{23E9}'..='\u{23FA}' | '\u{25AA}'..='\u{27BF}' | '\u{2934}'..='\u{2935}' | '\u{2B05}'..='\u{2B55}' | '\u{3030}'
        | '\u{303D}' | '\u{1F000}'..='\u{1F0FF}' | '\u{1F170}'..='\u{1F18F}' | '\u{1F191}'..='\u{1F1FF}'
        | '\u{1F300}'..='\u{1FAFF}')
}

/// Signs that NFKC spells out, but that are emoji before a variation selector.
fn is_text_emoji(c: char) -> bool {
    matches!(c, '‼' | '⁉' | '™' | 'ℹ' | 'Ⓜ' | '㊗' | '㊙')
}

/// How many characters after a black flag make it the flag of a region: letters or digits and an end tag.
fn flag_tags(rest: &str) -> usize {
    let region = rest.chars().take(7).take_while(|c| matches!(c, '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}')).count();
    match rest.chars().nth(region) {
        Some('\u{E007F}') if (3..7).contains(&region) => region + 1,
        _ => 0,
    }
}

/// Letters of scripts whose spelling needs joiners.
pub(super) fn is_joining(c: char) -> bool {
    use Script::{
        Arabic, Balinese, Bengali, Devanagari, Gujarati, Gurmukhi, Javanese, Kannada, Khmer, Malayalam, Mongolian, Myanmar, Nko, Oriya,
        Sinhala, Syriac, Tamil, Telugu, Tibetan,
    };
    matches!(
        c.script(),
        Arabic
            | Balinese
            | Bengali
            | Devanagari
            | Gujarati
            | Gurmukhi
            | Javanese
            | Kannada
            | Khmer
            | Malayalam
            | Mongolian
            | Myanmar
            | Nko
            | Oriya
            | Sinhala
            | Syriac
            | Tamil
            | Telugu
            | Tibetan
    )
}
