//! A GPT-2 that continues token sequences: sessions of the decoding graph, and the state that each sequence leaves behind.
//!
//! On the CPU the keys and values stay in our own [`cache`]; elsewhere ([`plain`]) they go through the graph. Both give the same logits.

use super::{
    Generator, LoadOptions, ModelError, ModelInfo, Step, Tokens,
    checkpoint::Checkpoint,
    convert::{self, Prepared},
    graph,
    scorer::{self, Choice},
    tokenizer::Bpe,
};
use cache::Cache;
use ort::{environment::Environment, session::Session, value::TensorRef};
use plain::Plain;
use std::sync::{Arc, Mutex, PoisonError};

mod cache;
mod fake;
mod operator;
mod plain;
pub use fake::FakeGenerator;

/// Sequences that may be held at once.
pub(crate) const MOST_SEQUENCES: usize = 4096;

/// A loaded GPT-2 that writes.
pub(crate) struct Gpt2Generator {
    info: ModelInfo,
    tokenizer: Bpe,
    end_of_text: u32,
    /// Tokens of each sequence.
    lengths: Vec<usize>,
    engine: Engine,
}

/// What runs the graph.
enum Engine {
    /// Our own operators, on the CPU.
    Own { session: Session, cache: Arc<Mutex<Cache>> },
    /// ONNX operators only.
    Plain(Box<Plain>),
}

/// Loads as `options` say, on the device that the scorer would take.
pub(crate) fn load(options: &LoadOptions) -> Result<Gpt2Generator, ModelError> {
    let (checkpoint, engine, info) = scorer::open(options, start)?;
    Ok(Gpt2Generator::new(checkpoint, engine, info))
}

/// Converts the weights, writes the graph and starts its session.
fn start(
    environment: &Environment,
    checkpoint: &Checkpoint,
    choice: &Choice,
    options: &LoadOptions,
) -> Result<(Engine, ModelInfo), ModelError> {
    let prepared = convert::prepare(&scorer::job(checkpoint, choice, options))?;
    let info = scorer::info(checkpoint, choice);
    let config = &checkpoint.config;
    if !choice.flavour.own_operators() {
        let session = session(environment, checkpoint, (choice, &prepared), None)?;
        let plain = Plain::new(session, config, choice).map_err(|e| ModelError::Run(e.to_string()))?;
        return Ok((Engine::Plain(Box::new(plain)), info));
    }
    let cache = Arc::new(Mutex::new(Cache::new(config.layers, config.heads, config.width / config.heads)));
    let session = session(environment, checkpoint, (choice, &prepared), Some((&cache, scorer::threads(options.threads))))?;
    Ok((Engine::Own { session, cache }, info))
}

impl Gpt2Generator {
    fn new(checkpoint: Checkpoint, engine: Engine, info: ModelInfo) -> Self {
        let (tokenizer, end_of_text) = (checkpoint.tokenizer, checkpoint.config.end_of_text);
        Self { info, tokenizer, end_of_text, lengths: Vec::new(), engine }
    }

    fn check(&self, steps: &[Step<'_>]) -> Result<(), ModelError> {
        let refuse = |what: String| Err(ModelError::Run(what));
        for (i, step) in steps.iter().enumerate() {
            let length = self.length(step.sequence) + step.tokens.len();
            if step.tokens.is_empty() || step.sequence >= MOST_SEQUENCES || steps[..i].iter().any(|s| s.sequence == step.sequence) {
                return refuse(format!(
                    "sequence {}: expected tokens, once in a step, and at most {MOST_SEQUENCES} sequences",
                    step.sequence
                ));
            }
            if length > self.info.context {
                return refuse(format!(
                    "sequence {} would have {length} tokens, more than the context of {}",
                    step.sequence, self.info.context
                ));
            }
            if let Some(id) = step.tokens.iter().find(|&&id| id as usize >= self.info.vocabulary) {
                return refuse(format!("token id {id} is outside the vocabulary of {}", self.info.vocabulary));
            }
        }
        Ok(())
    }

    /// After a failed run: some layers may hold the new tokens and others not, also of sequences that have no length yet.
    fn forget_all(&mut self) {
        self.lengths.clear();
        match &mut self.engine {
            Engine::Own { cache, .. } => cache.lock().unwrap_or_else(PoisonError::into_inner).clear(),
            Engine::Plain(plain) => plain.clear(),
        }
    }
}

impl Generator for Gpt2Generator {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn end_of_text(&self) -> u32 {
        self.end_of_text
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError> {
        self.tokenizer.encode(text)
    }

    fn detokenize(&self, ids: &[u32]) -> Result<String, ModelError> {
        // vocab.json does not say which tokens are special
        let text: Vec<u32> = ids.iter().copied().filter(|&id| id != self.end_of_text).collect();
        self.tokenizer.decode(&text)
    }

    fn length(&self, sequence: usize) -> usize {
        self.lengths.get(sequence).copied().unwrap_or(0)
    }

    fn extend(&mut self, steps: &[Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        self.check(steps)?;
        logits.clear();
        if steps.is_empty() {
            return Ok(());
        }
        let ran = match &mut self.engine {
            Engine::Own { session, .. } => run(session, steps, &self.lengths, logits),
            Engine::Plain(plain) => plain.extend(steps, logits),
        };
        if let Err(what) = ran.map_err(|e| e.to_string()).and_then(|()| finite(logits)) {
            self.forget_all();
            return Err(ModelError::Run(what));
        }
        for step in steps {
            if self.lengths.len() <= step.sequence {
                self.lengths.resize(step.sequence + 1, 0);
            }
            self.lengths[step.sequence] += step.tokens.len();
        }
        Ok(())
    }

    fn forget(&mut self, sequence: usize) {
        if let Some(length) = self.lengths.get_mut(sequence) {
            *length = 0;
        }
        match &mut self.engine {
            Engine::Own { cache, .. } => cache.lock().unwrap_or_else(PoisonError::into_inner).forget(sequence),
            Engine::Plain(plain) => plain.forget(sequence),
        }
    }

    fn copy(&mut self, moves: &[(usize, usize)]) -> Result<(), ModelError> {
        if let Some((_, to)) = moves.iter().find(|&&(from, to)| from.max(to) >= MOST_SEQUENCES) {
            return Err(ModelError::Run(format!("sequence {to}: at most {MOST_SEQUENCES} sequences")));
        }
        let lengths: Vec<usize> = moves.iter().map(|&(from, _)| self.length(from)).collect();
        for (&(_, to), length) in moves.iter().zip(lengths) {
            if self.lengths.len() <= to {
                self.lengths.resize(to + 1, 0);
            }
            self.lengths[to] = length;
        }
        match &mut self.engine {
            Engine::Own { cache, .. } => cache.lock().unwrap_or_else(PoisonError::into_inner).copy(moves),
            Engine::Plain(plain) => plain.copy(moves),
        }
        Ok(())
    }
}

fn finite(logits: &[f32]) -> Result<(), String> {
    if logits.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    Err("the model gave numbers that are not finite; its weights may be damaged, or too large for this precision".to_owned())
}

/// One run of the graph with our own operators.
fn run(session: &mut Session, steps: &[Step<'_>], lengths: &[usize], logits: &mut Vec<f32>) -> ort::Result<()> {
    let (mut ids, mut positions, mut spans, mut rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        let past = lengths.get(step.sequence).copied().unwrap_or(0);
        ids.extend(step.tokens.iter().map(|&id| i64::from(id)));
        positions.extend((past..past + step.tokens.len()).map(|p| p as i64));
        spans.extend([step.sequence as i64, step.tokens.len() as i64]);
        rows.push(ids.len() as i64 - 1);
    }
    let inputs = ort::inputs![
        "input_ids" => TensorRef::from_array_view(([ids.len()], ids.as_slice()))?,
        "positions" => TensorRef::from_array_view(([ids.len()], positions.as_slice()))?,
        "spans" => TensorRef::from_array_view(([steps.len(), 2], spans.as_slice()))?,
        "rows" => TensorRef::from_array_view(([rows.len()], rows.as_slice()))?,
    ];
    let outputs = session.run(inputs)?;
    logits.extend_from_slice(outputs["logits"].try_extract_tensor::<f32>()?.1);
    Ok(())
}

/// A session of the decoding graph; with our own operators on a cache, on so many threads.
fn session(
    environment: &Environment,
    checkpoint: &Checkpoint,
    (choice, prepared): (&Choice, &Prepared),
    own: Option<(&Arc<Mutex<Cache>>, usize)>,
) -> Result<Session, ModelError> {
    let fault = |e: &dyn std::fmt::Display| ModelError::Session { model: checkpoint.name.clone(), message: e.to_string() };
    let builder = scorer::builder(environment).map_err(|e| fault(&e))?;
    let (mut builder, location) = scorer::with_weights(builder, prepared).map_err(|e| fault(&e))?;
    if let Some((cache, threads)) = own {
        builder = builder.with_intra_threads(threads).map_err(|e| fault(&e))?;
        builder = builder.with_operators(operator::domain(cache).map_err(|e| fault(&e))?).map_err(|e| fault(&e))?;
    } else {
        builder = scorer::with_cuda(builder, choice).map_err(|e| fault(&e))?;
    }
    let (config, tensors) = (&checkpoint.config, &prepared.tensors);
    let plan = graph::Plan { config, tensors, location: &location, flavour: choice.flavour, fork: None };
    builder.commit_from_memory(&graph::decoding(&plan)).map_err(|e| fault(&e))
}

#[cfg(test)]
mod tests;
