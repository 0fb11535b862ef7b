//! What can go wrong: with one row (the run goes on) and with the whole job (it ends, the rows so far are whole).

use crate::detector::DetectorError;
use serde::Serialize;
use std::{io, path::PathBuf};

/// Why one row could not be answered; it stands in the output in place of the assessment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// Stable: `bad_json`, `bad_csv`, `missing_field`, `wrong_type`, `bad_id`, `bad_stream`, `bad_time`, `too_long`, `model_failed`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl RowError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn too_long(limit: usize, what: &str) -> Self {
        Self::new("too_long", format!("{what} is longer than the limit of {limit} bytes"))
    }
}

/// Why a job could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// No input was named.
    #[error("no input: name files, or `-` for standard input")]
    NoInput,
    /// Standard input was named twice.
    #[error("standard input is named twice; it can be read only once")]
    StdinTwice,
    /// An input could not be opened.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The input.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A directory was named as input.
    #[error("{path} is a directory; name the files in it, such as {path}/*.jsonl")]
    Directory {
        /// The input.
        path: String,
    },
    /// The extension says nothing.
    #[error("cannot tell the format of {path} by its extension; say it with --format text, lines, jsonl, csv or parquet")]
    UnknownFormat {
        /// The input.
        path: String,
    },
    /// The first bytes are not what the extension or the format says.
    #[error("{path} is no {expected}: {found}")]
    WrongContent {
        /// The input.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What its first bytes say.
        found: &'static str,
    },
    /// A column that is needed is not there.
    #[error("{path} has no column `{column}`; {found}")]
    MissingColumn {
        /// The input.
        path: String,
        /// The column.
        column: String,
        /// What there is instead.
        found: String,
    },
    /// A column has a type that cannot be used.
    #[error("column `{column}` of {path} is {found}, expected {expected}")]
    ColumnType {
        /// The input.
        path: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What can be used.
        expected: &'static str,
    },
    /// An input ended or broke in the middle.
    #[error("{path} is damaged after line {line}: {reason}; every whole row before that is written, nothing after it")]
    Damaged {
        /// The input.
        path: String,
        /// The last whole line or row, counted from 1; 0 where there is none.
        line: u64,
        /// What the parser said.
        reason: String,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Unsupported(String),
    /// The output is there already.
    #[error("{} exists already; name another output, or overwrite it with --force", path.display())]
    OutputExists {
        /// The output.
        path: PathBuf,
    },
    /// A run is to go on, its output is there, and no part file is: it has ended.
    #[error(
        "{} is there, and no run was stopped: nothing is left to resume; to do it anew, name another output, or use --force instead",
        path.display()
    )]
    NothingToResume {
        /// The output.
        path: PathBuf,
    },
    /// A stopped run left its part file.
    #[error("{} is left from a stopped run; continue it with --resume, or start anew with --force", path.display())]
    PartExists {
        /// The part file.
        path: PathBuf,
    },
    /// The stopped run was another job.
    #[error("cannot resume {}: {difference}; use the same inputs and options, or start anew with --force", path.display())]
    OtherJob {
        /// The part file.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// The output could not be created or written.
    #[error("cannot write {path}: {source}; the rows written before are whole")]
    Write {
        /// The output.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// What goes along with the run failed.
    #[error("{0}")]
    Companion(String),
    /// The reader of the output has gone; for a command line this is a quiet end.
    #[error("the reader of the output has gone")]
    BrokenPipe,
    /// The model failed on several documents in a row.
    #[error("the model failed on {failures} documents in a row: {source}")]
    Model {
        /// How many.
        failures: u32,
        /// The last failure.
        source: DetectorError,
    },
}

impl BatchError {
    /// A stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoInput => "no_input",
            Self::StdinTwice => "stdin_twice",
            Self::Unreadable { .. } => "input_unreadable",
            Self::Directory { .. } => "input_is_directory",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::WrongContent { .. } => "wrong_content",
            Self::MissingColumn { .. } => "missing_column",
            Self::ColumnType { .. } => "column_type",
            Self::Damaged { .. } => "input_damaged",
            Self::Unsupported(_) => "unsupported",
            Self::OutputExists { .. } | Self::NothingToResume { .. } => "output_exists",
            Self::PartExists { .. } => "part_exists",
            Self::OtherJob { .. } => "other_job",
            Self::Write { .. } => "output_failed",
            Self::Companion(_) => "companion_failed",
            Self::BrokenPipe => "broken_pipe",
            Self::Model { .. } => "model_failed",
        }
    }

    /// Whether the user's input or options were refused (exit 1); otherwise something failed (exit 2).
    pub fn refused(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::Companion(_) | Self::BrokenPipe | Self::Model { .. })
    }

    pub(super) fn write(path: &str, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::Write { path: path.to_owned(), source }
    }
}
