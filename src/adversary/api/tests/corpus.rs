//! A server's corpus: rows in order and whole, refusals in their place, and a run that goes on after a failure.

use super::*;
use crate::adversary::{Format, Length, Order, Output, Progress, Prompt, Watch, Writing};
use std::path::Path;

/// Answers with the prompt and its number; refuses number 2, and answers nothing but `status` from number `down` on.
struct Moody {
    down: u64,
    status: u16,
}

/// A server that refuses nothing else.
const UP: Moody = Moody { down: u64::MAX, status: 200 };

impl Backend for Moody {
    fn complete(&self, number: u64, prompt: &str) -> Result<Completion, ApiError> {
        match number {
            n if n >= self.down => Err(match ApiError::status(self.status, None, b"{}") {
                error if error.passes() => ApiError::GaveUp { attempts: 6, source: Box::new(error) },
                error => error,
            }),
            2 => Err(ApiError::NoText("the model refused: no".into())),
            n => Ok(Completion {
                text: format!(" {} {n}", prompt.len()),
                usage: Some(Usage { input: 2, output: 3 }),
                model: Some("m-2026".into()),
                ..Completion::default()
            }),
        }
    }
}

/// Stops after so many texts.
struct StopAfter(u64);

impl Watch for StopAfter {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        self.0 == 0
    }
}

fn order(texts: u64) -> Order {
    let prompt = |text: &str| Prompt { text: text.into(), pair: Some(format!("pair-{text}")), ..Prompt::default() };
    Order {
        writing: Writing::default(),
        prompts: vec![prompt("One"), prompt("Three")],
        texts,
        length: Length::UpTo(9),
        include_prefix: true,
        domain: Some("d".into()),
    }
}

fn run_into(path: &Path, server: &Moody, resume: bool) -> Served {
    let output = Output { path: Some(path.to_owned()), format: Format::Jsonl, force: false, resume };
    write(&order(20), &output, (server, &settings("http://user:pw@host.example/v1"), 3), &()).unwrap()
}

fn rows(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_come_in_order_with_their_provenance_and_refusals_in_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let served = run_into(&path, &UP, false);
    assert_eq!((served.refused, served.summary.progress.texts, served.bill.texts, served.bill.usage.output), (1, 20, 19, 57));
    assert!(served.failure.is_none() && !served.summary.cancelled);
    let rows = rows(&path);
    let expected = json!({"id": "some-model-4-00001", "text": "Three 5 1", "label": "machine", "source": "highwater generate", "domain": "d",
        "generator": "some-model", "decoding": "the server's own", "attack": null, "pair": "pair-Three", "prompt": "Three", "seed": 4,
        "model": "m-2026", "meta": {"server": "host.example", "end": null, "usage": {"input": 2, "output": 3}}});
    assert_eq!(rows[1], expected);
    assert_eq!((rows[2]["error"]["code"].as_str(), rows[2]["id"].as_str()), (Some("not_written"), Some("some-model-4-00002")));
    assert_eq!(rows.len(), 20);
}

#[test]
fn a_server_that_goes_down_leaves_whole_rows_and_a_resumed_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let served = run_into(&path, &Moody { down: 4, status: 401 }, false);
    assert!(served.failure.is_some_and(|error| error.concerns_all()) && !path.exists());
    assert_eq!(rows(&folder.path().join("out.jsonl.part")).len(), 4);
    let served = run_into(&path, &UP, true);
    assert_eq!((served.summary.progress.resumed, served.summary.progress.texts), (4, 16));
    let whole = folder.path().join("whole.jsonl");
    run_into(&whole, &UP, false);
    assert_eq!(rows(&path), rows(&whole));
}

#[test]
fn texts_that_an_outage_hides_are_asked_for_again_and_old_refusals_count() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.jsonl");
    run_into(&whole, &UP, false);
    // a spent quota, a proxy whose server is gone, a busy server, and one that breaks on whatever it is asked
    for status in [429, 502, 503, 500] {
        let path = folder.path().join(format!("{status}.jsonl"));
        let served = run_into(&path, &Moody { down: 5, status }, false);
        assert!(served.failure.is_some() && !path.exists(), "{status}");
        assert_eq!((served.refused, served.summary.progress.texts), (1, 5), "{status}");
        assert_eq!(rows(&folder.path().join(format!("{status}.jsonl.part"))).len(), 5, "{status}");
        let served = run_into(&path, &UP, true);
        assert_eq!((served.refused, served.summary.progress.resumed, served.summary.progress.texts), (1, 5, 15), "{status}");
        assert_eq!(rows(&path), rows(&whole), "{status}");
    }
}

#[test]
fn a_text_that_breaks_the_server_is_an_error_row_and_one_that_an_outage_hides_is_not() {
    /// Gives up on one text alone.
    struct Breaks(u64);
    impl Backend for Breaks {
        fn complete(&self, number: u64, prompt: &str) -> Result<Completion, ApiError> {
            if number == self.0 { Moody { down: 0, status: 500 }.complete(number, prompt) } else { UP.complete(number, prompt) }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for number in [7, 19] {
        let path = folder.path().join(format!("{number}.jsonl"));
        let output = Output { path: Some(path.clone()), format: Format::Jsonl, force: false, resume: false };
        let served = write(&order(20), &output, (&Breaks(number), &settings("http://host.example/v1"), 3), &()).unwrap();
        assert!(served.failure.is_none() && served.refused == 2, "{served:?}");
        let rows = rows(&path);
        assert!(rows.len() == 20 && rows[number as usize]["error"]["code"] == "not_written", "{rows:?}");
    }
    let path = folder.path().join("down.jsonl");
    let served = run_into(&path, &Moody { down: 19, status: 503 }, false);
    assert!(served.failure.is_some() && served.refused == 1 && !path.exists(), "{served:?}");
    assert_eq!(rows(&folder.path().join("down.jsonl.part")).len(), 19);
}

#[test]
fn only_the_same_requests_go_on_with_a_stopped_run() {
    let folder = tempfile::tempdir().unwrap();
    let example = |prompt: &str| vec![Example { prompt: Some(prompt.into()), text: "An example.".into() }];
    let usual = Settings { examples: example("Begin"), ..settings("http://host.example/v1") };
    let output = Output { path: Some(folder.path().join("out.jsonl")), format: Format::Jsonl, force: false, resume: false };
    let down = Moody { down: 4, status: 401 };
    write(&order(20), &output, (&down, &usual, 1), &()).unwrap();
    let output = Output { resume: true, ..output };
    let unpaired = Order { prompts: order(20).prompts.into_iter().map(|prompt| Prompt { pair: None, ..prompt }).collect(), ..order(20) };
    for (order, settings, name) in [
        (order(20), Settings { protocol: Protocol::Completions, ..usual.clone() }, "`protocol` was \"chat\" and is now \"completions\""),
        (order(20), Settings { examples: example("Start"), ..usual.clone() }, "`examples` was"),
        (unpaired, usual.clone(), "`prompts` was"),
    ] {
        let error = write(&order, &output, (&UP, &settings, 1), &()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    assert!(write(&order(20), &output, (&UP, &usual, 1), &()).unwrap().failure.is_none());
}

#[test]
fn a_stopped_run_keeps_what_it_has() {
    let output = Output { path: None, format: Format::Files, force: false, resume: false };
    let folder = tempfile::tempdir().unwrap();
    let output = Output { path: Some(folder.path().join("texts")), ..output };
    let settings = settings("http://host.example/v1");
    let served = write(&order(6), &output, (&UP, &settings, 1), &StopAfter(0)).unwrap();
    assert!(served.summary.cancelled);
    assert_eq!(std::fs::read_to_string(folder.path().join("texts/00000.txt")).unwrap(), "One 3 0");
    assert!(!folder.path().join("texts/00001.txt").exists());
}

#[test]
fn a_chat_s_text_is_joined_to_its_prompt_once() {
    struct Fixed(&'static str);
    impl Backend for Fixed {
        fn complete(&self, _: u64, _: &str) -> Result<Completion, ApiError> {
            Ok(Completion { text: self.0.to_owned(), ..Completion::default() })
        }
    }
    let cases = [
        ("One", "and on", "One and on"),
        ("One", ", two", "One, two"),
        ("One", " two", "One two"),
        ("One", "One by one", "One One by one"),
        ("Once upon a", "Once upon a time", "Once upon a time"),
    ];
    for (prompt, written, expected) in cases {
        let prompts = vec![Prompt { text: prompt.into(), ..Prompt::default() }];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let output = Output { path: Some(path.clone()), format: Format::Jsonl, force: false, resume: false };
        write(&Order { prompts, ..order(1) }, &output, (&Fixed(written), &settings("http://host.example"), 1), &()).unwrap();
        assert_eq!(rows(&path)[0]["text"], expected);
    }
}
