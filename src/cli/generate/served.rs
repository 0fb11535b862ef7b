//! `highwater generate --backend openai`: the corpus is written by a server that speaks the OpenAI protocol.
//!
//! Takes the options that such a server knows and refuses those that it does not. The key comes from the environment and is shown nowhere.

use super::{Choices, LENGTH, ended, prompts, tell};
use crate::{
    adversary::{
        Decoding, Order, Penalties,
        api::{self, Bill, Example, Key, Monotonic, OpenAi, Protocol, Sampling, Served},
    },
    batch::{self, Input, Job},
    cli::{
        Outcome, Refused,
        args::{Generate, Server},
        chatty,
        progress::Bar,
    },
    client,
    config::Merge,
};
use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

/// Where requests go unless said.
const BASE: &str = "https://api.openai.com/v1";
/// The variable that holds the key unless said.
const KEY: &str = "OPENAI_API_KEY";
/// Texts asked for at a time unless said, and at most.
const WORKERS: usize = 8;
const MOST_WORKERS: usize = 256;
/// Examples that are sent with every prompt.
const MOST_EXAMPLES: usize = 100;
/// What a chat is told where prompts are beginnings of texts.
const GO_ON: &str = "Continue the text. Answer with the continuation alone.";

/// Whether a server writes, and which.
#[derive(Debug)]
pub(super) struct Choice {
    settings: api::Settings,
    workers: usize,
    prices: Option<(f64, f64)>,
    examples: Vec<PathBuf>,
}

/// Takes the options of a server; `None` where the model writes. Faults go into the merge.
pub(super) fn take(args: &Generate, choices: &Choices, merge: &mut Merge) -> Option<Choice> {
    let own = &args.server;
    match own.backend.as_deref() {
        None | Some("model") => {
            if own.said() {
                merge.fault("--base-url, --api-model, --api and the other options of a server are for --backend openai");
            }
            return None;
        }
        Some("openai") => {}
        Some(other) => {
            merge.fault(format!("--backend: `{other}` is none of model and openai"));
            return None;
        }
    }
    unknown_to_servers(args, choices, merge);
    numbers(own, merge);
    let mut refuse = |fault: String| merge.fault(fault);
    let base = own.base_url.clone().unwrap_or_else(|| BASE.to_owned());
    if let Err(fault) = client::check_url(&base) {
        refuse(format!("--base-url: {fault}"));
    }
    let model = own.api_model.clone().unwrap_or_default();
    if model.is_empty() {
        refuse("--backend openai needs the name of one of the server's models: --api-model".to_owned());
    }
    let protocol = own.api.as_deref().map_or(Ok(Protocol::Chat), str::parse).unwrap_or_else(|fault| {
        refuse(format!("--api: {fault}"));
        Protocol::Chat
    });
    let key = key(own, &base).unwrap_or_else(|fault| {
        refuse(fault);
        None
    });
    let usual = api::Settings::new(base, model);
    let settings = api::Settings {
        protocol,
        key,
        instruction: own.instruction.clone(),
        sampling: sampling(choices),
        stream: own.api_stream,
        per_minute: own.requests_per_minute.filter(|n| *n > 0.),
        attempts: own.attempts.unwrap_or(usual.attempts).clamp(1, 100),
        timeout: own.api_timeout.map_or(usual.timeout, |s| Duration::from_secs_f64(s.clamp(0.001, 1e6))),
        seed: choices.writing.seed,
        ..usual
    };
    let prices = (own.price_in.is_some() || own.price_out.is_some()).then(|| (own.price_in.unwrap_or(0.), own.price_out.unwrap_or(0.)));
    let workers = own.parallel.unwrap_or(WORKERS).clamp(1, MOST_WORKERS);
    Some(Choice { settings, workers, prices, examples: own.examples.clone() })
}

/// Numbers outside their range.
fn numbers(own: &Server, merge: &mut Merge) {
    for (name, value) in [("--requests-per-minute", own.requests_per_minute), ("--api-timeout", own.api_timeout)] {
        if value.is_some_and(|value| !(value > 0. && value <= 1e6)) {
            merge.fault(format!("{name} takes a number above 0, at most a million"));
        }
    }
    for (name, value) in [("--price-in", own.price_in), ("--price-out", own.price_out)] {
        if value.is_some_and(|value| !(value >= 0. && value.is_finite())) {
            merge.fault(format!("{name} takes a price for a million tokens, 0 or more"));
        }
    }
}

/// The key, from the environment only; a server on this machine needs none.
fn key(own: &Server, base: &str) -> Result<Option<Key>, String> {
    let name = own.api_key_env.as_deref().unwrap_or(KEY);
    let place = client::place(base);
    let host = place.rsplit("://").next().unwrap_or(place);
    let local = ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|own| host.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')));
    if own.no_api_key {
        return Ok(None);
    }
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => {
            let fault = || format!("{name} holds no key: a key takes visible ASCII characters without spaces");
            Key::new(&value).map(Some).ok_or_else(fault)
        }
        _ if local && own.api_key_env.is_none() => Ok(None),
        _ => Err(format!("{name} is not set: put the server's key there, name another variable with --api-key-env, or say --no-api-key")),
    }
}

/// Options that no server of this protocol knows.
fn unknown_to_servers(args: &Generate, choices: &Choices, merge: &mut Merge) {
    let penalties = &choices.writing.penalties;
    let usual = Penalties::default();
    let sampling = match &choices.writing.decoding {
        Decoding::Sample(s) => Some(s),
        _ => None,
    };
    let refused = [
        ("--beams", matches!(choices.writing.decoding, Decoding::Beam(_))),
        ("--top-k", sampling.is_some_and(|s| s.top_k > 0)),
        ("--min-p", sampling.is_some_and(|s| s.min_p > 0.)),
        ("--typical-p", sampling.is_some_and(|s| s.typical_p < 1.)),
        ("--repetition-penalty", penalties.repetition != usual.repetition),
        ("--no-repeat-ngram", penalties.no_repeat_ngram != usual.no_repeat_ngram),
        ("--ignore-end", args.ignore_end),
        ("--lengths", args.lengths.is_some()),
        ("--flood", choices.flood.is_some()),
    ];
    let names: Vec<_> = refused.iter().filter(|(_, said)| *said).map(|(name, _)| *name).collect();
    if !names.is_empty() {
        merge.fault(format!("{} cannot be asked of a server; leave them out, or write with --backend model", names.join(", ")));
    }
}

fn sampling(choices: &Choices) -> Sampling {
    // 0.8 as an f32 is 0.800000012
    let short = |x: f64| (x * 1e6).round() / 1e6;
    let (temperature, top_p) = match &choices.writing.decoding {
        Decoding::Sample(s) => ((s.temperature != 1.).then(|| short(s.temperature.into())), (s.top_p < 1.).then(|| short(s.top_p))),
        _ => (Some(0.), None),
    };
    let frequency = f64::from(choices.writing.penalties.frequency);
    Sampling {
        max_tokens: u32::try_from(choices.length.unwrap_or(LENGTH)).ok(),
        temperature,
        top_p,
        frequency_penalty: (frequency != 0.).then(|| short(frequency)),
        stop: choices.writing.stop.clone(),
        ..Sampling::default()
    }
}

pub(super) fn run(args: &Generate, choices: &Choices, choice: Choice) -> anyhow::Result<Outcome> {
    let Choice { mut settings, workers, prices, examples } = choice;
    settings.examples = read_examples(examples)?;
    let prompts = prompts(args, choices)?;
    let pairs = choices.prompt_words.is_some();
    let chat = settings.protocol == Protocol::Chat;
    if chat && prompts.is_empty() && settings.instruction.is_none() {
        return Err(
            Refused("a chat needs to be told what to write: --prompt, --prompts, --prompt-words or --instruction".to_owned()).into()
        );
    }
    if chat && pairs && settings.instruction.is_none() {
        settings.instruction = Some(GO_ON.to_owned());
    }
    let texts = choices.texts.unwrap_or(prompts.len().max(1) as u64);
    // the prompt of a chat is a request, unless it is the beginning of a text
    let include_prefix = choices.include_prefix && (!chat || pairs);
    let length = crate::adversary::Length::UpTo(choices.length.unwrap_or(LENGTH));
    let order = Order { writing: choices.writing.clone(), prompts, texts, length, include_prefix, domain: args.domain.clone() };
    let bar = Bar::start(chatty())?;
    let backend = OpenAi::new(settings.clone(), Monotonic::new(|| bar.stopped()));
    let result = api::write(&order, &choices.output, (&backend, &settings, workers), &bar);
    let seconds = bar.end();
    let served = result.map_err(|error| ended(error, &choices.output))?;
    if chatty() {
        writeln!(io::stderr(), "{}", tell(&served.summary, &choices.output, seconds))?;
        writeln!(io::stderr(), "{}", used(&served, prices))?;
    }
    match served {
        Served { summary, .. } if summary.cancelled => Ok(Outcome::Stopped),
        Served { failure: Some(error), .. } => {
            let told = format!("{} does not write: {error}", client::place(&settings.base_url));
            let advice = anyhow::anyhow!(told);
            Err(if choices.output.path.is_some() {
                advice.context("try: the same command with --resume; the texts so far are whole")
            } else {
                advice
            })
        }
        Served { refused: 0, .. } => Ok(Outcome::Done),
        Served { .. } => Ok(Outcome::Refused),
    }
}

/// Texts that show what is wanted, each with its `prompt` where its row has one.
fn read_examples(files: Vec<PathBuf>) -> anyhow::Result<Vec<Example>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let job = Job { inputs: files.into_iter().map(Input::Path).collect(), ..Job::default() };
    let mut examples = Vec::new();
    for read in batch::documents(&job)? {
        let read = read?;
        let fault = |why: String| Refused(format!("{}, line {}: {why}", read.input, read.line));
        let text = read.content.as_ref().map_err(|error| fault(error.message.clone()))?.text.clone();
        if examples.len() == MOST_EXAMPLES {
            return Err(fault(format!("more than {MOST_EXAMPLES} examples; each is sent with every prompt")).into());
        }
        let prompt = read.fields.get("prompt").and_then(|prompt| prompt.as_str()).map(str::to_owned);
        examples.push(Example { prompt, text });
    }
    Ok(examples)
}

/// What it came to, for people.
fn used(served: &Served, prices: Option<(f64, f64)>) -> String {
    let Bill { usage, uncounted, .. } = served.bill;
    let mut told = format!("{} tokens in, {} out", usage.input, usage.output);
    if let Some((price_in, price_out)) = prices {
        told = format!("{told}, cost {:.4}", served.bill.cost(price_in, price_out));
    }
    if uncounted > 0 {
        told = format!("{told}; {uncounted} texts are not in it: the server did not count their tokens");
    }
    if served.refused > 0 {
        told = format!("{told}; {} texts were not written", served.refused);
    }
    told
}
