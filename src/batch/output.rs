//! Where answers go. A path is written as `PATH.part` and renamed when complete; what lies there at any time ends with a whole row.
//! Must not overwrite anything that the job does not allow.

use super::{
    BatchError, Companion, Input, Job, Output, OutputFormat,
    compression::{Compression, Compressor, extension},
    input::Plan,
    parquet_output::ParquetWriter,
    resume,
    table::{Answer, COLUMNS, cell, flatten},
};
use crate::detector::Detector;
use std::{
    fs::{File, TryLockError},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

type Raw = Box<dyn Write + Send>;

/// Writes answers in one format.
enum Encoder {
    Jsonl(Compressor<Raw>),
    Csv(Box<csv::Writer<Compressor<Raw>>>),
    Parquet(Box<ParquetWriter<Raw>>),
}

/// An open output.
pub(super) struct Out {
    name: String,
    encoder: Option<Encoder>,
    /// Where the output is a regular file.
    part: Option<Part>,
    /// What an earlier run had written.
    pub resumed: resume::Written,
}

/// The part file of an output.
struct Part {
    file: File,
    target: PathBuf,
    /// Bytes up to the end of the last whole row; `None` where rows have no bytes of their own (compressed, Parquet).
    whole: Option<u64>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Every row is answered.
    Complete,
    /// More could follow.
    Stopped,
}

impl Encoder {
    fn new(raw: Raw, format: OutputFormat, compression: Compression, fresh: bool) -> io::Result<Self> {
        Ok(match format {
            OutputFormat::Jsonl => Self::Jsonl(Compressor::new(raw, compression)?),
            OutputFormat::Csv => {
                let mut writer = csv::Writer::from_writer(Compressor::new(raw, compression)?);
                if fresh {
                    writer.write_record(COLUMNS.iter().map(|(name, _)| name)).map_err(plain)?;
                }
                Self::Csv(Box::new(writer))
            }
            OutputFormat::Parquet => Self::Parquet(Box::new(ParquetWriter::new(raw)?)),
        })
    }

    fn write(&mut self, answer: &Answer<'_>) -> io::Result<()> {
        match self {
            Self::Jsonl(out) => {
                serde_json::to_writer(&mut *out, answer)?;
                out.write_all(b"\n")
            }
            Self::Csv(out) => {
                let values = flatten(answer)?;
                out.write_record(COLUMNS.iter().zip(values).map(|(&(_, kind), value)| cell(kind, value))).map_err(plain)
            }
            Self::Parquet(out) => out.write(answer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Jsonl(out) => out.flush(),
            Self::Csv(out) => out.flush(),
            Self::Parquet(_) => Ok(()),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Jsonl(out) => out.finish(),
            Self::Csv(out) => out.into_inner().map_err(|e| io::Error::new(e.error().kind(), e.error().to_string()))?.finish(),
            Self::Parquet(out) => out.finish(),
        }
    }
}

fn plain(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(e) => e,
        other => io::Error::other(format!("{other:?}")),
    }
}

impl Out {
    /// Adds one answer.
    pub(super) fn write(&mut self, answer: &Answer<'_>) -> Result<(), BatchError> {
        self.attempt(|encoder| encoder.write(answer))
    }

    /// Hands everything so far to the system.
    pub(super) fn flush(&mut self) -> Result<(), BatchError> {
        self.attempt(Encoder::flush)?;
        if let Some(part) = &mut self.part
            && let Some(whole) = &mut part.whole
        {
            *whole = part.file.stream_position().map_err(|e| BatchError::write(&self.name, e))?;
        }
        Ok(())
    }

    /// Has everything so far on the disk, where the run can go on.
    pub(super) fn sync(&mut self) -> Result<(), BatchError> {
        let Some(Part { file, whole: Some(_), .. }) = &self.part else { return Ok(()) };
        file.sync_data().map_err(|e| BatchError::write(&self.name, e))
    }

    fn attempt(&mut self, act: impl FnOnce(&mut Encoder) -> io::Result<()>) -> Result<(), BatchError> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        act(encoder).map_err(|e| self.failed(e))
    }

    /// Cuts the part file back to whole rows.
    fn failed(&mut self, error: io::Error) -> BatchError {
        // Dropping it first: its buffer is written once more on the way.
        self.encoder = None;
        if let Some(Part { file, whole: Some(whole), .. }) = &self.part
            && let Err(e) = file.set_len(*whole)
        {
            tracing::error!(path = self.name, error = %e, "could not cut the part file back to whole rows");
        }
        BatchError::write(&self.name, error)
    }

    /// Ends the output: a complete one gets its name, a stopped one stays a part file.
    pub(super) fn end(&mut self, how: End) -> Result<(), BatchError> {
        if self.encoder.is_some() {
            self.flush()?;
        }
        // Closing the compressor makes the rows so far readable, also where the run cannot be continued.
        if let Some(encoder) = self.encoder.take() {
            encoder.finish().map_err(|e| self.failed(e))?;
        }
        let Some(part) = self.part.as_ref().filter(|_| how == End::Complete) else { return Ok(()) };
        let done = part.file.sync_all().and_then(|()| std::fs::rename(part_of(&part.target), &part.target));
        done.map_err(|e| BatchError::write(&self.name, e))?;
        resume::forget(&part.target);
        Ok(())
    }
}

/// `PATH.part`.
pub(crate) fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// The format and compression of a job's output.
pub(super) fn format_of(job: &Job) -> Result<(OutputFormat, Compression), BatchError> {
    let (compression, plain) = match &job.output {
        Output::Stdout => (Compression::None, Path::new("")),
        Output::Path(path) => Compression::by_name(path),
    };
    let format = job.output_format.unwrap_or_else(|| match extension(plain).as_deref() {
        Some("csv") => OutputFormat::Csv,
        Some("parquet" | "pq") => OutputFormat::Parquet,
        _ => OutputFormat::Jsonl,
    });
    let refuse = |what: &str| Err(BatchError::Unsupported(what.to_owned()));
    if job.with_tokens && format != OutputFormat::Jsonl {
        return refuse("per-token scores do not fit in a flat row; use --tokens with --output-format jsonl");
    }
    if format == OutputFormat::Parquet && compression != Compression::None {
        return refuse("Parquet compresses itself; leave .gz or .zst off the output's name");
    }
    if job.resume && (format == OutputFormat::Parquet || compression != Compression::None) {
        return refuse("--resume needs an uncompressed JSONL or CSV output: a stopped Parquet or compressed file cannot be continued");
    }
    Ok((format, compression))
}

/// Opens the output of a job.
pub(super) fn open(job: &Job, plan: &Plan, detector: &Detector, companion: &mut dyn Companion) -> Result<Out, BatchError> {
    let (format, compression) = format_of(job)?;
    let Output::Path(target) = &job.output else {
        if job.resume {
            return Err(BatchError::Unsupported("--resume needs an output file; name one with -o".to_owned()));
        }
        companion.begin(None)?;
        return into_sink(job, Box::new(io::stdout()));
    };
    let name = target.display().to_string();
    let failed = |e| BatchError::write(&name, e);
    match std::fs::metadata(target) {
        Ok(data) if data.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(_) if is_input(target, plan) => {
            return Err(BatchError::Unsupported(format!("{name} is also an input, which would be lost; name another output")));
        }
        Ok(data) if data.is_file() && !job.force => return Err(not_overwritten(job, target)),
        // A device or a pipe: there is nothing to overwrite and nothing to rename.
        Ok(data) if !data.is_file() => {
            if job.resume {
                return Err(BatchError::Unsupported(format!("--resume needs a regular file, {name} is none")));
            }
            let file = File::options().write(true).open(target).map_err(failed)?;
            companion.begin(None)?;
            return into_sink(job, Box::new(file)).map(|out| Out { name: name.clone(), ..out });
        }
        _ => {}
    }
    let first = part_of(target);
    if is_input(&first, plan) {
        return Err(BatchError::Unsupported(format!(
            "{} is also an input, which would be lost: answers are written there first; move it to another name, or name another output",
            first.display()
        )));
    }
    let resumable = format != OutputFormat::Parquet && compression == Compression::None;
    let (file, resumed) = open_part(job, target, |part| {
        let sheet = resume::Sheet::of(job, plan, detector, companion.description())?;
        resume::prepare(part, target, (&sheet, format), companion)
    })?;
    let raw = file.try_clone().map_err(failed)?;
    let encoder = Encoder::new(Box::new(raw), format, compression, resumed.bytes == 0).map_err(failed)?;
    let part = Part { file, target: target.clone(), whole: resumable.then_some(resumed.bytes) };
    Ok(Out { name, encoder: Some(encoder), part: Some(part), resumed })
}

/// Why a file that is there is left as it is.
fn not_overwritten(job: &Job, target: &Path) -> BatchError {
    let path = target.to_owned();
    if job.resume && !part_of(target).exists() { BatchError::NothingToResume { path } } else { BatchError::OutputExists { path } }
}

/// Whether a file that would be written is one of the inputs.
fn is_input(written: &Path, plan: &Plan) -> bool {
    plan.sources.iter().any(|s| matches!(&s.input, Input::Path(path) if same_file(path, written)))
}

/// Whether both are one file that is there, under whatever names.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    real(one).is_some_and(|one| real(other) == Some(one))
}

/// Opens and locks the part file, at the place where writing goes on.
fn open_part(
    job: &Job,
    target: &Path,
    prepare: impl FnOnce(&mut File) -> Result<resume::Written, BatchError>,
) -> Result<(File, resume::Written), BatchError> {
    let path = part_of(target);
    let failed = |e| BatchError::write(&path.display().to_string(), e);
    let exists = path.try_exists().map_err(failed)?;
    if exists && !job.resume && !job.force {
        return Err(BatchError::PartExists { path });
    }
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Err(BatchError::Unsupported(format!("another run is writing {}; wait for it or name another output", path.display())));
    }
    if !(exists && job.resume) {
        file.set_len(0).map_err(failed)?;
    }
    let resumed = prepare(&mut file)?;
    file.set_len(resumed.bytes).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(failed)?;
    Ok((file, resumed))
}

/// An output that is not a file of ours.
pub(super) fn into_sink(job: &Job, sink: Raw) -> Result<Out, BatchError> {
    let (format, compression) = format_of(job)?;
    let name = "standard output".to_owned();
    let encoder = Encoder::new(sink, format, compression, true).map_err(|e| BatchError::write(&name, e))?;
    Ok(Out { name, encoder: Some(encoder), part: None, resumed: resume::Written::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::{InputFormat, RowError, run, table::BadAnswer},
        calibration::Calibration,
        detector::Options,
        model::Fake,
    };

    /// Told to use --force, people would throw away what is finished.
    #[test]
    fn a_run_that_has_ended_leaves_nothing_to_resume() {
        let dir = tempfile::tempdir().unwrap();
        let (input, target) = (dir.path().join("in.jsonl"), dir.path().join("out.jsonl"));
        std::fs::write(&input, "{\"text\":\"a post\"}\n").unwrap();
        let job = Job { inputs: vec![Input::Path(input)], output: Output::Path(target.clone()), resume: true, ..Job::default() };
        let mut detector = Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), Options::default()).unwrap();
        let mut told = |resume: bool| {
            let ended = run(&Job { resume, ..job.clone() }, &mut detector, &());
            ended.map(|summary| summary.progress.documents).map_err(|error| (error.code(), error.refused(), error.to_string()))
        };
        assert_eq!(told(true), Ok(1), "without a part file it starts anew");
        let (code, refused, message) = told(true).unwrap_err();
        assert!(code == "output_exists" && refused && message.contains("out.jsonl is there, and no run was stopped"), "{code} {message}");
        assert!(told(false).unwrap_err().2.contains("exists already; name another output"));
        std::fs::write(part_of(&target), "").unwrap();
        assert!(told(true).unwrap_err().2.contains("exists already; name another output"));
    }

    #[test]
    fn an_input_is_never_the_part_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.jsonl");
        let (input, posts) = (part_of(&target), "{\"text\":\"a post\"}\n");
        std::fs::write(&input, posts).unwrap();
        let inputs = vec![Input::Path(input.clone())];
        let job = Job { inputs, input_format: Some(InputFormat::Jsonl), output: Output::Path(target.clone()), ..Job::default() };
        let mut detector = Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), Options::default()).unwrap();
        for (force, resume) in [(false, false), (true, false), (false, true)] {
            let error = run(&Job { force, resume, ..job.clone() }, &mut detector, &()).unwrap_err();
            let told = error.to_string();
            assert!(error.refused() && told.contains("out.jsonl.part is also an input") && told.contains("move it"), "{told}");
            assert_eq!(std::fs::read_to_string(&input).unwrap(), posts);
        }
        let elsewhere = dir.path().join("posts.jsonl");
        std::fs::rename(&input, &elsewhere).unwrap();
        let moved = Job { inputs: vec![Input::Path(elsewhere)], ..job };
        assert_eq!(run(&moved, &mut detector, &()).unwrap().progress.documents, 1);
    }

    /// A disk with this much room.
    struct Disk(File, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.1);
            self.1 -= n;
            if n == 0 { Err(io::ErrorKind::StorageFull.into()) } else { self.0.write(&bytes[..n]) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_whole_rows() {
        let dir = tempfile::tempdir().unwrap();
        for (format, room) in [(OutputFormat::Jsonl, 1000), (OutputFormat::Csv, 1500), (OutputFormat::Jsonl, 999)] {
            let target = dir.path().join("out");
            let file = File::create(part_of(&target)).unwrap();
            let disk = Box::new(Disk(file.try_clone().unwrap(), room));
            let encoder = Some(Encoder::new(disk, format, Compression::None, true).unwrap());
            let part = Some(Part { file, target: target.clone(), whole: Some(0) });
            let mut out = Out { name: "out".into(), encoder, part, resumed: resume::Written::default() };
            let error = RowError::new("bad_json", "some message");
            let answer = || Answer { file: None, line: 7, streams: None, content: Err(BadAnswer { id: Some("id"), error: &error }) };
            let failed = (0..1000).find_map(|_| out.write(&answer()).and_then(|()| out.flush()).err()).unwrap();
            assert_eq!(failed.code(), "output_failed");
            assert!(out.end(End::Stopped).is_ok());
            let left = std::fs::read_to_string(part_of(&target)).unwrap();
            assert!(left.ends_with('\n') && left.len() < room && left.lines().count() > 3, "{left}");
            let rows = if format == OutputFormat::Csv { &left[left.find('\n').unwrap() + 1..] } else { &left[..] };
            assert!(rows.lines().all(|row| row == rows.lines().next().unwrap()), "{left}");
        }
    }
}
