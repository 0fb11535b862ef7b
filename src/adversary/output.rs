//! Where a corpus goes: rows in a file, texts in a file with something between them, or a folder with a file for each.
//!
//! A file is written as `PATH.part` and renamed when it is complete; what lies there at any time ends with a whole text. Beside it lies
//! `PATH.part.json`, which says what the run was, so that only the same run goes on with it. Must not overwrite what it was not told to.

use super::AdversaryError;
use serde_json::{Map, Value};
use std::{
    fs::{self, File, TryLockError},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// How texts are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line, with all that is known of the text.
    Jsonl,
    /// The texts alone, each followed by this on a line of its own.
    Text {
        /// What stands after each text.
        delimiter: String,
    },
    /// The texts alone, each in a file of a folder: `00000.txt`, `00001.txt`, …
    Files,
}

/// Where texts go, and what may be there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The file or folder; standard output where there is none.
    pub path: Option<PathBuf>,
    /// How texts are written.
    pub format: Format,
    /// Overwrite what is there.
    pub force: bool,
    /// Go on with what a stopped run left.
    pub resume: bool,
}

/// An open output.
pub(super) struct Sink {
    name: String,
    format: Format,
    to: To,
    /// Texts that are there already, error rows with them.
    pub(super) done: u64,
    /// Error rows that are there already.
    pub(super) refused: u64,
}

enum To {
    Stream(Box<dyn Write>),
    /// A part file, and its length up to its last whole text.
    Part {
        file: File,
        whole: u64,
        target: PathBuf,
    },
    Folder(PathBuf),
}

impl Sink {
    /// Opens an output for the run that `sheet` describes, of `total` texts.
    pub(super) fn open(output: &Output, sheet: &Map<String, Value>, total: u64) -> Result<Self, AdversaryError> {
        let sink = |name: String, to, done| Self { name, format: output.format.clone(), to, done, refused: 0 };
        let Some(path) = &output.path else {
            return Ok(sink("standard output".to_owned(), To::Stream(Box::new(io::stdout())), 0));
        };
        let name = path.display().to_string();
        let failed = |source| AdversaryError::Write { place: name.clone(), source };
        if output.format == Format::Files {
            let done = open_folder(path, output, sheet, total)?;
            return Ok(sink(name, To::Folder(path.clone()), done));
        }
        match fs::metadata(path) {
            Ok(data) if data.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(data) if data.is_file() && !output.force => return Err(exists(path, EXISTS)),
            // a device or a pipe: there is nothing to overwrite and nothing to rename
            Ok(data) if !data.is_file() => {
                let file = File::options().write(true).open(path).map_err(failed)?;
                return Ok(sink(name, To::Stream(Box::new(file)), 0));
            }
            _ => {}
        }
        let (file, left) = open_part(path, output, sheet)?;
        let to = To::Part { file, whole: left.bytes, target: path.clone() };
        Ok(Self { refused: left.errors, ..sink(name, to, left.rows) })
    }

    /// Whether text number `number` is there already.
    pub(super) fn has(&self, number: u64) -> bool {
        match &self.to {
            To::Folder(folder) => file_of(folder, number).is_file(),
            _ => number < self.done,
        }
    }

    /// Writes a whole text: its row, or the text itself.
    pub(super) fn put(&mut self, number: u64, row: &impl serde::Serialize, text: &str) -> Result<(), AdversaryError> {
        let mut bytes = Vec::with_capacity(text.len() + 512);
        let encoded = match &self.format {
            Format::Jsonl => serde_json::to_writer(&mut bytes, row).map(|()| bytes.push(b'\n')).map_err(io::Error::from),
            Format::Text { delimiter } => writeln!(bytes, "{text}\n{delimiter}"),
            Format::Files => bytes.write_all(text.as_bytes()),
        };
        let written = encoded.and_then(|()| match &mut self.to {
            To::Stream(stream) => stream.write_all(&bytes).and_then(|()| stream.flush()),
            To::Part { file, whole, .. } => file.write_all(&bytes).map(|()| *whole += bytes.len() as u64),
            To::Folder(folder) => write_whole(&file_of(folder, number), &bytes),
        });
        written.map_err(|source| {
            if let To::Part { file, whole, .. } = &self.to
                && let Err(error) = file.set_len(*whole)
            {
                tracing::error!(path = self.name, %error, "could not cut the part file back to whole texts");
            }
            AdversaryError::Write { place: self.name.clone(), source }
        })
    }

    /// Writes a row that says why there is no text, where rows are written.
    pub(super) fn put_error(&mut self, row: &Value) -> Result<(), AdversaryError> {
        if self.format == Format::Jsonl { self.put(0, row, "") } else { Ok(()) }
    }

    /// Gives a complete output its name.
    pub(super) fn complete(self) -> Result<(), AdversaryError> {
        let sheet = match &self.to {
            To::Stream(_) => return Ok(()),
            To::Part { file, target, .. } => {
                let renamed = file.sync_all().and_then(|()| fs::rename(part_of(target), target));
                renamed.map_err(|source| AdversaryError::Write { place: self.name.clone(), source })?;
                sheet_of(target)
            }
            To::Folder(folder) => folder_sheet(folder),
        };
        if let Err(error) = fs::remove_file(&sheet)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %sheet.display(), %error, "could not remove the description of the finished run");
        }
        Ok(())
    }
}

const EXISTS: &str = "exists and would be overwritten; name another output, or add --force";
const STOPPED: &str = "is what a stopped run left; go on with it by --resume, or start anew with --force";

fn exists(path: &Path, what: &'static str) -> AdversaryError {
    AdversaryError::Exists { path: path.to_owned(), what }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn part_of(target: &Path) -> PathBuf {
    with_ending(target, ".part")
}

fn sheet_of(target: &Path) -> PathBuf {
    with_ending(target, ".part.json")
}

fn folder_sheet(folder: &Path) -> PathBuf {
    folder.join("unfinished.json")
}

fn file_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:05}.txt"))
}

/// Writes a file that is whole whenever it is there under its name.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let scratch = with_ending(path, ".part");
    fs::write(&scratch, bytes)?;
    fs::rename(&scratch, path)
}

/// The whole rows of a part file.
#[derive(Default)]
struct Left {
    bytes: u64,
    rows: u64,
    errors: u64,
}

/// A quote inside a JSON string is escaped, so this stands only where the row itself has an error.
const ERROR_KEY: &[u8] = br#","error":{"code":""#;

/// Opens and locks the part file, at the place where writing goes on.
fn open_part(target: &Path, output: &Output, sheet: &Map<String, Value>) -> Result<(File, Left), AdversaryError> {
    let path = part_of(target);
    let failed = |source| AdversaryError::Write { place: path.display().to_string(), source };
    let there = path.try_exists().map_err(failed)?;
    if there && !output.resume && !output.force {
        return Err(exists(&path, STOPPED));
    }
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(exists(&path, "is being written by another run; wait for it, or name another output"));
    }
    let mut left = Left::default();
    if there && output.resume {
        check_sheet(&sheet_of(target), &path, sheet)?;
        let mut input = BufReader::new(&file);
        let mut line = Vec::new();
        while input.read_until(b'\n', &mut line).map_err(failed)? > 0 && line.last() == Some(&b'\n') {
            left.bytes += line.len() as u64;
            left.rows += 1;
            left.errors += u64::from(line.windows(ERROR_KEY.len()).any(|bytes| bytes == ERROR_KEY));
            line.clear();
        }
    } else {
        write_sheet(&sheet_of(target), sheet)?;
    }
    file.set_len(left.bytes).and_then(|()| file.seek(SeekFrom::Start(left.bytes))).map_err(failed)?;
    Ok((file, left))
}

/// Makes the folder; gives how many of the texts are there already.
fn open_folder(folder: &Path, output: &Output, sheet: &Map<String, Value>, total: u64) -> Result<u64, AdversaryError> {
    let failed = |source| AdversaryError::Write { place: folder.display().to_string(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let there = numbers_in(folder).map_err(failed)?;
    let own = folder_sheet(folder);
    if output.resume && own.is_file() {
        check_sheet(&own, folder, sheet)?;
        return Ok(there.iter().filter(|&&number| number < total).count() as u64);
    }
    if !output.force {
        if own.is_file() {
            return Err(exists(folder, STOPPED));
        }
        if let Some(&first) = there.first() {
            return Err(exists(&file_of(folder, first), EXISTS));
        }
    } else {
        // beyond the total too: what a longer run left would pass for this one's
        for path in there.iter().map(|&number| file_of(folder, number)) {
            fs::remove_file(&path).map_err(|source| AdversaryError::Write { place: path.display().to_string(), source })?;
        }
    }
    write_sheet(&own, sheet)?;
    Ok(0)
}

/// The numbers of the texts in a folder, in order. Files of other names are somebody else's.
fn numbers_in(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".txt")?.parse::<u64>().ok());
        numbers.extend(number.filter(|&number| file_of(folder, number).file_name() == Some(name.as_os_str())));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn write_sheet(path: &Path, sheet: &Map<String, Value>) -> Result<(), AdversaryError> {
    let write = || write_whole(path, &serde_json::to_vec_pretty(sheet)?);
    write().map_err(|source| AdversaryError::Write { place: path.display().to_string(), source })
}

/// Refuses to go on with another run's work.
fn check_sheet(path: &Path, left: &Path, sheet: &Map<String, Value>) -> Result<(), AdversaryError> {
    let other = |difference| AdversaryError::OtherRun { path: left.to_owned(), difference };
    let text = fs::read(path).map_err(|e| other(format!("{} cannot be read ({e})", path.display())))?;
    let before: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|e| other(format!("{} is no description of a run ({e})", path.display())))?;
    let differing = before.keys().chain(sheet.keys()).find(|name| before.get(*name) != sheet.get(*name));
    let told = |sheet: &Map<String, Value>, name: &str| sheet.get(name).map_or_else(|| "absent".to_owned(), Value::to_string);
    match differing {
        Some(name) => Err(other(format!("`{name}` was {} and is now {}", told(&before, name), told(sheet, name)))),
        None => Ok(()),
    }
}
