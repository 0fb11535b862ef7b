//! Whether a model of English can judge a text at all: its script, then its language.
//! Takes a normalised text, looks at a bounded sample, and must be slow to say no: short, informal,
//! mixed and faulty English is English.

use std::fmt;
use unicode_script::{Script, UnicodeScript};
use whatlang::Lang;

/// What a text is written in that no model of English can judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// Mostly another script than Latin, by its Unicode name (`Cyrillic`).
    Script(&'static str),
    /// Latin script, but another language, by its English name (`German`).
    Language(&'static str),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script(name) => write!(f, "{name} script"),
            Self::Language(name) => f.write_str(name),
        }
    }
}

/// Bytes of a long text that are looked at, in each of three places: no foreign preface can hide an English text.
const SAMPLE: usize = 2000;

/// From this share of common English words on, a text is English whatever else it looks like. Measured on 25,000 English
/// texts: below it, only a list of chemical abbreviations was still taken for another language.
const ENGLISH_SHARE: f64 = 0.2;

/// Common in English, and not in the languages it is mistaken for.
const ENGLISH: [&str; 96] = [
    "a", "about", "all", "and", "any", "are", "as", "at", "be", "because", "been", "but", "by", "can", "could", "did", "do", "don't",
    "dont", "for", "from", "get", "go", "good", "got", "had", "has", "have", "he", "her", "him", "his", "how", "i", "i'm", "if", "im",
    "is", "it", "it's", "its", "just", "know", "like", "make", "more", "much", "my", "not", "now", "of", "on", "only", "or", "other",
    "our", "out", "people", "really", "say", "see", "she", "some", "take", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "time", "to", "u", "up", "ur", "us", "very", "want", "we", "were", "what", "when", "which", "who", "why",
    "with", "would", "yes", "you", "you're", "your", "youre",
];

/// Why no model of English can judge this text, if so; `None` where it can be tried.
pub fn unsupported_language(text: &str) -> Option<Unsupported> {
    let sample = sample(text);
    foreign_script(&sample).or_else(|| foreign_language(&sample))
}

/// The text without links, names and tags, which belong to no language.
fn sample(text: &str) -> String {
    let at = |start: usize| &text[text.floor_char_boundary(start)..text.ceil_char_boundary(start + SAMPLE)];
    let long = text.len() > 3 * SAMPLE;
    let parts = if long { [at(0), at((text.len() - SAMPLE) / 2), at(text.len() - SAMPLE)] } else { [text, "", ""] };
    let mut sample = String::new();
    for word in parts.iter().flat_map(|part| part.split_whitespace()) {
        if !word.starts_with(['@', '#']) && !word.contains("://") && !word.contains("www.") {
            sample.push_str(word);
            sample.push(' ');
        }
    }
    sample
}

fn foreign_script(sample: &str) -> Option<Unsupported> {
    let mut latin = 0;
    let mut others: Vec<(Script, u32)> = Vec::new();
    for c in sample.chars().filter(|c| c.is_alphabetic()) {
        match if c.is_ascii() { Script::Latin } else { c.script() } {
            Script::Latin => latin += 1,
            Script::Common | Script::Inherited | Script::Unknown => {}
            script => match others.iter_mut().find(|other| other.0 == script) {
                Some(other) => other.1 += 1,
                None => others.push((script, 1)),
            },
        }
    }
    let foreign: u32 = others.iter().map(|other| other.1).sum();
    let (script, _) = others.into_iter().max_by_key(|other| other.1)?;
    (foreign > latin && foreign > 1).then(|| Unsupported::Script(script.full_name()))
}

fn foreign_language(sample: &str) -> Option<Unsupported> {
    let words = || sample.split(|c: char| !c.is_alphabetic() && c != '\'' && c != '’').filter(|word| !word.is_empty());
    let total = words().count();
    let english = words().filter(|word| is_common_english(word)).count() as f64 / total as f64;
    if total == 0 || english >= ENGLISH_SHARE {
        return None;
    }
    let guess = whatlang::detect(sample).filter(|guess| guess.script() == whatlang::Script::Latin && guess.lang() != Lang::Eng)?;
    let sure = guess.is_reliable() || {
        // Sister languages (Spanish, Portuguese) take confidence from each other, so the guess is tried against English
        // alone; but headlines of foreign names also pass that.
        let plain = words().filter(|word| word.starts_with(char::is_lowercase)).count();
        let pair = whatlang::Detector::with_allowlist(vec![Lang::Eng, guess.lang()]).detect(sample);
        english < ENGLISH_SHARE / 2.0
            && plain >= 5.max(total / 2)
            && pair.is_some_and(|pair| pair.lang() != Lang::Eng && pair.is_reliable())
    };
    sure.then(|| Unsupported::Language(guess.lang().eng_name()))
}

fn is_common_english(word: &str) -> bool {
    word.len() <= 8 && ENGLISH.binary_search(&word.to_lowercase().replace('’', "'").as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(ENGLISH.is_sorted());
    }

    #[test]
    fn english_in_all_its_forms_is_tried() {
        let cases = [
            "",
            "ok",
            "Ω",
            "😂😂😂 👍",
            "lol ur so rite m8 gonna b there l8r",
            "@user @other #MAGA #KAG https://example.org/lorem/ipsum/dolor",
            "Angela Merkel precarious as Germany's refugee row intensifies",
            "Netflix nabs Daniele Luchetti's Pope Francis miniseries CALL ME FRANCIS",
            "New and new technology has been introduced to the society .",
            "for (int i = 0; i < n; ++i) { sum += values[i]; } // add them all",
            "Schadenfreude is what he felt, and c'est la vie is what she said to him.",
            "The sign says «Осторожно, двери закрываются» and nobody reads it.",
            "Free entry in 2 a wkly comp to win FA Cup final tkts 21st May 2005",
        ];
        for text in cases {
            assert_eq!(unsupported_language(text), None, "{text}");
        }
    }

    #[test]
    fn other_languages_are_named() {
        let cases = [
            ("Привет, как дела? Я сегодня ничего не делаю.", "Cyrillic script"),
            ("我今天没有时间，明天再说吧。", "Han script"),
            ("هذا النص مكتوب باللغة العربية", "Arabic script"),
            ("Ich habe heute leider keine Zeit für dich, aber morgen können wir zusammen essen gehen.", "German"),
            ("Je ne sais pas pourquoi les gens pensent que cette idée est une bonne chose pour nous.", "French"),
            ("No sé por qué la gente piensa que esta idea es una cosa buena para todos nosotros.", "Spanish"),
            ("Eu não sei por que as pessoas pensam que essa ideia é uma coisa boa para todos nós.", "Portuguese"),
            ("Hij heeft mij gisteren verteld dat het huis aan de overkant van de straat verkocht is.", "Dutch"),
            ("Nie wiem, dlaczego ludzie myślą, że to jest dobry pomysł dla nas wszystkich.", "Polish"),
            ("Bunun neden iyi bir fikir olduğunu düşündüklerini gerçekten bilmiyorum arkadaşlar.", "Turkish"),
        ];
        for (text, expected) in cases {
            assert_eq!(unsupported_language(text).map(|found| found.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_long_text_is_judged_by_all_its_parts() {
        let english = "This is what they said to us about it, and we do not know why. ".repeat(20_000);
        let german = "Ich habe heute leider keine Zeit für dich, aber morgen gehen wir essen. ".repeat(50);
        assert_eq!(unsupported_language(&format!("{german}{english}")), None);
        assert!(unsupported_language(&german.repeat(100)).is_some());
        assert!(sample(&"é".repeat(1 << 20)).len() <= 3 * (SAMPLE + 8));
    }
}
