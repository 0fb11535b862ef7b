//! From a row of logits to the next token: penalties and bans, then temperature, top-k, top-p, min-p and typical-p in the order of
//! `transformers`, then a draw.
//!
//! Takes logits and what was written before; gives token ids and probabilities. Must not know a model or keep anything between rows.

use super::Random;

/// How the next token is drawn. The default changes nothing: the model's own distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; above 0.
    pub temperature: f32,
    /// Keep the k most probable tokens, and those as probable as the last of them; 0 is off.
    pub top_k: usize,
    /// Keep the most probable tokens until they hold this probability; 1 is off. (Holtzman et al. 2020)
    pub top_p: f64,
    /// Keep tokens at least this share as probable as the most probable one; 0 is off.
    pub min_p: f64,
    /// Keep the tokens whose surprisal is nearest to the entropy until they hold this probability; 1 is off. (Meister et al. 2023)
    pub typical_p: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1., top_k: 0, top_p: 1., min_p: 0., typical_p: 1. }
    }
}

/// What changes logits before anything is chosen, in sampling, greedy and beam search alike. The default changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalties {
    /// Logits of tokens that were there before, in the prompt too: divided by it where positive, multiplied where negative; 1 is off.
    /// (Keskar et al. 2019)
    pub repetition: f32,
    /// Subtracted for each time that a token was written after the prompt; 0 is off.
    pub frequency: f32,
    /// No run of so many tokens is written twice, the prompt counted in; 0 is off.
    pub no_repeat_ngram: usize,
}

impl Default for Penalties {
    fn default() -> Self {
        Self { repetition: 1., frequency: 0., no_repeat_ngram: 0 }
    }
}

/// What stands before the token that is to be chosen.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// Everything so far: end-of-text, prompt, and what was written.
    pub tokens: &'a [u32],
    /// How many of `tokens` are not of our writing.
    pub given: usize,
    /// A token that may not come yet.
    pub forbidden: Option<u32>,
}

impl Penalties {
    /// Changes a row of logits, or of log-probabilities.
    pub fn apply(&self, logits: &mut [f32], history: &History<'_>) {
        if self.repetition != 1. {
            let mut seen = history.tokens.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for logit in seen.iter().filter_map(|&id| Some(id as usize).filter(|&id| id < logits.len())).collect::<Vec<_>>() {
                let value = &mut logits[logit];
                *value = if *value < 0. { *value * self.repetition } else { *value / self.repetition };
            }
        }
        if self.frequency != 0. {
            for &id in history.tokens.get(history.given..).unwrap_or_default() {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit -= self.frequency;
                }
            }
        }
        for id in repeated(history.tokens, self.no_repeat_ngram).chain(history.forbidden) {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Tokens that would complete a run of `n` which is there already.
fn repeated(tokens: &[u32], n: usize) -> impl Iterator<Item = u32> {
    let windows = if n > 0 && tokens.len() >= n { tokens } else { &[] };
    let prefix = &tokens[(tokens.len() + 1).saturating_sub(n.max(1)).min(tokens.len())..];
    windows.windows(n.max(1)).filter(move |w| w[..n - 1] == *prefix).map(move |w| w[n - 1])
}

/// The most probable token, the first of equals.
pub fn greedy(logits: &[f32]) -> u32 {
    let better = |best: (usize, f32), (i, &logit): (usize, &f32)| if logit > best.1 { (i, logit) } else { best };
    logits.iter().enumerate().fold((0, f32::NEG_INFINITY), better).0 as u32
}

/// Space for one row's work.
#[derive(Debug, Default)]
pub struct Sampler {
    kept: Vec<Kept>,
}

/// A token that may be drawn.
#[derive(Debug, Clone, Copy)]
struct Kept {
    id: u32,
    /// Tempered.
    logit: f32,
    /// What candidates are ordered by, smallest first.
    key: f32,
}

impl Sampler {
    /// Draws a token from a row of logits.
    pub fn draw(&mut self, logits: &[f32], sampling: &Sampling, random: &mut Random) -> u32 {
        self.filter(logits, sampling);
        let top = self.top();
        let total: f64 = self.kept.iter().map(|k| weight(k.logit, top)).sum();
        let mut left = random.uniform() * total;
        for kept in &self.kept {
            left -= weight(kept.logit, top);
            if left < 0. {
                return kept.id;
            }
        }
        // rounding can leave a rest; nothing is left at all only where every token is forbidden
        self.kept.iter().rfind(|k| weight(k.logit, top) > 0.).map_or_else(|| greedy(logits), |k| k.id)
    }

    /// The tokens that may be drawn and their probabilities, by id.
    pub fn distribution(&mut self, logits: &[f32], sampling: &Sampling) -> Vec<(u32, f64)> {
        self.filter(logits, sampling);
        let top = self.top();
        let total: f64 = self.kept.iter().map(|k| weight(k.logit, top)).sum();
        self.kept.iter().map(|k| (k.id, weight(k.logit, top) / total)).collect()
    }

    /// Leaves in `kept` what may be drawn, by id.
    fn filter(&mut self, logits: &[f32], sampling: &Sampling) {
        let temper = |(id, &logit): (usize, &f32)| Kept { id: id as u32, logit: logit / sampling.temperature, key: 0. };
        self.kept.clear();
        self.kept.extend(logits.iter().enumerate().filter(|(_, l)| **l > f32::NEG_INFINITY).map(temper));
        if sampling.top_k > 0 && sampling.top_k < self.kept.len() {
            self.order_by(|k| -k.logit);
            let (_, last, _) = self.kept.select_nth_unstable_by(sampling.top_k - 1, by_key);
            let last = last.logit;
            self.kept.retain(|k| k.logit >= last);
        }
        if sampling.top_p < 1. {
            self.order_by(|k| -k.logit);
            let reached = self.reach(sampling.top_p);
            self.kept.truncate(reached);
        }
        if sampling.min_p > 0. {
            let top = self.top();
            self.kept.retain(|k| weight(k.logit, top) >= sampling.min_p);
        }
        if sampling.typical_p < 1. && self.kept.len() > 1 {
            self.keep_typical(sampling.typical_p);
        }
        self.kept.sort_unstable_by_key(|k| k.id);
    }

    fn top(&self) -> f32 {
        self.kept.iter().map(|k| k.logit).fold(f32::NEG_INFINITY, f32::max)
    }

    fn order_by(&mut self, key: impl Fn(&Kept) -> f32) {
        for kept in &mut self.kept {
            kept.key = key(kept);
        }
    }

    /// How many of the first candidates, in order of their keys, it takes to hold `mass` of the probability. Only as many as that are put
    /// in order: to sort a whole vocabulary takes longer than a small model.
    fn reach(&mut self, mass: f64) -> usize {
        let top = self.top();
        let total: f64 = self.kept.iter().map(|k| weight(k.logit, top)).sum();
        let (mut sorted, mut held, mut step) = (0, 0., 128);
        while sorted < self.kept.len() {
            let rest = &mut self.kept[sorted..];
            let n = step.min(rest.len());
            if n < rest.len() {
                rest.select_nth_unstable_by(n, by_key);
            }
            rest[..n].sort_unstable_by(by_key);
            for (i, kept) in rest[..n].iter().enumerate() {
                held += weight(kept.logit, top);
                if held >= mass * total {
                    return sorted + i + 1;
                }
            }
            sorted += n;
            step *= 4;
        }
        sorted
    }

    fn keep_typical(&mut self, mass: f64) {
        let top = self.top();
        let (z, a) = self.kept.iter().fold((0., 0.), |(z, a), k| {
            let w = weight(k.logit, top);
            (z + w, a + w * f64::from(k.logit - top))
        });
        let (ln_z, entropy) = (z.ln(), z.ln() - a / z);
        self.order_by(|k| (ln_z - f64::from(k.logit - top) - entropy).abs() as f32);
        let last = self.reach(mass) - 1;
        let bound = self.kept[last].key;
        self.kept.retain(|k| k.key <= bound);
    }
}

fn by_key(a: &Kept, b: &Kept) -> std::cmp::Ordering {
    a.key.total_cmp(&b.key).then(a.id.cmp(&b.id))
}

/// e^(logit - top).
fn weight(logit: f32, top: f32) -> f64 {
    f64::from((logit - top).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_frequencies_of_the_distribution() {
        let logits: Vec<f32> = (0..300).map(|i| ((i * 37 % 101) as f32 / 101.) * 6.).collect();
        for sampling in [
            Sampling::default(),
            Sampling { temperature: 0.5, top_k: 20, ..Sampling::default() },
            Sampling { top_p: 0.6, ..Sampling::default() },
            Sampling { typical_p: 0.5, min_p: 0.05, ..Sampling::default() },
        ] {
            let mut sampler = Sampler::default();
            let expected = sampler.distribution(&logits, &sampling);
            assert!((expected.iter().map(|(_, p)| p).sum::<f64>() - 1.).abs() < 1e-9);
            let mut random = Random::new(5, 5);
            let mut counts = vec![0u32; logits.len()];
            let n = 20_000;
            for _ in 0..n {
                counts[sampler.draw(&logits, &sampling, &mut random) as usize] += 1;
            }
            let possible: Vec<u32> = expected.iter().map(|(id, _)| *id).collect();
            assert!(counts.iter().enumerate().all(|(id, &c)| c == 0 || possible.contains(&(id as u32))), "{sampling:?}");
            let chi: f64 =
                expected.iter().map(|&(id, p)| (f64::from(counts[id as usize]) - p * f64::from(n)).powi(2) / (p * f64::from(n))).sum();
            let freedom = expected.len() as f64 - 1.;
            assert!(chi < freedom + 5. * (2. * freedom).sqrt(), "{sampling:?}: chi-square {chi} at {freedom} degrees");
        }
    }

    #[test]
    fn filters_reach_into_the_tail_of_a_flat_row() {
        let flat = vec![0.; 5000];
        let kept = |sampling: Sampling| Sampler::default().distribution(&flat, &sampling).len();
        assert_eq!(kept(Sampling { top_p: 0.9, ..Sampling::default() }), 4500);
        assert_eq!(kept(Sampling { top_k: 7, ..Sampling::default() }), 5000, "equals of the last one stay");
        assert_eq!(kept(Sampling { min_p: 1., ..Sampling::default() }), 5000);
        assert_eq!(kept(Sampling { top_p: 1e-9, ..Sampling::default() }), 1);
    }

    #[test]
    fn what_would_repeat_a_run_is_forbidden() {
        let banned = |tokens: &[u32], n| repeated(tokens, n).collect::<Vec<u32>>();
        assert_eq!(banned(&[1, 2, 3, 1, 2], 3), [3]);
        assert_eq!(banned(&[1, 2, 1, 3, 1], 2), [2, 3]);
        assert_eq!(banned(&[4, 5], 1), [4, 5]);
        assert_eq!(banned(&[1, 2], 3), [0u32; 0]);
        assert_eq!(banned(&[1, 1, 1], 0), [0u32; 0]);
        assert_eq!(banned(&[], 2), [0u32; 0]);
    }

    #[test]
    fn a_forbidden_token_is_never_drawn_and_no_row_is_too_odd() {
        let history = History { tokens: &[2, 0], given: 1, forbidden: Some(1) };
        let mut logits = vec![1., 100., 1.];
        Penalties { frequency: 0.5, ..Penalties::default() }.apply(&mut logits, &history);
        assert_eq!(logits, [0.5, f32::NEG_INFINITY, 1.]);
        let mut random = Random::new(1, 1);
        let mut sampler = Sampler::default();
        assert!((0..100).all(|_| sampler.draw(&logits, &Sampling::default(), &mut random) != 1));
        assert_eq!(sampler.draw(&[f32::NEG_INFINITY; 3], &Sampling { top_p: 0.5, ..Sampling::default() }, &mut random), 0);
        assert_eq!(sampler.draw(&[5.], &Sampling { typical_p: 0.1, top_k: 1, ..Sampling::default() }, &mut random), 0);
    }
}
