//! A run that was killed anywhere goes on to the same bytes, and only if it is the same job.

use super::*;
use crate::batch::output::part_of;

fn input() -> String {
    let text = "a plain text, some words, \\\"quotes\\\"\\nand lines";
    let row = |i: usize| match i % 4 {
        0 => format!("{{\"id\":\"=id, \\\"{i}\\\"\\nsecond\",\"text\":\"{text}\"}}\n"),
        1 => "{\"broken\n".to_owned(),
        2 => format!("{{\"text\":\"{i} \\\",\\\"error\\\":{{\\\"code\\\":\\\"x\"}}\n"),
        _ => "\n{\"text\":\"\",\"id\":\"é\"}\n".to_owned(),
    };
    (0..6).map(row).collect()
}

fn sheet_of(out: &Path) -> PathBuf {
    let mut name = part_of(out).into_os_string();
    name.push(".json");
    name.into()
}

fn job_to(dir: &TempDir, name: &str) -> Job {
    let (a, b) = (file(dir, "a.jsonl", input()), file(dir, "b.jsonl", input()));
    Job {
        output: Output::Path(dir.path().join(name)),
        limits: Limits { chunk_documents: 1, ..Limits::default() },
        resume: true,
        ..job(&[&a, &b])
    }
}

/// A stopped run: its part file after this many rows.
fn stop_after(job: &Job, rows: usize) -> PathBuf {
    let summary = run(job, &mut detector(), &CancelAfter::chunks(rows)).unwrap();
    assert!(summary.cancelled);
    assert_eq!(summary.progress.documents, rows as u64);
    let Output::Path(out) = &job.output else { panic!("a path") };
    assert!(!out.exists());
    out.clone()
}

#[test]
fn a_run_that_was_killed_at_any_byte_ends_with_the_same_bytes() {
    for name in ["out.jsonl", "out.csv"] {
        let dir = dir();
        let mut job = job_to(&dir, name);
        job.inputs = vec![Input::Path(file(&dir, "c.jsonl", input()))];
        let out = stop_after(&job, 6);
        let (part, sheet) = (std::fs::read(part_of(&out)).unwrap(), std::fs::read(sheet_of(&out)).unwrap());
        let whole = run(&job, &mut detector(), &()).unwrap();
        assert_eq!((whole.progress.resumed, whole.progress.documents, whole.errors), (6, 0, 2));
        let whole = std::fs::read(&out).unwrap();
        assert_eq!(whole, part);
        assert!(!part_of(&out).exists() && !sheet_of(&out).exists());
        for cut in 0..=part.len() {
            std::fs::remove_file(&out).unwrap();
            std::fs::write(part_of(&out), &part[..cut]).unwrap();
            std::fs::write(sheet_of(&out), &sheet).unwrap();
            let summary = run(&job, &mut detector(), &()).unwrap();
            assert_eq!(std::fs::read(&out).unwrap(), whole, "{name} cut at {cut}");
            assert_eq!(summary.progress.resumed + summary.progress.documents, 6);
            assert_eq!(summary.errors, 2, "{name} cut at {cut}");
        }
    }
}

#[test]
fn another_job_is_refused() {
    let dir = dir();
    let job = job_to(&dir, "out.jsonl");
    let out = stop_after(&job, 3);
    let before = std::fs::read(part_of(&out)).unwrap();
    let refused = |job: &Job, says: &str| {
        let error = run(job, &mut detector(), &()).unwrap_err();
        assert_eq!(error.code(), "other_job", "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(std::fs::read(part_of(&out)).unwrap(), before);
    };
    refused(&Job { with_tokens: true, ..job.clone() }, "`tokens` was false and is now true");
    refused(&Job { fields: Fields { id: "x".into(), ..Fields::default() }, ..job.clone() }, "`fields`");
    refused(&Job { output_format: Some(OutputFormat::Csv), ..job.clone() }, "`output format`");
    refused(&Job { inputs: job.inputs.iter().rev().cloned().collect(), ..job.clone() }, "`inputs`");
    file(&dir, "a.jsonl", input().replace("words", "woods"));
    refused(&job, "`input ");
    file(&dir, "a.jsonl", input());
    let policy = crate::verdict::Policy { fpr: 0.05, ..Default::default() };
    let options = Options { policy, ..Options::default() };
    let mut laxer = Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), options).unwrap();
    let error = run(&job, &mut laxer, &()).unwrap_err().to_string();
    assert!(error.contains("`fpr` was 0.01 and is now 0.05"), "{error}");
    let sheet = std::fs::read(sheet_of(&out)).unwrap();
    std::fs::remove_file(sheet_of(&out)).unwrap();
    refused(&job, "out.jsonl.part.json");
    std::fs::write(sheet_of(&out), "{").unwrap();
    refused(&job, "no description");
    std::fs::write(sheet_of(&out), &sheet).unwrap();
    assert_eq!(run(&job, &mut detector(), &()).unwrap().progress.resumed, 3);
}

/// `calibrate -o forum.json` gives the same name each time.
#[test]
fn a_calibration_that_was_made_again_is_another_job() {
    let dir = dir();
    let job = job_to(&dir, "out.jsonl");
    stop_after(&job, 3);
    let mut again = Calibration::for_fake();
    again.created = "2026-01-02T03:04:05Z".parse().unwrap();
    let mut detector = Detector::new(Box::new(Fake::default()), Arc::new(again), Options::default()).unwrap();
    let error = run(&job, &mut detector, &()).unwrap_err();
    assert_eq!(error.code(), "other_job");
    assert!(error.to_string().contains("`calibration` was") && error.to_string().contains("of 2026-01-02T03:04:05Z"), "{error}");
}

#[test]
fn more_rows_than_the_inputs_have_are_refused() {
    let dir = dir();
    let job = job_to(&dir, "out.jsonl");
    let out = stop_after(&job, 12);
    let part = std::fs::read(part_of(&out)).unwrap();
    std::fs::write(part_of(&out), [part.clone(), b"{}\n".to_vec()].concat()).unwrap();
    assert!(run(&job, &mut detector(), &()).unwrap_err().to_string().contains("1 rows more"));
}

#[test]
fn nothing_is_overwritten_unasked() {
    let dir = dir();
    let job = Job { resume: false, ..job_to(&dir, "out.jsonl") };
    let code = |job: &Job| run(job, &mut detector(), &()).unwrap_err().code();
    let out = stop_after(&job, 3);
    assert_eq!(code(&job), "part_exists");
    std::fs::write(&out, "mine").unwrap();
    assert_eq!(code(&job), "output_exists");
    assert_eq!(code(&Job { resume: true, ..job.clone() }), "output_exists");
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    let summary = run(&Job { force: true, ..job.clone() }, &mut detector(), &()).unwrap();
    assert_eq!((summary.progress.documents, summary.progress.resumed), (12, 0));
    assert_eq!(rows(&std::fs::read(&out).unwrap()).len(), 12);
}

#[test]
fn an_input_is_never_the_output() {
    let dir = dir();
    let mut job = Job { resume: false, force: true, ..job_to(&dir, "out.jsonl") };
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    for alias in ["a.jsonl", "sub/../b.jsonl"] {
        job.output = Output::Path(dir.path().join(alias));
        let error = run(&job, &mut detector(), &()).unwrap_err();
        assert!(error.refused() && error.to_string().contains("is also an input"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("a.jsonl")).unwrap(), input());
}

#[test]
fn two_runs_do_not_share_an_output() {
    let dir = dir();
    let job = job_to(&dir, "out.jsonl");
    let out = stop_after(&job, 3);
    let held = std::fs::File::options().write(true).open(part_of(&out)).unwrap();
    held.lock().unwrap();
    assert!(run(&job, &mut detector(), &()).unwrap_err().to_string().contains("another run"));
    held.unlock().unwrap();
    assert!(run(&job, &mut detector(), &()).is_ok());
}

#[test]
fn what_cannot_be_continued_says_so() {
    let dir = dir();
    for name in ["out.parquet", "out.jsonl.gz", "out.csv.zst"] {
        assert_eq!(run(&job_to(&dir, name), &mut detector(), &()).unwrap_err().code(), "unsupported");
    }
    let job = job_to(&dir, "out.jsonl");
    let stdout = Job { output: Output::Stdout, ..job.clone() };
    assert!(run(&stdout, &mut detector(), &()).unwrap_err().to_string().contains("-o"));
    let stdin = Job { inputs: vec![Input::Stdin], ..job };
    assert!(run(&stdin, &mut detector(), &()).unwrap_err().to_string().contains("only once"));
}
