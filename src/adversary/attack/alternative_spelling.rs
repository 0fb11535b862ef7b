//! American spellings become British, as in RAID. Takes words of `spellings.txt`, and changes no others.

use super::{Random, pieces};
use std::{collections::HashMap, ops::Range, sync::LazyLock};

/// American words in lower case to British ones.
static BRITISH: LazyLock<HashMap<String, String>> = LazyLock::new(|| expand(include_str!("spellings.txt")));

/// The list in full: each group's endings on each of its stems.
fn expand(list: &str) -> HashMap<String, String> {
    let mut words = HashMap::new();
    let mut add = |stem: &str, (american, british): (&str, &str), endings: &str| {
        for ending in endings.split_whitespace().map(|ending| if ending == "-" { "" } else { ending }) {
            words.insert(format!("{stem}{american}{ending}"), format!("{stem}{british}{ending}"));
        }
    };
    let mut group = (("", ""), "");
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let inner = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        let (head, endings) = inner.unwrap_or(line).split_once(" : ").unwrap_or(("", ""));
        let pair = head.split_once(' ').unwrap_or(("", ""));
        match inner {
            Some(_) => group = (pair, endings),
            None if !endings.is_empty() => add("", pair, endings),
            None => line.split_whitespace().for_each(|stem| add(stem, group.0, group.1)),
        }
    }
    words
}

fn british(word: &str) -> Option<&'static String> {
    BRITISH.get(&word.to_lowercase())
}

pub(super) fn places(text: &str) -> Vec<Range<usize>> {
    pieces::words(text).filter(|at| british(&text[at.clone()]).is_some()).collect()
}

pub(super) fn change(word: &str, _: &mut Random) -> String {
    british(word).map_or_else(|| word.to_owned(), |british| pieces::in_case_of(word, british))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_it_should() {
        let pairs = [
            ("color", "colour"),
            ("favorites", "favourites"),
            ("organization", "organisation"),
            ("organizing", "organising"),
            ("analyzed", "analysed"),
            ("centers", "centres"),
            ("centered", "centred"),
            ("defense", "defence"),
            ("catalogs", "catalogues"),
            ("traveled", "travelled"),
            ("canceling", "cancelling"),
            ("modeling", "modelling"),
            ("signaled", "signalled"),
            ("fulfill", "fulfil"),
            ("enrollment", "enrolment"),
            ("skillful", "skilful"),
            ("gray", "grey"),
            ("jewelry", "jewellery"),
            ("neighborhoods", "neighbourhoods"),
        ];
        for (american, expected) in pairs {
            assert_eq!(british(american).map(String::as_str), Some(expected), "{american}");
        }
        assert!(BRITISH.len() > 900, "{}", BRITISH.len());
    }

    #[test]
    fn no_entry_is_empty_or_its_own_answer() {
        for (american, british) in &*BRITISH {
            assert!(american.len() > 2 && american != british, "{american}");
            assert!(american.chars().chain(british.chars()).all(|c| c.is_ascii_lowercase()), "{american} {british}");
            assert!(!BRITISH.contains_key(british), "{american} becomes {british}, which becomes another");
        }
    }

    #[test]
    fn words_that_only_look_american_stay() {
        for word in ["size", "prize", "seize", "maize", "four", "error", "doctor", "meter", "practice", "glamorous", "install", "colorado"]
        {
            assert_eq!(british(word), None, "{word}");
        }
    }
}
