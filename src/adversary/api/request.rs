//! Prompts to request bodies of the two protocols. Takes settings and a prompt, gives an address and JSON. Must not send anything.

use super::Settings;
use serde_json::{Map, Value, json};
use std::{fmt, str::FromStr};

/// What stands between the parts of a completions prompt, as users of GPT-3 wrote it; the server is told to stop there.
const SEPARATOR: &str = "\n###\n";

/// What the most tokens of a text are called, and what the newest models call them, who refuse the other name.
const MOST_TOKENS: &str = "max_tokens";
pub(super) const NEWER_MOST_TOKENS: &str = "max_completion_tokens";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `/chat/completions`: messages.
    Chat,
    /// `/completions`: one text that goes on.
    Completions,
}

impl Protocol {
    /// As users write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "chat" => Ok(Self::Chat),
            "completions" => Ok(Self::Completions),
            _ => Err(format!("`{s}` is no protocol: chat or completions")),
        }
    }
}

/// What proves who asks. Shown nowhere.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// Takes visible ASCII characters, at least one.
    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim();
        (!key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(key.to_owned()))
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A message without the key.
    pub(super) fn hide_in(&self, message: &str) -> String {
        message.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

/// A text that shows what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// What it would have been asked with, where there is such a thing.
    pub prompt: Option<String>,
    /// The text.
    pub text: String,
}

/// How the server chooses tokens; what is `None` is left to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Most tokens of a text.
    pub max_tokens: Option<u32>,
    /// Temperature.
    pub temperature: Option<f64>,
    /// Nucleus.
    pub top_p: Option<f64>,
    /// Frequency penalty.
    pub frequency_penalty: Option<f64>,
    /// Presence penalty.
    pub presence_penalty: Option<f64>,
    /// Where a text ends.
    pub stop: Vec<String>,
}

/// Where requests go.
pub(super) fn url(base: &str, protocol: Protocol) -> String {
    let path = match protocol {
        Protocol::Chat => "chat/completions",
        Protocol::Completions => "completions",
    };
    format!("{}/{path}", base.trim_end_matches('/'))
}

/// The body of the request for one prompt; `newer` is for models that know the newer name of the most tokens only.
pub(super) fn body(settings: &Settings, number: u64, prompt: &str, newer: bool) -> Vec<u8> {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("model", json!(settings.model));
    let mut stop = settings.sampling.stop.clone();
    match settings.protocol {
        Protocol::Chat => set("messages", messages(settings, prompt)),
        Protocol::Completions => {
            if !settings.examples.is_empty() {
                stop.push(SEPARATOR.trim().to_owned());
            }
            set("prompt", json!(one_text(settings, prompt)))
        }
    };
    let sampling = &settings.sampling;
    let numbers = [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
    ];
    for (name, value) in numbers.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        set(name, json!(value));
    }
    if let Some(most) = sampling.max_tokens {
        set(if newer { NEWER_MOST_TOKENS } else { MOST_TOKENS }, json!(most));
    }
    if !stop.is_empty() {
        set("stop", json!(stop));
    }
    // servers take a seed of 63 bits at most
    set("seed", json!(settings.seed.wrapping_add(number) & (u64::MAX >> 1)));
    if settings.stream {
        set("stream", json!(true));
        set("stream_options", json!({"include_usage": true}));
    }
    Value::Object(body).to_string().into_bytes()
}

fn messages(settings: &Settings, prompt: &str) -> Value {
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let mut messages: Vec<Value> = settings.instruction.iter().map(|text| message("system", text)).collect();
    for example in &settings.examples {
        // without a prompt of its own, an example answers the prompt of the run
        messages.push(message("user", example.prompt.as_deref().unwrap_or(prompt)));
        messages.push(message("assistant", &example.text));
    }
    messages.push(message("user", prompt));
    Value::Array(messages)
}

/// Instruction, examples and prompt, one after the other; the server goes on from the prompt.
fn one_text(settings: &Settings, prompt: &str) -> String {
    let example = |e: &Example| format!("{}{}", e.prompt.as_deref().unwrap_or_default(), e.text);
    let before = settings.instruction.iter().cloned().chain(settings.examples.iter().map(example));
    before.map(|part| part + SEPARATOR).chain([prompt.to_owned()]).collect()
}
