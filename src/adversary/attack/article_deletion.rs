//! `a`, `an` and `the` between two spaces are left out with the space before them, as in RAID. Must not touch anything else.

use super::Random;
use std::ops::Range;

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let spaces: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    for pair in spaces.windows(2) {
        if matches!(&text[pair[0] + 1..pair[1]], "a" | "an" | "the") {
            found.push(pair[0]..pair[1]);
        }
    }
    found
}

pub(super) fn change(_: &str, _: &mut Random) -> String {
    String::new()
}
