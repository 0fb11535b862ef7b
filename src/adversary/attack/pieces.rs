//! What texts are made of, as far as attacks care: words and sentences. Takes a text, gives byte ranges, in order and without overlap.

use crate::text::is_link_or_name;
use std::ops::Range;

/// Words: runs of letters with apostrophes inside. Links, names and tags hold none: a changed one would no longer be the same.
pub(super) fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    tokens(text).filter(|token| !is_link_or_name(&text[token.clone()])).flat_map(|token| words_of(text, token))
}

/// Runs between white space.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(|c: char| !c.is_whitespace())?;
        let end = text[start..].find(char::is_whitespace).map_or(text.len(), |length| start + length);
        at = end;
        Some(start..end)
    })
}

fn words_of(text: &str, token: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let Range { start: mut at, end } = token;
    std::iter::from_fn(move || {
        let start = at + text[at..end].find(char::is_alphabetic)?;
        let mut stop = start;
        for (i, c) in text[start..end].char_indices() {
            let here = start + i;
            let letter_follows = || text[here + c.len_utf8()..end].chars().next().is_some_and(char::is_alphabetic);
            if !(c.is_alphabetic() || (matches!(c, '\'' | '’') && letter_follows())) {
                break;
            }
            stop = here + c.len_utf8();
        }
        at = stop;
        Some(start..stop)
    })
}

/// Short forms after which a full stop seldom ends a sentence.
const SHORT: [&str; 24] = [
    "al", "approx", "capt", "cf", "col", "dr", "eg", "fig", "gen", "gov", "ie", "jr", "lt", "mr", "mrs", "ms", "no", "prof", "rep", "sen",
    "sgt", "sr", "st", "vs",
];

/// Where sentences begin, the first one left out.
pub(super) fn sentence_starts(text: &str) -> Vec<usize> {
    let all: Vec<_> = tokens(text).collect();
    all.windows(2)
        .filter(|pair| ends_sentence(&text[pair[0].clone()]) && opens_sentence(&text[pair[1].clone()]))
        .map(|p| p[1].start)
        .collect()
}

const QUOTES: [char; 9] = ['"', '\'', '”', '’', ')', ']', '*', '_', '»'];

fn ends_sentence(token: &str) -> bool {
    let bare = token.trim_end_matches(QUOTES);
    let Some(word) = bare.strip_suffix('.') else { return bare.ends_with(['!', '?', '…']) };
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    let dotted = word.split('.').count() > 1 && word.split('.').all(|part| part.chars().count() == 1);
    !initial && !dotted && SHORT.binary_search(&word.to_lowercase().as_str()).is_err()
}

fn opens_sentence(token: &str) -> bool {
    let first = token.trim_start_matches(|c: char| !c.is_alphanumeric()).chars().next();
    first.is_some_and(|c| !c.is_lowercase())
}

/// `word` in the case of `like`: capitals, a capital first, or as it is.
pub(super) fn in_case_of(like: &str, word: &str) -> String {
    let letters = || like.chars().filter(|c| c.is_alphabetic());
    if letters().count() > 1 && letters().all(char::is_uppercase) {
        return word.to_uppercase();
    }
    let mut rest = word.chars();
    match rest.next() {
        Some(first) if letters().next().is_some_and(char::is_uppercase) => first.to_uppercase().chain(rest).collect(),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_with_apostrophes_inside() {
        let text = "'Don't' go, e-mail café’s @user #tag http://a.b/c d’ x2y  'tis";
        let found: Vec<_> = words(text).map(|at| &text[at]).collect();
        assert_eq!(found, ["Don't", "go", "e", "mail", "café’s", "d", "x", "y", "tis"]);
        assert_eq!(words("").count() + words(" 12 — !").count(), 0);
    }

    #[test]
    fn sentences_begin_after_a_stop_and_not_after_a_short_form() {
        let text =
            "He met Dr. Smith. “Good day!” (No answer.) J. R. went, e.g. The U.S. Army did… 5 left? yes. It ended. \n\n\"So?\" I did";
        let starts: Vec<_> = sentence_starts(text).into_iter().map(|at| text[at..].split_whitespace().next().unwrap()).collect();
        assert_eq!(starts, ["“Good", "(No", "J.", "5", "It", "\"So?\"", "I"]);
        assert!(SHORT.is_sorted());
        assert!(sentence_starts("").is_empty());
    }

    #[test]
    fn case_is_kept() {
        let cases = [("color", "colour"), ("Color", "Colour"), ("COLOR", "COLOUR"), ("A", "It"), ("it's", "its"), ("", "x")];
        let expected = ["colour", "Colour", "COLOUR", "It", "its", "x"];
        for ((like, word), expected) in cases.into_iter().zip(expected) {
            assert_eq!(in_case_of(like, &word.to_lowercase()), expected);
        }
    }
}
