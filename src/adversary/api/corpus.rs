//! A corpus written by a server: prompts in, rows of the evaluation schema out, as the model's own corpus is.
//!
//! A text that the server refuses to write becomes an error row in its place. A server that fails for everybody, or on many texts in a row,
//! ends the run; the rows before are whole, and a resumed run goes on after them. What an outage hides is asked for again.

use super::{ApiError, Backend, Bill, Completion, Protocol, Settings};
use crate::{
    adversary::{AdversaryError, Order, Output, Progress, Prompt, Summary, Watch, output::Sink},
    client,
};
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;

/// Texts in a row without an answer that end a run: by then it is not the texts.
const MOST_FAILURES: u32 = 8;

/// What came of a run.
#[derive(Debug)]
pub struct Served {
    /// Texts and tokens.
    pub summary: Summary,
    /// What it has used.
    pub bill: Bill,
    /// Texts that the server did not write, those of the rows that a resumed run found with them.
    pub refused: u64,
    /// Why the run ended early, where the server ended it.
    pub failure: Option<ApiError>,
}

/// Writes a corpus by a server, so many texts at a time.
///
/// # Errors
/// An output that is there or cannot be written. That the server fails is told in [`Served::failure`].
pub fn write(
    order: &Order,
    output: &Output,
    (backend, settings, workers): (&dyn Backend, &Settings, usize),
    watch: &dyn Watch,
) -> Result<Served, AdversaryError> {
    let sink = Sink::open(output, &sheet(order, settings), order.texts)?;
    let progress = Progress { resumed: sink.done, total: order.texts, ..Progress::default() };
    let missing: Vec<u64> = (0..order.texts).filter(|&number| !sink.has(number)).collect();
    let (refused, bill) = (sink.refused, Bill::default());
    let mut run = Run { order, settings, sink, watch, progress, bill, refused, held: Vec::new(), failures: 0, failure: None };
    let mut fault = None;
    let prompts = missing.iter().map(|&number| (number, prompt(order, number).text));
    super::run(backend, prompts, workers, &mut |number, answer| match run.take(number, answer) {
        Ok(flow) => flow,
        Err(error) => {
            fault = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    let cancelled = run.stopped();
    let complete = !cancelled && run.failure.is_none();
    if complete {
        run.settle()?;
    }
    let Run { sink, progress, bill, refused, failure, .. } = run;
    if complete {
        sink.complete()?;
    }
    Ok(Served { summary: Summary { progress, cancelled }, bill, refused, failure })
}

/// Prompts are taken in turn.
fn prompt(order: &Order, number: u64) -> Prompt {
    let count = order.prompts.len() as u64;
    number.checked_rem(count).and_then(|at| order.prompts.get(at as usize)).cloned().unwrap_or_default()
}

/// Everything that rows depend on, but for the server's own choices.
fn sheet(order: &Order, settings: &Settings) -> Map<String, Value> {
    let (server, own) = (client::place(&settings.base_url), &settings.sampling);
    let sheet = json!({
        "program": env!("CARGO_PKG_VERSION"),
        "server": server,
        "protocol": settings.protocol.name(),
        "model": settings.model,
        "texts": order.texts,
        "seed": settings.seed,
        "decoding": describe(settings),
        "stop": own.stop,
        "most tokens": own.max_tokens,
        "prompts": order.prompts.iter().map(|p| json!([p.text, p.pair, p.domain])).collect::<Vec<_>>(),
        "examples": settings.examples.iter().map(|e| json!([e.prompt, e.text])).collect::<Vec<_>>(),
        "instruction": settings.instruction,
        "include prefix": order.include_prefix,
        "domain": order.domain,
    });
    sheet.as_object().cloned().unwrap_or_default()
}

/// How the server was told to choose tokens; what it was not told is its own.
pub fn describe(settings: &Settings) -> String {
    let own = &settings.sampling;
    let numbers = [("t", own.temperature), ("top_p", own.top_p), ("frequency_penalty", own.frequency_penalty)];
    let said: Vec<_> = numbers.iter().filter_map(|(name, value)| Some(format!("{name}={}", (*value)?))).collect();
    if said.is_empty() { "the server's own".to_owned() } else { said.join(" ") }
}

/// A run in work.
struct Run<'a> {
    order: &'a Order,
    settings: &'a Settings,
    sink: Sink,
    watch: &'a dyn Watch,
    progress: Progress,
    bill: Bill,
    refused: u64,
    /// Error rows that wait for a sign that the server was there, and it was the texts.
    held: Vec<Value>,
    /// Texts in a row that were not written.
    failures: u32,
    failure: Option<ApiError>,
}

impl Run<'_> {
    fn stopped(&self) -> bool {
        self.watch.cancelled() || matches!(self.failure, Some(ApiError::Cancelled))
    }

    fn take(&mut self, number: u64, answer: Result<Completion, ApiError>) -> Result<ControlFlow<()>, AdversaryError> {
        let prompt = prompt(self.order, number);
        match answer {
            Ok(completion) => {
                self.failures = 0;
                self.settle()?;
                self.bill.add(&completion);
                self.progress.tokens += completion.usage.map_or(0, |usage| usage.output);
                let text = self.text(&prompt, &completion.text);
                self.sink.put(number, &self.row(number, &prompt, (&text, &completion)), &text)?;
                self.progress.texts += 1;
            }
            Err(error) => {
                self.failures += 1;
                if error.concerns_all() || self.failures >= MOST_FAILURES {
                    self.failure = Some(error);
                    return Ok(ControlFlow::Break(()));
                }
                tracing::warn!("text {number}: {error}");
                self.held.push(json!({"id": self.id(number), "prompt": prompt.text, "pair": prompt.pair,
                    "error": {"code": "not_written", "message": error.to_string()}}));
                // a refusal is an answer too
                if !matches!(error, ApiError::GaveUp { .. }) {
                    self.settle()?;
                }
            }
        }
        self.watch.progress(&self.progress);
        Ok(if self.watch.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Writes the error rows that were held back. A run that ends early never does, so that a resumed one asks for their texts again.
    fn settle(&mut self) -> Result<(), AdversaryError> {
        for row in std::mem::take(&mut self.held) {
            self.sink.put_error(&row)?;
            self.refused += 1;
            self.progress.texts += 1;
        }
        Ok(())
    }

    /// The text with its prompt, where texts hold it. A chat may repeat the prompt, or leave out the space that belongs after it.
    fn text(&self, prompt: &Prompt, written: &str) -> String {
        let chat = self.settings.protocol == Protocol::Chat;
        // a word or two may begin a continuation too
        let repeated = chat && crate::text::words(&prompt.text) > 2 && written.trim_start().starts_with(prompt.text.trim());
        if !self.order.include_prefix || prompt.text.is_empty() || repeated {
            return written.to_owned();
        }
        let apart = prompt.text.ends_with(char::is_whitespace) || written.starts_with(|c: char| c.is_whitespace() || ",.;:!?".contains(c));
        let between = if chat && !apart { " " } else { "" };
        format!("{}{between}{written}", prompt.text)
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{}-{number:05}", self.settings.model, self.settings.seed)
    }

    fn row(&self, number: u64, prompt: &Prompt, (text, completion): (&str, &Completion)) -> Value {
        let settings = self.settings;
        json!({
            "id": self.id(number),
            "text": text,
            "label": "machine",
            "source": "highwater generate",
            "domain": prompt.domain.as_ref().or(self.order.domain.as_ref()),
            "generator": settings.model,
            "decoding": describe(settings),
            "attack": null,
            "pair": prompt.pair,
            "prompt": prompt.text,
            "seed": settings.seed,
            "model": completion.model.as_deref().unwrap_or(&settings.model),
            "meta": {"server": client::place(&settings.base_url), "end": completion.finish, "usage": completion.usage},
        })
    }
}
