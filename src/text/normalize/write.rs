//! Last stage: puts characters together again (canonical order, composition, white space) and keeps the way back.
//! Takes decomposed characters in order, gives the text and its pieces. Must not choose what to remove.

use super::{
    Normalization,
    characters::{Character, is_space},
};
use std::ops::Range;
use unicode_normalization::char::{canonical_combining_class, compose};

/// More accents than any writing puts on one letter. A longer pile is cut, as in Unicode's Stream-Safe Text
/// Format, so that no character of a hostile text is ever large.
const MAX_MARKS: usize = 30;

/// A run of the normalised text, up to the next one, and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// First byte in the normalised text.
    pub(super) normalized: usize,
    /// First byte in the original.
    pub(super) original: usize,
    /// Bytes of the original that the run stands for as a whole; 0 where it equals the original byte for byte.
    pub(super) replaced: usize,
}

/// Builds the normalised text.
pub(super) struct Writer<'a> {
    source: &'a str,
    text: String,
    pieces: Vec<Piece>,
    counts: Normalization,
    last_homoglyph: Option<usize>,
    last: char,
    cluster: Cluster,
    space: Space,
}

/// A letter and the accents on it.
#[derive(Default)]
struct Cluster {
    head: Option<char>,
    /// Accents with their combining classes.
    marks: Vec<(u8, char)>,
    /// Whether `compose` has seen all accents.
    composed: bool,
    from: Range<usize>,
}

/// A run of white space, not yet written.
#[derive(Default)]
struct Space {
    from: Range<usize>,
    length: u32,
    blanks: u32,
    breaks: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self {
            source,
            text: String::with_capacity(source.len()),
            pieces: Vec::new(),
            counts: Normalization::default(),
            last_homoglyph: None,
            last: ' ',
            cluster: Cluster::default(),
            space: Space::default(),
        }
    }

    /// The letter that was pushed last, before its accents.
    pub(super) fn last(&self) -> char {
        self.last
    }

    /// Notes that this character was a homoglyph, once for each character of the original.
    pub(super) fn count_homoglyph(&mut self, character: &Character) {
        if self.last_homoglyph != Some(character.at.start) {
            self.last_homoglyph = Some(character.at.start);
            self.counts.homoglyphs += 1;
        }
    }

    /// Takes a stretch of the original that stays as it is.
    pub(super) fn plain(&mut self, from: Range<usize>) {
        self.write_cluster();
        self.write_space();
        let start = self.text.len();
        self.text.push_str(&self.source[from.clone()]);
        self.last = self.text.chars().next_back().unwrap_or(' ');
        self.note(start, from);
    }

    /// Takes the next character.
    pub(super) fn push(&mut self, character: Character) {
        let Character { c, at, .. } = character;
        let class = canonical_combining_class(c);
        if class == 0 {
            self.last = c;
        }
        if is_space(c) {
            self.write_cluster();
            return self.space.push(c, at);
        }
        self.write_space();
        if class > 0 && self.cluster.marks.len() == MAX_MARKS {
            self.counts.compatibility += 1;
            return;
        }
        if self.cluster.push(c, class, &at) {
            return;
        }
        self.write_cluster();
        self.cluster.head = Some(c);
        self.cluster.from = at;
    }

    /// The text, its pieces, and the counts of what was changed here.
    pub(super) fn finish(mut self) -> (String, Vec<Piece>, Normalization) {
        self.write_cluster();
        self.counts.whitespace += self.space.length;
        if self.text.len() == self.source.len() && self.pieces.iter().all(|piece| piece.replaced == 0) {
            self.pieces.clear();
        }
        (self.text, self.pieces, self.counts)
    }

    fn write_cluster(&mut self) {
        self.cluster.compose();
        let cluster = &mut self.cluster;
        if cluster.head.is_none() && cluster.marks.is_empty() {
            return;
        }
        let start = self.text.len();
        self.text.extend(cluster.head.take());
        self.text.extend(cluster.marks.drain(..).map(|(_, c)| c));
        cluster.composed = false;
        let from = cluster.from.clone();
        self.note(start, from);
    }

    /// Writes the waiting white space, unless the text has not begun.
    fn write_space(&mut self) {
        if self.space.length == 0 {
            return;
        }
        let space = std::mem::take(&mut self.space);
        let start = self.text.len();
        if start == 0 {
            self.counts.whitespace += space.length;
            return;
        }
        self.text.push_str(match space.breaks {
            0 => " ",
            1 => "\n",
            _ => "\n\n",
        });
        let kept = if space.breaks == 0 { space.blanks.min(1) } else { space.breaks.min(2) as u32 };
        self.counts.whitespace += space.length - kept;
        self.note(start, space.from);
    }

    /// Keeps the way from the text since `start` back to `from`.
    fn note(&mut self, start: usize, from: Range<usize>) {
        let same = self.text[start..] == self.source[from.clone()];
        let piece = Piece { normalized: start, original: from.start, replaced: if same { 0 } else { from.len() } };
        let continues = self.pieces.last().is_some_and(|last| match (last.replaced, piece.replaced) {
            (0, 0) => last.original + (start - last.normalized) == from.start,
            (a, b) => a == b && last.original == from.start,
        });
        if !continues {
            self.pieces.push(piece);
        }
    }
}

impl Cluster {
    /// Takes `c` if it belongs to this cluster; says whether it did.
    fn push(&mut self, c: char, class: u8, at: &Range<usize>) -> bool {
        if class > 0 {
            if self.head.is_none() && self.marks.is_empty() {
                self.from = at.clone();
            }
            self.marks.push((class, c));
            self.composed = false;
            self.from.end = at.end;
            return true;
        }
        if self.head.is_none() {
            return false;
        }
        self.compose();
        let joined = if self.marks.is_empty() { self.head.and_then(|head| compose(head, c)) } else { None };
        if joined.is_some() {
            self.head = joined;
            self.from.end = at.end;
        }
        joined.is_some()
    }

    /// Puts the accents in canonical order and joins those that the letter can be written with.
    fn compose(&mut self) {
        if std::mem::replace(&mut self.composed, true) {
            return;
        }
        self.marks.sort_by_key(|mark| mark.0);
        let Some(mut head) = self.head else { return };
        let mut blocked = 0;
        self.marks.retain(|&(class, c)| {
            let joined = if blocked < class { compose(head, c) } else { None };
            match joined {
                Some(joined) => head = joined,
                None => blocked = class,
            }
            joined.is_none()
        });
        self.head = Some(head);
    }
}

impl Space {
    fn push(&mut self, c: char, at: Range<usize>) {
        if self.length == 0 {
            self.from.start = at.start;
        }
        self.from.end = at.end;
        self.length += 1;
        match c {
            '\n' => self.breaks += 1,
            ' ' => self.blanks += 1,
            _ => {}
        }
    }
}
