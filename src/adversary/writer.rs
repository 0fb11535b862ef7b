//! Writes texts with a model: many at a time, a new one as soon as one ends, handed on in their order.
//!
//! Takes [`Request`]s; gives [`Written`]. What a text becomes depends on the seed, its number and its request, never on the batch. A
//! text longer than the context goes on in windows that overlap by half, as those of the scorer: it keeps at least half a context.

use super::{
    AdversaryError, Random,
    beam::{self, Beams},
    sampling::{History, Penalties, Sampler, Sampling, greedy},
};
use crate::model::{Generator, ModelError, Step};
use std::{collections::BTreeMap, num::NonZero, thread};

/// How a text is chosen from the model's probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decoding {
    /// Drawn token by token.
    Sample(Sampling),
    /// The most probable token every time.
    Greedy,
    /// The most probable text that a search of this width finds.
    Beam(Beams),
}

/// How all texts of a run are written.
#[derive(Debug, Clone, PartialEq)]
pub struct Writing {
    /// How tokens are chosen.
    pub decoding: Decoding,
    /// What changes the model's probabilities first.
    pub penalties: Penalties,
    /// A text ends before any of these.
    pub stop: Vec<String>,
    /// Whether the end-of-text token ends a text; otherwise it is never written.
    pub stop_at_end: bool,
    /// Key of all randomness.
    pub seed: u64,
    /// Texts in work at a time.
    pub batch: usize,
}

impl Default for Writing {
    fn default() -> Self {
        let decoding = Decoding::Sample(Sampling::default());
        Self { decoding, penalties: Penalties::default(), stop: Vec::new(), stop_at_end: true, seed: 0, batch: 16 }
    }
}

/// One text to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Its number, which is its stream of randomness.
    pub number: u64,
    /// Ids of what it begins with; end-of-text before it goes without saying.
    pub prompt: Vec<u32>,
    /// Most tokens to write.
    pub most: usize,
    /// Fewest tokens to write before end-of-text may end it.
    pub fewest: usize,
}

/// A written text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// As in the request.
    pub number: u64,
    /// What follows the prompt, a stop and what comes after it cut off.
    pub text: String,
    /// Tokens written, those that were cut off with them.
    pub tokens: usize,
    /// Why it ended.
    pub end: End,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It has as many tokens as were asked for.
    Length,
    /// The model ended it.
    EndOfText,
    /// A stop was written.
    Stop,
}

/// Tokens that one run of the model reads at most, one long prompt aside.
const READ_AT_ONCE: usize = 2048;
/// Texts that may be finished ahead of one that is not, in batches.
const AHEAD: u64 = 8;
/// Logits below which threads cost more than they save.
const WORTH_SHARING: usize = 100_000;

/// Who orders texts and takes them.
pub trait Desk {
    /// The next text to be written, while there is one.
    fn take(&mut self, generator: &dyn Generator) -> Result<Option<Request>, AdversaryError>;

    /// A text that is written. They come in the order of the requests.
    fn done(&mut self, written: Written) -> Result<(), AdversaryError>;

    /// Asked after every run of the model, which wrote so many tokens. False stops the work; what is not done is thrown away.
    fn go_on(&mut self, _tokens: u64) -> bool {
        true
    }
}

/// Writes all texts that `desk` asks for. True where it came to the end, false where it was stopped.
///
/// # Errors
/// A model that fails, a prompt that does not fit, or whatever the desk fails with. Texts that were done before are whole.
pub fn write(generator: &mut dyn Generator, writing: &Writing, desk: &mut dyn Desk) -> Result<bool, AdversaryError> {
    if let Decoding::Beam(beams) = &writing.decoding {
        while let Some(request) = desk.take(generator)? {
            let Some(written) = by_beams(generator, (writing, beams), request, desk)? else { return Ok(false) };
            desk.done(written)?;
        }
        return Ok(true);
    }
    let mut run = Run::new(writing, generator);
    let mut more = true;
    loop {
        while more && run.may_begin() {
            match desk.take(generator)? {
                Some(request) => run.begin(generator, request)?,
                None => more = false,
            }
        }
        let tokens = run.step(generator)?;
        while let Some(written) = run.ready.remove(&run.handed) {
            run.handed += 1;
            desk.done(written)?;
        }
        let going = desk.go_on(tokens);
        if !more && run.begun == run.handed {
            return Ok(true);
        }
        if !going {
            return Ok(false);
        }
    }
}

/// Texts in work, and texts that wait for one before them.
struct Run<'a> {
    writing: &'a Writing,
    slots: Vec<Option<Slot>>,
    /// By the order of their requests.
    ready: BTreeMap<u64, Written>,
    begun: u64,
    handed: u64,
    logits: Vec<f32>,
    threads: usize,
}

/// A text in work.
struct Slot {
    /// Its place among the requests.
    order: u64,
    draft: Draft,
    random: Random,
    sampler: Sampler,
}

impl<'a> Run<'a> {
    fn new(writing: &'a Writing, generator: &mut dyn Generator) -> Self {
        let slots = writing.batch.max(1);
        (0..slots).for_each(|sequence| generator.forget(sequence));
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let slots = (0..slots).map(|_| None).collect();
        Self { writing, slots, ready: BTreeMap::new(), begun: 0, handed: 0, logits: Vec::new(), threads }
    }

    fn may_begin(&self) -> bool {
        self.begun - self.handed < AHEAD * self.slots.len() as u64 && self.slots.iter().any(Option::is_none)
    }

    fn begin(&mut self, generator: &dyn Generator, request: Request) -> Result<(), AdversaryError> {
        let random = Random::new(self.writing.seed, request.number);
        let slot = Slot { order: self.begun, draft: Draft::new(generator, request)?, random, sampler: Sampler::default() };
        self.begun += 1;
        if slot.draft.request.most == 0 {
            self.ready.insert(slot.order, slot.draft.written(String::new(), End::Length));
        } else if let Some(free) = self.slots.iter_mut().find(|s| s.is_none()) {
            *free = Some(slot);
        }
        Ok(())
    }

    /// One more token for every text whose turn it is: long prompts take turns. Gives the number of tokens.
    fn step(&mut self, generator: &mut dyn Generator) -> Result<u64, AdversaryError> {
        let mut steps: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut reading = 0;
        for (sequence, slot) in self.slots.iter_mut().enumerate() {
            let Some(slot) = slot else { continue };
            let unread = slot.draft.unread(generator, sequence);
            if reading == 0 || reading + unread.len() <= READ_AT_ONCE {
                reading += unread.len();
                steps.push((sequence, unread.to_vec()));
            }
        }
        let turn: Vec<Step<'_>> = steps.iter().map(|(sequence, tokens)| Step { sequence: *sequence, tokens }).collect();
        if turn.is_empty() {
            return Ok(0);
        }
        generator.extend(&turn, &mut self.logits)?;
        self.choose(generator.info().vocabulary, &turn, generator.end_of_text());
        for step in &turn {
            let Some(slot) = &self.slots[step.sequence] else { continue };
            if let Some((text, end)) = slot.draft.ended(generator, self.writing)? {
                self.ready.insert(slot.order, slot.draft.written(text, end));
                self.slots[step.sequence] = None;
                generator.forget(step.sequence);
            }
        }
        Ok(turn.len() as u64)
    }

    /// Chooses a token for each step from its row of logits, on several threads where there is enough to do.
    fn choose(&mut self, vocabulary: usize, turn: &[Step<'_>], end_of_text: u32) {
        let writing = self.writing;
        let taking = |sequence: usize| turn.iter().any(|s| s.sequence == sequence);
        let slots = self.slots.iter_mut().enumerate().filter(|(i, _)| taking(*i)).filter_map(|(_, slot)| slot.as_mut());
        let mut work: Vec<_> = slots.zip(self.logits.chunks_exact_mut(vocabulary)).collect();
        let share = if work.len() * vocabulary < WORTH_SHARING { work.len() } else { work.len().div_ceil(self.threads) };
        let one = |part: &mut [(&mut Slot, &mut [f32])]| part.iter_mut().for_each(|(slot, row)| slot.choose(row, writing, end_of_text));
        let one = &one;
        if share >= work.len() {
            return one(&mut work);
        }
        thread::scope(|scope| work.chunks_mut(share.max(1)).for_each(|part| drop(scope.spawn(move || one(part)))));
    }
}

impl Slot {
    fn choose(&mut self, row: &mut [f32], writing: &Writing, end_of_text: u32) {
        writing.penalties.apply(row, &self.draft.history(writing, end_of_text));
        self.draft.tokens.push(match &writing.decoding {
            Decoding::Sample(sampling) => self.sampler.draw(row, sampling, &mut self.random),
            Decoding::Greedy | Decoding::Beam(_) => greedy(row),
        });
    }
}

/// A text as far as it is written.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) request: Request,
    /// End-of-text, prompt, and what was written.
    pub(super) tokens: Vec<u32>,
    /// How many of `tokens` are not of our writing.
    pub(super) given: usize,
    /// First token of the window that the model holds.
    start: usize,
}

impl Draft {
    pub(super) fn new(generator: &dyn Generator, request: Request) -> Result<Self, AdversaryError> {
        let mut tokens = vec![generator.end_of_text()];
        tokens.extend_from_slice(&request.prompt);
        let context = generator.info().context;
        if tokens.len() > context {
            let start = generator.detokenize(&request.prompt[..16.min(request.prompt.len())])?;
            return Err(AdversaryError::LongPrompt { tokens: request.prompt.len(), most: context - 1, start });
        }
        Ok(Self { given: tokens.len(), tokens, start: 0, request })
    }

    /// The tokens that the model has not read yet. Where they no longer fit into the context, the window moves on by half of it.
    pub(super) fn unread(&mut self, generator: &mut dyn Generator, sequence: usize) -> &[u32] {
        let context = generator.info().context;
        while self.tokens.len() - self.start > context {
            self.start += (context / 2).max(1);
            generator.forget(sequence);
        }
        &self.tokens[self.start + generator.length(sequence)..]
    }

    pub(super) fn history(&self, writing: &Writing, end_of_text: u32) -> History<'_> {
        let too_early = self.tokens.len() - self.given < self.request.fewest;
        let forbidden = (too_early || !writing.stop_at_end).then_some(end_of_text);
        History { tokens: &self.tokens, given: self.given, forbidden }
    }

    /// The text and why it ended, where it did.
    fn ended(&self, generator: &dyn Generator, writing: &Writing) -> Result<Option<(String, End)>, ModelError> {
        let new = &self.tokens[self.given..];
        if let Some((&last, before)) = new.split_last()
            && last == generator.end_of_text()
        {
            return Ok(Some((generator.detokenize(before)?, End::EndOfText)));
        }
        if let Some(cut) = self.stopped(generator, writing)? {
            return Ok(Some((cut, End::Stop)));
        }
        Ok(if new.len() < self.request.most { None } else { Some((generator.detokenize(new)?, End::Length)) })
    }

    /// The text before a stop that the last token completed.
    fn stopped(&self, generator: &dyn Generator, writing: &Writing) -> Result<Option<String>, ModelError> {
        let new = &self.tokens[self.given..];
        let Some(longest) = writing.stop.iter().map(String::len).max() else { return Ok(None) };
        // a token is a byte at least, so that a stop lies within so many of the last ones
        let tail = generator.detokenize(&new[new.len().saturating_sub(longest + 4)..])?;
        if !writing.stop.iter().any(|stop| tail.contains(stop)) {
            return Ok(None);
        }
        let text = generator.detokenize(new)?;
        let first = writing.stop.iter().filter_map(|stop| text.find(stop)).min();
        Ok(first.map(|at| text[..at].to_owned()))
    }

    fn written(&self, text: String, end: End) -> Written {
        Written { number: self.request.number, text, tokens: self.tokens.len() - self.given, end }
    }
}

/// One text by beam search, unless the desk stops it.
fn by_beams(
    generator: &mut dyn Generator,
    (writing, beams): (&Writing, &Beams),
    request: Request,
    desk: &mut dyn Desk,
) -> Result<Option<Written>, AdversaryError> {
    let mut draft = Draft::new(generator, request)?;
    let search = beam::Search { writing, beams, draft: &draft };
    let Some(found) = search.run(generator, &mut |tokens| desk.go_on(tokens))? else { return Ok(None) };
    draft.tokens.extend(found);
    let mut new = &draft.tokens[draft.given..];
    let mut end = End::Length;
    if let Some((&last, before)) = new.split_last()
        && last == generator.end_of_text()
    {
        (new, end) = (before, End::EndOfText);
    }
    let text = generator.detokenize(new)?;
    // the search knows no stops: they cut what it found
    let stop = writing.stop.iter().filter_map(|stop| text.find(stop)).min();
    Ok(Some(match stop {
        Some(at) => draft.written(text[..at].to_owned(), End::Stop),
        None => draft.written(text, end),
    }))
}

#[cfg(test)]
mod tests;
