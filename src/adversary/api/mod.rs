//! Texts from a server that speaks the OpenAI protocol, chat or completions.
//!
//! Takes prompts; gives texts with their token counts, paced and retried. Rows keep the order of their prompts whatever answers first.
//! Must not show the key: not in errors, not in logs, not in `Debug`.

use super::Random;
use crate::client::{Client, Limits};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

mod answer;
mod corpus;
mod error;
mod pace;
mod pool;
mod request;
mod sse;
#[cfg(test)]
mod tests;

pub use answer::parse_any;
pub use corpus::{Served, describe, write};
pub use error::ApiError;
pub use pace::{Clock, Monotonic};
pub use pool::run;
pub use request::{Example, Key, Protocol, Sampling};

use answer::Reading;
use pace::{Pace, backoff};

/// Whatever gives a text for a prompt.
pub trait Backend: Sync {
    /// The text for one prompt. `number` is the prompt's place in the run, from 0.
    ///
    /// # Errors
    /// Why there is none, after as many attempts as the backend makes.
    fn complete(&self, number: u64, prompt: &str) -> Result<Completion, ApiError>;
}

/// One text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completion {
    /// The text alone, without its prompt.
    pub text: String,
    /// The model as the server names it, where it does.
    pub model: Option<String>,
    /// Why the server stopped (`stop`, `length`, …), where it says so.
    pub finish: Option<String>,
    /// Tokens, where the server counts them.
    pub usage: Option<Usage>,
}

/// Tokens as the server counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Of the prompt, with examples and instruction.
    pub input: u64,
    /// Of the text.
    pub output: u64,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Bill {
    /// Texts.
    pub texts: u64,
    /// Tokens of those whose server counted them.
    pub usage: Usage,
    /// Texts whose server counted nothing: they are missing in the tokens and in the cost.
    pub uncounted: u64,
}

impl Bill {
    /// Adds one text.
    pub fn add(&mut self, completion: &Completion) {
        self.texts += 1;
        match completion.usage {
            Some(usage) => {
                self.usage.input = self.usage.input.saturating_add(usage.input);
                self.usage.output = self.usage.output.saturating_add(usage.output);
            }
            None => self.uncounted += 1,
        }
    }

    /// What the counted tokens cost at these prices for a million of them.
    pub fn cost(&self, price_in: f64, price_out: f64) -> f64 {
        (self.usage.input as f64 * price_in + self.usage.output as f64 * price_out) / 1e6
    }
}

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address up to the version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// Which of its models.
    pub model: String,
    /// Which of the two protocols.
    pub protocol: Protocol,
    /// What proves who asks; servers of one's own need none.
    pub key: Option<Key>,
    /// A system message (chat), or the first lines of the prompt (completions).
    pub instruction: Option<String>,
    /// Texts that show what is wanted.
    pub examples: Vec<Example>,
    /// How the server chooses tokens.
    pub sampling: Sampling,
    /// Whether answers are asked for piece by piece.
    pub stream: bool,
    /// Requests a minute; `None` is as fast as they are answered.
    pub per_minute: Option<f64>,
    /// Attempts for one text.
    pub attempts: u32,
    /// For one attempt, from the first byte to the last.
    pub timeout: Duration,
    /// Longest answer that is taken, bytes.
    pub answer_bytes: usize,
    /// Seeds the jitter of waits, and is sent to the server with each prompt's number added.
    pub seed: u64,
}

impl Settings {
    /// Usual settings for a server and one of its models.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            protocol: Protocol::Chat,
            key: None,
            instruction: None,
            examples: Vec::new(),
            sampling: Sampling::default(),
            stream: false,
            per_minute: None,
            attempts: 6,
            timeout: Duration::from_secs(120),
            answer_bytes: 4 << 20,
            seed: 0,
        }
    }
}

/// A server that speaks the OpenAI protocol.
pub struct OpenAi<C> {
    settings: Settings,
    client: Client,
    clock: C,
    pace: Mutex<Pace>,
    /// Whether the server has asked for the newer name of the most tokens.
    newer: AtomicBool,
}

impl<C: Clock + Sync> OpenAi<C> {
    /// Asks nothing yet.
    pub fn new(settings: Settings, clock: C) -> Self {
        let client = Client::new(Limits { timeout: settings.timeout, answer_bytes: settings.answer_bytes });
        let pace = Mutex::new(Pace::new(settings.per_minute));
        Self { settings, client, clock, pace, newer: AtomicBool::new(false) }
    }

    /// Waits for this request's turn.
    fn wait_for_turn(&self) -> Result<(), ApiError> {
        let wait = self.pace.lock().unwrap_or_else(PoisonError::into_inner).turn(self.clock.now());
        self.sleep(wait)
    }

    fn sleep(&self, wait: Duration) -> Result<(), ApiError> {
        if self.clock.sleep(wait) { Ok(()) } else { Err(ApiError::Cancelled) }
    }

    /// One exchange.
    fn attempt(&self, body: &[u8]) -> Result<Completion, ApiError> {
        let settings = &self.settings;
        let url = request::url(&settings.base_url, settings.protocol);
        let bearer = settings.key.as_ref().map(Key::bearer);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let mut reading = Reading::new(settings.answer_bytes);
        let head = self.client.post_streamed(&url, (&headers, body), &mut |head, bytes| reading.take(head, bytes))?;
        reading.finish(&head)
    }
}

impl<C: Clock + Sync> Backend for OpenAi<C> {
    fn complete(&self, number: u64, prompt: &str) -> Result<Completion, ApiError> {
        let mut random = Random::new(self.settings.seed, number);
        let mut attempt = 1;
        loop {
            self.wait_for_turn()?;
            let newer = self.newer.load(Ordering::Relaxed);
            let error = match self.attempt(&request::body(&self.settings, number, prompt, newer)) {
                Ok(completion) => return Ok(completion),
                Err(error) => error.without(self.settings.key.as_ref()),
            };
            if !newer && error.names(request::NEWER_MOST_TOKENS) {
                self.newer.store(true, Ordering::Relaxed);
                continue;
            }
            if !error.passes() {
                return Err(error);
            }
            if attempt >= self.settings.attempts {
                return Err(ApiError::GaveUp { attempts: attempt, source: Box::new(error) });
            }
            let wait = backoff(attempt, error.retry_after(), &mut random)
                .ok_or_else(|| ApiError::GaveUp { attempts: attempt, source: Box::new(error) })?;
            tracing::debug!(attempt, wait = wait.as_secs_f64(), "asking again");
            self.sleep(wait)?;
            attempt += 1;
        }
    }
}
