//! `highwater evaluate` from outside: labelled rows in; a table, JSON and a page out. And how a profile is made from a few texts.

use crate::{
    calibrate::rows,
    cli::{file, highwater, ran},
};
use serde_json::{Value, json};

#[test]
fn labelled_rows_become_a_table_json_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "forum.jsonl", &rows(120));
    let odd =
        json!({"text": "a <b>row</b> of its own that says a little more than nothing at all", "label": "human", "domain": "<script>"});
    let more = file(folder.path(), "more.jsonl", &format!("{odd}\n\n"));
    let (made, page) = (folder.path().join("e.json"), folder.path().join("e.html"));
    let args = ["evaluate", data.to_str().unwrap(), more.to_str().unwrap()];
    let outputs = ["--json", made.to_str().unwrap(), "--report", page.to_str().unwrap()];
    let run = ran(&mut highwater(&[&args[..], &outputs[..]].concat()));
    assert_eq!(run.code, Some(0), "{}", run.err);
    for part in ["AUROC", "TPR@1%", "by file", "forum", "by domain", "by length", "flagged at a nominal 1% and 5%", "discrepancy"] {
        assert!(run.out.contains(part), "{part} not in\n{}", run.out);
    }
    let found: Value = serde_json::from_str(&std::fs::read_to_string(&made).unwrap()).unwrap();
    assert_eq!((&found["rows"], &found["by_file"][0]["name"], &found["fitted_on"]), (&json!(121), &json!("forum"), &json!([])));
    let auroc = &found["by_file"][0]["auroc"];
    let [low, value, high] = ["low", "value", "high"].map(|name| auroc[name].as_f64().unwrap_or_else(|| panic!("no {name} in {auroc}")));
    assert!(low <= value && value <= high, "{auroc}");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("<svg") && !page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    let again = ran(&mut highwater(&args));
    assert_eq!(again.out, run.out, "the intervals are drawn from a fixed seed");
}

#[test]
fn rows_without_a_label_are_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "a.jsonl", "{\"text\":\"a\",\"label\":\"human\"}\n{\"text\":\"b\"}\nno json\n");
    let run = ran(&mut highwater(&["evaluate", data.to_str().unwrap()]));
    assert_eq!((run.code, run.out.as_str()), (Some(1), ""));
    assert!(run.err.contains("2 faults") && run.err.contains("line 2") && run.err.contains("line 3"), "{}", run.err);
    let nowhere = folder.path().join("absent").join("e.html");
    let run = ran(&mut highwater(&["evaluate", data.to_str().unwrap(), "--report", nowhere.to_str().unwrap()]));
    assert!(run.code == Some(1) && run.err.contains("folder"), "{}", run.err);
}

/// 60 texts: fewer than a conformal p-value of 1% takes, but the base lends its shape. The report of a fit is for fits.
#[test]
fn a_few_texts_lean_on_a_base() {
    let folder = tempfile::tempdir().unwrap();
    let data = file(folder.path(), "forum.jsonl", &rows(120));
    let (data, made) = (data.to_str().unwrap(), folder.path().join("few.json"));
    let made = made.to_str().unwrap();
    let run = ran(&mut highwater(&["calibrate", "--human", data, "--base", "embedded", "-o", made]));
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.out.contains("lends the shape") && run.out.contains("0.0002"), "{}", run.out);
    let info = ran(&mut highwater(&["model", "info", "--json", "--calibration", made]));
    let info: Value = serde_json::from_str(&info.out).unwrap();
    let human = info["calibration"]["lengths"][0]["human"].as_u64();
    assert!(human.is_some_and(|n| (40..=60).contains(&n)), "{info}");
    // told before the rows are looked at, and so before any is scored
    let bad = file(folder.path(), "bad.jsonl", "no json\n");
    let text = std::fs::read_to_string(made).unwrap();
    let hash = serde_json::from_str::<Value>(&text).unwrap()["model_hash"].as_str().unwrap().to_owned();
    let other = file(folder.path(), "other.json", &text.replace(&hash, &"0".repeat(16)));
    for (base, part) in [("absent.json", "cannot read calibration absent.json"), (other.to_str().unwrap(), "with the model 0000")] {
        let run = ran(&mut highwater(&["calibrate", "--human", bad.to_str().unwrap(), "--base", base, "-o", made, "--force"]));
        assert!(run.code == Some(1) && run.err.contains(part), "{base}: {}", run.err);
    }
    let report = folder.path().join("fit.html");
    let args = ["calibrate", "--human", data, "--machine", data, "-o", made, "--force", "--report", report.to_str().unwrap()];
    let run = ran(&mut highwater(&args));
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(std::fs::read_to_string(&report).unwrap().contains("Cross-fitted"));
}
