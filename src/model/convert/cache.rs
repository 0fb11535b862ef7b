//! Converted files on disk: made once, whole, and looked through before they are used. Takes a directory that other processes share and
//! that may hold anything; never trusts a file for its name.

use super::{Job, LAYOUT, ModelError, Prepared, Target, WeightFile, WriteError, layout, write};
use std::{
    fs::{self, File},
    io::{BufWriter, Error, ErrorKind, Read, Result as IoResult, Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A half-written file that nobody wrote to for so long belongs to a process that is gone.
pub(super) const ABANDONED: Duration = Duration::from_secs(3600);

/// Opens the converted file, or makes it: under a name of its own, synced, then renamed, so that no half file ever has the final name.
pub(super) fn cached(job: &Job<'_>, targets: &[Target], cache: &Path) -> Result<Prepared, ModelError> {
    let path = cache.join(format!("{}-{}-v{LAYOUT}.safetensors", job.hash, job.storage.name()));
    let fault = |source| ModelError::Cache { path: path.clone(), source };
    fs::create_dir_all(cache).map_err(fault)?;
    if fs::canonicalize(cache).map_err(fault)?.to_str().is_none() {
        return Err(fault(Error::other("its path is not UTF-8, as ONNX Runtime needs it")));
    }
    if !is_whole(&path, job, targets) {
        sweep(cache, SystemTime::now());
        let (part, file) = create_part(cache, job.hash).map_err(fault)?;
        let written = write_synced(file, job, targets).and_then(|()| fs::rename(&part, &path).map_err(WriteError::Io));
        if let Err(e) = written {
            // nothing more can be done where even removing fails: the part's name is never trusted
            let _ = fs::remove_file(&part);
            return Err(match e {
                WriteError::Io(e) => fault(e),
                WriteError::Model(e) => e,
            });
        }
    }
    let real = fs::canonicalize(&path).map_err(fault)?;
    Ok(Prepared { tensors: layout(targets, job, None).0, file: WeightFile::Disk(real) })
}

/// Whether a file starts with the header that names this checkpoint, storage and layout, and holds the data that the header has the digest
/// of: a disk that lost a block, or a copy that stopped, keeps the header and would change scores without a word.
fn is_whole(path: &Path, job: &Job<'_>, targets: &[Target]) -> bool {
    let mut start = layout(targets, job, None).1;
    let mut data = blake3::Hasher::new();
    let read = File::open(path).and_then(|mut file| {
        file.read_exact(&mut start)?;
        data.update_reader(file).map(|_| ())
    });
    read.is_ok() && start == layout(targets, job, Some(&data.finalize())).1
}

/// Removes what processes that were killed left behind.
pub(super) fn sweep(cache: &Path, now: SystemTime) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| now.duration_since(t).ok());
        if age.is_some_and(|a| a > ABANDONED) && entry.path().extension().is_some_and(|e| e == "part") {
            // a file that stays is only disk space, and another process may have removed it first
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A new file beside the final one. Process ids repeat where a cache is shared by containers, so the name is looked for.
pub(super) fn create_part(cache: &Path, hash: &str) -> IoResult<(PathBuf, File)> {
    let mut tried = 0;
    loop {
        let path = cache.join(format!("{hash}.{}.{tried}.part", std::process::id()));
        match File::create_new(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && tried < 1000 => tried += 1,
            made => return Ok((path, made?)),
        }
    }
}

/// The data after a header without its digest, then the header once more, with it.
fn write_synced(file: File, job: &Job<'_>, targets: &[Target]) -> Result<(), WriteError> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&layout(targets, job, None).1).map_err(WriteError::Io)?;
    let mut hashed = Hashed { out, data: blake3::Hasher::new() };
    write(&mut hashed, job, targets)?;
    let header = layout(targets, job, Some(&hashed.data.finalize())).1;
    let mut file = hashed.out.into_inner().map_err(|e| WriteError::Io(e.into_error()))?;
    file.rewind().map_err(WriteError::Io)?;
    file.write_all(&header).map_err(WriteError::Io)?;
    file.sync_all().map_err(WriteError::Io)
}

/// What is written, and its hash.
struct Hashed<W> {
    out: W,
    data: blake3::Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let written = self.out.write(bytes)?;
        self.data.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.out.flush()
    }
}
