//! Rows, files and faults on their way into a calibration.

use super::{
    reading::{Named, row},
    *,
};
use crate::{
    calibration::Calibration,
    cli::args::{Cli, Command},
    detector::{Detector, Options},
    model::Fake,
};
use clap::Parser;
use std::{collections::HashSet, fs};

#[test]
fn rows_are_taken_by_their_label() {
    let human = br#"{"text":"a","label":"human","id":"1"}"#;
    assert_eq!(row(human, false).map(|r| r.and_then(|r| r.text)), Ok(Some("a".into())));
    assert_eq!(row(human, true), Ok(None));
    assert_eq!(row(br#"{"text":"b","generator":null}"#, true).map(|r| r.and_then(|r| r.text)), Ok(Some("b".into())));
    assert_eq!(row(b"\r\n", true), Ok(None));
    for bad in [r#"{"text":"a","label":"robot"}"#, r#"{"label":"human"}"#, r#"{"id":null,"text":null}"#, r#"{"text":1}"#, "no json"] {
        assert!(row(bad.as_bytes(), false).is_err(), "{bad}");
    }
    for bad in ["3", "[1]", "\"a\"", "id,text", "no json"] {
        assert_eq!(row(bad.as_bytes(), false), Err("expected JSONL, one object with a `text` a line".to_owned()), "{bad}");
    }
}

/// The service's tests hold the file against what it gives back.
#[test]
fn feedback_of_the_service_is_read_and_what_holds_no_text_is_no_fault() {
    let lines = include_str!("../../service/tests/feedback.jsonl");
    let texts = |machine| -> Vec<Option<String>> {
        lines.lines().filter_map(|line| row(line.as_bytes(), machine).unwrap()).map(|row| row.text).collect()
    };
    assert_eq!(texts(false), [None, Some("Another post.".to_owned())]);
    assert_eq!(texts(true), [Some("A \"post\".".to_owned())]);
}

#[test]
fn many_faults_are_counted_and_the_first_named() {
    let faults: Vec<_> = (0..12).map(|n| format!("fault {n}")).collect();
    let message = refuse(&faults).unwrap_err().0;
    assert!(message.contains("12 faults") && message.contains("fault 9") && message.contains("and 2 more"), "{message}");
    assert!(!message.contains("fault 10"));
}

#[test]
fn a_byte_order_mark_belongs_to_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("marked.jsonl");
    fs::write(&path, "\u{FEFF}{\"text\":\"a\"}\n\u{FEFF}b").unwrap();
    let mut lines = Vec::new();
    let take = |number: usize, line: &[u8]| {
        lines.push((number, String::from_utf8_lossy(line).into_owned()));
        Ok(true)
    };
    each_line(&path, take).unwrap();
    assert_eq!(lines, [(1, "{\"text\":\"a\"}\n".to_owned()), (2, "\u{FEFF}b".to_owned())]);
}

/// A file is the same under another name; a device is no file, and takes all that is written to it.
#[test]
fn an_output_is_written_by_nothing_else_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (input, made, same) = (at("in.jsonl"), at("c.json"), folder.path().join(".").join("c.json"));
    fs::write(&input, "").unwrap();
    fs::create_dir(at("within")).unwrap();
    let again = at("within").join("..").join("c.json");
    let told = |outputs: &[&PathBuf]| bytes([&input], outputs.iter().copied()).map_err(|error| error.to_string());
    assert!(told(&[&made, &at("other.json")]).is_ok());
    for outputs in [[&made, &made], [&made, &same], [&again, &made], [&made, &input]] {
        let told = told(&outputs).unwrap_err();
        assert!(told.contains("would be lost; name another file"), "{outputs:?}: {told}");
    }
    let device = PathBuf::from("/dev/null");
    assert!(!device.exists() || told(&[&device, &device]).is_ok());
}

/// What was typed after `highwater calibrate`.
fn typed(args: &[&str]) -> Calibrate {
    let cli = Cli::try_parse_from(["highwater", "calibrate"].iter().chain(args)).unwrap();
    let Command::Calibrate(args) = cli.command else { panic!("another command") };
    args
}

#[test]
fn a_calibration_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (posts, made, figures) = (at("posts.jsonl"), at("c.json"), at("figures.json"));
    for path in [&posts, &made, &figures] {
        fs::write(path, "precious").unwrap();
    }
    let told = |more: &[&str]| {
        let args = typed(&[&["--human", &posts, "--machine", &posts][..], more].concat());
        files(&args).map_err(|error| error.to_string())
    };
    let refused = told(&["-o", &made]).unwrap_err();
    assert!(refused.ends_with("c.json exists already; name another output, or overwrite it with --force"), "{refused}");
    assert_eq!(told(&["-o", &made, "--force"]), Ok(16));
    // figures are made again from what is kept
    assert_eq!(told(&["-o", &at("new.json"), "--json", &figures]), Ok(16));
    assert!(told(&["-o", &posts, "--force"]).unwrap_err().contains("would be lost"));
    assert!(!Path::new("/dev/null").exists() || told(&["-o", "/dev/null"]).is_ok());
}

#[test]
fn what_only_a_fit_can_give_needs_machine_texts() {
    let told = |more: &[&str]| {
        let args = typed(&[&["--human", "posts.jsonl", "-o", "c.json"][..], more].concat());
        kinds(&args).map_err(|refused| refused.0)
    };
    assert_eq!(told(&[]), Ok(()));
    for (name, value, why) in [
        ("--report", "r.html", "from texts by people alone there is nothing to measure"),
        ("--json", "r.json", "from texts by people alone there is nothing to measure"),
        ("--scored", "s.jsonl", "from texts by people alone there is nothing to measure"),
        ("--kind", "a=b", "kinds are of machine texts"),
        ("--apart", "b", "kinds are of machine texts"),
    ] {
        let advice = format!("name files with texts by machines, or leave {name} out");
        assert_eq!(told(&[name, value]), Err(format!("{name} needs --machine: {why}; {advice}")));
    }
    let both = told(&["--json", "r.json", "--report", "r.html"]).unwrap_err();
    assert!(both.starts_with("2 faults") && both.contains("--json needs") && both.contains("--report needs"), "{both}");
    assert_eq!(told(&["--machine", "m.jsonl", "--report", "r.html"]), Ok(()));
    assert!(told(&["--machine", "m.jsonl", "--apart", "m"]).unwrap_err().contains("--apart m is in no --kind"));
}

/// By what is in them, whatever they are called; a table also by what it is called.
#[test]
fn packed_files_and_tables_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        bytes([&path], []).map_err(|error| error.to_string())
    };
    let (gzip, zstd, parquet) = (b"\x1f\x8b\x08\0\0", b"\x28\xb5\x2f\xfd\0", b"PAR1\x15");
    for (name, content, expected) in [
        ("posts.jsonl.gz", &gzip[..], "posts.jsonl.gz is gzip; unpack it first: plain JSONL is read here"),
        ("posts.jsonl", gzip, "posts.jsonl is gzip; unpack it first: plain JSONL is read here"),
        ("posts.csv.zst", zstd, "posts.csv.zst is Zstandard; unpack it first: plain JSONL is read here"),
        ("posts", parquet, "posts is Parquet; write its rows as JSONL first: plain JSONL is read here"),
        ("posts.PQ", b"", "posts.PQ is Parquet; write its rows as JSONL first: plain JSONL is read here"),
        ("posts.csv", b"id,text\n", "posts.csv is CSV; write its rows as JSONL first: plain JSONL is read here"),
        ("posts.tsv", b"id\ttext\n", "posts.tsv is TSV; write its rows as JSONL first: plain JSONL is read here"),
    ] {
        let told = told(name, content).unwrap_err();
        assert!(told.ends_with(expected), "{told}");
    }
    assert_eq!([told("posts.jsonl", b"{}\n"), told("a.gz", b"{}\n"), told("empty", b"")], [Ok(3), Ok(3), Ok(0)]);
}

/// A run over files with these rows, in folders of their own, and what it read.
fn read(folder: &Path, human: &[&str], machine: &[&str], looking: bool) -> Reading<'static> {
    let file = |(i, rows): (usize, &&str)| {
        let folder = folder.join((rows.len() * 10 + i).to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("posts.jsonl"), rows).unwrap();
        folder.join("posts.jsonl")
    };
    let [human, machine] = [human, machine].map(|files| files.iter().enumerate().map(file).collect::<Vec<_>>());
    let detector = Detector::new(Box::new(Fake::default()), Calibration::none("0000000000000000").into(), Options::default()).unwrap();
    let mut reading = Reading::new(detector, &(), 0, None);
    reading.looking = looking;
    reading.all(&Named::all(&human, &machine)).unwrap();
    reading
}

/// Rows with these labels, the pairs counted from 0, the texts from `first`.
fn posts(first: usize, labels: &[&str]) -> String {
    let text = |n: usize| format!("number {n} of the posts is about the weather by the river and how the people there like it");
    let row = |(i, label): (usize, &&str)| format!("{{\"text\":\"{}\",\"pair\":\"{}\"{label}}}\n", text(first + i), i / 2);
    labels.iter().enumerate().map(row).collect()
}

const HUMAN: &str = ",\"label\":\"human\"";
const MACHINE: &str = ",\"label\":\"machine\"";

/// Both count their pairs from 0, and the same file on both sides is one file.
#[test]
fn pairs_of_another_file_of_the_same_name_are_others() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (posts(10, &[HUMAN, MACHINE, HUMAN, MACHINE]), posts(100, &[HUMAN, MACHINE, HUMAN, MACHINE, HUMAN]));
    let samples = read(folder.path(), &[&one, &other], &[&one, &other], false).samples();
    let groups = |machine: bool| samples.iter().filter(move |s| s.machine == machine).map(|s| s.group).collect::<Vec<_>>();
    assert_eq!((samples.len(), groups(false).len()), (9, 5));
    assert_eq!(groups(false).iter().collect::<HashSet<_>>().len(), 5, "five documents");
    assert_eq!(groups(false)[..4], groups(true)[..]);
}

#[test]
fn rows_without_a_label_are_for_one_side() {
    let folder = tempfile::tempdir().unwrap();
    let rows = posts(10, &["", HUMAN, MACHINE]);
    let told = |machine: &[&str]| read(folder.path(), &[&rows], machine, true).refuse().map_err(|refused| refused.0);
    assert_eq!(told(&[]), Ok(()));
    let told = told(&[&rows]).unwrap_err();
    assert!(told.contains("line 1: expected a `label`") && told.contains("give the file to one of them"), "{told}");
    assert!(!told.contains("faults"), "told once: {told}");
}

/// A bad last line is found before the first text is scored, and after a fault nothing is scored any more.
#[test]
fn nothing_is_scored_for_a_run_that_will_be_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (posts(10, &[HUMAN; 600]), "no json\n".repeat(12));
    let scored = |human: &[&str], looking: bool| {
        let reading = read(folder.path(), human, &[], looking);
        (reading.progress.documents, reading.refuse().map_err(|refused| refused.0))
    };
    assert_eq!(scored(&[&good], true), (0, Ok(())));
    assert_eq!(scored(&[&good], false), (600, Ok(())));
    for (human, looking) in [([good.as_str(), bad.as_str()], true), ([bad.as_str(), good.as_str()], false)] {
        let (documents, told) = scored(&human, looking);
        let told = told.unwrap_err();
        assert!(documents == 0 && told.starts_with("12 faults") && told.ends_with("and 2 more"), "{documents} {told}");
    }
}

/// Figures of an earlier run are taken as they are, in their place, and refused where this run would have got others.
#[test]
fn scored_rows_are_samples_of_their_own_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let texts = posts(10, &[HUMAN, MACHINE]);
    let expected = read(folder.path(), &[&texts], &[&texts], false).samples();
    let scored = |machine: bool, model: &str, normalize: bool| {
        let sample = expected.iter().find(|sample| sample.machine == machine).unwrap();
        let label = if machine { "machine" } else { "human" };
        let row = serde_json::json!({
            "family": "forum", "label": label, "domain": "games", "words": sample.words, "line_breaks": 0, "group": sample.group, "tokens": sample.tokens,
            "score": null, "p_value": null, "calibration": "c", "statistics": sample.statistics, "model": model, "normalize": normalize,
        });
        format!("{row}\n")
    };
    let rows = ["a@0000000000000000", "b@0000000000000000"].map(|model| scored(false, model, true) + &scored(true, model, true)).concat();
    let mut reading = read(folder.path(), &[&rows], &[&rows], false);
    assert_eq!((reading.refuse().map_err(|refused| refused.0), reading.progress.documents), (Ok(()), 0), "nothing is scored");
    let found = reading.samples();
    let of = |sample: &Sample| Sample { family: "forum".into(), domain: Some("games".into()), ..sample.clone() };
    assert_eq!(found, [0, 0, 1, 1].map(|at| of(&expected[at])));
    for (bad, told) in [
        (scored(false, "a@1", true), "line 1: scored by a@1, but "),
        (scored(false, "a@0000000000000000", false), "line 1: scored with --normalize off"),
        ("{\"label\":\"human\",\"words\":3}\n".into(), "or a whole row of `highwater calibrate --scored`"),
    ] {
        let refused = read(folder.path(), &[&bad], &[], true).refuse().unwrap_err().0;
        assert!(refused.contains(told), "{refused}");
    }
}
