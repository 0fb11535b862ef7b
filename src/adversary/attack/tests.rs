//! The attacks as promises: what each may change and what it may not, over any text and over English.

use super::*;
use crate::text::{self, normalize};
use proptest::prelude::*;
use std::collections::HashSet;

const PLAIN: [Attack; 11] = [
    Attack::AlternativeSpelling,
    Attack::ArticleDeletion,
    Attack::Homoglyph,
    Attack::InsertParagraphs,
    Attack::LetterCase,
    Attack::Links,
    Attack::Number,
    Attack::Misspelling,
    Attack::UpperLower,
    Attack::Whitespace,
    Attack::ZeroWidthSpace,
];

const ENGLISH: &str = "The neighbors organized a meeting at the center on 12 May 2021. An old man, who traveled 3.5 miles, said: \
\"I really believe that the color is gray!\" Nobody could receive the packages because of the weather. Mr. Smith ate an apple; \
the government finally agreed. See https://example.org/color/2021 or ask @center.";

fn attacked(attack: Attack, text: &str, share: f64, seed: u64) -> String {
    apply(text, &attack.edits(text, share, &mut Random::new(seed, 0)))
}

/// Texts of English words, numbers and stops.
fn english() -> impl Strategy<Value = String> {
    let words: Vec<&str> = ENGLISH.split(' ').collect();
    let word = prop_oneof![4 => prop::sample::select(words), 1 => prop::sample::select(vec!["a", "the", "colour", "X", "I", "naïve", "10,000", "\n\n", "café."])];
    prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "))
}

#[test]
fn each_attack_changes_what_it_names() {
    let all = |attack| attacked(attack, ENGLISH, 1., 1);
    assert!(all(Attack::AlternativeSpelling).starts_with("The neighbours organised a meeting at the centre on 12 May"));
    assert!(all(Attack::AlternativeSpelling).ends_with("See https://example.org/color/2021 or ask @center."));
    assert!(all(Attack::ArticleDeletion).starts_with("The neighbors organized meeting at center on 12 May 2021. An old man"));
    assert!(all(Attack::Homoglyph).starts_with("\u{422}h\u{435} n") || all(Attack::Homoglyph).starts_with("\u{3A4}h\u{435} n"));
    assert_eq!(all(Attack::InsertParagraphs).matches("\n\n").count(), 4);
    let cases: HashSet<String> = (0..20).map(|seed| attacked(Attack::LetterCase, "An old man, see https://a.Bc", 1., seed)).collect();
    let expected = ["AN OLD MAN, SEE https://a.Bc", "An Old Man, See https://a.Bc", "an old man, see https://a.Bc"];
    assert_eq!(cases, expected.map(str::to_owned).into());
    for seed in 0..20 {
        let linked = attacked(Attack::Links, ENGLISH, 1., seed);
        let (own, inserted): (Vec<&str>, Vec<&str>) = linked.split(' ').partition(|word| ENGLISH.split(' ').any(|own| own == *word));
        assert_eq!(own.join(" "), ENGLISH);
        assert_eq!((inserted.len(), text::asides(&linked).len()), (5, 7), "five beside the two that were there: {linked}");
    }
    assert_eq!(all(Attack::UpperLower)[..20], *"the Neighbors Organi");
    assert!(all(Attack::Whitespace).starts_with("The  neighbors  organized  a  meeting"));
    assert!(all(Attack::ZeroWidthSpace).starts_with("T\u{200B}h\u{200B}e\u{200B} \u{200B}n"));
    assert!(all(Attack::Misspelling).contains("goverment") && all(Attack::Misspelling).contains("finaly"));
    assert!(!all(Attack::Number).contains("2021. ") && all(Attack::Number).contains(" May "));
}

#[test]
fn names_are_raid_s_and_others_are_refused() {
    for attack in Attack::ALL {
        assert_eq!(attack.name().parse(), Ok(attack));
        assert_eq!(attack.needs_model(), !PLAIN.contains(&attack));
    }
    for other in ["", "Homoglyph", "homoglyphs", "evade"] {
        assert!(other.parse::<Attack>().is_err(), "{other}");
    }
}

#[test]
fn rates_are_shares_of_the_places() {
    assert_eq!(Attack::Homoglyph.share(Rate::Usual), 1.);
    assert_eq!(Attack::Number.share(Rate::Usual), 0.5);
    assert_eq!(Attack::UpperLower.share(Rate::Raid), 0.05);
    assert_eq!(Attack::Homoglyph.share(Rate::Share(0.25)), 0.25);
    assert_eq!([0., 0.3, 0.5, 0.99, 1.].map(|share| Attack::Number.count("", 10, share)), [0, 3, 5, 9, 10]);
    // of words, not of those that have a mistake
    assert_eq!(Attack::Misspelling.count("one two three four", 1, 0.5), 1);
    assert_eq!(Attack::Misspelling.count("one two three four", 4, 0.5), 2);
}

#[test]
fn choices_are_uniform() {
    let mut counts = [0; 5];
    for stream in 0..5000 {
        for chosen in choose(vec![0, 1, 2, 3, 4], 2, &mut Random::new(3, stream)) {
            counts[chosen] += 1;
        }
    }
    assert!(counts.iter().all(|n| (1860..2140).contains(n)), "{counts:?}");
}

#[test]
fn emoji_and_accents_survive_an_invisible_space_after_each_character() {
    for text in
        ["e\u{301}té 👍🏽 ok", "👩\u{200D}👩\u{200D}👧 family", "1\u{FE0F}\u{20E3} one ❤\u{FE0F} heart", "🇩🇪 flags 🏳\u{FE0F}\u{200D}🌈"]
    {
        let hidden = attacked(Attack::ZeroWidthSpace, text, 1., 0);
        assert_eq!(normalize(&hidden, true).text, normalize(text, true).text, "{text}");
    }
}

/// The text without some characters.
fn without(text: &str, characters: &[char]) -> String {
    text.chars().filter(|c| !characters.contains(c)).collect()
}

fn check(text: &str, share: f64, seed: u64) -> Result<(), TestCaseError> {
    let on = |attack| attacked(attack, text, share, seed);
    for attack in PLAIN {
        let edits = attack.edits(text, share, &mut Random::new(seed, 0));
        let places = attack.edits(text, 1., &mut Random::new(seed, 0)).len();
        if attack != Attack::Misspelling {
            prop_assert_eq!(edits.len(), attack.count(text, places, share), "{}", attack);
        }
        prop_assert!(edits.windows(2).all(|pair| pair[0].at.end <= pair[1].at.start), "{}", attack);
        prop_assert!(edits.iter().all(|edit| text.get(edit.at.clone()).is_some_and(|before| before != edit.with)), "{}", attack);
        prop_assert_eq!(attacked(attack, text, 0., seed), text);
    }
    prop_assert_eq!(without(&on(Attack::Whitespace), &[' ']), without(text, &[' ']));
    prop_assert_eq!(without(&on(Attack::ZeroWidthSpace), &['\u{200B}']), without(text, &['\u{200B}']));
    prop_assert_eq!(without(&on(Attack::InsertParagraphs), &['\n']), without(text, &['\n']));
    // case, digits and look-alikes: character for character
    let pairs = |attack| Vec::from_iter(text.chars().zip(on(attack).chars().collect::<Vec<_>>()));
    for attack in [Attack::Number, Attack::LetterCase, Attack::UpperLower, Attack::Homoglyph] {
        prop_assert_eq!(text.chars().count(), on(attack).chars().count(), "{}", attack);
    }
    prop_assert!(pairs(Attack::Number).iter().all(|(a, b)| a == b || a.is_ascii_digit() && b.is_ascii_digit()));
    for attack in [Attack::LetterCase, Attack::UpperLower] {
        prop_assert!(pairs(attack).iter().all(|(a, b)| a == b || a.to_lowercase().eq(b.to_lowercase())), "{}", attack);
    }
    prop_assert!(pairs(Attack::Homoglyph).iter().all(|(a, b)| a == b || a.is_ascii_alphabetic() && !b.is_ascii()));
    // what is gone are articles
    let (mut kept, shorter) = (on(Attack::ArticleDeletion), text.split(' '));
    for word in shorter {
        match kept.strip_prefix(word) {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => kept = rest.strip_prefix(' ').unwrap_or(rest).to_owned(),
            _ => prop_assert!(["a", "an", "the"].contains(&word), "{} is gone", word),
        }
    }
    // one word for one word, and what lies between words stays
    for attack in [Attack::AlternativeSpelling, Attack::Misspelling] {
        let between = |text: &str| without_words(text);
        prop_assert_eq!(between(&on(attack)), between(text), "{}", attack);
    }
    Ok(())
}

/// What lies between the words of a text; apostrophes may come and go with a misspelling (`its`, `it's`).
fn without_words(text: &str) -> String {
    text.chars().filter(|c| !c.is_alphabetic() && *c != '\'').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_keeps_the_promises(text in any::<String>(), share in 0_f64..=1., seed in any::<u64>()) {
        check(&text, share, seed)?;
    }

    #[test]
    fn english_keeps_the_promises(text in english(), share in 0_f64..=1., seed in any::<u64>()) {
        check(&text, share, seed)?;
    }

    #[test]
    fn normalisation_undoes_what_hides(text in english(), share in 0_f64..=1., seed in any::<u64>()) {
        let text = format!("This was said of it. {text}");
        let plain = normalize(&text, true).text;
        for attack in [Attack::Homoglyph, Attack::Whitespace, Attack::ZeroWidthSpace] {
            // one capital alone, such as a chi, may be a symbol: it is taken for a disguise where others are
            let share = if attack == Attack::Homoglyph { share.max(0.5) } else { share };
            let hidden = attacked(attack, &text, share, seed);
            prop_assert_eq!(&normalize(&hidden, true).text, &plain, "{}", attack);
        }
    }

    #[test]
    fn every_chosen_number_becomes_another(number in "[0-9]{1,12}(\\.[0-9]{1,3})?", seed in any::<u64>()) {
        let changed = attacked(Attack::Number, &number, 1., seed);
        prop_assert_ne!(&changed, &number);
        prop_assert_eq!(changed.starts_with('0') && !number.starts_with('0'), false);
    }
}
