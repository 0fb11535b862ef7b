//! Rewriting with a toy model of whole words: which places change, how the choice is made, and that batches do not matter.

use super::*;
use crate::{
    adversary::{Random, attack::apply},
    model::{ModelInfo, TokenScores, Tokens},
};

const TEXTS: [&str; 4] = [
    "The brown dog jumped over the fence and walked home slowly. Every cat watched it closely, while birds sang songs.",
    "",
    "Nobody knows!",
    "A river runs between stones; people walked there, looked around and talked quietly about gardens, houses, roads and towns.",
];

/// A model whose tokens are words with the space before them, and single other characters.
#[derive(Clone)]
struct Toy {
    info: ModelInfo,
    vocabulary: Vec<String>,
    sequences: Vec<Vec<u32>>,
    context: usize,
}

fn split(text: &str) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let space = usize::from(rest.starts_with(' '));
        let letters = rest[space..].find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len() - space);
        let length = if letters > 0 { space + letters } else { rest.chars().next().map_or(1, char::len_utf8) };
        out.push((at as u32, (at + length) as u32));
        at += length;
    }
    out
}

impl Toy {
    fn new(context: usize) -> Self {
        let mut vocabulary = vec![String::new()];
        for text in TEXTS {
            for (start, end) in split(text) {
                let token = text[start as usize..end as usize].to_owned();
                if !vocabulary.contains(&token) {
                    vocabulary.push(token);
                }
            }
        }
        let mut info = crate::model::Fake::default().info().clone();
        (info.vocabulary, info.context) = (vocabulary.len(), context);
        Self { info, vocabulary, sequences: vec![Vec::new(); 200], context }
    }

    fn surprisal(before: u32, id: u32) -> f32 {
        ((before * 13 + id * 7) % 11) as f32 / 2.
    }
}

impl Scorer for Toy {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        let offsets = split(text);
        let id = |&(start, end): &(u32, u32)| {
            let token = &text[start as usize..end as usize];
            self.vocabulary.iter().position(|t| t == token).unwrap_or(0) as u32
        };
        Ok(Tokens { ids: offsets.iter().map(id).collect(), offsets })
    }

    fn score(&mut self, texts: &[&[u32]]) -> Result<Vec<TokenScores>, ModelError> {
        let one = |ids: &&[u32]| {
            let before = std::iter::once(0).chain(ids.iter().copied());
            TokenScores { surprisal: before.zip(*ids).map(|(b, &id)| Self::surprisal(b, id)).collect(), ..TokenScores::default() }
        };
        Ok(texts.iter().map(one).collect())
    }
}

impl Generator for Toy {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn end_of_text(&self) -> u32 {
        0
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        Scorer::tokenize(self, text)
    }

    fn detokenize(&self, ids: &[u32]) -> Result<String, ModelError> {
        Ok(ids.iter().map(|&id| self.vocabulary[id as usize].as_str()).collect())
    }

    fn length(&self, sequence: usize) -> usize {
        self.sequences[sequence].len()
    }

    fn extend(&mut self, steps: &[Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        for step in steps {
            assert!(!step.tokens.is_empty(), "a step has tokens");
            let held = &mut self.sequences[step.sequence];
            held.extend_from_slice(step.tokens);
            assert!(held.len() <= self.context, "{} tokens in a context of {}", held.len(), self.context);
            let last = *held.last().unwrap();
            logits.extend((0..self.vocabulary.len() as u32).map(|id| ((id * 31 + last * 17) % 23) as f32 / 4.));
        }
        Ok(())
    }

    fn forget(&mut self, sequence: usize) {
        self.sequences[sequence].clear();
    }

    fn copy(&mut self, moves: &[(usize, usize)]) -> Result<(), ModelError> {
        let before = self.sequences.clone();
        moves.iter().for_each(|&(from, to)| self.sequences[to].clone_from(&before[from]));
        Ok(())
    }
}

/// What one half of the texts' places come to: the edits of each text.
fn edits(texts: &[(u64, &str)], context: usize, share: f64, paraphrase: bool) -> Vec<Vec<Edit>> {
    let mut scorer = Toy::new(context);
    let mut proposer = Proposer::new(Box::new(Toy::new(context))).unwrap();
    let mut rewriter = proposer.with(&mut scorer);
    let mut random: Vec<Random> = texts.iter().map(|(number, _)| Random::new(1, *number)).collect();
    let texts: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
    let made = if paraphrase { rewriter.paraphrases(&texts, share, &mut random) } else { rewriter.synonyms(&texts, share, &mut random) };
    made.unwrap()
}

fn all() -> Vec<(u64, &'static str)> {
    (0..).zip(TEXTS).collect()
}

#[test]
fn a_text_s_edits_do_not_depend_on_its_batch() {
    for paraphrase in [false, true] {
        let together = edits(&all(), 64, 0.5, paraphrase);
        assert!(together[0].len() > 1 && together[3].len() > 1, "{together:?}");
        for (number, text) in all() {
            assert_eq!(edits(&[(number, text)], 64, 0.5, paraphrase)[0], together[number as usize], "{text}");
        }
        assert!(edits(&all(), 64, 0., paraphrase).iter().all(Vec::is_empty));
    }
}

#[test]
fn a_text_longer_than_the_context_is_rewritten_to_its_end() {
    let long = TEXTS[3].repeat(5);
    for paraphrase in [false, true] {
        let made = edits(&[(0, &long)], 24, 1., paraphrase).remove(0);
        assert!(made.last().is_some_and(|edit| edit.at.end > long.len() - TEXTS[3].len()), "{made:?}");
    }
}

#[test]
fn synonyms_are_other_words_of_the_same_ending_and_as_many_as_asked() {
    for (text, made) in TEXTS.into_iter().zip(edits(&all(), 64, 0.3, false)) {
        let words = pieces::words(text).count();
        assert!(made.len() <= (words as f64 * 0.3) as usize);
        for edit in &made {
            let word = &text[edit.at.clone()];
            assert!(word != edit.with && edit.with.chars().all(char::is_alphabetic), "{word}: {}", edit.with);
            assert_eq!(word.ends_with("ed"), edit.with.ends_with("ed"), "{word}: {}", edit.with);
        }
        assert_eq!(apply(text, &made).split_whitespace().count(), text.split_whitespace().count());
    }
}

#[test]
fn the_choice_leaves_what_follows_most_likely() {
    let toy = Toy::new(64);
    let id = |token: &str| toy.vocabulary.iter().position(|t| t == token).unwrap() as u32;
    let cost = |word: &str, next: &str| Toy::surprisal(id(word), id(next));
    let mut scorer = Toy::new(64);
    let mut proposer = Proposer::new(Box::new(Toy::new(64))).unwrap();
    let made = proposer.with(&mut scorer).alternatives(&[TEXTS[3]], 6).unwrap().remove(0);
    let river: Vec<_> = made.iter().filter(|edit| &TEXTS[3][edit.at.clone()] == "people").collect();
    assert!(river.len() > 1, "{made:?}");
    let costs: Vec<f32> = river.iter().map(|edit| cost(&format!(" {}", edit.with), " walked")).collect();
    assert!(costs.is_sorted(), "{river:?} {costs:?}");
}

#[test]
fn paraphrases_touch_whole_runs_and_nothing_between_them() {
    for (text, made) in TEXTS.into_iter().zip(edits(&all(), 64, 1., true)) {
        let new = apply(text, &made);
        let stops = |text: &str| text.chars().filter(|c| ".;!".contains(*c)).collect::<String>();
        assert_eq!(stops(&new), stops(text));
        for edit in &made {
            assert!(text[edit.at.clone()] != edit.with && !edit.with.starts_with(' '), "{edit:?}");
        }
        assert!(made.windows(2).all(|pair| pair[0].at.end <= pair[1].at.start));
    }
}

#[test]
fn quality_says_what_was_lost() {
    let mut scorer = Toy::new(64);
    let mut proposer = Proposer::new(Box::new(Toy::new(64))).unwrap();
    let pairs = [("Nobody knows!", "Nobody knows!"), ("Nobody knows!", "Nobody watched!"), ("", "")];
    let found = proposer.with(&mut scorer).quality(&pairs).unwrap();
    assert_eq!(found[0].surprisal_before, found[0].surprisal_after);
    assert_eq!((found[0].words_kept, found[1].words_kept, found[2].words_kept), (1., 0.5, 1.));
    assert_eq!(found[2].surprisal_before, None);
    assert_eq!(words_kept("a a b", "a c b a"), 1.);
}

#[test]
fn the_highest_come_first() {
    assert_eq!(highest(&[1., 3., 2., 3.], 3), [1, 3, 2]);
    assert_eq!(highest(&[1., 2.], 9), [1, 0]);
    assert!(highest(&[], 3).is_empty());
}
