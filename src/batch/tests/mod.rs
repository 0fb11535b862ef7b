//! The file half of the promises: every row comes back in order, a bad row costs itself only, and a stopped run goes on.

mod bad_input;
mod formats;
mod parquet_files;
mod resume;
mod stops;

use super::*;
use crate::{calibration::Calibration, detector::Options, model::Fake, text::Document};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    path::Path,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;

fn detector() -> Detector {
    detector_with(Fake::default())
}

fn detector_with(fake: Fake) -> Detector {
    Detector::new(Box::new(fake), Arc::new(Calibration::for_fake()), Options::default()).unwrap()
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn job(inputs: &[&Path]) -> Job {
    Job { inputs: inputs.iter().map(|p| Input::Path(p.to_path_buf())).collect(), ..Job::default() }
}

/// A writer that can be looked into afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn rows(&self) -> Vec<Value> {
        rows(&self.bytes())
    }
}

fn rows(bytes: &[u8]) -> Vec<Value> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a job; the rows that were written, whatever the end.
fn score(job: &Job) -> (Result<Summary, BatchError>, Vec<Value>) {
    let out = Shared::default();
    let result = run_into(job, Box::new(out.clone()), &mut detector(), &());
    (result, out.rows())
}

/// Rows of a file of this name and content.
fn score_bytes(name: &str, bytes: impl AsRef<[u8]>) -> (Result<Summary, BatchError>, Vec<Value>) {
    let dir = dir();
    score(&job(&[&file(&dir, name, bytes)]))
}

fn refused(job: &Job) -> (String, String) {
    let error = run_into(job, Box::new(Shared::default()), &mut detector(), &()).unwrap_err();
    (error.code().to_owned(), error.to_string())
}

/// Cancels once this many chunks are written.
struct CancelAfter(Cell<usize>);

impl CancelAfter {
    fn chunks(n: usize) -> Self {
        Self(Cell::new(n))
    }
}

impl Watch for CancelAfter {
    fn progress(&self, _progress: &Progress) {
        self.0.set(self.0.get().saturating_sub(1));
    }

    fn cancelled(&self) -> bool {
        self.0.get() == 0
    }
}

/// What an input row should answer.
fn expected(document: &Document, line: usize) -> Value {
    let mut value = serde_json::to_value(&detector().assess(std::slice::from_ref(document)).unwrap()[0]).unwrap();
    value["line"] = json!(line);
    reparsed(&value)
}

/// A value as a reader of its text gets it: serde_json reads floats with an error of one unit in the last place.
fn reparsed(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn compress(bytes: &[u8], kind: Compression) -> Vec<u8> {
    let out = Shared::default();
    let mut writer = compression::Compressor::new(out.clone(), kind).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap();
    out.bytes()
}
