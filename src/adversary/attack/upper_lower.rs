//! The first letter of words changes its case, as in RAID. Must not touch letters whose other case is not one letter.

use super::{Random, pieces};
use std::ops::Range;

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let first = |word: Range<usize>| {
        let c = text[word.clone()].chars().next()?;
        flip(c).map(|_| word.start..word.start + c.len_utf8())
    };
    pieces::words(text).filter_map(first).collect()
}

pub(super) fn change(letter: &str, _: &mut Random) -> String {
    letter.chars().map(|c| flip(c).unwrap_or(c)).collect()
}

/// The other case, where it is one letter whose other case is `c` again.
pub(super) fn flip(c: char) -> Option<char> {
    let one = |mut letters: Box<dyn Iterator<Item = char>>| letters.next().filter(|_| letters.next().is_none());
    let (upper, lower) = (|c: char| one(Box::new(c.to_uppercase())), |c: char| one(Box::new(c.to_lowercase())));
    let (other, back) = if c.is_uppercase() { (lower(c)?, upper(lower(c)?)?) } else { (upper(c)?, lower(upper(c)?)?) };
    (other != c && back == c).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_flips_there_and_back_or_not_at_all() {
        assert_eq!(['a', 'A', 'é', 'Σ'].map(flip), [Some('A'), Some('a'), Some('É'), Some('σ')]);
        assert_eq!(['ß', 'ﬁ', '1', 'ı', 'ς', 'İ', 'ª'].map(flip), [None; 7]);
    }
}
