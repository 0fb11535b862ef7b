//! Normalisation as promises: what it changes, what it keeps, and that every place leads back to the original text.

use super::characters::{is_invisible, is_joining, is_pictographic, is_space};
use super::*;
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

fn on(text: &str) -> Normalized {
    normalize(text, true)
}

/// Counts in the order homoglyphs, zero-width, control, whitespace, compatibility.
fn counts(text: &str) -> [u32; 5] {
    let counts = on(text).counts;
    [counts.homoglyphs, counts.zero_width, counts.control, counts.whitespace, counts.compatibility]
}

#[test]
fn what_people_write_stays() {
    let cases = [
        "",
        "Plain ASCII, with one space each.\nA line.\n\nA paragraph; 100% ~ {ok}",
        "Café, naïve, Zoë, Łódź, Đặng, İstanbul, þorn",
        "“Curly” quotes, ‘single’ ones – a dash — and £5 or 20°",
        "He said «Привет, как дела» and left",
        "the phrase «сахар и соль» has a whole look-alike in it",
        "The word λόγος is Greek, and so is καλημέρα",
        "a significance level of α = 0.05, TNFα, Lyα, IFNγ and PPARγ, 5 μm, γ-ray, ρ and σ",
        "emoji 😀 👍🏽 👩\u{200D}👩\u{200D}👧\u{200D}👦 ❤\u{FE0F} ‼\u{FE0F} ™\u{FE0F} 1\u{FE0F}\u{20E3} 🏳\u{FE0F}\u{200D}🌈 🇩🇪",
        "the flag 🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F} of England",
        "می\u{200C}خواهم, می\u{64B}\u{200C}خواهم and क\u{94D}\u{200D}ष, র\u{200D}\u{9CD}য",
        "don´t use ¨this¨",
        "/ˈfɑːðə/ is how they say it",
        "漢字とかな 한국어 ไทย",
        "\u{301}accent first",
        "https://example.org/a?b=c&d=%20#e @user #tag :-) <3",
    ];
    for text in cases {
        let normalized = on(text);
        assert_eq!(normalized.text, text);
        assert_eq!(normalized.counts, Normalization::default(), "{text}");
        assert!(normalized.pieces.is_empty(), "{text}");
    }
}

#[test]
fn what_hides_is_undone_and_counted() {
    let cases = [
        ("Тhе bоrоughs оf Lіvеrрооl", "The boroughs of Liverpool", [10, 0, 0, 0, 0]),
        ("this is а test", "this is a test", [1, 0, 0, 0, 0]),
        ("Іt was І who sаid the biӀӀ", "It was I who said the bill", [5, 0, 0, 0, 0]),
        ("ρlease clicκ αnd pαy, νery soon", "please clicκ and pay, very soon", [4, 0, 0, 0, 0]),
        ("a pαper on α", "a paper on a", [2, 0, 0, 0, 0]),
        ("\u{3A4}he end of \u{397}e", "The end of He", [2, 0, 0, 0, 0]),
        ("ɡood niɡht", "good night", [2, 0, 0, 0, 0]),
        ("c\u{430}\u{301}f\u{435}\u{301} ї\u{200B}s", "cáfé ïs", [3, 1, 0, 0, 0]),
        ("t\u{200B}h\u{200D}e\u{FEFF} c\u{AD}at\u{202E}\u{2066}", "the cat", [0, 6, 0, 0, 0]),
        ("👩\u{200B}\u{200D}\u{200B}👧 1\u{200B}\u{FE0F}\u{200B}\u{20E3}", "👩\u{200D}👧 1\u{FE0F}\u{20E3}", [0, 4, 0, 0, 0]),
        ("a\u{FE0F}b 😀\u{FE0F}\u{FE0F} x\u{200D}y \u{E0041}", "ab 😀\u{FE0F} xy", [0, 4, 0, 1, 0]),
        ("a\0b\u{7}c\u{9B}d\u{7F}", "abcd", [0, 0, 4, 0, 0]),
        ("one\u{C}two\u{B}three", "one\ntwo\nthree", [0, 0, 2, 0, 0]),
        ("A\r\nb\r\n\r\nC\rd", "A\nb\n\nC\nd", [0, 0, 0, 4, 0]),
        ("  A  b\t\tc\u{A0}d \n e\n\n\n\nF \t", "A b c d\ne\n\nF", [0, 0, 0, 2 + 1 + 2 + 1 + 2 + 2 + 2, 0]),
        ("\u{200B} \u{2800}\u{3000}\n", "", [0, 1, 0, 4, 0]),
        ("ｆｕｌｌ 𝓶𝓪𝓽𝓱 ﬁne ½ …", "full math fine 1⁄2 ...", [0, 0, 0, 0, 4 + 4 + 1 + 1 + 1]),
        ("cafe\u{301} Å", "café Å", [0, 0, 0, 0, 0]),
        ("e\u{200B}\u{301}", "é", [0, 1, 0, 0, 0]),
        // A look-alike beside a symbol that stays must stay too, or the symbol would be taken for one next time.
        ("the γAƄ", "the γAƄ", [0, 0, 0, 0, 0]),
        ("a\0\u{301}", "á", [0, 0, 1, 0, 0]),
    ];
    for (text, expected, changed) in cases {
        assert_eq!(on(text).text, expected, "{text:?}");
        assert_eq!(counts(text), changed, "{text:?}");
    }
}

#[test]
fn nothing_changes_when_off() {
    let text = "\u{FEFF}Тhе\u{200B}  ｅｎｄ\r\n\0";
    let normalized = normalize(text, false);
    assert_eq!(normalized.text, text);
    assert_eq!(normalized.counts, Normalization::default());
    assert_eq!(normalized.original(3..5), 3..5);
}

#[test]
fn offsets_lead_back() {
    let text = "  Тhе  ﬁne\u{200B} é\r\n\r\n…end ";
    let normalized = on(text);
    assert_eq!(normalized.text, "The fine é\n\n...end");
    let back = |part: &str| {
        let start = normalized.text.find(part).unwrap();
        &text[normalized.original(start..start + part.len())]
    };
    let cases = [
        ("The", "Тhе"),
        ("T", "Т"),
        (" fi", "  ﬁ"),
        ("i", "ﬁ"),
        ("ne", "ne"),
        ("e é", "e\u{200B} é"),
        ("\n\n", "\n\r\n"),
        (".", "…"),
        (".end", "…end"),
    ];
    for (part, expected) in cases {
        assert_eq!(back(part), expected, "{part:?}");
    }
    assert_eq!(normalized.original(0..normalized.text.len()), 2..text.len() - 1);
    // Half a character, an empty range, and one past the end.
    let accent = normalized.text.find('é').unwrap();
    assert_eq!(&text[normalized.original(accent + 1..accent + 2)], "é");
    assert_eq!(normalized.original(0..0), 2..2);
    assert_eq!(normalized.original(1000..2000), text.len() - 1..text.len() - 1);
    assert_eq!(on("\u{200B}").original(0..0), 0..0);
}

#[test]
fn usual_lookalikes_are_known() {
    let pairs = [
        ("авеорсухіѕјһԁԛԝ", "a?eopcyxisjhdqw"),
        ("АВЕКМНОРСТУХІЅЈ", "ABEKMHOPCTYXISJ"),
        ("ανορυιγ", "avopuiy"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("օսոցհք", "ouնghf"),
    ];
    for (letters, latin) in pairs {
        for (letter, latin) in letters.chars().zip(latin.chars()).filter(|pair| pair.1.is_ascii_alphabetic()) {
            let word = if latin.is_uppercase() { format!("XX{letter}") } else { format!("xx{letter}xx") };
            assert_eq!(on(&format!("pаper {word}")).text, format!("paper {}", word.replace(letter, &latin.to_string())), "{letter}");
        }
    }
}

#[test]
fn every_character_alone_and_in_a_word() {
    // All but the ideographs, syllables and private characters, which no rule here touches.
    for c in ('\0'..='\u{33FF}').chain('\u{A000}'..='\u{AC20}').chain('\u{F900}'..='\u{1FFFF}').chain('\u{E0000}'..='\u{E0FFF}') {
        let mut buffer = [0; 4];
        let ignorable = unicode_security::skeleton(c.encode_utf8(&mut buffer)).next().is_none();
        assert!(!ignorable || is_invisible(c), "{c:?} is ignorable");
        if is_pictographic(c) {
            assert_eq!(c.nfkd().collect::<String>(), c.to_string());
        }
        for text in [c.to_string(), format!("a{c}b"), format!("кот {c}ш"), format!("{c}\u{FE0F}{c}\u{200D}{c}")] {
            let once = on(&text);
            assert_eq!(on(&once.text).text, once.text, "{text:?}");
        }
        let plain = !is_invisible(c) && !is_space(c) && !c.is_control();
        let spaced = c.nfkd().next() == Some(' ');
        if plain && !spaced {
            assert_eq!(on(&c.to_string()).text, c.nfkc().filter(|&c| !is_invisible(c)).collect::<String>(), "{c:?}");
        }
        assert!(!is_joining(c) || !c.is_ascii());
    }
}

/// Characters that meet one another in every rule.
fn nasty() -> impl Strategy<Value = String> {
    let alphabet = "ab ZI\n\t\r\0\u{85}\u{A0}\u{2028}аеІӀжѕ αγνΑɡƖə éе\u{301}\u{308}\u{327}\u{345}\u{34F}\u{200B}\u{200C}\u{200D}\u{FE0E}\u{FE0F}\u{FEFF}😀❤👩‼™1#\u{20E3}🏴\u{E0067}\u{E007F}ﬁ…ﷺ½´ａカ\u{3099}ｶﾞ가ᄀ\u{1161}\u{11A8}\u{113C2}کक\u{94D}ष\u{FE70}ǅ";
    let characters: Vec<char> = alphabet.chars().collect();
    prop::collection::vec(prop::sample::select(characters), 0..40).prop_map(String::from_iter)
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let once = on(text);
    let twice = on(&once.text);
    prop_assert_eq!(&twice.text, &once.text);
    prop_assert_eq!(twice.counts, Normalization::default());
    prop_assert!(twice.pieces.is_empty());

    let mut last = 0..0;
    for (at, c) in once.text.char_indices() {
        let original = once.original(at..at + c.len_utf8());
        prop_assert!(text.get(original.clone()).is_some_and(|from| !from.is_empty()), "{:?} of {:?}", original, text);
        prop_assert!(original.start >= last.start && original.end >= last.end);
        // What was not changed is found as it is.
        let same = text[original.clone()].nfkc().flat_map(char::to_lowercase).eq(c.to_lowercase());
        let hidden = !text[original.clone()].is_ascii();
        prop_assert!(same || hidden || c.is_whitespace(), "{:?} for {:?}", &text[original], c);
        last = original;
    }
    let whole = once.original(0..once.text.len());
    prop_assert!(text.get(whole.clone()).is_some());
    prop_assert_eq!(whole.end, last.end);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_keeps_the_promises(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn nasty_text_keeps_the_promises(text in nasty()) {
        check(&text)?;
    }

    #[test]
    fn any_range_has_an_original(text in nasty(), start in 0_usize..200, length in 0_usize..200) {
        let range = on(&text).original(start..start + length);
        prop_assert!(text.get(range).is_some());
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = on(&text).original(start + length..start);
        prop_assert!(text.get(reversed).is_some());
    }

    #[test]
    fn letters_and_accents_become_nfkc(text in "[a-zé가-각ᄀᄁ\u{1161}\u{1162}\u{11A8}ｶﾞﾟ\u{301}\u{307}\u{323}\u{327}\u{345}\u{94D}ﬁ½ǅ०]{0,20}") {
        prop_assert_eq!(on(&text).text, text.nfkc().collect::<String>());
    }

    #[test]
    fn plain_ascii_is_unchanged_but_for_case(text in "[!-~]{1,20}([ \n][!-~]{1,20}){0,10}") {
        let normalized = on(&text);
        prop_assert!(normalized.text.eq_ignore_ascii_case(&text));
        let case = text.chars().zip(normalized.text.chars()).filter(|(before, after)| before != after).count() as u32;
        prop_assert_eq!(normalized.counts, Normalization { case, ..Normalization::default() });
        prop_assert!(normalized.pieces.is_empty());
    }
}

/// Whether a joiner is needed must not hang on the order of the accents after it, which the normal form changes.
#[test]
fn accents_after_a_joiner_keep_the_promises() {
    for text in ["ﷺ\u{200c}\u{94d}\u{3099}", "ক\u{200d}\u{9cd}\u{301}য", "ک\u{200c}\u{301}\u{344}\u{344}\u{344}\u{344}ک"] {
        assert!(check(text).is_ok(), "{text:?}");
    }
}

/// A quadratic step anywhere makes this run for hours, not seconds.
#[test]
fn hostile_megabytes_take_linear_time() {
    let megabyte = |pattern: &str| pattern.repeat((1 << 20) / pattern.len());
    let accents = format!("a{}", megabyte("\u{301}\u{327}\u{316}"));
    let normalized = on(&accents);
    assert!(normalized.text.len() <= 2 + 2 * 30);
    assert!(normalized.original(0..2).len() <= 61);
    assert!(normalized.counts.compatibility > 500_000);
    let cases = [
        "\u{200B}",
        "\u{1161}",
        "\u{113C2}",
        "🏴\u{E0067}",
        "👩\u{200D}",
        "а ",
        "αa",
        "a\u{200B}",
        "ﷺ",
        "\u{FE0F}",
        " \n",
        "\0",
        "\r",
        "ж",
    ];
    for pattern in cases {
        let text = megabyte(pattern);
        let normalized = on(&text);
        assert!(text.get(normalized.original(0..normalized.text.len())).is_some());
    }
    assert_eq!(on(&megabyte("\u{200B}")).text, "");
}
