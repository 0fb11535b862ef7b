//! An empty line before a sentence, as in RAID. Must only insert, and only between sentences.

use super::{Random, pieces};
use std::ops::Range;

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    pieces::sentence_starts(text).into_iter().map(|at| at..at).collect()
}

pub(super) fn change(_: &str, _: &mut Random) -> String {
    "\n\n".to_owned()
}
