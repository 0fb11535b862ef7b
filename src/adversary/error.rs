//! Why machine text could not be made.

use crate::model::ModelError;
use std::{io, path::PathBuf};

/// Why machine text could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AdversaryError {
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A prompt that leaves no room in the model's context.
    #[error("the prompt that begins with `{start}` has {tokens} tokens; the model reads at most {most}: shorten it")]
    LongPrompt {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that a prompt may have.
        most: usize,
        /// Its first characters.
        start: String,
    },
    /// A file that was read and cannot be used.
    #[error("{}: {message}", path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was written cannot be kept.
    #[error("cannot write {place}: {source}")]
    Write {
        /// The file.
        place: String,
        /// Why not.
        source: io::Error,
    },
    /// Something is there already.
    #[error("{} {what}", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
        /// What it is, and what to do.
        what: &'static str,
    },
    /// A service does not take posts.
    #[error("{url}: {message}")]
    Service {
        /// Its address.
        url: String,
        /// What it said, or what failed.
        message: String,
    },
    /// The stopped run was another job.
    #[error("{} was begun by another run: {difference}; give the same options, or start anew with --force", path.display())]
    OtherRun {
        /// What it left.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
}

impl AdversaryError {
    /// Whether the input or the options are at fault.
    pub fn refused(&self) -> bool {
        !matches!(self, Self::Model(_) | Self::Write { .. } | Self::Service { .. })
    }
}
