//! A corpus of machine text, every row with what it was made by: prompts in, rows of the evaluation schema out.
//!
//! Takes an [`Order`] and a model; writes as [`Output`] says. Row n depends on the order and n alone, so that a run may stop and go on
//! anywhere and its batch may be of any size.

use super::{
    AdversaryError, Random,
    output::{Output, Sink},
    prompts::Prompt,
    writer::{Decoding, Desk, End, Request, Writing, Written, write},
};
use crate::model::{Generator, ModelInfo};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Set in a stream's number where it draws lengths, so that they are not the draws of the tokens.
const LENGTHS: u64 = 1 << 63;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// How.
    pub writing: Writing,
    /// What texts begin with, taken in turn; none is one empty prompt.
    pub prompts: Vec<Prompt>,
    /// How many texts.
    pub texts: u64,
    /// How long they are.
    pub length: Length,
    /// Whether a text holds its prompt.
    pub include_prefix: bool,
    /// What texts are about, where the prompt does not say.
    pub domain: Option<String>,
}

/// How long texts are, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Length {
    /// At most so many after the prompt; the model may end them before, but not at once.
    UpTo(usize),
    /// As the human text that the prompt was taken from.
    LikeHuman,
    /// Drawn from these, each as likely; prompt and all, where a text holds its prompt.
    Drawn(Vec<usize>),
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Texts written by this run.
    pub texts: u64,
    /// Tokens written by this run, those of texts in work with them.
    pub tokens: u64,
    /// Texts that an earlier run had written.
    pub resumed: u64,
    /// Texts in all.
    pub total: u64,
}

/// Sees a run as it goes, and may stop it.
pub trait Watch {
    /// Called after every run of the model.
    fn progress(&self, progress: &Progress);

    /// Asked after every run of the model; true stops the run, and texts in work are thrown away.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Watches nothing.
impl Watch for () {
    fn progress(&self, _progress: &Progress) {}
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Texts and tokens.
    pub progress: Progress,
    /// Stopped by the watch; the texts so far are whole.
    pub cancelled: bool,
}

/// A row of a corpus, in the schema of the evaluation data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Model, seed and number.
    pub id: String,
    /// The text.
    pub text: String,
    /// `machine`.
    pub label: &'static str,
    /// Who made it.
    pub source: &'static str,
    /// What it is about.
    pub domain: Option<String>,
    /// Name of the model.
    pub generator: String,
    /// How tokens were chosen.
    pub decoding: String,
    /// No attack.
    pub attack: Option<String>,
    /// What it shares with a human text.
    pub pair: Option<String>,
    /// What it begins with.
    pub prompt: String,
    /// Key of all randomness of the run.
    pub seed: u64,
    /// Name and hash of the model.
    pub model: String,
    /// Tokens written and why the text ended.
    pub meta: Value,
}

/// A prompt as the model reads it.
struct Read {
    prompt: Prompt,
    ids: Vec<u32>,
    /// Tokens of the human text that it was taken from.
    human: usize,
}

/// Writes a corpus.
///
/// # Errors
/// A prompt that does not fit, an output that is there or cannot be written, a model that fails. Texts written before are whole.
pub fn run(order: &Order, output: &Output, generator: &mut dyn Generator, watch: &dyn Watch) -> Result<Summary, AdversaryError> {
    let prompts = read(order, generator)?;
    let sink = Sink::open(output, &order.sheet(generator.info()), order.texts)?;
    let progress = Progress { resumed: sink.done, total: order.texts, ..Progress::default() };
    let model = generator.info().clone();
    let mut corpus = Corpus { order, prompts, sink, model, next: 0, asked: VecDeque::new(), progress, watch };
    let complete = write(generator, &order.writing, &mut corpus)?;
    let progress = corpus.progress;
    if complete {
        corpus.sink.complete()?;
    }
    Ok(Summary { progress, cancelled: !complete })
}

/// Writes a corpus into memory.
///
/// # Errors
/// As [`run`].
pub fn rows(order: &Order, generator: &mut dyn Generator, watch: &dyn Watch) -> Result<Option<Vec<Row>>, AdversaryError> {
    let prompts = read(order, generator)?;
    let model = generator.info().clone();
    let mut kept = Vec::new();
    let progress = Progress { total: order.texts, ..Progress::default() };
    let mut corpus = Corpus { order, prompts, sink: &mut kept, model, next: 0, asked: VecDeque::new(), progress, watch };
    let complete = write(generator, &order.writing, &mut corpus)?;
    Ok(complete.then_some(kept))
}

/// Every prompt in tokens; one that does not fit is told before anything is written.
fn read(order: &Order, generator: &dyn Generator) -> Result<Vec<Read>, AdversaryError> {
    let most = generator.info().context - 1;
    let one = |prompt: &Prompt| -> Result<Read, AdversaryError> {
        let ids = generator.tokenize(&prompt.text)?.ids;
        if ids.len() > most {
            return Err(AdversaryError::LongPrompt { tokens: ids.len(), most, start: prompt.text.chars().take(40).collect() });
        }
        let human = prompt.like.as_deref().map_or(Ok(0), |text| generator.tokenize(text).map(|t| t.ids.len()))?;
        Ok(Read { prompt: prompt.clone(), ids, human })
    };
    if order.prompts.is_empty() { Ok(vec![one(&Prompt::default())?]) } else { order.prompts.iter().map(one).collect() }
}

impl Order {
    /// Everything that rows depend on.
    fn sheet(&self, model: &ModelInfo) -> Map<String, Value> {
        let mut hasher = DefaultHasher::new();
        for prompt in &self.prompts {
            (&prompt.text, &prompt.pair, &prompt.domain, &prompt.like).hash(&mut hasher);
        }
        let prompts = format!("{} ({:016x})", self.prompts.len(), hasher.finish());
        let mut hasher = DefaultHasher::new();
        format!("{:?}", self.length).hash(&mut hasher);
        let sheet = json!({
            "program": env!("CARGO_PKG_VERSION"),
            "model": format!("{} {}", model.name, model.hash),
            "device": format!("{} {}", model.device, model.precision),
            "texts": self.texts,
            "seed": self.writing.seed,
            "decoding": describe(&self.writing),
            "stop": self.writing.stop,
            "stop at end-of-text": self.writing.stop_at_end,
            "prompts": prompts,
            "length": format!("{:016x}", hasher.finish()),
            "include prefix": self.include_prefix,
            "domain": self.domain,
        });
        sheet.as_object().cloned().unwrap_or_default()
    }

    /// Fewest and most tokens to write after a prompt.
    fn length_of(&self, number: u64, prompt: &Read) -> (usize, usize) {
        let exactly = |n: usize| (n.max(1), n.max(1));
        match &self.length {
            Length::UpTo(most) => (1, *most),
            Length::LikeHuman => exactly(prompt.human.saturating_sub(prompt.ids.len())),
            Length::Drawn(lengths) => {
                let drawn = Random::new(self.writing.seed, LENGTHS | number).below(lengths.len());
                let whole = lengths.get(drawn).copied().unwrap_or(0);
                exactly(if self.include_prefix { whole.saturating_sub(prompt.ids.len()) } else { whole })
            }
        }
    }
}

/// Where rows go.
trait Rows {
    fn has(&self, number: u64) -> bool;
    fn put(&mut self, number: u64, row: Row) -> Result<(), AdversaryError>;
}

impl Rows for Sink {
    fn has(&self, number: u64) -> bool {
        self.has(number)
    }

    fn put(&mut self, number: u64, row: Row) -> Result<(), AdversaryError> {
        self.put(number, &row, &row.text)
    }
}

impl Rows for &mut Vec<Row> {
    fn has(&self, _number: u64) -> bool {
        false
    }

    fn put(&mut self, _number: u64, row: Row) -> Result<(), AdversaryError> {
        self.push(row);
        Ok(())
    }
}

/// A corpus in work.
struct Corpus<'a, R> {
    order: &'a Order,
    prompts: Vec<Read>,
    sink: R,
    model: ModelInfo,
    next: u64,
    /// Numbers of the prompts of texts in work, in order.
    asked: VecDeque<usize>,
    progress: Progress,
    watch: &'a dyn Watch,
}

impl<R: Rows> Desk for Corpus<'_, R> {
    fn take(&mut self, _generator: &dyn Generator) -> Result<Option<Request>, AdversaryError> {
        while self.next < self.order.texts && self.sink.has(self.next) {
            self.next += 1;
        }
        if self.next >= self.order.texts {
            return Ok(None);
        }
        let number = self.next;
        self.next += 1;
        let at = (number % self.prompts.len() as u64) as usize;
        self.asked.push_back(at);
        let (fewest, most) = self.order.length_of(number, &self.prompts[at]);
        Ok(Some(Request { number, prompt: self.prompts[at].ids.clone(), most, fewest }))
    }

    fn done(&mut self, written: Written) -> Result<(), AdversaryError> {
        let Some(prompt) = self.asked.pop_front().map(|at| &self.prompts[at].prompt) else { return Ok(()) };
        let (order, model) = (self.order, &self.model);
        let text = if order.include_prefix { format!("{}{}", prompt.text, written.text) } else { written.text };
        let row = Row {
            id: format!("{}-{}-{:05}", model.name, order.writing.seed, written.number),
            text,
            label: "machine",
            source: "highwater generate",
            domain: prompt.domain.clone().or_else(|| order.domain.clone()),
            generator: model.name.clone(),
            decoding: describe(&order.writing),
            attack: None,
            pair: prompt.pair.clone(),
            prompt: prompt.text.clone(),
            seed: order.writing.seed,
            model: format!("{}@{}", model.name, model.hash),
            meta: json!({ "tokens": written.tokens, "end": ending(written.end), "precision": model.precision }),
        };
        self.progress.texts += 1;
        self.sink.put(written.number, row)
    }

    fn go_on(&mut self, tokens: u64) -> bool {
        self.progress.tokens += tokens;
        self.watch.progress(&self.progress);
        !self.watch.cancelled()
    }
}

fn ending(end: End) -> &'static str {
    match end {
        End::Length => "length",
        End::EndOfText => "end-of-text",
        End::Stop => "stop",
    }
}

/// How tokens are chosen, in the words of the evaluation data: `sampling (t=1)`, `t=0.8 top_k=40`, `greedy`, `beam 4`.
pub fn describe(writing: &Writing) -> String {
    let mut parts = Vec::new();
    match &writing.decoding {
        Decoding::Greedy => parts.push("greedy".to_owned()),
        Decoding::Beam(beams) => {
            parts.push(format!("beam {}", beams.width));
            parts.extend((beams.length_penalty != 1.).then(|| format!("length_penalty={}", beams.length_penalty)));
        }
        Decoding::Sample(s) => {
            parts.push(format!("t={}", s.temperature));
            parts.extend((s.top_k > 0).then(|| format!("top_k={}", s.top_k)));
            parts.extend((s.top_p < 1.).then(|| format!("top_p={}", s.top_p)));
            parts.extend((s.min_p > 0.).then(|| format!("min_p={}", s.min_p)));
            parts.extend((s.typical_p < 1.).then(|| format!("typical_p={}", s.typical_p)));
        }
    }
    let p = &writing.penalties;
    parts.extend((p.repetition != 1.).then(|| format!("repetition_penalty={}", p.repetition)));
    parts.extend((p.frequency != 0.).then(|| format!("frequency_penalty={}", p.frequency)));
    parts.extend((p.no_repeat_ngram > 0).then(|| format!("no_repeat_ngram={}", p.no_repeat_ngram)));
    if parts == ["t=1"] { "sampling (t=1)".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests;
