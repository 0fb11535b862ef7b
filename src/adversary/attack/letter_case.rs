//! The whole text in capitals, with a capital for each word, or without any. Must not touch letters whose other case is not one letter.

use super::{Random, pieces, upper_lower::flip};
use std::ops::Range;

/// How a word can be written.
const CASES: [fn(usize) -> bool; 3] = [|_| true, |at| at == 0, |_| false];

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let has_case = pieces::words(text).any(|word| text[word].chars().any(|c| flip(c).is_some()));
    Vec::from_iter(has_case.then_some(0..text.len()))
}

pub(super) fn change(text: &str, random: &mut Random) -> String {
    let first = random.below(CASES.len());
    let mut others = CASES.iter().cycle().skip(first).take(CASES.len()).map(|case| recased(text, case));
    others.find(|other| other != text).unwrap_or_else(|| text.to_owned())
}

/// The text with a capital where `is_capital` says so of a character of a word.
fn recased(text: &str, is_capital: impl Fn(usize) -> bool) -> String {
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for word in pieces::words(text) {
        out.push_str(&text[from..word.start]);
        from = word.end;
        let other = |(at, c): (usize, char)| if c.is_uppercase() == is_capital(at) { c } else { flip(c).unwrap_or(c) };
        out.extend(text[word].chars().enumerate().map(other));
    }
    out + &text[from..]
}
