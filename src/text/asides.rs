//! What posts carry beside their words: links, addresses, names of accounts, tags, codes, and the markup of HTML, BBCode and Markdown. Takes a
//! normalised text; linear in it.

use std::{
    borrow::Cow,
    ops::{Range, RangeInclusive},
};

/// What may stand around a link in a sentence.
const AROUND: &[char] = &['.', ',', ':', ';', '!', '?', '"', '\'', '(', ')', '[', ']', '<', '>', '…', '“', '”', '‘', '’', '*', '_'];
/// Letters of the last part of a host's name: `com`, `museum`.
const ENDING: RangeInclusive<usize> = 2..=6;
/// Bytes of a code, a telephone number, an order's number, and how many of them are digits. Years and prices have fewer.
const CODE: usize = 8;
const DIGITS: usize = 4;
/// Longest element, name of one, entity and mark that are looked for, bytes.
const LONGEST_ELEMENT: usize = 512;
const LONGEST_NAME: usize = 10;
const LONGEST_ENTITY: usize = 10;
const LONGEST_MARK: usize = 10;
/// Elements of HTML that posts are written with.
const HTML: &str = "a article aside b big blockquote body br center cite code del details div em figcaption figure font footer h1 h2 h3 h4 h5 h6 head \
     header hr html i iframe img ins li mark ol p pre q s section small span strong sub sup table tbody td tr u ul";
/// Elements of BBCode.
const BBCODE: &str = "* b center code color email font i img left li list quote right s size spoiler u url youtube";

/// The byte ranges that are no words of the text, in the order of their starts; one may lie in another.
///
/// A full stop without a space after it may pass for a host's name: little is lost where a word is taken for a link.
pub fn asides(text: &str) -> Vec<Range<usize>> {
    let (mut all, mut from) = (markup(text), 0);
    // an element ends a word, an entity and a mark may stand in a link
    let elements: Vec<_> = all.iter().filter(|range| text[range.start..].starts_with(['<', '['])).cloned().collect();
    for Range { start, end } in elements.into_iter().chain(std::iter::once(text.len()..text.len())) {
        all.extend(links(&text[from..start]).map(|link| from + link.start..from + link.end));
        from = end;
    }
    all.sort_unstable_by_key(|range| range.start);
    all
}

/// The text with a space for each element and entity of HTML.
pub(super) fn without_html(text: &str) -> Cow<'_, str> {
    let (mut out, mut from) = (String::new(), 0);
    for Range { start, end } in markup(text).into_iter().filter(|range| text[range.clone()].starts_with(['<', '&'])) {
        out.extend([&text[from..start], " "]);
        from = end;
    }
    if from == 0 { text.into() } else { (out + &text[from..]).into() }
}

/// Words that are links, addresses, names, tags or codes.
fn links(text: &str) -> impl Iterator<Item = Range<usize>> {
    let range = |word: &str| {
        let start = word.as_ptr().addr() - text.as_ptr().addr();
        start..start + word.len()
    };
    let is_one = |word: &&str| {
        let core = word.trim_matches(AROUND);
        core.contains(char::is_alphanumeric) && (is_link_or_name(core) || is_host(core) || is_code(core))
    };
    text.split_whitespace().filter(is_one).map(range)
}

/// Whether a word is a name, a tag, or a link that says that it is one.
pub fn is_link_or_name(word: &str) -> bool {
    word.starts_with(['@', '#']) || word.contains("://") || word.contains("www.")
}

/// `example.com`, `example.com/path`, `somebody@example.com`.
fn is_host(word: &str) -> bool {
    let host = word.split(['/', '?', ':']).next().unwrap_or_default();
    let Some((name, ending)) = host.rsplit_once('.') else { return false };
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '@');
    name.len() > 1
        && name.ends_with(char::is_alphanumeric)
        && name.chars().all(in_name)
        && ENDING.contains(&ending.len())
        && ending.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn is_code(word: &str) -> bool {
    word.len() >= CODE && word.bytes().filter(u8::is_ascii_digit).count() >= DIGITS
}

/// Elements, entities and marks, in order and without overlap.
fn markup(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) = text[at..].find(['<', '[', '&', '#', '>', '-', '+', '*', '_', '~', '`']).map(|next| at + next) {
        let bytes = &text.as_bytes()[start..];
        let length = match bytes[0] {
            b'<' => element(bytes, b'>', HTML),
            b'[' => element(bytes, b']', BBCODE),
            b'&' => entity(bytes),
            _ => mark(bytes, text[..start].trim_end_matches(' ').bytes().next_back().is_none_or(|before| before == b'\n')),
        };
        found.extend(length.map(|length| start..start + length));
        at = start + length.unwrap_or(1);
    }
    found
}

/// The length of `<name …>`, `</name>`, `[name=…]` and the like.
fn element(bytes: &[u8], close: u8, names: &str) -> Option<usize> {
    let slash = usize::from(bytes.get(1) == Some(&b'/'));
    let rest = &bytes[1 + slash..];
    let name = rest.iter().take(LONGEST_NAME + 1).position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'*')?;
    if !names.split(' ').any(|known| known.as_bytes().eq_ignore_ascii_case(&rest[..name])) {
        return None;
    }
    if rest[name] != close && !matches!(rest[name], b' ' | b'\n' | b'/' | b'=') {
        return None;
    }
    let end = bytes.iter().take(LONGEST_ELEMENT).position(|byte| *byte == close)?;
    // words in brackets are no attributes
    let is_sentence = rest[name].is_ascii_whitespace() && !bytes[..end].ends_with(b"/") && !bytes[..end].contains(&b'=');
    (!is_sentence).then_some(end + 1)
}

/// The length of `&amp;`, `&#39;` and the like.
fn entity(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().take(LONGEST_ENTITY).position(|byte| *byte == b';')?;
    let name = bytes[1..end].strip_prefix(b"#").unwrap_or(&bytes[1..end]);
    (name.len() > 1 && name.iter().all(u8::is_ascii_alphanumeric)).then_some(end + 1)
}

/// The length of a mark of Markdown: `**`, `__`, `~~` and `` ` `` anywhere; `##`, `-`, `*`, `+` and `>` where a line begins and a space follows.
fn mark(bytes: &[u8], begins_line: bool) -> Option<usize> {
    let length = bytes.iter().take(LONGEST_MARK).take_while(|byte| **byte == bytes[0]).count();
    let of_line = begins_line && bytes.get(length) == Some(&b' ') && !matches!(bytes[0], b'_' | b'~');
    let inline = bytes[0] == b'`' || length > 1 && matches!(bytes[0], b'*' | b'_' | b'~');
    (of_line || inline).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str) -> Vec<&str> {
        asides(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn links_names_tags_and_codes_are_found() {
        let links = "@anna, look: (https://example.org/a?b=1) or www.example.org, example.co.uk/shop?id=3 and me.too+x@example.com. #deal!";
        let expected =
            ["@anna,", "(https://example.org/a?b=1)", "www.example.org,", "example.co.uk/shop?id=3", "me.too+x@example.com.", "#deal!"];
        assert_eq!(found(links), expected);
        assert_eq!(found("Call 555-123-4567 with code QWER1234TYUI."), ["555-123-4567", "QWER1234TYUI."]);
        assert!(found(" \n ").is_empty());
    }

    #[test]
    fn markup_is_found() {
        assert_eq!(
            found("<p>Fish &amp; chips<br/>don&#39;t <A\nhref='/x'>stay</a>"),
            ["<p>", "&amp;", "<br/>", "&#39;", "<A\nhref='/x'>", "</a>"]
        );
        assert_eq!(
            found("<a href='www.b.org'>Go</a>[url=http://b.c]on[/url]"),
            ["<a href='www.b.org'>", "</a>", "[url=http://b.c]", "[/url]"]
        );
        assert_eq!(found("See http://a.b/?c=d&amp;e=1"), ["http://a.b/?c=d&amp;e=1", "&amp;"]);
        assert_eq!(found("[quote=\"me\"]It [b]is[/b].[/quote] [*] so"), ["[quote=\"me\"]", "[b]", "[/b]", "[/quote]", "[*]"]);
        assert_eq!(found("## A head\n\n- one **bold**\n> `said`\n  * so"), ["##", "-", "**", "**", ">", "`", "`", "*"]);
        assert_eq!(without_html("<p>It is<br>so, [i]&quot;now&quot;</p>"), " It is so, [i] now  ");
        assert!(matches!(without_html("It is so"), Cow::Borrowed("It is so")));
        assert!([HTML, BBCODE].iter().flat_map(|names| names.split(' ')).all(|name| name.len() <= LONGEST_NAME));
    }

    #[test]
    fn words_years_prices_and_comparisons_are_none() {
        let words = "It ended.Then e.g. at 3.50 p.m. the U.S. team (and/or its coach) said: \"No. 1... it's 10:30!\" and left...or so they say, in \
             1984 or 2001-02, for $1,299; x <y and y> z [sic] AT&T; a - b, 2 * 3 <3 snake_case - R&D; <pre-war> [below] [i think so] <a \
             b>";
        assert!(found(words).is_empty(), "{:?}", found(words));
    }

    /// Pieces that are markup, links or words by what stands beside them.
    fn pieces() -> impl Strategy<Value = String> {
        let all = [
            "<", "p", ">", "/", "[", "b", "]", "=", "&", "amp", "#39", ";", "**", "`", "- ", "\n", " ", "@a", "a.com", "é", "漢", "😀",
            ".", ":",
        ];
        prop::collection::vec(prop::sample::select(all.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_cut_between_characters(text in pieces()) {
            let ranges = asides(&text);
            prop_assert!(ranges.is_sorted_by_key(|range| range.start));
            prop_assert!(ranges.into_iter().all(|range| text.get(range).is_some_and(|found| !found.is_empty())));
            prop_assert!(without_html(&text).len() <= text.len());
        }
    }

    #[test]
    fn hostile_markup_takes_little_time() {
        for text in [
            "<p ".repeat(100_000),
            "[b ".repeat(100_000),
            "&a".repeat(100_000),
            "*".repeat(300_000),
            " *".repeat(150_000),
            "- ".repeat(100_000),
        ] {
            let start = std::time::Instant::now();
            asides(&text);
            assert!(start.elapsed().as_secs_f64() < 2., "{} took {:?}", &text[..2], start.elapsed());
        }
    }
}
