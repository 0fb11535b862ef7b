//! A generator without weights, for tests: bytes are tokens, and what follows is a fixed function of the last two.

use crate::model::{Generator, ModelError, ModelInfo, Scorer, Step, Tokens, fake::Fake};

/// A generator without weights: deterministic, instant, and a batch of N equals N singles. Token 0 is end-of-text.
///
/// It likes lower-case letters and spaces; after a letter it likes one of eight that depend on the two before, end-of-text a little.
#[derive(Debug)]
pub struct FakeGenerator {
    info: ModelInfo,
    sequences: Vec<Vec<u32>>,
    fail_after: Option<usize>,
    /// How many sequences each call took.
    pub batches: Vec<usize>,
}

impl Default for FakeGenerator {
    fn default() -> Self {
        Self { info: Fake::default().info().clone(), sequences: Vec::new(), fail_after: None, batches: Vec::new() }
    }
}

impl FakeGenerator {
    /// A fake with a context of so many tokens.
    pub fn with_context(context: usize) -> Self {
        let mut fake = Self::default();
        fake.info.context = context;
        fake
    }

    /// A fake that fails at its call number `calls`, counted from 0.
    pub fn failing_after(calls: usize) -> Self {
        Self { fail_after: Some(calls), ..Self::default() }
    }
}

/// Logits after these tokens.
fn logits(tokens: &[u32]) -> impl Iterator<Item = f32> {
    let [a, b] = [tokens.len().checked_sub(2), tokens.len().checked_sub(1)].map(|i| i.map_or(0, |i| tokens[i]));
    (0..256u32).map(move |id| {
        let liked = (id * 31 + a * 17 + b * 101) % 29;
        match id {
            0 => 1.5,
            32 => 3.,
            97..=122 if liked < 8 => 4. + liked as f32 / 8.,
            97..=122 => 1.,
            _ => -4. - liked as f32 / 8.,
        }
    })
}

impl Generator for FakeGenerator {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn end_of_text(&self) -> u32 {
        0
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        Fake::default().tokenize(text)
    }

    fn detokenize(&self, ids: &[u32]) -> Result<String, ModelError> {
        let bytes: Vec<u8> = ids.iter().filter(|&&id| id > 0).map(|&id| id as u8).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn length(&self, sequence: usize) -> usize {
        self.sequences.get(sequence).map_or(0, Vec::len)
    }

    fn extend(&mut self, steps: &[Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        if self.fail_after == Some(self.batches.len()) {
            return Err(ModelError::Run("the fake was told to fail".into()));
        }
        self.batches.push(steps.len());
        logits.clear();
        for step in steps {
            self.sequences.resize(self.sequences.len().max(step.sequence + 1), Vec::new());
            let sequence = &mut self.sequences[step.sequence];
            sequence.extend_from_slice(step.tokens);
            if sequence.len() > self.info.context {
                return Err(ModelError::Run(format!("sequence {} is longer than the context", step.sequence)));
            }
            logits.extend(self::logits(sequence));
        }
        Ok(())
    }

    fn forget(&mut self, sequence: usize) {
        if let Some(sequence) = self.sequences.get_mut(sequence) {
            sequence.clear();
        }
    }

    fn copy(&mut self, moves: &[(usize, usize)]) -> Result<(), ModelError> {
        let copies: Vec<_> = moves.iter().map(|&(from, _)| self.sequences.get(from).cloned().unwrap_or_default()).collect();
        for (&(_, to), copy) in moves.iter().zip(copies) {
            self.sequences.resize(self.sequences.len().max(to + 1), Vec::new());
            self.sequences[to] = copy;
        }
        Ok(())
    }
}
