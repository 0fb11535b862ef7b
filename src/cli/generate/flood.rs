//! `highwater generate --flood`: the timed stream, to a service or to a file, and what came of it.

use super::{Choices, choices::is_service, order, prompts};
use crate::{
    adversary::{
        self, AdversaryError, Length, Order, Output, Plan, Row,
        flood::{self, Clock, Door, Post},
    },
    cli::{
        Outcome,
        args::Generate,
        chatty,
        progress::{Bar, written},
        settings::Setup,
    },
    client::{Client, Limits},
    model,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

/// When the posts of a file begin: the same for every run, as its bytes are.
const BEGINNING: &str = "2026-01-01T00:00:00Z";
/// How long a service may take to answer, and how much it may say.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(120), answer_bytes: 64 << 20 };

pub(super) fn run(args: &Generate, choices: &Choices, setup: &Setup) -> anyhow::Result<Outcome> {
    let (Some(plan), Some(humans)) = (&choices.flood, &args.humans) else { return Ok(Outcome::Done) };
    let humans = adversary::humans(humans)?;
    let seed = choices.writing.seed;
    let needed = plan.arrivals(seed).iter().filter(|a| a.machine).count() as u64;
    let bar = Bar::start(chatty())?;
    let machines = match &args.machines {
        Some(path) => Some(adversary::machines(path)?),
        None => machines(args, choices, (setup, needed), &bar)?,
    };
    let Some(machines) = machines else { return Ok(Outcome::Stopped) };
    let service = args.to.as_deref().filter(|to| is_service(to));
    let start = if service.is_some() { Timestamp::now() } else { BEGINNING.parse()? };
    let posts = flood::posts(plan, seed, start, (&humans, &machines));
    // a service is told by --to, and then --output keeps the truth
    let file = args.to.as_ref().filter(|_| service.is_none()).map(PathBuf::from);
    let output = Output { path: file.or_else(|| args.output.clone()), ..choices.output.clone() };
    let Some(url) = service else {
        adversary::flood::save(&posts, &output)?;
        bar.end();
        return Ok(Outcome::Done);
    };
    play(url, choices, (plan, &posts, &output), &bar)
}

/// So many machine texts, as the options say; as long as the human ones unless they say how long.
fn machines(args: &Generate, choices: &Choices, (setup, texts): (&Setup, u64), bar: &Bar) -> anyhow::Result<Option<Vec<Row>>> {
    let mut generator = model::load_generator(&setup.load)?;
    let order = order(args, choices, prompts(args, choices)?, &*generator)?;
    let length = match (&order.length, &args.humans) {
        (Length::UpTo(_), Some(humans)) if choices.length.is_none() => Length::Drawn(super::lengths(humans, &*generator)?),
        _ => order.length.clone(),
    };
    let since = Instant::now();
    let rows = adversary::rows(&Order { texts, length, ..order }, &mut *generator, bar)?;
    if chatty()
        && let Some(rows) = &rows
    {
        let tokens = rows.iter().filter_map(|r| r.meta["tokens"].as_u64()).sum();
        let progress = adversary::Progress { texts: rows.len() as u64, tokens, ..adversary::Progress::default() };
        writeln!(io::stderr(), "{}", written(&progress, since.elapsed().as_secs_f64()))?;
    }
    Ok(rows)
}

/// Posts to a service, and keeps what was posted with what it said.
fn play(url: &str, choices: &Choices, (plan, posts, output): (&Plan, &[Post], &Output), bar: &Bar) -> anyhow::Result<Outcome> {
    let mut door = Service {
        client: Client::new(LIMITS),
        url: url.to_owned(),
        authorization: choices.api_key.as_ref().map(|k| format!("Bearer {k}")),
    };
    let mut clock = Wall { since: Instant::now(), bar };
    let mut kept = flood::Truth::open(output, posts)?;
    let mut keep = |post: &Post, answer: Value| {
        kept.put(post, &answer)?;
        bar.step(posts.len() as u64);
        Ok(!bar.stopped())
    };
    let outcome = flood::play((plan, posts), &mut clock, &mut door, &mut keep)?;
    bar.end();
    if !outcome.cancelled {
        kept.complete()?;
    }
    if chatty() {
        writeln!(io::stderr(), "{}", tell(&outcome))?;
    }
    Ok(if outcome.cancelled { Outcome::Stopped } else { Outcome::Done })
}

/// What came of it, for people.
fn tell(outcome: &flood::Outcome) -> String {
    let [human, machine] = outcome.posted;
    let seen = match outcome.seen_after {
        Some((posts, seconds)) => format!("the flood was reported {posts} posts, {seconds:.1} s after its onset"),
        None => "no flood was reported".to_owned(),
    };
    let early = if outcome.false_reports > 0 { format!("; {} reports before the onset", outcome.false_reports) } else { String::new() };
    let errors = if outcome.errors > 0 { format!("; {} posts were refused", outcome.errors) } else { String::new() };
    format!(
        "{human} human and {machine} machine posts, at most {:.2} s late; flagged {} and {}; {seen}{early}{errors}",
        outcome.late, outcome.flagged[0], outcome.flagged[1]
    )
}

/// The time on the wall, in slices after which Ctrl-C is looked for.
struct Wall<'a> {
    since: Instant,
    bar: &'a Bar,
}

impl Clock for Wall<'_> {
    fn now(&self) -> f64 {
        self.since.elapsed().as_secs_f64()
    }

    fn rest(&mut self, time: Duration) {
        if !self.bar.stopped() {
            std::thread::sleep(time.min(Duration::from_millis(100)));
        }
    }

    fn stopped(&self) -> bool {
        self.bar.stopped()
    }
}

/// A service's `/v1/stream`.
struct Service {
    client: Client,
    url: String,
    authorization: Option<String>,
}

impl Door for Service {
    fn send(&mut self, posts: &[Post]) -> Result<Vec<Value>, AdversaryError> {
        let refused = |message: String| AdversaryError::Service { url: self.url.clone(), message };
        let mut body = Vec::new();
        for post in posts {
            // the truth stays here
            let line = json!({"id": post.id, "text": post.text, "stream": post.stream, "time": post.time});
            body.extend(format!("{line}\n").into_bytes());
        }
        let mut headers = vec![("content-type", "application/x-ndjson")];
        headers.extend(self.authorization.as_deref().map(|value| ("authorization", value)));
        let answer = self.client.post(&self.url, &headers, &body).map_err(|error| refused(error.to_string()))?;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status != 200 {
            let start: String = text.chars().take(300).collect();
            return Err(refused(format!("answered {}: {start}", answer.status)));
        }
        let lines: Result<Vec<Value>, _> = text.lines().filter(|l| !l.trim().is_empty()).map(serde_json::from_str).collect();
        let lines = lines.map_err(|error| refused(format!("answered something else than JSON lines: {error}")))?;
        if lines.len() != posts.len() {
            return Err(refused(format!("answered {} lines to {} posts", lines.len(), posts.len())));
        }
        Ok(lines)
    }
}
