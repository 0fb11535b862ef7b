//! One word for one word: proposed by the model's ranks in its place, chosen by what follows.
//! Takes content words only, and gives words of the same ending, so that most sentences stay sentences.

use super::{Edit, ModelError, Place, Rewriter, Sequences, TOGETHER, highest, pieces, tokens_of};
use crate::adversary::{
    Random,
    attack::{Attack, choose},
};
use std::ops::Range;

/// Tokens looked at in each place, by rank, and how many of them are judged.
const RANKS: usize = 60;
const JUDGED: usize = 6;

/// Words that hold a sentence together, sorted; they have no synonyms.
const STOP: [&str; 100] = [
    "about", "above", "after", "again", "against", "all", "also", "although", "among", "and", "any", "are", "because", "been", "before",
    "being", "below", "between", "both", "but", "can", "cannot", "could", "did", "does", "doing", "down", "during", "each", "every", "few",
    "for", "from", "had", "has", "have", "having", "her", "here", "hers", "herself", "him", "himself", "his", "how", "into", "its",
    "itself", "just", "may", "might", "more", "most", "must", "myself", "nor", "not", "now", "off", "once", "one", "only", "other", "our",
    "out", "over", "own", "same", "shall", "she", "should", "some", "such", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "through", "too", "under", "until", "very", "was", "were", "what", "when", "where", "which", "while",
    "who", "will", "with", "would",
];

/// A word that others may take the place of.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its bytes.
    pub(super) at: Range<usize>,
    /// Its tokens; the first one may begin with the space before the word.
    tokens: Range<usize>,
    /// Proposals, the likeliest first.
    proposals: Vec<u32>,
}

/// A text with its tokens and slots.
struct Reading<'t> {
    text: &'t str,
    ids: Vec<u32>,
    slots: Vec<Slot>,
}

impl Rewriter<'_> {
    /// Texts with a share of their words changed for others: their edits, in order. `random` gives each text its own numbers.
    pub fn synonyms(&mut self, texts: &[&str], share: f64, random: &mut [Random]) -> Result<Vec<Vec<Edit>>, ModelError> {
        let mut out = Vec::with_capacity(texts.len());
        for (texts, random) in texts.chunks(TOGETHER).zip(random.chunks_mut(TOGETHER)) {
            let mut readings = self.read(texts)?;
            for (reading, random) in readings.iter_mut().zip(random) {
                let slots = std::mem::take(&mut reading.slots);
                let wanted = Attack::Synonym.count(reading.text, slots.len(), share);
                reading.slots = choose(slots, wanted, random);
            }
            out.extend(self.judge(&readings, 1)?);
        }
        Ok(out)
    }

    /// For every word that has any, up to `each` other words, best first: edits by place.
    pub fn alternatives(&mut self, texts: &[&str], each: usize) -> Result<Vec<Vec<Edit>>, ModelError> {
        let mut out = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TOGETHER) {
            let readings = self.read(texts)?;
            out.extend(self.judge(&readings, each)?);
        }
        Ok(out)
    }

    /// Finds the slots of texts and what the model would write there.
    fn read<'t>(&mut self, texts: &[&'t str]) -> Result<Vec<Reading<'t>>, ModelError> {
        let mut readings = Vec::with_capacity(texts.len());
        for text in texts {
            let tokens = self.generator.tokenize(text)?;
            let slots = slots(text, &tokens.offsets);
            readings.push(Reading { text, ids: tokens.ids, slots });
        }
        let size = self.vocabulary.len();
        let mut sequences = Sequences::new(self.generator, texts.len());
        let most = readings.iter().map(|r| r.slots.len()).max().unwrap_or(0);
        for k in 0..most {
            let mut steps = Vec::new();
            for (sequence, reading) in readings.iter().enumerate() {
                let Some(slot) = reading.slots.get(k) else { continue };
                let from = k.checked_sub(1).map_or(0, |before| reading.slots[before].tokens.start);
                steps.push((sequence, &reading.ids[from..slot.tokens.start]));
            }
            let logits = sequences.extend(&steps)?;
            let ranked: Vec<_> = steps.iter().zip(logits.chunks_exact(size)).map(|(&(s, _), row)| (s, highest(row, RANKS))).collect();
            for (sequence, ids) in ranked {
                let Reading { text, ids: tokens, slots } = &mut readings[sequence];
                let slot = &mut slots[k];
                let spaced = self.vocabulary[tokens[slot.tokens.start] as usize].starts_with(' ');
                let fits = |id: &u32| stands_for(&self.vocabulary[*id as usize], &text[slot.at.clone()], spaced);
                slot.proposals = ids.into_iter().filter(fits).take(JUDGED).collect();
            }
        }
        for reading in &mut readings {
            reading.slots.retain(|slot| !slot.proposals.is_empty());
        }
        Ok(readings)
    }

    /// The `each` proposals of every slot that leave what follows most likely.
    fn judge(&mut self, readings: &[Reading<'_>], each: usize) -> Result<Vec<Vec<Edit>>, ModelError> {
        let mut places = Vec::new();
        for Reading { ids, slots, .. } in readings {
            for slot in slots {
                let (before, after) = (&ids[..slot.tokens.start], &ids[slot.tokens.end..]);
                places.extend(slot.proposals.iter().map(|id| Place::of(before, std::slice::from_ref(id), after)));
            }
        }
        let mut costs = self.costs(&places)?.into_iter();
        let mut out = Vec::with_capacity(readings.len());
        for Reading { text, slots, .. } in readings {
            let mut edits = Vec::new();
            for slot in slots {
                let mut judged: Vec<(f64, u32)> = slot.proposals.iter().map(|&id| (costs.next().unwrap_or(f64::MAX), id)).collect();
                judged.sort_by(|a, b| a.0.total_cmp(&b.0));
                let edit = |&(_, id): &(f64, u32)| {
                    let word = self.vocabulary[id as usize].trim_start();
                    Edit { at: slot.at.clone(), with: pieces::in_case_of(&text[slot.at.clone()], word) }
                };
                edits.extend(judged.iter().take(each).map(edit));
            }
            out.push(edits);
        }
        Ok(out)
    }
}

/// The content words of a text whose ends are ends of tokens.
fn slots(text: &str, offsets: &[(u32, u32)]) -> Vec<Slot> {
    let words = pieces::words(text).filter(|at| is_content(&text[at.clone()]));
    words.filter_map(|at| Some(Slot { tokens: tokens_of(text, offsets, &at)?, at, proposals: Vec::new() })).collect()
}

fn is_content(word: &str) -> bool {
    word.len() > 2 && word.bytes().all(|b| b.is_ascii_alphabetic()) && STOP.binary_search(&word.to_ascii_lowercase().as_str()).is_err()
}

/// Whether a token is a word that may stand for `word`: whole, another, with the same ending.
fn stands_for(token: &str, word: &str, spaced: bool) -> bool {
    let bare = token.strip_prefix(' ').unwrap_or(token);
    let capital = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
    token.starts_with(' ') == spaced
        && is_content(bare)
        && bare[1..].bytes().all(|b| b.is_ascii_lowercase())
        && (capital(bare) == capital(word))
        && !bare.eq_ignore_ascii_case(word)
        && ending(bare) == ending(word)
}

/// What tells a word's form: `-ing`, `-ed`, `-ly`, `-s`.
fn ending(word: &str) -> &'static str {
    let word = word.to_ascii_lowercase();
    let found = ["ing", "ed", "ly", "s"].into_iter().find(|ending| word.len() > ending.len() + 2 && word.ends_with(ending));
    found.filter(|ending| *ending != "s" || !word.ends_with("ss")).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_content_words_on_token_bounds_are_slots() {
        assert!(STOP.is_sorted());
        let text = "The quick foxes' tails";
        let offsets = [(0, 3), (3, 9), (9, 12), (12, 15), (15, 16), (16, 20), (20, 22)];
        let found: Vec<_> = slots(text, &offsets).into_iter().map(|s| (&text[s.at], s.tokens)).collect();
        assert_eq!(found, [("quick", 1..2), ("foxes", 2..4), ("tails", 5..7)]);
        assert!(slots(text, &[(0, 7), (7, 22)]).is_empty());
        assert!(slots("", &[]).is_empty());
    }

    #[test]
    fn a_word_is_taken_by_a_whole_other_word_of_its_form() {
        let cases = [
            (" dogs", "cats", true, true),
            (" dog", "cats", true, false),
            ("dogs", "cats", true, false),
            (" Cats", "cats", true, false),
            (" run", "ran", true, true),
            (" the", "cat", true, false),
            (" running", "walking", true, true),
            (" walked", "walking", true, false),
            (" class", "dress", true, true),
            (" d-g", "cat", true, false),
            (" \u{FFFD}", "cat", true, false),
            ("Berlin", "London", false, true),
        ];
        for (token, word, spaced, expected) in cases {
            assert_eq!(stands_for(token, word, spaced), expected, "{token} for {word}");
        }
    }
}
