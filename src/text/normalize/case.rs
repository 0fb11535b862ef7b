//! After the last stage: capitals where sentences have them. Whoever writes all in capitals, Each Word With One, or none at all hides how
//! predictable the words are. Takes a text and gives one of as many bytes, so that every character stays where it was; linear in the text.

/// Fewest words by which capitals are judged, those of a sentence by themselves or else those of the whole text.
const TELLING: usize = 4;
/// What may follow the mark that ends a sentence.
const CLOSING: &[char] = &['"', '\'', ')', ']', '”', '’'];
/// The last letter whose case is looked at: Latin with accents. Letters of other scripts may look like a Latin one in their other case.
const LAST: char = '\u{17F}';

/// Gives a sentence of capitals the case of other sentences, and, where most sentences begin with a small letter, two at least, each a capital. The
/// text, and how many letters changed.
///
/// A sentence is one of capitals where they are a third of its letters, or more than three quarters of its words begin with one.
pub(super) fn sentence_case(text: String) -> (String, u32) {
    let all = sentences(&text).map(Counts::of).fold(Counts::default(), Counts::and).are_capitals().unwrap_or_default();
    let are_capitals = |sentence| Counts::of(sentence).are_capitals().unwrap_or(all);
    let (mut of_capitals, mut small, mut large) = (0, 0, 0);
    for sentence in sentences(&text) {
        if are_capitals(sentence) {
            of_capitals += 1;
        } else if let Some(first) = first_letter(sentence).and_then(|at| sentence[at..].chars().next()) {
            small += usize::from(upper(first) != first);
            large += usize::from(lower(first) != first);
        }
    }
    let begins_small = small > large.max(1);
    if of_capitals == 0 && !begins_small {
        return (text, 0);
    }
    let mut out = String::with_capacity(text.len());
    for sentence in sentences(&text) {
        match are_capitals(sentence) {
            false if !begins_small => out.push_str(sentence),
            capitals => recase(&mut out, sentence, capitals),
        }
    }
    let changed = text.chars().zip(out.chars()).filter(|(before, after)| before != after).count() as u32;
    (out, changed)
}

/// Words and letters that tell whether capitals are used as usual. A sentence's first word and those with I tell nothing: they have a capital
/// anywhere.
#[derive(Clone, Copy, Default)]
struct Counts {
    words: usize,
    begin_with_capital: usize,
    letters: usize,
    capitals: usize,
}

impl Counts {
    fn of(sentence: &str) -> Self {
        let mut counts = Self::default();
        for word in sentence.split_whitespace().skip(1).filter(|word| !is_aside(word)) {
            let cased = || word.chars().filter(|&c| upper(c) != lower(c));
            let is_capital = |c: char| lower(c) != c;
            let first = cased().next().filter(|first| !matches!(first, 'i' | 'I'));
            if let Some(first) = first.filter(|_| cased().nth(1).is_some()) {
                counts.words += 1;
                counts.begin_with_capital += usize::from(is_capital(first));
                counts.letters += cased().count();
                counts.capitals += cased().filter(|&c| is_capital(c)).count();
            }
        }
        counts
    }

    fn and(self, other: Self) -> Self {
        Self {
            words: self.words + other.words,
            begin_with_capital: self.begin_with_capital + other.begin_with_capital,
            letters: self.letters + other.letters,
            capitals: self.capitals + other.capitals,
        }
    }

    /// `None` where they are too few to tell.
    fn are_capitals(self) -> Option<bool> {
        (self.words >= TELLING).then_some(3 * self.capitals > self.letters || 4 * self.begin_with_capital > 3 * self.words)
    }
}

/// The text cut after the white space behind `.`, `!` or `?`, but not behind several full stops or those of `e.g.`, and after empty lines.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut length = 0;
        for word in rest.split_inclusive(char::is_whitespace) {
            length += word.len();
            let written = word.trim_end().trim_end_matches(CLOSING);
            let ends = written.ends_with(['!', '?']) || written.strip_suffix('.').is_some_and(|before| !before.contains('.'));
            if ends || rest[..length].ends_with("\n\n") {
                break;
            }
        }
        let (sentence, after) = rest.split_at(length);
        rest = after;
        (length > 0).then_some(sentence)
    })
}

/// Where a sentence's first letter stands, if it begins with a word.
fn first_letter(sentence: &str) -> Option<usize> {
    let word = sentence.split_whitespace().next().filter(|word| !is_aside(word))?;
    let at = word.find(char::is_alphanumeric).filter(|&at| word[at..].starts_with(char::is_alphabetic))?;
    Some(word.as_ptr().addr() - sentence.as_ptr().addr() + at)
}

/// Whether a word is no word. Not by `www.` as in `text::is_link_or_name`: a word in capitals must be the same when it is small.
fn is_aside(word: &str) -> bool {
    word.starts_with(['@', '#']) || word.contains("://")
}

/// Writes a sentence with a capital at its beginning and for `I`, and the other letters small or as they are.
fn recase(out: &mut String, sentence: &str, small: bool) {
    let (first, mut before) = (first_letter(sentence), ' ');
    let mut characters = sentence.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let after = characters.peek().map_or(' ', |next| next.1);
        let begins = before.is_whitespace() || "\"'(“‘".contains(before);
        let is_i = c == 'i' && begins && (after.is_whitespace() || "'’,!?;:)".contains(after));
        out.push(match c {
            _ if is_i || first == Some(at) => upper(c),
            'I' if begins && !after.is_alphanumeric() => c,
            _ if small => lower(c),
            _ => c,
        });
        before = c;
    }
}

fn upper(c: char) -> char {
    if c.is_ascii() { c.to_ascii_uppercase() } else { of_same_length(c, c.to_uppercase()) }
}

fn lower(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { of_same_length(c, c.to_lowercase()) }
}

/// The letter's other case, unless that is several letters, or takes more or fewer bytes.
fn of_same_length(c: char, mut other: impl Iterator<Item = char>) -> char {
    match (other.next(), other.next()) {
        (Some(only), None) if c.max(only) <= LAST && only.len_utf8() == c.len_utf8() => only,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_stand_where_sentences_have_them() {
        let cases = [
            ("THIS IS NOT A DRILL. RUN! I SAID, I'D GO (I DID).", "This is not a drill. Run! I said, I'd go (I did)."),
            ("Why Would Anyone Write Like This? It Is Odd To Read It.", "Why would anyone write like this? It is odd to read it."),
            ("hElLo tHeRe, hOw aRe yOu mY fRiEnD", "Hello there, how are you my friend"),
            (
                "i think so. it's what i saw in london, i.e. there... and so on? \"yes,\" he said",
                "I think so. It's what I saw in london, i.e. there... and so on? \"Yes,\" he said",
            ),
            (
                "It was fine until the evening came and nobody wanted to leave the garden any more. THEN ALL OF THEM SHOUTED AT ONCE! And Mary left.",
                "It was fine until the evening came and nobody wanted to leave the garden any more. Then all of them shouted at once! And Mary left.",
            ),
            ("NOBODY IN THE WHOLE TOWN KNEW. NO! And Mary Left.", "Nobody in the whole town knew. No! And mary left."),
            ("ÉCOUTEZ, WHAT A CAFÉ IN ŁÓDŹ THAT WAS", "Écoutez, what a café in łódź that was"),
            ("one line\nof it wrapped\n\nanother", "One line\nof it wrapped\n\nAnother"),
        ];
        for (text, expected) in cases {
            let (found, changed) = sentence_case(text.to_owned());
            assert_eq!(found, expected);
            assert_eq!(changed as usize, text.chars().zip(expected.chars()).filter(|(a, b)| a != b).count());
            assert_eq!(sentence_case(found.clone()), (found, 0), "a second time changes nothing");
        }
    }

    #[test]
    fn what_people_write_keeps_its_capitals() {
        let texts = [
            "President Barack Obama met the NATO allies in New York. The U.S. troops left; iPhone sales rose.",
            "WOW! I never saw NASA do that. OMG",
            "It was wrapped\nby a mail program\nthat breaks lines. And so\nit goes on.",
            "He went ... and then ... we left. eBay it is. Then I did.",
            "@anna you are. #tag this. 3 dogs ran. https://example.org/a is there. It is.",
            "漢字とかな。 한국어",
            "",
        ];
        for text in texts {
            assert_eq!(sentence_case(text.to_owned()), (text.to_owned(), 0));
        }
    }
}
