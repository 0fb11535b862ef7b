//! The files that a run names: whether they can be read as rows, and whether an output may be written. All is told before the work.
//! Must not open an output, or read from a pipe: what is taken from one is gone.

use super::{real, refuse};
use crate::batch::{GZIP_MAGIC, ZSTD_MAGIC, same_file};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// What a packed file, or a table, begins with.
const MARKS: [(&[u8], &str); 3] = [(GZIP_MAGIC, "gzip"), (ZSTD_MAGIC, "Zstandard"), (b"PAR1", "Parquet")];

/// Bytes of all inputs; every file that cannot be read or written is told, before the work and not after it.
pub(in crate::cli) fn bytes<'a>(
    inputs: impl IntoIterator<Item = &'a PathBuf>,
    outputs: impl IntoIterator<Item = &'a PathBuf>,
) -> anyhow::Result<u64> {
    let mut taken: Vec<&Path> = inputs.into_iter().map(PathBuf::as_path).collect();
    let mut faults = Vec::new();
    let mut total = 0;
    for path in &taken {
        match path.metadata() {
            Ok(meta) if meta.is_dir() => faults.push(format!("{} is a directory; name the files in it", path.display())),
            Ok(meta) => {
                total += meta.len();
                faults.extend(not_plain(path, "plain JSONL"));
            }
            Err(error) => faults.push(format!("cannot read {}: {error}", path.display())),
        }
    }
    for path in outputs {
        faults.extend(unwritable(path, &taken));
        taken.push(path);
    }
    refuse(&faults)?;
    Ok(total)
}

/// Why an output cannot be written, or must not be: `taken` are the other files of the run.
pub(in crate::cli) fn unwritable(path: &Path, taken: &[&Path]) -> Option<String> {
    if !folder(path).is_dir() || path.is_dir() {
        return Some(format!("cannot write {}: its folder is not there, or it is a folder itself; name another file", path.display()));
    }
    // a device or a pipe takes all that is written to it
    let is_file = path.is_file() || !path.exists();
    let is_taken = is_file && taken.iter().any(|other| same_file(other, path) || place(other) == place(path));
    is_taken.then(|| format!("{} is read or written by this run already and would be lost; name another file", path.display()))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a file is or will be, whatever way its name takes there.
fn place(path: &Path) -> PathBuf {
    real(folder(path)).join(path.file_name().unwrap_or_default())
}

/// Why a file cannot be read where `read` is: it is packed, or a table. Its content goes before its name, which is all that a pipe has.
pub(in crate::cli) fn not_plain(path: &Path, read: &str) -> Option<String> {
    let kind = by_content(path).or_else(|| by_name(path))?;
    let advice = if matches!(kind, "gzip" | "Zstandard") { "unpack it first" } else { "write its rows as JSONL first" };
    Some(format!("{} is {kind}; {advice}: {read} is read here", path.display()))
}

fn by_content(path: &Path) -> Option<&'static str> {
    if !path.is_file() {
        return None;
    }
    let mut start = Vec::new();
    File::open(path).ok()?.take(4).read_to_end(&mut start).ok()?;
    MARKS.iter().find(|(mark, _)| start.starts_with(mark)).map(|(_, kind)| *kind)
}

fn by_name(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some("CSV"),
        "tsv" => Some("TSV"),
        "parquet" | "pq" => Some("Parquet"),
        _ => None,
    }
}
