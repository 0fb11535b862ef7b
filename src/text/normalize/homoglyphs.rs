//! Which words hold letters of other scripts that stand for Latin ones, by Unicode's confusables (UTS 39).
//! Takes a text, gives the words to change. Must leave real words of other scripts and the symbols of science alone,
//! and must find nothing more in its own result.

use super::characters::{Character, Characters, is_joining};
use std::{ops::Range, sync::LazyLock};
use unicode_normalization::char::canonical_combining_class;
use unicode_script::{Script, UnicodeScript};

/// A word whose look-alikes are to be replaced.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Disguised {
    /// Its characters, by their numbers.
    pub(super) characters: Range<usize>,
    /// Whether letters of other scripts are replaced.
    foreign: bool,
    /// Whether rare Latin letters are replaced (`ɡ` for `g`).
    latin: bool,
}

impl Disguised {
    /// The Latin letter that `c` stands for in this word, after the letter `last`.
    pub(super) fn undisguise(&self, c: char, last: char) -> Option<char> {
        let wanted = if c.script() == Script::Latin { self.latin } else { self.foreign };
        let latin = lookalike(c).filter(|_| wanted)?;
        // Unicode takes a capital i for an l.
        Some(if latin == 'l' && c.is_uppercase() && !last.is_lowercase() { 'I' } else { latin })
    }
}

/// Letters that look like one ASCII letter, sorted.
static LOOKALIKES: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    // Up to U+017F there is only ordinary Latin, and past U+1FFFF there are no such letters.
    ('\u{180}'..='\u{1FFFF}').filter(|&c| c.is_alphabetic() && can_mix(c)).filter_map(|c| Some((c, prototype(c)?))).collect()
});

fn prototype(c: char) -> Option<char> {
    let mut buffer = [0; 4];
    let mut skeleton = unicode_security::skeleton(c.encode_utf8(&mut buffer));
    let first = skeleton.next()?;
    (first.is_ascii_alphabetic() && skeleton.next().is_none()).then_some(first)
}

/// Scripts that are written without spaces mix with Latin in one run of letters, and joined scripts do not pass for it.
fn can_mix(c: char) -> bool {
    use Script::{Bopomofo, Common, Han, Hangul, Hiragana, Inherited, Katakana, Lao, Thai, Unknown};
    !is_joining(c) && !matches!(c.script(), Bopomofo | Common | Han | Hangul | Hiragana | Inherited | Katakana | Lao | Thai | Unknown)
}

fn lookalike(c: char) -> Option<char> {
    if c < '\u{180}' {
        return None;
    }
    let place = LOOKALIKES.binary_search_by_key(&c, |entry| entry.0).ok()?;
    Some(LOOKALIKES[place].1)
}

/// The letters of one word, counted by kind.
#[derive(Debug, Default)]
struct Word {
    characters: Range<usize>,
    ascii: u32,
    lowercase: u32,
    /// Latin letters that are neither ASCII nor look-alikes; `rare` of them are past U+017F (phonetic script and the like).
    accented: u32,
    rare: u32,
    latin_lookalikes: u32,
    foreign_lookalikes: u32,
    greek_lookalikes: u32,
    /// Of these, the capitals: as symbols they would be read as Latin letters, so nobody uses them as symbols.
    greek_capitals: u32,
    foreign: u32,
}

impl Word {
    fn add(&mut self, c: char) {
        let script = c.script();
        match (script, lookalike(c).is_some()) {
            (Script::Common | Script::Inherited | Script::Unknown, _) => return,
            (Script::Latin, true) => self.latin_lookalikes += 1,
            (Script::Latin, false) if c.is_ascii() => self.ascii += 1,
            (Script::Latin, false) => {
                self.accented += 1;
                self.rare += u32::from(c >= '\u{180}');
            }
            (_, true) => self.foreign_lookalikes += 1,
            (_, false) => self.foreign += 1,
        }
        let greek = script == Script::Greek && lookalike(c).is_some();
        self.greek_lookalikes += u32::from(greek);
        self.greek_capitals += u32::from(greek && c.is_uppercase());
        self.lowercase += u32::from(script == Script::Latin && c.is_lowercase());
    }

    fn latin(&self) -> u32 {
        self.ascii + self.accented + self.latin_lookalikes
    }

    /// Greek letters are symbols in English texts (`α = 0.05`, `TNFα`, `Lyα`): such a word alone shows nothing.
    fn may_be_symbol(&self) -> bool {
        let letters = self.latin() + self.foreign_lookalikes + self.foreign;
        self.greek_lookalikes > 0 && (self.lowercase == 0 || (letters <= 3 && self.greek_capitals == 0))
    }
}

/// A word that may be disguised.
struct Suspect {
    word: Word,
    /// It holds no Latin letter, so that its neighbours decide.
    whole: bool,
    /// Nothing is shown by it alone.
    weak: bool,
}

/// The search's state: suspects so far, and the words since the last one with a Latin letter.
#[derive(Default)]
struct Search {
    suspects: Vec<Suspect>,
    run_start: usize,
    run_is_foreign: bool,
    latin: u64,
    foreign: u64,
}

impl Search {
    fn word(&mut self, word: Word) {
        if word.latin() > 0 {
            self.end_run();
            self.latin += u64::from(word.latin() + word.foreign_lookalikes);
            self.foreign += u64::from(word.foreign);
            if word.foreign_lookalikes + word.latin_lookalikes > 0 {
                let weak = word.may_be_symbol();
                self.suspects.push(Suspect { word, whole: false, weak });
            }
            self.run_start = self.suspects.len();
        } else if word.foreign > 0 {
            self.foreign += u64::from(word.foreign + word.foreign_lookalikes);
            self.run_is_foreign = true;
        } else if word.foreign_lookalikes > 0 {
            let weak = word.may_be_symbol();
            self.suspects.push(Suspect { word, whole: true, weak });
        }
    }

    /// Words between two Latin ones are disguised together or, with one true foreign word among them, not at all.
    fn end_run(&mut self) {
        if self.run_is_foreign {
            self.suspects.truncate(self.run_start);
        } else if self.suspects[self.run_start..].iter().any(|suspect| suspect.weak) {
            self.suspects[self.run_start..].iter_mut().for_each(|suspect| suspect.weak = true);
        }
        self.run_is_foreign = false;
        self.run_start = self.suspects.len();
    }

    fn finish(mut self) -> Vec<Disguised> {
        self.end_run();
        let mainly_latin = self.latin > self.foreign;
        self.suspects.retain(|suspect| !suspect.whole || mainly_latin);
        let proven = self.suspects.iter().any(|suspect| suspect.disguised(false).is_some());
        self.suspects.iter().filter_map(|suspect| suspect.disguised(proven)).collect()
    }
}

impl Suspect {
    /// What is to be replaced, with or without the proof of another word in the text.
    fn disguised(&self, proven: bool) -> Option<Disguised> {
        let word = &self.word;
        let foreign = word.foreign_lookalikes > 0 && (proven || !self.weak);
        let only_latin = word.foreign_lookalikes + word.foreign == 0;
        let latin = word.latin_lookalikes > 0 && word.rare == 0 && (foreign || (only_latin && word.ascii > 0));
        (foreign || latin).then(|| Disguised { characters: word.characters.clone(), foreign, latin })
    }
}

/// The disguised words of `text`, in order.
///
/// A look-alike is replaced where its word also holds Latin letters, or where a word is all look-alikes between
/// Latin words of a mainly Latin text.
pub(super) fn disguised(text: &str) -> Vec<Disguised> {
    if !has_lookalikes(text) {
        return Vec::new();
    }
    let mut search = Search::default();
    let mut word = Word::default();
    for Character { c, index, .. } in Characters::new(text) {
        if c.is_alphabetic() {
            if word.characters.is_empty() {
                word.characters = index..index;
            }
            word.add(c);
            word.characters.end = index + 1;
        } else if word.characters.end > 0 && canonical_combining_class(c) == 0 {
            search.word(std::mem::take(&mut word));
        }
    }
    search.word(word);
    search.finish()
}

fn has_lookalikes(text: &str) -> bool {
    let mut characters = Characters::new(text);
    loop {
        characters.skip_plain();
        match characters.next() {
            Some(character) if lookalike(character.c).is_some() => return true,
            Some(_) => {}
            None => return false,
        }
    }
}
