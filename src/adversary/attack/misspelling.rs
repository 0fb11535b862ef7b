//! Words are misspelt as people misspell them: those of `misspellings.txt`, and others by the rules below.
//! Must give another word, in the case of the first one, and must not touch words without a known mistake.

use super::{Random, pieces};
use std::{collections::HashMap, ops::Range, sync::LazyLock};

/// Words in lower case, each with its misspellings.
static LISTED: LazyLock<HashMap<String, Vec<&'static str>>> = LazyLock::new(|| {
    let lines = include_str!("misspellings.txt").lines().filter(|line| !line.starts_with('#'));
    let entry = |line: &'static str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_lowercase(), words.collect()))
    };
    lines.filter_map(entry).collect()
});

/// Sounds and letters that people mix up: what stands in a word, and what they write. `$` is the end of a word; the others stand inside.
const RULES: [(&str, &str); 40] = [
    ("ably$", "abley"),
    ("ally$", "aly"),
    ("ance$", "ence"),
    ("ant$", "ent"),
    ("able$", "ible"),
    ("ary$", "ery"),
    ("ately$", "atly"),
    ("ence$", "ance"),
    ("ent$", "ant"),
    ("ery$", "ary"),
    ("ful$", "full"),
    ("fully$", "fuly"),
    ("ible$", "able"),
    ("iest$", "yest"),
    ("ious$", "eous"),
    ("ness$", "nes"),
    ("sion$", "tion"),
    ("tely$", "tly"),
    ("bb", "b"),
    ("cc", "c"),
    ("dd", "d"),
    ("ff", "f"),
    ("gg", "g"),
    ("ll", "l"),
    ("mm", "m"),
    ("nn", "n"),
    ("pp", "p"),
    ("rr", "r"),
    ("ss", "s"),
    ("tt", "t"),
    ("ei", "ie"),
    ("ie", "ei"),
    ("gua", "gau"),
    ("nm", "m"),
    ("ould$", "oudl"),
    ("ph", "f"),
    ("sc", "s"),
    ("ua", "au"),
    ("xc", "x"),
    ("ght$", "gth"),
];
/// Shorter words have no mistake by rule: too little would be left of them.
const SHORTEST: usize = 5;

/// Every known mistake in this word, in lower case.
fn mistakes(word: &str) -> Vec<String> {
    let word = word.to_lowercase();
    if let Some(listed) = LISTED.get(&word) {
        return listed.iter().map(|wrong| wrong.to_lowercase()).collect();
    }
    if word.len() < SHORTEST || !word.bytes().all(|b| b.is_ascii_lowercase()) {
        return Vec::new();
    }
    RULES.iter().filter_map(|(from, to)| mistake(&word, from, to)).collect()
}

/// The word with the first place of a rule changed.
fn mistake(word: &str, from: &str, to: &str) -> Option<String> {
    let bare = from.trim_end_matches('$');
    let at = if from.ends_with('$') {
        word.len().checked_sub(bare.len()).filter(|_| word.ends_with(bare)).filter(|at| *at > 0)?
    } else {
        1 + word[1..word.len() - 1].find(bare)?
    };
    Some(format!("{}{to}{}", &word[..at], &word[at + bare.len()..]))
}

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    pieces::words(text).filter(|at| !mistakes(&text[at.clone()]).is_empty()).collect()
}

pub(super) fn change(word: &str, random: &mut Random) -> String {
    let mistakes = mistakes(word);
    mistakes.get(random.below(mistakes.len())).map_or_else(|| word.to_owned(), |wrong| pieces::in_case_of(word, wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_and_the_rules_give_other_words() {
        for (word, wrong) in &*LISTED {
            assert!(!wrong.is_empty() && wrong.iter().all(|w| w.to_lowercase() != *word), "{word}");
        }
        assert!(LISTED.len() > 180);
        let cases = [
            ("Receive", "recieve"),
            ("achieve", "acheive"),
            ("finally", "finaly"),
            ("running", "runing"),
            ("performance", "performence"),
            ("movement", "movemant"),
            ("happiness", "happines"),
            ("language", "langauge"),
        ];
        for (word, wrong) in cases {
            assert!(mistakes(word).iter().any(|m| m == wrong), "{word}: {:?}", mistakes(word));
        }
    }

    #[test]
    fn words_without_a_known_mistake_stay() {
        for word in ["", "a", "cat", "jumps", "naïve", "Łódź", "ss", "ing"] {
            assert!(mistakes(word).is_empty(), "{word}: {:?}", mistakes(word));
        }
    }
}
