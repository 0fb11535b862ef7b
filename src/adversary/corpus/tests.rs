//! Corpora by the fake generator: their rows, and what is on disk when a run ends, stops, goes on or may not begin.

use super::*;
use crate::{
    adversary::{Format, Sampling},
    model::FakeGenerator,
};
use std::{cell::Cell, fs, path::Path};

/// Cancels after so many runs of the model.
struct After(Cell<usize>);

impl Watch for After {
    fn progress(&self, _: &Progress) {
        self.0.set(self.0.get().saturating_sub(1));
    }

    fn cancelled(&self) -> bool {
        self.0.get() == 0
    }
}

fn order() -> Order {
    let prompt = |text: &str| Prompt { text: text.into(), ..Prompt::default() };
    Order {
        writing: Writing { seed: 5, batch: 3, ..Writing::default() },
        prompts: vec![prompt("one"), Prompt { pair: Some("p2".into()), domain: Some("sport".into()), ..prompt("two") }],
        texts: 9,
        length: Length::UpTo(20),
        include_prefix: true,
        domain: Some("tests".into()),
    }
}

fn to(path: &Path, format: Format) -> Output {
    Output { path: Some(path.to_owned()), format, force: false, resume: false }
}

fn made(order: &Order, output: &Output) -> Result<Summary, AdversaryError> {
    run(order, output, &mut FakeGenerator::default(), &())
}

#[test]
fn rows_say_all_that_made_them() {
    let rows = rows(&order(), &mut FakeGenerator::default(), &()).unwrap().unwrap();
    assert_eq!(rows.len(), 9);
    let (first, second) = (&rows[0], &rows[1]);
    assert_eq!((first.id.as_str(), second.id.as_str()), ("fake-5-00000", "fake-5-00001"));
    assert!(first.text.starts_with("one") && second.text.starts_with("two") && rows[8].text.starts_with("one"));
    assert_eq!((first.domain.as_deref(), second.domain.as_deref(), second.pair.as_deref()), (Some("tests"), Some("sport"), Some("p2")));
    assert_eq!((first.model.as_str(), first.decoding.as_str(), first.seed), ("fake@0000000000000000", "sampling (t=1)", 5));
    let value = serde_json::to_value(first).unwrap();
    for field in ["id", "text", "label", "source", "domain", "generator", "decoding", "attack", "pair", "prompt", "seed", "model", "meta"] {
        assert!(value.get(field).is_some(), "{field}");
    }
    assert!(value["label"] == "machine" && value["attack"].is_null() && value["pair"].is_null());
    let bare = Order { include_prefix: false, ..order() };
    let bare = super::rows(&bare, &mut FakeGenerator::default(), &()).unwrap().unwrap();
    assert!(rows.iter().zip(&bare).all(|(with, without)| with.text == format!("{}{}", with.prompt, without.text)));
}

#[test]
fn lengths_are_those_of_human_texts_or_drawn_from_a_list() {
    let like = |text: &str| Prompt { text: text[..3].into(), like: Some(text.into()), ..Prompt::default() };
    let human = Order { prompts: vec![like("four words of text"), like("two words")], length: Length::LikeHuman, ..order() };
    let made = rows(&human, &mut FakeGenerator::default(), &()).unwrap().unwrap();
    assert_eq!(made[..2].iter().map(|r| r.text.len()).collect::<Vec<_>>(), [18, 9]);
    let drawn = Order { length: Length::Drawn(vec![5, 10, 2]), texts: 60, ..order() };
    let made = rows(&drawn, &mut FakeGenerator::default(), &()).unwrap().unwrap();
    let count = |n| made.iter().filter(|r| r.text.len() == n).count();
    // a prompt of three tokens leaves at least one to be written
    assert_eq!(count(5) + count(10) + count(4), 60);
    assert!([5, 10, 4].iter().all(|&n| count(n) > 8));
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.jsonl");
    made(&order(), &to(&whole, Format::Jsonl)).unwrap();
    for (runs, batch) in [(1, 1), (25, 2), (40, 1), (60, 3)] {
        let path = folder.path().join(format!("stopped-{runs}.jsonl"));
        let output = to(&path, Format::Jsonl);
        let mut changed = order();
        changed.writing.batch = batch;
        let summary = run(&changed, &output, &mut FakeGenerator::default(), &After(Cell::new(runs))).unwrap();
        if summary.cancelled {
            assert!(!path.exists());
            let part = fs::read_to_string(folder.path().join(format!("stopped-{runs}.jsonl.part"))).unwrap();
            assert_eq!(part.lines().count() as u64, summary.progress.texts);
            assert!(made(&order(), &output).unwrap_err().to_string().contains("--resume"));
            // as if the process had died within a row
            fs::write(folder.path().join(format!("stopped-{runs}.jsonl.part")), format!("{part}{{\"id\":\"fa")).unwrap();
            let other = Order { writing: Writing { seed: 6, ..order().writing }, ..order() };
            let message = made(&other, &Output { resume: true, ..output.clone() }).unwrap_err().to_string();
            assert!(message.contains("`seed` was 5 and is now 6"), "{message}");
            let rest = made(&order(), &Output { resume: true, ..output.clone() }).unwrap();
            assert_eq!((rest.progress.resumed, rest.progress.resumed + rest.progress.texts), (summary.progress.texts, 9));
        }
        assert_eq!(fs::read(&path).unwrap(), fs::read(&whole).unwrap(), "{runs} runs");
    }
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).filter(|n| n.to_string_lossy().contains("part")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn nothing_is_overwritten_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    fs::write(&path, "precious").unwrap();
    let error = made(&order(), &to(&path, Format::Jsonl)).unwrap_err();
    assert!(error.refused() && error.to_string().contains("--force"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    made(&order(), &Output { force: true, ..to(&path, Format::Jsonl) }).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 9);

    let texts = folder.path().join("texts");
    fs::create_dir(&texts).unwrap();
    fs::write(texts.join("00004.txt"), "precious").unwrap();
    let error = made(&order(), &to(&texts, Format::Files)).unwrap_err().to_string();
    assert!(error.contains("00004.txt exists"), "{error}");
    assert_eq!(fs::read_to_string(texts.join("00004.txt")).unwrap(), "precious");
    made(&order(), &Output { force: true, ..to(&texts, Format::Files) }).unwrap();
    assert!(fs::read_to_string(texts.join("00004.txt")).unwrap().starts_with("one"));
}

#[test]
fn texts_go_into_one_file_or_into_a_folder_that_can_be_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(&order(), &mut FakeGenerator::default(), &()).unwrap().unwrap();
    let path = folder.path().join("out.txt");
    made(&order(), &to(&path, Format::Text { delimiter: "====".into() })).unwrap();
    let expected: String = rows.iter().map(|row| format!("{}\n====\n", row.text)).collect();
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    let texts = folder.path().join("texts");
    let output = to(&texts, Format::Files);
    let stopped = run(&order(), &output, &mut FakeGenerator::default(), &After(Cell::new(30))).unwrap();
    assert!(stopped.cancelled && stopped.progress.texts > 0);
    assert!(made(&order(), &output).unwrap_err().to_string().contains("--resume"));
    made(&order(), &Output { resume: true, ..output }).unwrap();
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(fs::read_to_string(texts.join(format!("{i:05}.txt"))).unwrap(), row.text);
    }
    assert_eq!(fs::read_dir(&texts).unwrap().count(), 9);
}

#[test]
fn a_prompt_that_does_not_fit_is_told_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let error = run(&order(), &to(&path, Format::Jsonl), &mut FakeGenerator::with_context(3), &()).unwrap_err();
    assert!(error.refused() && error.to_string().contains("`one` has 3 tokens"), "{error}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn decoding_is_described_in_the_words_of_the_evaluation_data() {
    let mut writing = Writing::default();
    assert_eq!(describe(&writing), "sampling (t=1)");
    writing.decoding = Decoding::Sample(Sampling { temperature: 0.8, top_k: 40, top_p: 0.9, min_p: 0.05, typical_p: 0.5 });
    writing.penalties.no_repeat_ngram = 3;
    assert_eq!(describe(&writing), "t=0.8 top_k=40 top_p=0.9 min_p=0.05 typical_p=0.5 no_repeat_ngram=3");
    writing.decoding = Decoding::Greedy;
    writing.penalties.repetition = 1.2;
    assert_eq!(describe(&writing), "greedy repetition_penalty=1.2 no_repeat_ngram=3");
}
