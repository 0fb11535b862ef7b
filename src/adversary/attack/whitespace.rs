//! A space more after a space. Must insert spaces only. RAID may draw the same gap twice; here a gap grows by one.

use super::Random;
use std::ops::Range;

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    text.match_indices(' ').map(|(at, _)| at + 1..at + 1).collect()
}

pub(super) fn change(_: &str, _: &mut Random) -> String {
    " ".to_owned()
}
