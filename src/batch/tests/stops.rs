//! How a run ends early, and how little it holds: cancelled, the model failing, the output failing.

use super::*;
use crate::batch::{input, pipeline};
use std::io;

fn lines(n: usize) -> String {
    (0..n).map(|i| format!("{{\"id\":{i},\"text\":\"some words here\"}}\n")).collect()
}

#[test]
fn a_stopped_run_leaves_whole_rows_in_every_format() {
    for name in ["out.jsonl", "out.csv", "out.parquet", "out.jsonl.gz", "out.csv.zst"] {
        let dir = dir();
        let path = file(&dir, "a.jsonl", lines(10));
        let out = dir.path().join(name);
        let limits = Limits { chunk_documents: 2, ..Limits::default() };
        let job = Job { output: Output::Path(out.clone()), limits, ..job(&[&path]) };
        let summary = run(&job, &mut detector(), &CancelAfter::chunks(2)).unwrap();
        assert_eq!((summary.cancelled, summary.progress.documents), (true, 4));
        let part = output::part_of(&out);
        assert!(part.exists() && !out.exists());
        let rows = match name {
            "out.parquet" => {
                let reader = parquet::file::reader::SerializedFileReader::new(std::fs::File::open(part).unwrap()).unwrap();
                reader.into_iter().filter(Result::is_ok).count()
            }
            _ => {
                let mut text = String::new();
                let (kind, plain) = Compression::by_name(&out);
                let file: Box<dyn io::Read + Send> = Box::new(std::fs::File::open(part).unwrap());
                io::Read::read_to_string(&mut compression::decompress(file, kind).unwrap(), &mut text).unwrap();
                text.lines().count() - usize::from(plain.extension().is_some_and(|e| e == "csv") || name.contains(".csv"))
            }
        };
        assert_eq!(rows, 4, "{name}");
    }
}

#[test]
fn a_document_that_the_model_fails_on_costs_itself_only() {
    let dir = dir();
    let content = "{\"text\":\"a\"}\n{\"id\":\"m\",\"text\":\"b!\"}\nnonsense\n{\"text\":\"c\"}\n{\"text\":\"!\"}\n";
    let out = Shared::default();
    let job = job(&[&file(&dir, "a.jsonl", content)]);
    let summary = run_into(&job, Box::new(out.clone()), &mut detector_with(Fake::failing_on(b'!')), &()).unwrap();
    assert_eq!((summary.progress.documents, summary.errors), (5, 3));
    let codes: Vec<_> = out.rows().iter().map(|r| r["error"]["code"].as_str().unwrap_or("ok").to_owned()).collect();
    assert_eq!(codes, ["ok", "model_failed", "bad_json", "ok", "model_failed"]);
    assert_eq!(out.rows()[1]["id"], "m");
}

#[test]
fn a_model_that_fails_for_good_ends_the_run_before_those_documents() {
    let dir = dir();
    let content = format!("{}{}", "{\"text\":\"good\"}\n".repeat(3), "{\"text\":\"bad!\"}\n".repeat(20));
    for chunk_documents in [1, 5, 512] {
        let out = Shared::default();
        let limits = Limits { chunk_documents, ..Limits::default() };
        let job = Job { limits, ..job(&[&file(&dir, "a.jsonl", &content)]) };
        let error = run_into(&job, Box::new(out.clone()), &mut detector_with(Fake::failing_on(b'!')), &()).unwrap_err();
        assert_eq!((error.code(), error.refused()), ("model_failed", false));
        let rows = out.rows();
        // Failures of earlier chunks are written already; those of the last one are left to the next run.
        let written = if chunk_documents == 512 { 3 } else { 3 + 7 };
        assert_eq!(rows.len(), written, "chunks of {chunk_documents}");
        assert!(rows[..3].iter().all(|r| r.get("verdict").is_some()));
    }
}

/// Fails after this many bytes.
struct Full(usize, io::ErrorKind);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1.into());
        }
        let n = bytes.len().min(self.0);
        self.0 -= n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_and_a_broken_pipe_are_told_apart() {
    let dir = dir();
    let path = file(&dir, "a.jsonl", lines(100));
    for format in [OutputFormat::Jsonl, OutputFormat::Csv, OutputFormat::Parquet] {
        for (kind, code) in [(io::ErrorKind::StorageFull, "output_failed"), (io::ErrorKind::BrokenPipe, "broken_pipe")] {
            let job = Job { output_format: Some(format), ..job(&[&path]) };
            let error = run_into(&job, Box::new(Full(2000, kind)), &mut detector(), &()).unwrap_err();
            assert_eq!(error.code(), code, "{format:?}: {error}");
        }
    }
}

#[test]
fn an_output_that_cannot_be_written_names_its_path() {
    let dir = dir();
    let path = file(&dir, "a.jsonl", lines(3));
    let mut targets = vec![dir.path().to_path_buf(), dir.path().join("absent/out.jsonl")];
    if Path::new("/dev/full").exists() {
        targets.push("/dev/full".into());
    }
    for target in targets {
        let error = run(&Job { output: Output::Path(target.clone()), ..job(&[&path]) }, &mut detector(), &()).unwrap_err();
        assert_eq!((error.code(), error.refused()), ("output_failed", false));
        assert!(error.to_string().contains(&target.display().to_string()), "{error}");
    }
}

#[test]
fn chunks_stay_within_the_limits() {
    let dir = dir();
    let texts = ["x".repeat(30), "y".repeat(500), "z".repeat(90), "w".repeat(9)].map(|t| format!("{{\"text\":\"{t}\"}}\n")).concat();
    let limits = Limits { chunk_documents: 3, chunk_bytes: 100, document_bytes: 600 };
    let job = Job { limits, ..job(&[&file(&dir, "a.jsonl", texts.repeat(50))]) };
    let sizes = pipeline::chunk_sizes(&input::check(&job).unwrap());
    assert_eq!(sizes.iter().map(|s| s.0).sum::<usize>(), 200);
    // The last document of a chunk may pass the limit of bytes, nothing else may.
    assert!(sizes.iter().all(|&(rows, bytes)| rows <= 3 && bytes < 100 + 600), "{sizes:?}");
}

#[test]
fn progress_is_told_to_the_end() {
    struct Last(Cell<Progress>);
    impl Watch for Last {
        fn progress(&self, progress: &Progress) {
            self.0.set(*progress);
        }
    }
    let dir = dir();
    let texts = [Some("a"), Some("bc"), None, Some("d")];
    let parquet = formats::parquet("message m { optional binary text (UTF8); }", &texts, &[]);
    for (path, documents, tokens) in [(file(&dir, "a.jsonl", lines(7)), 7, 105), (file(&dir, "a.parquet", parquet), 4, 4)] {
        let watch = Last(Cell::default());
        let summary = run_into(&job(&[&path]), Box::new(Shared::default()), &mut detector(), &watch).unwrap();
        let last = watch.0.get();
        assert_eq!((last.documents, last.tokens, last.bytes_read), (documents, tokens, last.total_bytes.unwrap()));
        assert_eq!(summary.progress, last);
        assert_eq!(summary.human + summary.machine + summary.abstain + summary.errors, documents);
    }
}

/// The rows that are answered while the sender of these bytes waits for them.
#[cfg(unix)]
fn answered_before_the_pipe_closes(sent: String, format: Option<InputFormat>) -> Vec<Value> {
    let dir = dir();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (path, (done, wait)) = (pipe.clone(), std::sync::mpsc::channel::<()>());
    let sender = std::thread::spawn(move || {
        let mut file = std::fs::File::options().write(true).open(path).unwrap();
        file.write_all(sent.as_bytes()).unwrap();
        // Stays open until the answers are there; not for ever, so that a fault is seen.
        let _ = wait.recv_timeout(std::time::Duration::from_secs(60));
    });
    let out = Shared::default();
    let job = Job { input_format: format, ..job(&[&pipe]) };
    let summary = run_into(&job, Box::new(out.clone()), &mut detector(), &CancelAfter::chunks(1)).unwrap();
    drop(done);
    sender.join().unwrap();
    assert!(summary.cancelled && summary.progress.total_bytes.is_none());
    out.rows()
}

#[test]
#[cfg(unix)]
fn what_a_pipe_has_sent_is_answered_before_it_closes() {
    let jsonl = format!("{}{{\"half\":", lines(2));
    assert_eq!(answered_before_the_pipe_closes(jsonl, None).len(), 2);
    // A line end within quotes is none of the record, and a blank line is no row.
    let csv = "id,text\n1,some words\n\n2,\"two\nlines\"\n\n3,\"half\nof it";
    let rows = answered_before_the_pipe_closes(csv.to_owned(), Some(InputFormat::Csv));
    assert_eq!(rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
}
