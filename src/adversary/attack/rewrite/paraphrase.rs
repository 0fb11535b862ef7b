//! Runs of words written anew: sampled from what stands before, as often as there are candidates, chosen by what follows.
//! The words before a run are those that were already written anew. Must stay within sentences and lines.

use super::{BEFORE, Edit, ModelError, Place, Rewriter, Sequences, TOGETHER, highest, pieces, tokens_of};
use crate::adversary::{
    Random,
    attack::{Attack, choose},
};
use std::ops::Range;

/// Words of a run.
const WORDS: usize = 4;
/// Candidates for a run, and the ranks that they are drawn from.
const CANDIDATES: usize = 6;
const RANKS: usize = 20;

/// A run of words.
#[derive(Debug)]
struct Run {
    at: Range<usize>,
    tokens: Range<usize>,
}

/// A text on its way.
struct Draft {
    ids: Vec<u32>,
    runs: Vec<Run>,
    /// Tokens so far: those of the text, and in place of its runs the new ones.
    written: Vec<u32>,
    edits: Vec<Edit>,
}

impl Rewriter<'_> {
    /// Texts with a share of their runs of words written anew: their edits, in order. `random` gives each text its own numbers.
    pub fn paraphrases(&mut self, texts: &[&str], share: f64, random: &mut [Random]) -> Result<Vec<Vec<Edit>>, ModelError> {
        let mut out = Vec::with_capacity(texts.len());
        for (texts, random) in texts.chunks(TOGETHER).zip(random.chunks_mut(TOGETHER)) {
            let mut drafts = Vec::with_capacity(texts.len());
            for (text, random) in texts.iter().zip(random.iter_mut()) {
                let tokens = self.generator.tokenize(text)?;
                let runs = runs(text, &tokens.offsets);
                let wanted = Attack::Paraphrase.count(text, runs.len(), share);
                let runs = choose(runs, wanted, random);
                drafts.push(Draft { ids: tokens.ids, runs, written: Vec::new(), edits: Vec::new() });
            }
            let most = drafts.iter().map(|d| d.runs.len()).max().unwrap_or(0);
            for k in 0..most {
                self.rewrite(&mut drafts, k, random)?;
            }
            out.extend(drafts.into_iter().map(|draft| draft.edits));
        }
        Ok(out)
    }

    /// Writes run number `k` of every draft that has one.
    fn rewrite(&mut self, drafts: &mut [Draft], k: usize, random: &mut [Random]) -> Result<(), ModelError> {
        let live: Vec<usize> = (0..drafts.len()).filter(|&d| k < drafts[d].runs.len()).collect();
        for &d in &live {
            let draft = &mut drafts[d];
            let from = k.checked_sub(1).map_or(0, |before| draft.runs[before].tokens.end);
            draft.written.extend_from_slice(&draft.ids[from..draft.runs[k].tokens.start]);
        }
        let candidates = self.sample(drafts, (&live, k), random)?;
        let mut places = Vec::new();
        for (&d, candidates) in live.iter().zip(&candidates) {
            let Draft { ids, runs, written, .. } = &drafts[d];
            places.extend(candidates.iter().map(|middle| Place::of(written, middle, &ids[runs[k].tokens.end..])));
        }
        let mut costs = self.costs(&places)?.into_iter();
        for (d, candidates) in live.into_iter().zip(candidates) {
            let costs: Vec<f64> = costs.by_ref().take(candidates.len()).collect();
            let best = costs.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(best, _)| best);
            let Draft { ids, runs, written, edits, .. } = &mut drafts[d];
            let run = &runs[k];
            let Some(chosen) = best.and_then(|best| candidates.into_iter().nth(best)) else {
                written.extend_from_slice(&ids[run.tokens.clone()]);
                continue;
            };
            let new = self.generator.detokenize(&chosen)?;
            // the run's first token may begin with the space before it, which stays
            let with = new.strip_prefix(' ').unwrap_or(&new).to_owned();
            written.extend_from_slice(&chosen);
            edits.push(Edit { at: run.at.clone(), with });
        }
        Ok(())
    }

    /// Different candidates for a run of each live draft, as many tokens as it has.
    fn sample(&mut self, drafts: &[Draft], (live, k): (&[usize], usize), random: &mut [Random]) -> Result<Vec<Vec<Vec<u32>>>, ModelError> {
        let size = self.vocabulary.len();
        let count = live.len() * CANDIDATES;
        let draft_of = |i: usize| live[i / CANDIDATES];
        let original = |d: usize| &drafts[d].ids[drafts[d].runs[k].tokens.clone()];
        let mut made: Vec<Vec<u32>> = vec![Vec::new(); count];
        let mut sequences = Sequences::new(self.generator, count);
        let first: Vec<(usize, &[u32])> = live.iter().enumerate().map(|(i, &d)| (i * CANDIDATES, context(&drafts[d]))).collect();
        let logits = sequences.extend(&first)?;
        let mut rows: Vec<Vec<f32>> = logits.chunks_exact(size).flat_map(|row| std::iter::repeat_n(row.to_vec(), CANDIDATES)).collect();
        let copies: Vec<_> = (0..count).filter(|i| i % CANDIDATES > 0).map(|i| (i - i % CANDIDATES, i)).collect();
        sequences.copy(&copies)?;
        let mut growing: Vec<usize> = (0..count).collect();
        while !growing.is_empty() {
            let mut grown = Vec::new();
            for (&i, row) in growing.iter().zip(&rows) {
                let d = draft_of(i);
                let opening = made[i].is_empty().then(|| self.vocabulary[original(d)[0] as usize].as_str());
                // where nothing fits, the candidate stays short and is dropped
                let Some(id) = draw(self.vocabulary, row, opening, &mut random[d]) else { continue };
                made[i].push(id);
                if made[i].len() < original(d).len() {
                    grown.push(i);
                }
            }
            growing = grown;
            if !growing.is_empty() {
                let steps: Vec<(usize, &[u32])> = growing.iter().map(|&i| (i, &made[i][made[i].len() - 1..])).collect();
                rows = sequences.extend(&steps)?.chunks_exact(size).map(<[f32]>::to_vec).collect();
            }
        }
        Ok(made.chunks(CANDIDATES).zip(live).map(|(made, &d)| self.different(made, original(d))).collect())
    }

    /// The whole candidates that are not the original, each once.
    fn different(&self, made: &[Vec<u32>], original: &[u32]) -> Vec<Vec<u32>> {
        let text = |ids: &[u32]| ids.iter().map(|&id| self.vocabulary[id as usize].as_str()).collect::<String>();
        let same = text(original).to_lowercase();
        let mut out: Vec<Vec<u32>> = Vec::new();
        for ids in made.iter().filter(|ids| ids.len() == original.len()) {
            let new = text(ids);
            if new.to_lowercase() != same && new.ends_with(char::is_alphabetic) && !out.contains(ids) {
                out.push(ids.clone());
            }
        }
        out
    }
}

/// What a run is written after: enough for the model, and bounded.
fn context(draft: &Draft) -> &[u32] {
    &draft.written[draft.written.len().saturating_sub(4 * BEFORE)..]
}

/// One of the highest tokens that may stand in a run, by the model's probabilities. `opening` is the token whose place the first one takes.
fn draw(vocabulary: &[String], logits: &[f32], opening: Option<&str>, random: &mut Random) -> Option<u32> {
    let fits = |id: &u32| {
        let token = vocabulary[*id as usize].as_str();
        let word = token.strip_prefix(' ').unwrap_or(token);
        let plain = !word.is_empty() && word.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | ',' | '-'));
        let opens = |old: &str| token.starts_with(' ') == old.starts_with(' ') && word.starts_with(char::is_alphabetic);
        plain && opening.is_none_or(opens)
    };
    let ids: Vec<u32> = highest(logits, RANKS).into_iter().filter(fits).collect();
    let top = logits[*ids.first()? as usize];
    let weights: Vec<f64> = ids.iter().map(|&id| f64::from(logits[id as usize] - top).exp()).collect();
    let mut left = random.uniform() * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|weight| {
        left -= weight;
        left < 0.
    });
    ids.get(chosen.unwrap_or(0)).copied()
}

/// Runs of at most `WORDS` words with nothing but spaces between them, whose ends are ends of tokens.
fn runs(text: &str, offsets: &[(u32, u32)]) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    let mut pending: Option<(Range<usize>, usize)> = None;
    let end = |pending: &mut Option<(Range<usize>, usize)>, out: &mut Vec<Run>| {
        if let Some((at, _)) = pending.take()
            && let Some(tokens) = tokens_of(text, offsets, &at)
        {
            out.push(Run { at, tokens });
        }
    };
    for word in pieces::words(text) {
        match &mut pending {
            Some((at, words)) if *words < WORDS && &text[at.end..word.start] == " " => {
                at.end = word.end;
                *words += 1;
            }
            _ => {
                end(&mut pending, &mut out);
                pending = Some((word, 1));
            }
        }
    }
    end(&mut pending, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_within_stops_and_lines() {
        let text = "one two three four five, six. Seven\neight http://a.b nine";
        // a token for each word with the space before it
        let mut offsets = Vec::new();
        let mut at = 0;
        for part in text.split_inclusive([' ', '\n', ',', '.']) {
            let end = at + part.trim_end_matches([' ', '\n', ',', '.']).len();
            let start = if at > 0 && text.as_bytes()[at - 1] == b' ' { at - 1 } else { at };
            offsets.push((start as u32, end as u32));
            at += part.len();
            if text.as_bytes()[at - 1] != b' ' {
                offsets.push((end as u32, at as u32));
            }
        }
        let found: Vec<_> = runs(text, &offsets).into_iter().map(|run| &text[run.at]).collect();
        assert_eq!(found, ["one two three four", "five", "six", "Seven", "eight", "nine"]);
        assert!(runs("", &[]).is_empty());
        assert!(runs("one two", &[(0, 2), (2, 7)]).len() == 1, "inner bounds do not matter");
        assert!(runs("one two", &[(0, 9)]).is_empty());
    }

    #[test]
    fn draws_are_plain_and_follow_the_probabilities() {
        let vocabulary: Vec<String> = [" the", " cat", "s", ".", "\n", " dog", "\u{FFFD}", "\u{1b}"].map(String::from).to_vec();
        let logits = [2., 1.5, 1., 9., 9., 0.5, 9., 9.];
        let mut counts = [0; 8];
        for stream in 0..2000 {
            let id = draw(&vocabulary, &logits, Some(" old"), &mut Random::new(5, stream)).unwrap();
            counts[id as usize] += 1;
        }
        assert_eq!(counts[2] + counts[3] + counts[4] + counts[6] + counts[7], 0);
        assert!(counts[0] > counts[1] && counts[1] > counts[5] && counts[5] > 100, "{counts:?}");
        assert_eq!(draw(&vocabulary[3..5], &logits[3..5], None, &mut Random::new(0, 0)), None);
    }
}
