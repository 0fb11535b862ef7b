//! Letters become Cyrillic or Greek ones that look alike: the mapping of RAID. Must not touch any other character.

use super::Random;
use std::ops::Range;

/// A Latin letter and what it may become, sorted by letter.
const LOOKALIKES: [(char, &[char]); 22] = [
    ('A', &['\u{410}', '\u{391}']),
    ('B', &['\u{412}', '\u{392}']),
    ('C', &['\u{421}']),
    ('E', &['\u{415}', '\u{395}']),
    ('H', &['\u{41D}', '\u{397}']),
    ('I', &['\u{406}', '\u{399}']),
    ('K', &['\u{41A}', '\u{39A}']),
    ('M', &['\u{41C}', '\u{39C}']),
    ('N', &['\u{39D}']),
    ('O', &['\u{41E}', '\u{39F}']),
    ('P', &['\u{420}', '\u{3A1}']),
    ('T', &['\u{422}', '\u{3A4}']),
    ('X', &['\u{425}', '\u{3A7}']),
    ('Z', &['\u{396}']),
    ('a', &['\u{430}']),
    ('c', &['\u{441}']),
    ('e', &['\u{435}']),
    ('i', &['\u{456}']),
    ('o', &['\u{43E}']),
    ('p', &['\u{440}']),
    ('x', &['\u{445}']),
    ('y', &['\u{443}']),
];

fn lookalikes(c: char) -> Option<&'static [char]> {
    LOOKALIKES.binary_search_by_key(&c, |entry| entry.0).ok().map(|i| LOOKALIKES[i].1)
}

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    text.char_indices().filter(|(_, c)| lookalikes(*c).is_some()).map(|(at, c)| at..at + c.len_utf8()).collect()
}

pub(super) fn change(letter: &str, random: &mut Random) -> String {
    let disguised = |c: char| lookalikes(c).and_then(|all| all.get(random.below(all.len())).copied()).unwrap_or(c);
    letter.chars().map(disguised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_is_sorted() {
        assert!(LOOKALIKES.is_sorted_by_key(|entry| entry.0));
    }
}
