//! Token sequences of any length in a generator that holds short ones: past its context, a sequence goes on from its last half.

use super::{Generator, ModelError, Step};

/// Sequences by number.
pub(super) struct Sequences<'g> {
    generator: &'g mut dyn Generator,
    /// What each sequence holds.
    held: Vec<Vec<u32>>,
    logits: Vec<f32>,
}

impl<'g> Sequences<'g> {
    /// `count` sequences that begin as texts do.
    pub(super) fn new(generator: &'g mut dyn Generator, count: usize) -> Self {
        (0..count).for_each(|sequence| generator.forget(sequence));
        Self { generator, held: vec![Vec::new(); count], logits: Vec::new() }
    }

    /// Appends tokens to sequences, each once. A sequence that has nothing to read and is not new gives nothing.
    ///
    /// Gives the logits of what follows: (steps, vocabulary).
    pub(super) fn extend(&mut self, steps: &[(usize, &[u32])]) -> Result<&[f32], ModelError> {
        let context = self.generator.info().context;
        let mut fed: Vec<Vec<u32>> = Vec::with_capacity(steps.len());
        for &(sequence, tokens) in steps {
            let held = &mut self.held[sequence];
            let mut new = if held.is_empty() { vec![self.generator.end_of_text()] } else { Vec::new() };
            new.extend_from_slice(tokens);
            held.extend_from_slice(&new);
            if held.len() > context {
                held.drain(..held.len() - (context / 2).max(1));
                self.generator.forget(sequence);
                new.clone_from(held);
            }
            fed.push(new);
        }
        let steps: Vec<Step<'_>> = steps.iter().zip(&fed).map(|(&(sequence, _), tokens)| Step { sequence, tokens }).collect();
        self.logits.clear();
        self.generator.extend(&steps, &mut self.logits)?;
        Ok(&self.logits)
    }

    /// Makes each `to` what its `from` is: (from, to).
    pub(super) fn copy(&mut self, moves: &[(usize, usize)]) -> Result<(), ModelError> {
        let copies: Vec<Vec<u32>> = moves.iter().map(|&(from, _)| self.held[from].clone()).collect();
        for (&(_, to), copy) in moves.iter().zip(copies) {
            self.held[to] = copy;
        }
        self.generator.copy(moves)
    }
}
