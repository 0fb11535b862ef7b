//! An invisible space (U+200B) after a character, as in RAID. Must only insert.

use super::Random;
use std::ops::Range;

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    text.char_indices().map(|(at, c)| at + c.len_utf8()).map(|end| end..end).collect()
}

pub(super) fn change(_: &str, _: &mut Random) -> String {
    "\u{200B}".to_owned()
}
