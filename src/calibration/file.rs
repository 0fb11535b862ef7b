//! The calibration file: JSON in, checked as foreign input; JSON out, whole or not at all.

use super::{Bin, Calibration, SCHEMA, SHORTEST};
use crate::{score::ScoreModel, stats::MOST_KINDS};
use serde::Deserialize;
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// No calibration is this large: about nine times one with every bin of every kind full.
const MAX_BYTES: u64 = 32 << 20;

/// Why a calibration could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The file could not be read.
    #[error("cannot read calibration {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file could not be written; what was there before is untouched.
    #[error("cannot write calibration {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Larger than any calibration.
    #[error("calibration {origin} is larger than {MAX_BYTES} bytes; give the file that `highwater calibrate` wrote")]
    TooLarge {
        /// The file, or `embedded`.
        origin: String,
    },
    /// Not the JSON of a calibration.
    #[error("calibration {origin} is not a calibration: {error}; make one with `highwater calibrate`")]
    Json {
        /// The file, or `embedded`.
        origin: String,
        /// What was found, and where.
        error: serde_json::Error,
    },
    /// Written by another version of Highwater.
    #[error("calibration {origin} has schema {found}, expected {SCHEMA}; make it anew with `highwater calibrate`")]
    Schema {
        /// The file, or `embedded`.
        origin: String,
        /// Its schema.
        found: u64,
    },
    /// Well-formed, but its numbers cannot be right.
    #[error("calibration {origin} is damaged: {fault}; make it anew with `highwater calibrate`")]
    Damaged {
        /// The file, or `embedded`.
        origin: String,
        /// What is wrong.
        fault: String,
    },
}

/// Read first, so that another version is named as such and not as an unknown field.
#[derive(Deserialize)]
struct Header {
    schema: u64,
}

impl Calibration {
    /// Reads and checks a calibration file.
    pub fn load(path: &Path) -> Result<Self, CalibrationError> {
        let failed = |error| CalibrationError::Read { path: path.to_owned(), error };
        let mut bytes = Vec::new();
        File::open(path).and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(failed)?;
        Self::parse(&bytes, &path.display().to_string())
    }

    /// Reads and checks the bytes of a calibration file; `origin` names them in errors.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, CalibrationError> {
        let origin = || origin.to_owned();
        if bytes.len() as u64 > MAX_BYTES {
            return Err(CalibrationError::TooLarge { origin: origin() });
        }
        let json = |error| CalibrationError::Json { origin: origin(), error };
        let header: Header = serde_json::from_slice(bytes).map_err(json)?;
        if header.schema != u64::from(SCHEMA) {
            return Err(CalibrationError::Schema { origin: origin(), found: header.schema });
        }
        let calibration: Self = serde_json::from_slice(bytes).map_err(json)?;
        match calibration.fault() {
            Some(fault) => Err(CalibrationError::Damaged { origin: origin(), fault }),
            None => Ok(calibration),
        }
    }

    /// Writes the file under another name beside `path` and renames it: a reader sees the old file or the new one, never half of one. A link stays
    /// one, and what is there but is no file (a device, a pipe) is written to: a rename would put a file in its place.
    pub fn save(&self, path: &Path) -> Result<(), CalibrationError> {
        let failed = |error| CalibrationError::Write { path: path.to_owned(), error };
        let mut bytes = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        bytes.push(b'\n');
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_other = place.metadata().is_ok_and(|there| !there.is_file());
        let straight = || File::options().write(true).open(&place).and_then(|mut f| f.write_all(&bytes));
        let written = if is_other { straight() } else { replace(&place, &bytes) };
        written.map_err(failed)
    }

    /// What is wrong with it, if anything.
    fn fault(&self) -> Option<String> {
        let starts: Vec<usize> = self.bins.iter().map(|b| b.from_tokens).collect();
        if starts.is_empty() {
            Some("it has no length bins, expected at least 1".into())
        } else if starts[0] < SHORTEST || !starts.is_sorted_by(|a, b| a < b) {
            Some(format!("its bins start at {starts:?} tokens, expected ascending numbers from {SHORTEST} on"))
        } else if self.min_tokens < starts[0] {
            Some(format!("min_tokens is {}, expected at least {}, where the first bin starts", self.min_tokens, starts[0]))
        } else if self.kinds.len() > MOST_KINDS || !self.kinds.is_sorted_by(|a, b| a.name < b.name) {
            let names: Vec<&str> = self.kinds.iter().map(|k| k.name.as_str()).collect();
            Some(format!("its kinds are {names:?}, expected at most {MOST_KINDS} different ones by name"))
        } else if let Some(kind) = self.kinds.iter().find(|k| !k.bins.iter().map(|b| b.from_tokens).eq(starts.iter().copied())) {
            Some(format!("the bins of its kind {:?} do not start at {starts:?} tokens, where its own do", kind.name))
        } else {
            let scores = std::iter::once(&self.score).chain(self.kinds.iter().map(|k| &k.score));
            let bins = self.bins.iter().chain(self.kinds.iter().flat_map(|k| &k.bins));
            scores.filter_map(score_fault).next().or_else(|| bins.filter_map(Bin::fault).next())
        }
    }
}

/// Writes a whole file beside this one and gives it its name.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static SAVES: AtomicU64 = AtomicU64::new(0);
    let mut own = std::ffi::OsString::from(".");
    own.push(path.file_name().ok_or(io::ErrorKind::IsADirectory)?);
    own.push(format!(".{}.{}.tmp", std::process::id(), SAVES.fetch_add(1, Ordering::Relaxed)));
    let beside = path.with_file_name(own);
    let written = File::create_new(&beside).and_then(|mut f| f.write_all(bytes).and_then(|()| f.sync_all()));
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        // The first error is the one to tell; a left-over file is only untidy.
        let _ = fs::remove_file(&beside);
    })
}

/// What is wrong with a score, if anything.
fn score_fault(score: &ScoreModel) -> Option<String> {
    let ScoreModel::Fitted(score) = score else { return None };
    let names: HashSet<_> = score.terms.iter().map(|t| t.feature).collect();
    if !score.is_sound() {
        Some("a score has a number that is out of range".into())
    } else if names.len() != score.terms.len() {
        Some("a score names a feature twice".into())
    } else {
        None
    }
}
