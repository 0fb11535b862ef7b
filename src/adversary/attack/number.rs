//! Numbers become others of the same length. Must change digits only, and every number that it was told to change.

use super::Random;
use std::ops::Range;

/// Runs of digits, one full stop with digits on both sides in them.
pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let mut point = false;
        while digit(at) || (at > start && !point && bytes.get(at) == Some(&b'.') && digit(at + 1)) {
            point |= bytes[at] == b'.';
            at += 1;
        }
        if at > start {
            found.push(start..at);
        }
        at += usize::from(at == start);
    }
    found
}

/// Every digit is drawn anew; the first one becomes another, and no zero where it was none.
pub(super) fn change(number: &str, random: &mut Random) -> String {
    let mut out = String::with_capacity(number.len());
    for c in number.chars() {
        let digit = match c.to_digit(10) {
            None => {
                out.push(c);
                continue;
            }
            Some(_) if !out.is_empty() => random.below(10),
            Some(0) => 1 + random.below(9),
            // one of the other eight from 1 to 9
            Some(first) => (first as usize + random.below(8)) % 9 + 1,
        };
        out.push(char::from(b'0' + digit as u8));
    }
    out
}
