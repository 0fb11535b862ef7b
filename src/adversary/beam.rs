//! Beam search as `transformers` does it: of all continuations of the best texts so far the best ones are kept, and a text that ends is
//! set aside with its score, the sum of its log-probabilities over a power of its length.

use super::{
    AdversaryError,
    writer::{Draft, Writing},
};
use crate::model::{Generator, Step};

/// How a beam search goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beams {
    /// Texts kept at a time, at least 2.
    pub width: usize,
    /// A text's score is the sum of its log-probabilities over its length to this power: above 0 favours longer texts.
    pub length_penalty: f32,
}

/// A text that may go on.
#[derive(Debug, Clone)]
struct Beam {
    draft: Draft,
    /// Sum of log-probabilities.
    score: f32,
}

/// A continuation of a beam by one token.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    beam: usize,
    token: u32,
    score: f32,
    ends: bool,
}

/// A search for the best text that continues a draft.
pub(super) struct Search<'a> {
    pub(super) writing: &'a Writing,
    pub(super) beams: &'a Beams,
    pub(super) draft: &'a Draft,
}

impl Search<'_> {
    /// The tokens of the best text, end-of-text with them where it ends so; `None` where `go_on`, which is asked after every run of the
    /// model with the number of its tokens, says no.
    pub(super) fn run(
        &self,
        generator: &mut dyn Generator,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Vec<u32>>, AdversaryError> {
        let Beams { width, length_penalty } = *self.beams;
        let (given, most) = (self.draft.given, self.draft.request.most);
        (0..width).for_each(|sequence| generator.forget(sequence));
        let mut running = vec![Beam { draft: self.draft.clone(), score: 0. }];
        let mut finished: Vec<(f32, Vec<u32>)> = Vec::new();
        for length in 1..=most {
            let candidates = self.continuations(generator, &mut running, length == most)?;
            if !go_on(running.len() as u64) {
                return Ok(None);
            }
            let value = |score: f32| score / (length as f32).powf(length_penalty);
            for candidate in candidates.iter().take(width).filter(|c| c.ends) {
                let tokens = [&running[candidate.beam].draft.tokens[given..], &[candidate.token]].concat();
                finished.push((value(candidate.score), tokens));
            }
            finished.sort_by(|a, b| b.0.total_cmp(&a.0));
            finished.truncate(width);
            let going_on: Vec<Candidate> = candidates.into_iter().filter(|c| !c.ends).take(width).collect();
            let Some(best) = going_on.first() else { break };
            // as if the best text that goes on kept its score: no promise, but what `transformers` does
            if finished.len() == width && finished.last().is_some_and(|worst| value(best.score) <= worst.0) {
                break;
            }
            running = advance(generator, &running, &going_on)?;
        }
        Ok(Some(finished.into_iter().next().map(|(_, tokens)| tokens).unwrap_or_default()))
    }

    /// The best continuations of all beams, twice as many as there may be beams, best first.
    fn continuations(&self, generator: &mut dyn Generator, running: &mut [Beam], last: bool) -> Result<Vec<Candidate>, AdversaryError> {
        let most = 2 * self.beams.width;
        let mut logits = Vec::new();
        let unread: Vec<Vec<u32>> = running.iter_mut().enumerate().map(|(i, b)| b.draft.unread(generator, i).to_vec()).collect();
        let steps: Vec<Step<'_>> = unread.iter().enumerate().map(|(sequence, tokens)| Step { sequence, tokens }).collect();
        generator.extend(&steps, &mut logits)?;
        let end_of_text = generator.end_of_text();
        let mut all = Vec::new();
        for (i, (beam, row)) in running.iter().zip(logits.chunks_exact_mut(generator.info().vocabulary)).enumerate() {
            normalise(row);
            self.writing.penalties.apply(row, &beam.draft.history(self.writing, end_of_text));
            let candidate =
                |(token, p): (u32, &f32)| Candidate { beam: i, token, score: p + beam.score, ends: last || token == end_of_text };
            let mut own: Vec<Candidate> = (0..).zip(&*row).map(candidate).filter(|c| c.score > f32::NEG_INFINITY).collect();
            if own.len() > most {
                own.select_nth_unstable_by(most, better);
                own.truncate(most);
            }
            all.append(&mut own);
        }
        all.sort_by(better);
        all.truncate(most);
        Ok(all)
    }
}

fn better(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then((a.beam, a.token).cmp(&(b.beam, b.token)))
}

/// The beams that the candidates make, and their sequences in the model.
fn advance(generator: &mut dyn Generator, running: &[Beam], going_on: &[Candidate]) -> Result<Vec<Beam>, AdversaryError> {
    let moves: Vec<_> = going_on.iter().enumerate().map(|(to, c)| (c.beam, to)).filter(|(from, to)| from != to).collect();
    generator.copy(&moves)?;
    let next = |c: &Candidate| {
        let mut draft = running[c.beam].draft.clone();
        draft.tokens.push(c.token);
        Beam { draft, score: c.score }
    };
    Ok(going_on.iter().map(next).collect())
}

/// Logits to log-probabilities.
fn normalise(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let z: f64 = row.iter().map(|v| f64::from(v - top).exp()).sum();
    let shift = top + z.ln() as f32;
    row.iter_mut().for_each(|v| *v -= shift);
}
