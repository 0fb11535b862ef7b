//! Continuing a stopped run: what it was (`PATH.part.json`), and how many whole rows it wrote.
//! Must refuse another job: rows of two models or of two inputs in one file would look like one answer.

use super::{
    BatchError, Companion, Compression, Input, Job, OutputFormat,
    csv_input::{Mark, Scanner},
    input::Plan,
    output::{format_of, part_of},
    table::COLUMNS,
};
use crate::{
    detector::{Detector, Options},
    verdict::Policy,
};
use serde_json::{Map, Value, json};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What an earlier run had written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Whole rows, error rows with them.
    pub rows: u64,
    /// Error rows.
    pub errors: u64,
    /// Bytes up to the end of the last whole row.
    pub bytes: u64,
}

/// Everything that the answers of a job depend on.
#[derive(Debug, PartialEq)]
pub(super) struct Sheet(Map<String, Value>);

/// Bytes of each end of an input that a sheet looks at.
const SAMPLE: u64 = 1 << 16;

impl Sheet {
    /// `along` describes what goes along with the run.
    pub(super) fn of(job: &Job, plan: &Plan, detector: &Detector, along: Option<String>) -> Result<Self, BatchError> {
        let (format, _) = format_of(job)?;
        let mut sheet = Map::new();
        let mut set = |name: &str, value: Value| sheet.insert(name.to_owned(), value);
        set("streams", json!(along));
        set("program", json!(env!("CARGO_PKG_VERSION")));
        set("inputs", plan.sources.iter().map(|s| s.recipe.name.as_str()).collect());
        for source in &plan.sources {
            let Some(bytes) = source.bytes else {
                if job.resume {
                    let name = &source.recipe.name;
                    return Err(BatchError::Unsupported(format!("--resume needs files as input; {name} can be read only once")));
                }
                continue;
            };
            set(&format!("input {}", source.recipe.name), json!({"bytes": bytes, "check": checksum(&source.input, bytes)?}));
        }
        set("input format", json!(job.input_format.map(|f| format!("{f:?}"))));
        let fields = &job.fields;
        set("fields", json!([fields.text, fields.id, fields.stream, fields.time]));
        set("longest document", json!(job.limits.document_bytes));
        set("output format", json!(format!("{format:?}")));
        set("tokens", json!(job.with_tokens));
        let model = detector.model();
        set("model", json!(format!("{} {}", model.name, model.hash)));
        set("device", json!(format!("{} {}", model.device, model.precision)));
        // Made again it has the same name, and other p-values.
        let calibration = detector.calibration();
        set("calibration", json!(format!("{} of {}", calibration.name, calibration.created)));
        let Options { policy: Policy { fpr, miss_rate }, normalize } = detector.options();
        set("fpr", json!(fpr));
        set("miss rate", json!(miss_rate));
        set("normalize", json!(normalize));
        Ok(Self(sheet))
    }

    /// The first thing that differs, in words.
    fn difference(&self, before: &Self) -> Option<String> {
        let names = before.0.keys().chain(self.0.keys());
        let get = |sheet: &Self, name: &str| sheet.0.get(name).map_or_else(|| "absent".to_owned(), Value::to_string);
        let mut differing = names.filter(|name| self.0.get(*name) != before.0.get(*name));
        differing.next().map(|name| format!("`{name}` was {} and is now {}", get(before, name), get(self, name)))
    }
}

/// CRC-32 over both ends of a file: enough to notice another file of the same size.
fn checksum(input: &Input, bytes: u64) -> Result<u32, BatchError> {
    let Input::Path(path) = input else { return Ok(0) };
    let read = || -> io::Result<u32> {
        let mut file = File::open(path)?;
        let mut crc = flate2::Crc::new();
        let mut sample = Vec::new();
        (&file).take(SAMPLE).read_to_end(&mut sample)?;
        crc.update(&sample);
        sample.clear();
        file.seek(SeekFrom::Start(bytes.saturating_sub(SAMPLE)))?;
        file.take(SAMPLE).read_to_end(&mut sample)?;
        crc.update(&sample);
        Ok(crc.sum())
    };
    read().map_err(|source| BatchError::Unreadable { path: path.display().to_string(), source })
}

fn sheet_of(target: &Path) -> PathBuf {
    let mut name = part_of(target).into_os_string();
    name.push(".json");
    name.into()
}

/// Where a companion may keep what it knows.
pub(super) fn beside(target: &Path) -> PathBuf {
    let mut name = part_of(target).into_os_string();
    name.push(".flood");
    name.into()
}

/// Checks the sheet of a run that is to be continued, or writes the sheet of a new one. An empty part file is a new run.
pub(super) fn prepare(
    part: &mut File,
    target: &Path,
    (sheet, format): (&Sheet, OutputFormat),
    companion: &mut dyn Companion,
) -> Result<Written, BatchError> {
    let path = sheet_of(target);
    let failed = |e| BatchError::write(&path.display().to_string(), e);
    if part.metadata().map_err(failed)?.len() == 0 {
        let scratch = path.with_extension("json.new");
        let text = serde_json::to_string_pretty(&sheet.0).map_err(|e| failed(e.into()))?;
        let write = || -> io::Result<()> {
            let mut file = File::create(&scratch)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&scratch, &path)
        };
        write().map_err(failed)?;
        let resumable = format != OutputFormat::Parquet && Compression::by_name(target).0 == Compression::None;
        companion.begin(resumable.then(|| beside(target)).as_deref())?;
        return Ok(Written::default());
    }
    let other = |difference| BatchError::OtherJob { path: part_of(target), difference };
    let text = std::fs::read(&path).map_err(|e| other(format!("the description of that run, {}, cannot be read ({e})", path.display())))?;
    let before = serde_json::from_slice(&text).map_err(|e| other(format!("{} is no description of a run ({e})", path.display())))?;
    if let Some(difference) = sheet.difference(&Sheet(before)) {
        return Err(other(difference));
    }
    let most = companion.resume(&beside(target))?;
    let count = if format == OutputFormat::Csv { count_csv } else { count_jsonl };
    let written = count(part, most).map_err(|e| BatchError::write(&part_of(target).display().to_string(), e))?;
    match written.rows < most && most != u64::MAX {
        true => Err(other(format!("{most} rows are known of and only {} are there", written.rows))),
        false => Ok(written),
    }
}

/// Removes the sheet of a complete run.
pub(super) fn forget(target: &Path) {
    let path = sheet_of(target);
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove the description of the finished run");
    }
}

/// A quote inside a JSON string is escaped, so this stands only where the row itself has an error.
const ERROR_KEY: &[u8] = br#","error":{"code":""#;

/// The whole rows, at most this many.
fn count_jsonl(part: &mut File, most: u64) -> io::Result<Written> {
    let mut written = Written::default();
    let mut input = BufReader::new(rewound(part)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = input.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') || written.rows == most {
            return Ok(written);
        }
        written.rows += 1;
        written.bytes += n as u64;
        written.errors += u64::from(line.windows(ERROR_KEY.len()).any(|w| w == ERROR_KEY));
    }
}

/// The whole records, at most this many besides the header.
fn count_csv(part: &mut File, most: u64) -> io::Result<Written> {
    let mut written = Written::default();
    let mut scanner = Scanner::default();
    let (mut at, mut records) = (0, 0);
    for byte in BufReader::new(rewound(part)?).bytes() {
        at += 1;
        if scanner.step(byte?) == Mark::EndOfRecord {
            if records > most {
                break;
            }
            records += 1;
            written.bytes = at;
        }
    }
    let code = COLUMNS.iter().position(|(name, _)| *name == "error.code").unwrap_or(0);
    let mut records = csv::Reader::from_reader(rewound(part)?.take(written.bytes));
    let mut record = csv::ByteRecord::new();
    while records.read_byte_record(&mut record)? {
        written.rows += 1;
        written.errors += u64::from(record.get(code).is_some_and(|c| !c.is_empty()));
    }
    Ok(written)
}

fn rewound(mut part: &File) -> io::Result<&File> {
    part.rewind()?;
    Ok(part)
}
