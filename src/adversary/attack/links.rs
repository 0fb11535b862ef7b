//! A link, a name, a tag or a code before a sentence, as advertising has them. Must only insert, and only where a sentence begins.

use super::{Random, pieces};
use std::ops::Range;

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    let first = text.len() - text.trim_start().len();
    let sentences = std::iter::once(first).chain(pieces::sentence_starts(text));
    sentences.filter(|&at| at < text.len()).map(|at| at..at).collect()
}

pub(super) fn change(_: &str, random: &mut Random) -> String {
    let which = random.below(4);
    let mut draw = |from: &[u8], n: usize| (0..n).map(|_| char::from(from[random.below(from.len())])).collect::<String>();
    let (letters, digits) = (b"abcdefghijklmnopqrstuvwxyz", b"0123456789");
    match which {
        0 => format!("https://{}.example.com/{}{} ", draw(letters, 7), draw(letters, 4), draw(digits, 4)),
        1 => format!("@{}{} ", draw(letters, 7), draw(digits, 2)),
        2 => format!("#{}{} ", draw(letters, 7), draw(digits, 2)),
        _ => format!("{}{} ", draw(letters, 4).to_uppercase(), draw(digits, 6)),
    }
}
