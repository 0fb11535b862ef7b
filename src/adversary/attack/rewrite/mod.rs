//! The two attacks that a language model makes: `synonym` and `paraphrase`.
//!
//! The model reads from left to right only. So what may stand in a place is proposed from what stands before it, among the tokens that the
//! model ranks highest there, and the choice among the proposals is the one that leaves what follows most likely. Nothing here knows what
//! a word means: `Quality` says what the rewriting cost. Must not choose by anything that a seed does not fix.

use super::{Edit, pieces};
use crate::model::{Generator, ModelError, Scorer, Step};
use std::ops::Range;

mod paraphrase;
mod sequences;
mod synonym;
#[cfg(test)]
mod tests;

use sequences::Sequences;

/// Texts that are rewritten together.
const TOGETHER: usize = 16;
/// Tokens before a place, and after it, that a choice is judged with.
const BEFORE: usize = 32;
const AFTER: usize = 12;

/// The half of a rewriter that proposes: it can be kept while the other half, the scorer, works elsewhere.
pub struct Proposer {
    generator: Box<dyn Generator>,
    /// The text of every token.
    vocabulary: Vec<String>,
}

impl Proposer {
    /// Reads the generator's vocabulary.
    pub fn new(generator: Box<dyn Generator>) -> Result<Self, ModelError> {
        let size = u32::try_from(generator.info().vocabulary).unwrap_or(u32::MAX);
        let vocabulary = (0..size).map(|id| generator.detokenize(&[id])).collect::<Result<_, _>>()?;
        Ok(Self { generator, vocabulary })
    }

    /// A rewriter that judges with this scorer, which must be of the same model.
    pub fn with<'a>(&'a mut self, scorer: &'a mut dyn Scorer) -> Rewriter<'a> {
        Rewriter { generator: self.generator.as_mut(), scorer, vocabulary: &self.vocabulary }
    }
}

/// Rewrites texts with a language model: the generator proposes, the scorer judges.
pub struct Rewriter<'a> {
    generator: &'a mut dyn Generator,
    scorer: &'a mut dyn Scorer,
    vocabulary: &'a [String],
}

/// What an attack cost a text.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Quality {
    /// Mean surprisal of the original, nats per token; null where a text has no token.
    pub surprisal_before: Option<f64>,
    /// Of the attacked text.
    pub surprisal_after: Option<f64>,
    /// Share of the original's words that are still there.
    pub words_kept: f64,
}

impl Rewriter<'_> {
    /// What the attack cost each (original, attacked) pair.
    pub fn quality(&mut self, pairs: &[(&str, &str)]) -> Result<Vec<Quality>, ModelError> {
        let texts: Vec<&str> = pairs.iter().flat_map(|&(before, after)| [before, after]).collect();
        let means = mean_surprisals(self.scorer, &texts)?;
        let one = |(pair, means): (&(&str, &str), &[Option<f64>])| Quality {
            surprisal_before: means.first().copied().flatten(),
            surprisal_after: means.get(1).copied().flatten(),
            words_kept: words_kept(pair.0, pair.1),
        };
        Ok(pairs.iter().zip(means.chunks(2)).map(one).collect())
    }

    /// Surprisal of `after` behind `before` and each of `middles`, summed, nats: one number each.
    fn costs(&mut self, places: &[Place<'_>]) -> Result<Vec<f64>, ModelError> {
        let texts: Vec<Vec<u32>> = places.iter().map(|p| [p.before, p.middle, p.after].concat()).collect();
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let scores = self.scorer.score(&texts)?;
        let sum = |(place, scores): (&Place<'_>, &crate::model::TokenScores)| {
            scores.surprisal[place.before.len() + place.middle.len()..].iter().map(|&s| f64::from(s)).sum()
        };
        Ok(places.iter().zip(&scores).map(sum).collect())
    }
}

/// A proposal with the tokens around it.
struct Place<'a> {
    before: &'a [u32],
    middle: &'a [u32],
    after: &'a [u32],
}

impl<'a> Place<'a> {
    /// `middle` between the nearest tokens of `before` and `after`.
    fn of(before: &'a [u32], middle: &'a [u32], after: &'a [u32]) -> Self {
        let first = before.len().saturating_sub(BEFORE);
        Self { before: &before[first..], middle, after: &after[..after.len().min(AFTER)] }
    }
}

/// Mean surprisal of each text, nats per token; `None` where it has no token.
pub(in crate::adversary) fn mean_surprisals(scorer: &mut dyn Scorer, texts: &[&str]) -> Result<Vec<Option<f64>>, ModelError> {
    let tokens = texts.iter().map(|text| scorer.tokenize(text)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<&[u32]> = tokens.iter().map(|t| t.ids.as_slice()).collect();
    let mean = |s: &crate::model::TokenScores| {
        let sum: f64 = s.surprisal.iter().map(|&s| f64::from(s)).sum();
        (!s.is_empty()).then(|| sum / s.len() as f64)
    };
    Ok(scorer.score(&ids)?.iter().map(mean).collect())
}

/// Share of the words of `before` that `after` still has, whatever their order; 1 where there were none.
pub fn words_kept(before: &str, after: &str) -> f64 {
    let mut left = std::collections::HashMap::<&str, usize>::new();
    for word in after.split_whitespace() {
        *left.entry(word).or_default() += 1;
    }
    let (mut all, mut kept) = (0_usize, 0_usize);
    for word in before.split_whitespace() {
        all += 1;
        if let Some(n) = left.get_mut(word).filter(|n| **n > 0) {
            *n -= 1;
            kept += 1;
        }
    }
    if all == 0 { 1. } else { kept as f64 / all as f64 }
}

/// The ids of the `n` highest logits, highest first; of equal ones the smaller id first.
fn highest(logits: &[f32], n: usize) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let order = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if n < ids.len() {
        ids.select_nth_unstable_by(n, order);
        ids.truncate(n);
    }
    ids.sort_unstable_by(order);
    ids
}

/// The tokens of a stretch, where it begins and ends with one; the first one may begin with the space before.
fn tokens_of(text: &str, offsets: &[(u32, u32)], at: &Range<usize>) -> Option<Range<usize>> {
    let first = offsets.partition_point(|&(_, end)| end as usize <= at.start);
    let last = offsets.partition_point(|&(_, end)| end as usize <= at.end);
    let start = offsets.get(first)?.0 as usize;
    let starts = start == at.start || (start + 1 == at.start && text.as_bytes()[start] == b' ');
    (starts && last > first && offsets[last - 1].1 as usize == at.end).then_some(first..last)
}
