//! Files in, files out: constant memory, input order, every row answered.
//!
//! Takes a [`Job`], a detector and a [`Watch`]; gives a [`Summary`]. A thread parses rows into bounded chunks, the caller's thread
//! assesses and writes them. A bad row becomes an error row; a bad file ends the run after its whole rows are written.
//! Must not print, and must not overwrite a file that it was not told to.

use crate::{
    detector::Detector,
    text::Document,
    verdict::{Assessment, Verdict},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

mod compression;
mod csv_input;
mod documents;
mod error;
mod input;
mod lines;
mod output;
mod parquet_input;
mod parquet_output;
mod pipeline;
mod reader;
mod record;
mod resume;
mod table;
#[cfg(test)]
mod tests;
mod thrift;

pub use compression::Compression;
pub(crate) use compression::{GZIP_MAGIC, ZSTD_MAGIC};
pub use documents::{Documents, Read, documents};
pub use error::{BatchError, RowError};
pub(crate) use output::{part_of, same_file};
pub use reader::read_all;

/// What to read, how, and where the answers go.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// The inputs, read one after the other. All are checked before the first is read.
    pub inputs: Vec<Input>,
    /// The format of every input; by extension otherwise (see [`InputFormat`]).
    pub input_format: Option<InputFormat>,
    /// Where the answers go.
    pub output: Output,
    /// The format of the answers; by the output's extension otherwise, else JSONL.
    pub output_format: Option<OutputFormat>,
    /// Names of fields or columns.
    pub fields: Fields,
    /// Whether answers carry per-token scores; JSONL only.
    pub with_tokens: bool,
    /// Continue a stopped run from its part file; starts anew where there is none.
    pub resume: bool,
    /// Overwrite the output and what a stopped run left.
    pub force: bool,
    /// Bounds on memory.
    pub limits: Limits,
}

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file, or something that reads like one.
    Path(PathBuf),
}

/// Where answers go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    #[default]
    Stdout,
    /// A file: written as `PATH.part` and renamed when it is complete. `.gz` and `.zst` are compressed.
    Path(PathBuf),
}

/// How an input is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    /// One document a file: `.txt`, `.text`, `.md`.
    Text,
    /// One document a line, also where the line is empty; never by extension.
    Lines,
    /// One JSON object a line: `.jsonl`, `.ndjson`. Blank lines are skipped.
    Jsonl,
    /// Comma-separated with a header: `.csv`.
    Csv,
    /// Parquet: `.parquet`, `.pq`.
    Parquet,
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// One JSON object a line: `.jsonl`, `.ndjson` and everything else.
    Jsonl,
    /// One flat row a document: `.csv`. A free-text cell that a spreadsheet would run as a formula gets a leading `'`.
    Csv,
    /// The columns of the CSV, typed: `.parquet`, `.pq`.
    Parquet,
}

/// Names of fields (JSONL) or columns (CSV, Parquet). One that differs from the default must be there as a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// The text; required.
    pub text: String,
    /// The sender's id: a string or a number.
    pub id: String,
    /// One stream key, or a list.
    pub stream: String,
    /// RFC 3339, or seconds since 1970; without an offset, UTC.
    pub time: String,
}

impl Default for Fields {
    fn default() -> Self {
        Self { text: "text".into(), id: "id".into(), stream: "stream".into(), time: "time".into() }
    }
}

/// Bounds on what is held in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Documents in a chunk.
    pub chunk_documents: usize,
    /// Bytes of text in a chunk; one longer document is a chunk of its own.
    pub chunk_bytes: usize,
    /// Bytes of one document; a longer one is an error row. A line or record may take four times as many (escapes, other fields).
    pub document_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { chunk_documents: 512, chunk_bytes: 1 << 20, document_bytes: 10 << 20 }
    }
}

impl Limits {
    /// Chunks that a processor scores in seconds, so that rows, progress and Ctrl-C are not waited for. Sorting fewer texts by length
    /// costs 0.3% more padding; a GPU, which takes a default chunk at once, would idle between these.
    pub fn for_cpu() -> Self {
        Self { chunk_documents: 256, chunk_bytes: 256 << 10, ..Self::default() }
    }

    /// Bytes that one line or record may take.
    fn record_bytes(&self) -> usize {
        self.document_bytes.saturating_mul(4).saturating_add(1 << 16)
    }
}

/// Sees a run as it goes, and may stop it.
pub trait Watch {
    /// Called after every chunk that was written.
    fn progress(&self, progress: &Progress);

    /// Asked between chunks and while waiting for input; true stops the run after the chunk in work.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Watches nothing.
impl Watch for () {
    fn progress(&self, _progress: &Progress) {}
}

/// Goes along with a run: is told of every assessed document, in order, and may add to its answer. What it knows survives a stop as the
/// answers do, where it is kept beside them. The place of the flood monitor.
pub trait Companion {
    /// What the answers depend on besides the job; a run with another description is not continued.
    fn description(&self) -> Option<String> {
        None
    }

    /// A run begins anew. What is known may be kept at `beside`; `None` where a stopped run cannot go on.
    fn begin(&mut self, _beside: Option<&Path>) -> Result<(), BatchError> {
        Ok(())
    }

    /// A stopped run goes on. Gives how many of its rows are known of: later ones are cut off and answered again.
    fn resume(&mut self, _beside: &Path) -> Result<u64, BatchError> {
        Ok(u64::MAX)
    }

    /// Takes note of one document; gives what stands under `streams` in its answer (JSONL only).
    fn answer(&mut self, _document: &Document, _assessment: &Assessment) -> Option<serde_json::Value> {
        None
    }

    /// Whether it keeps what it knows, and so must be told what lies safely on disk.
    fn keeps(&self) -> bool {
        false
    }

    /// All rows so far, this many, lie safely on disk.
    fn written(&mut self, _rows: u64) -> Result<(), BatchError> {
        Ok(())
    }

    /// All rows lie in the output, which has not got its name yet: what is written beside it is written now, while a run that fails
    /// can still go on.
    fn finish(&mut self) -> Result<(), BatchError> {
        Ok(())
    }

    /// The output is complete: nothing need be kept.
    fn complete(&mut self) {}
}

/// Goes nowhere.
impl Companion for () {}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows answered by this run, error rows with them.
    pub documents: u64,
    /// Tokens scored by this run.
    pub tokens: u64,
    /// Rows that an earlier run had answered (`resume`).
    pub resumed: u64,
    /// Bytes of the inputs read so far, as they lie on disk.
    pub bytes_read: u64,
    /// Bytes of all inputs; `None` where one is a pipe.
    pub total_bytes: Option<u64>,
}

/// What a run did. Rows of an earlier run are counted in `progress.resumed` only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Documents, tokens and bytes.
    pub progress: Progress,
    /// Documents whose p-value is at most the threshold.
    pub flagged: u64,
    /// Verdicts `human`.
    pub human: u64,
    /// Verdicts `machine`.
    pub machine: u64,
    /// Verdicts `abstain`.
    pub abstain: u64,
    /// Error rows of this run and, after `resume`, those already written.
    pub errors: u64,
    /// Stopped by the watch. The rows so far are whole; those of a path lie in `PATH.part`.
    pub cancelled: bool,
}

impl Summary {
    fn count(&mut self, assessment: &Assessment) {
        self.progress.tokens += assessment.tokens as u64;
        self.flagged += u64::from(assessment.flagged);
        match assessment.verdict {
            Verdict::Human => self.human += 1,
            Verdict::Machine => self.machine += 1,
            Verdict::Abstain => self.abstain += 1,
        }
    }
}

/// Runs a job to its end.
///
/// # Errors
/// Everything that is no fault of one row; [`BatchError`] says what is then on disk.
pub fn run(job: &Job, detector: &mut Detector, watch: &dyn Watch) -> Result<Summary, BatchError> {
    run_along(job, detector, watch, &mut ())
}

/// Runs a job to its end, with a companion.
///
/// # Errors
/// As [`run`], and those of the companion.
pub fn run_along(job: &Job, detector: &mut Detector, watch: &dyn Watch, companion: &mut dyn Companion) -> Result<Summary, BatchError> {
    let plan = input::check(job)?;
    let output = output::open(job, &plan, detector, companion)?;
    pipeline::run(&plan, output, detector, (watch, companion))
}

/// Runs a job whose answers go to `sink` instead of `job.output` (whose extension still says the format).
///
/// # Errors
/// As [`run`].
pub fn run_into(job: &Job, sink: Box<dyn Write + Send>, detector: &mut Detector, watch: &dyn Watch) -> Result<Summary, BatchError> {
    let plan = input::check(job)?;
    let output = output::into_sink(job, sink)?;
    pipeline::run(&plan, output, detector, (watch, &mut ()))
}
