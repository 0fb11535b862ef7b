//! `highwater calibrate` from outside: labelled rows in, a calibration that `score` takes out.

use crate::{
    checkpoint::Copy,
    cli::{file, highwater, ran, with_input},
};
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// Rows of both labels; machines write plainer words. Every text starts differently.
pub(crate) fn rows(count: usize) -> String {
    // odd words take more tokens than usual ones: as many words as make both labels alike in length for the embedded model
    labelled(count, |_| 48)
}

/// The same with so many words in each machine text: what is fitted needs lengths that both labels have, and tokenizers differ.
fn labelled(count: usize, machine_words: impl Fn(usize) -> usize) -> String {
    let words = ["river", "stone", "lamp", "winter", "paper", "engine", "garden", "window", "copper", "signal"];
    let ends = ["ux", "oq", "iv", "azh", "ebb", "yk", "wum", "ohl", "irg", "esp", "udd"];
    let text = |i: usize, machine: bool| {
        // in no order that comes again: what a text repeats of itself does not count
        let word = |k: usize| words[((i * 1009 + k) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(24) as usize % words.len()];
        let body: Vec<_> = (0..if machine { machine_words(i) } else { 16 })
            .map(|k| if machine { word(k).to_owned() } else { format!("{}{}!", word(k), ends[(i * k) % 97 % ends.len()]) })
            .collect();
        format!("{i} {machine} {}", body.join(" "))
    };
    let row = |i: usize| {
        let machine = i % 2 == 1;
        let label = if machine { "machine" } else { "human" };
        json!({"id": i, "text": text(i, machine), "label": label, "pair": format!("p{}", i / 2), "generator": null, "domain": "test"})
    };
    (0..count).map(|i| format!("{}\n", row(i))).collect()
}

#[test]
fn a_fitted_calibration_is_used_by_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "forum.jsonl", &rows(400));
    let made = folder.path().join("ours.json");
    let (data, made) = (data.to_str().unwrap(), made.to_str().unwrap());
    let run = ran(&mut highwater(&["calibrate", "--human", data, "--machine", data, "-o", made]));
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("AUROC") && run.out.contains("all lengths"), "{}", run.out);
    let info = ran(&mut highwater(&["model", "info", "--json", "--calibration", made]));
    assert_eq!(info.code, Some(0), "{}", info.err);
    let info: Value = serde_json::from_str(&info.out).unwrap();
    let human = info["calibration"]["sources"][0]["human"].as_u64();
    // a few of these odd texts may be taken for another language
    assert!(info["calibration"]["name"] == "ours" && human.is_some_and(|n| (150..=200).contains(&n)), "{info}");
    let input = "{\"text\":\"a text that is long enough to be read against the reference, with a few words more\"}\n";
    let scored = with_input(&mut highwater(&["score", "-q", "--calibration", made]), input.as_bytes());
    assert_eq!(scored.code, Some(0), "{}", scored.err);
    let scored: Value = serde_json::from_str(&scored.out).unwrap();
    assert!(scored["calibration"] == "ours" && scored["p_value"].is_number(), "{scored}");
}

/// A flood of what a fit has not seen: two files, each scored by the fit on the other.
#[test]
fn figures_by_a_fit_without_the_file_go_into_a_simulation() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // machines of these files break a line after the first words
    let all = rows(400).replace(" true ", " true\\n");
    let (one, other) = all.split_at(all.match_indices('\n').nth(199).unwrap().0 + 1);
    file(folder.path(), "one.jsonl", one);
    file(folder.path(), "other.jsonl", other);
    let (one, other, made, scored) = (at("one.jsonl"), at("other.jsonl"), at("c.json"), at("scored.jsonl"));
    let report = at("report.json");
    let args = ["calibrate", "-q", "--human", &one, &other, "--machine", &one, &other, "-o", &made, "--scored", &scored, "--json", &report];
    let run = ran(&mut highwater(&args));
    assert_eq!(run.code, Some(0), "{}", run.err);
    let rows: Vec<Value> = fs::read_to_string(&scored).unwrap().lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let found = |label: &str| {
        let p = rows.iter().filter(|row| row["label"] == label).map(|row| row["p_value"].as_f64().unwrap());
        (p.clone().count(), p.filter(|p| *p <= 0.05).count())
    };
    let (human, machine) = (found("human"), found("machine"));
    assert!(human.0 > 150 && human.1 * 5 < human.0 && machine.0 > 150 && machine.1 * 2 > machine.0, "{human:?} {machine:?}");
    assert!(rows.iter().all(|row| row["line_breaks"] == u64::from(row["label"] == "machine")));
    assert!(rows.iter().all(|row| ["one", "other"].contains(&row["family"].as_str().unwrap()) && row["statistics"].is_object()));
    let args = ["simulate", "-q", "--calibration", &made, "--human", &scored, "--machine", &scored, "--share", "1", "--runs", "20"];
    let run = ran(&mut highwater(&args));
    assert!(run.code == Some(0) && run.out.contains("found"), "{} {}", run.out, run.err);
    let figures = at("figures.json");
    let run = ran(&mut highwater(&["evaluate", "-q", "--calibration", &made, &scored, "--json", &figures]));
    assert!(run.code == Some(0) && run.out.contains("left their file out"), "{} {}", run.out, run.err);
    let found: Value = serde_json::from_str(&fs::read_to_string(&figures).unwrap()).unwrap();
    assert_eq!((&found["overall"]["line_break_auroc"], &found["overall"]["machine_without_line_breaks"]), (&1.0.into(), &0.into()));
    assert_eq!((&found["left_out"], &found["fitted_on"]), (&rows.len().into(), &Value::Array(Vec::new())));
    let report: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    for (file, left_out) in found["by_file"].as_array().unwrap().iter().zip(report["families_left_out"].as_array().unwrap()) {
        assert_eq!((&file["name"], &file["auroc"]["value"]), (&left_out["family"], &left_out["auroc"]));
    }
    let run = ran(&mut highwater(&["evaluate", "-q", &scored]));
    assert!(run.code == Some(1) && run.err.contains("--calibration"), "scores of another calibration are refused: {}", run.err);
    let args = ["calibrate", "-q", "--human", &one, "-o", &made, "--scored", &scored];
    let run = ran(&mut highwater(&args));
    assert!(
        run.code == Some(1) && run.err.contains("--scored needs --machine"),
        "a profile leaves nothing out, which is said before the work: {}",
        run.err
    );
}

/// Without scoring, and to the last digit.
#[test]
fn a_calibration_is_fitted_again_from_its_scored_rows() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let all = rows(400);
    let (one, other) = all.split_at(all.match_indices('\n').nth(199).unwrap().0 + 1);
    file(folder.path(), "one.jsonl", one);
    file(folder.path(), "other.jsonl", other);
    let calibrate = |files: &[&str], made: &str, scored: &str| {
        let usual = ["--kind=plain=other", "--profile=ours", "-o", made, "--scored", scored];
        let run = ran(&mut highwater(&[&["calibrate", "-q", "--human"], files, &["--machine"], files, &usual].concat()));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let mut made: Value = serde_json::from_slice(&fs::read(made).unwrap()).unwrap();
        made["created"] = Value::Null;
        (made, fs::read_to_string(scored).unwrap())
    };
    let first = calibrate(&[&at("one.jsonl"), &at("other.jsonl")], &at("first.json"), &at("first.jsonl"));
    let again = calibrate(&[&at("first.jsonl")], &at("again.json"), &at("again.jsonl"));
    assert!(first == again, "the same texts, another calibration");
}

/// Kinds of machine text: a score of their own each, in answers, in what is left out, and in the simulation.
#[test]
fn kinds_are_fitted_named_and_watched_for() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let all = rows(600);
    let ends: Vec<usize> = all.match_indices('\n').map(|(at, _)| at + 1).collect();
    for (name, from, to) in [("a", 0, ends[199]), ("b", ends[199], ends[399]), ("c", ends[399], all.len())] {
        file(folder.path(), &format!("{name}.jsonl"), &all[from..to]);
    }
    let (files, made, scored) = (["a.jsonl", "b.jsonl", "c.jsonl"].map(at), at("ours.json"), at("scored.jsonl"));
    let calibrate = |kinds: &[&str]| {
        let files = files.iter().map(String::as_str);
        let kinds = kinds.iter().flat_map(|kind| if kind.starts_with("--") { vec![*kind] } else { vec!["--kind", kind] });
        let given = ["calibrate", "-q", "--human"].into_iter().chain(files.clone()).chain(["--machine"]).chain(files).chain(kinds);
        ran(&mut highwater(&given.chain(["-o", &made, "--scored", &scored]).collect::<Vec<_>>()))
    };
    for (kinds, expected) in [
        (&["first=a,d"][..], "--kind first names d, but no file of --machine has this name"),
        (&["first=a", "first=b"], "--kind first is given twice"),
        (&["1=a", "2=a", "3=a", "4=a", "5=a"], "5 kinds are given, at most 4"),
        (&["first=a,b", "--apart=c"], "--apart c is in no --kind"),
        (&["first"], "is no kind such as base-model=gpt2,opt"),
        (&["first="], "is no kind such as"),
    ] {
        let run = calibrate(kinds);
        assert!(run.code == Some(1) || run.code == Some(2), "{kinds:?}: {:?}", run.code);
        assert!(run.err.contains(expected), "{kinds:?}: {}", run.err);
    }
    let run = calibrate(&["second=c", "first=a,b", "--apart=b"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let written: Value = serde_json::from_slice(&fs::read(&made).unwrap()).unwrap();
    let apart: Vec<bool> = written["sources"].as_array().unwrap().iter().map(|source| source["apart"] == true).collect();
    assert_eq!(apart, [false, true, false]);
    let info = ran(&mut highwater(&["model", "info", "--json", "--calibration", &made]));
    let info: Value = serde_json::from_str(&info.out).unwrap();
    assert_eq!(info["calibration"]["kinds"], json!([{"name": "first", "families": ["a", "b"]}, {"name": "second", "families": ["c"]}]));
    let input = "{\"text\":\"a text that is long enough to be read against the reference, with a few words more\"}\n{\"text\":\"\"}\n";
    let answers = with_input(&mut highwater(&["score", "-q", "--calibration", &made]), input.as_bytes());
    let answers: Vec<Value> = answers.out.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let names = |answer: &Value| answer["kind_p_values"].as_object().map(|kinds| kinds.keys().cloned().collect::<Vec<_>>());
    assert_eq!((names(&answers[0]), names(&answers[1])), (Some(vec!["first".into(), "second".into()]), None));
    let rows: Vec<Value> = fs::read_to_string(&scored).unwrap().lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    // what is all there is of a kind cannot be left out of it
    let left_out = |file: &str| rows.iter().find(|row| row["family"] == file).and_then(names);
    assert_eq!((left_out("a"), left_out("c")), (Some(vec!["first".into(), "second".into()]), Some(vec!["first".into()])));
    let simulate = |rows: &str| {
        let args = ["simulate", "-q", "--calibration", &made, "--human", rows, "--machine", rows, "--share", "0.2", "--runs", "20"];
        let json = at("found.json");
        let run = ran(&mut highwater(&args.into_iter().chain(["--json", &json]).collect::<Vec<_>>()));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let found: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        found["flood"]["delay"]["median"].as_u64().unwrap_or(u64::MAX)
    };
    // machine texts that only the first kind's score finds
    let told = |row: &Value, kind: f64| {
        let p = if row["label"] == "machine" { kind } else { 0.6 };
        json!({"label": row["label"], "tokens": row["tokens"], "p_value": 0.6, "kind_p_values": {"first": p, "second": 0.6}})
    };
    let lines = |kind: f64| rows.iter().map(|row| format!("{}\n", told(row, kind))).collect::<String>();
    let (found, missed) = (
        simulate(file(folder.path(), "d.jsonl", &lines(0.001)).to_str().unwrap()),
        simulate(file(folder.path(), "e.jsonl", &lines(0.6)).to_str().unwrap()),
    );
    assert!(found < 200 && missed == u64::MAX, "found after {found}, {missed}");
}

#[test]
fn a_simulation_goes_by_the_settings_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let answers = |p: f64| (0..100).map(|_| format!("{{\"tokens\":100,\"p_value\":{p}}}\n")).collect::<String>();
    let human = file(folder.path(), "human.jsonl", &answers(0.6));
    let machine = file(folder.path(), "machine.jsonl", &answers(0.001));
    let settings = file(folder.path(), "highwater.toml", "arl = 2000\nbase-share = 0.1\n");
    let [human, machine, settings] = [&human, &machine, &settings].map(|path| path.to_str().unwrap());
    let json = folder.path().join("found.json");
    let out = json.to_str().unwrap();
    let args = ["simulate", "-q", "--config", settings, "--human", human, "--machine", machine, "--runs", "2", "--json", out];
    let run = ran(&mut highwater(&args));
    assert!(run.code == Some(0) && run.out.contains("promised 2000"), "{} {}", run.out, run.err);
    let told: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((&told["settings"]["arl"], &told["settings"]["base_share"]), (&json!(2000.), &json!(0.1)));
}

/// What `attack` and `generate` could not do stands among their rows; a corpus may have counted its tokens.
#[test]
fn error_rows_are_left_out_and_told_and_texts_are_read_whatever_stands_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let failed = "{\"id\":\"m-2\",\"pair\":null,\"error\":{\"code\":\"not_written\"}}\n{\"error\":{\"code\":\"not_written\"}}\n";
    let counted = rows(120).replace("{\"", "{\"tokens\":[1,2],\"");
    let data = file(folder.path(), "rows.jsonl", &format!("{failed}{counted}"));
    let (data, made) = (data.to_str().unwrap(), folder.path().join("c.json"));
    let told = "error rows of an earlier run, without a text: 2";
    let run = ran(&mut highwater(&["calibrate", "--human", data, "--machine", data, "-o", made.to_str().unwrap()]));
    assert!(run.code == Some(0) && run.err.contains(told), "{}", run.err);
    let run = ran(&mut highwater(&["evaluate", data]));
    assert!(run.code == Some(0) && run.err.contains(told), "{}", run.err);
    let run = ran(&mut highwater(&["simulate", "-q", "--human", data, "--machine", data, "--runs", "1"]));
    assert_eq!(run.code, Some(0), "{}", run.err);
}

#[test]
fn a_simulation_says_which_line_is_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "rows.jsonl", "{\"tokens\":100,\"p_value\":0.6}\n[\"a\",\"human\",100,0.6,{},false,\"\",null]\n");
    let rows = rows.to_str().unwrap();
    let run = ran(&mut highwater(&["simulate", "-q", "--human", rows, "--machine", rows]));
    assert!(run.code == Some(1) && run.err.contains("line 2: expected JSONL, one object"), "{}", run.err);
}

#[test]
fn human_texts_alone_make_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "forum.jsonl", &rows(100));
    let made = folder.path().join("c.json");
    let args = ["calibrate", "--human", data.to_str().unwrap(), "-o", made.to_str().unwrap(), "--profile", "our forum"];
    let run = ran(&mut highwater(&args));
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.starts_with("our forum for ") && run.out.contains("smallest p-value"), "{}", run.out);
}

/// What was asked for is written, or the run says before the work why not. A report that fails does not take the calibration with it.
#[test]
fn outputs_do_not_destroy_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    file(folder.path(), "forum.jsonl", &rows(120));
    let (data, made, page) = (at("forum.jsonl"), at("c.json"), at("page.html"));
    let calibrate = ["calibrate", "-q", "--human", &data, "--machine", &data, "-o", &made];
    for args in [
        [&calibrate[..], &["--json", &made]].concat(),
        [&calibrate[..], &["--json", &page, "--report", &page]].concat(),
        vec!["evaluate", "-q", &data, "--json", &page, "--report", &page],
        vec!["simulate", "-q", "--human", &data, "--machine", &data, "--json", &page, "--report", &page],
    ] {
        let run = ran(&mut highwater(&args));
        assert!(run.code == Some(1) && run.err.contains("would be lost; name another file"), "{args:?}: {}", run.err);
        assert!(!Path::new(&made).exists() && !Path::new(&page).exists(), "{args:?}");
    }
    // where all writing fails
    let full = "/dev/full";
    if !Path::new(full).exists() {
        return;
    }
    let run = ran(&mut highwater(&[&calibrate[..], &["--json", full, "--report", &page]].concat()));
    assert!(run.code == Some(2) && run.err.contains(full) && run.out.contains("all lengths"), "{} {}", run.out, run.err);
    assert!(Path::new(&made).exists() && Path::new(&page).exists(), "{}", run.err);
}

#[test]
fn bad_rows_and_too_few_texts_make_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("c.json");
    let bad = file(folder.path(), "bad.jsonl", "{\"text\":\"a\"}\n{\"text\":1}\nno json\n{\"text\":\"b\",\"label\":\"robot\"}\n");
    let few = file(folder.path(), "few.jsonl", &rows(10));
    for (input, parts) in [(&bad, &["3 faults", "line 2", "line 3", "line 4", "`robot`"][..]), (&few, &["at least 20"])] {
        let run = ran(&mut highwater(&["calibrate", "--human", input.to_str().unwrap(), "-o", made.to_str().unwrap()]));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{}", run.err);
        assert!(parts.iter().all(|part| run.err.contains(part)), "{}", run.err);
        assert!(!made.exists());
    }
    let nowhere = folder.path().join("absent").join("c.json");
    let run = ran(&mut highwater(&["calibrate", "--human", few.to_str().unwrap(), "-o", nowhere.to_str().unwrap()]));
    assert!(run.code == Some(1) && run.err.contains("folder"), "{}", run.err);
}

/// A fold whose branches are the model's own, or those with their names exchanged, which turns the ratio round.
fn fold(folder: &Path, exchanged: bool) {
    let own = Copy::of("branches");
    if exchanged {
        own.rewrite("branches.safetensors", |header, _| {
            let other = |name: &str| match name.split_once('.') {
                Some(("human", rest)) => format!("machine.{rest}"),
                Some(("machine", rest)) => format!("human.{rest}"),
                _ => name.to_owned(),
            };
            *header = header.iter().map(|(name, tensor)| (other(name), tensor.clone())).collect::<Map<_, _>>();
        });
    }
    fs::create_dir_all(folder.join("fold-0")).unwrap();
    fs::copy(own.path("branches.safetensors"), folder.join("fold-0/branches.safetensors")).unwrap();
}

/// Folds change what each text is scored with, and nothing else: the calibration is the model's own.
#[test]
fn each_text_is_scored_by_the_branches_of_its_fold() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    file(folder.path(), "forum.jsonl", &labelled(200, |i| 8 + i % 40));
    let model = Copy::of("branches");
    let run = |model: &str, more: &[&str]| {
        let (data, out) = (at("forum.jsonl"), at("c.json"));
        let usual = ["calibrate", "-q", "--model", model, "--human", &data, "--machine", &data, "-o", &out, "--force"];
        let run = ran(&mut highwater(&[&usual, more].concat()));
        let made = fs::read(&out).ok().map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
        let kept = made.map(|m| ["model_hash", "score", "bins"].map(|key| m[key].clone()));
        (run, kept)
    };
    let model = model.path("").to_str().unwrap().to_owned();
    let (usual, without) = run(&model, &[]);
    assert_eq!(usual.code, Some(0), "{}", usual.err);
    let features = without.as_ref().unwrap()[1].to_string();
    assert!(features.contains("log_likelihood_ratio_excess"), "{features}");

    let folds = at("folds");
    let list = |families: Value| json!({"format": "highwater-folds-1", "folds": 1, "families": families}).to_string();
    for (families, exchanged, same) in
        [(json!({"forum": 0}), false, true), (json!({"forum": 0}), true, false), (json!({"forum": null}), true, true)]
    {
        fold(Path::new(&folds), exchanged);
        fs::write(at("folds/folds.json"), list(families.clone())).unwrap();
        let (told, made) = run(&model, &["--folds", &folds]);
        assert_eq!(told.code, Some(0), "{}", told.err);
        assert_eq!(made.as_ref().unwrap()[0], without.as_ref().unwrap()[0], "the model's own hash");
        assert_eq!(made == without, same, "{families}, exchanged: {exchanged}");
    }
    // rows of an earlier run are in no fold, and taken once, however many branches read the texts
    let (scored, again) = (at("scored.jsonl"), at("again.json"));
    assert_eq!(run(&model, &["--scored", &scored]).1, without);
    let args = ["calibrate", "-q", "--model", &model, "--folds", &folds, "--human", &scored, "--machine", &scored, "-o", &again];
    let told = ran(&mut highwater(&args));
    assert_eq!(told.code, Some(0), "{}", told.err);
    let made: Value = serde_json::from_slice(&fs::read(&again).unwrap()).unwrap();
    assert_eq!(Some(["model_hash", "score", "bins"].map(|key| made[key].clone())), without);
    fs::write(at("folds/folds.json"), list(json!({"other": 0}))).unwrap();
    let (told, _) = run(&model, &["--folds", &folds]);
    assert!(told.code == Some(1) && told.err.contains("200 texts of forum are in no fold"), "{}", told.err);
    let unbranched = Copy::of("plain");
    let (told, _) = run(unbranched.path("").to_str().unwrap(), &["--folds", &folds]);
    assert!(told.code == Some(1) && told.err.contains("has no branches"), "{}", told.err);
}
