//! `highwater calibrate`: labelled texts to a calibration of the loaded model.
//!
//! Reads JSONL rows, scores their texts, and hands the statistics to the fit. A file that is not wholly understood is refused:
//! a calibration from half of the data would look like one from all of it.

use super::{
    Outcome, Refused,
    args::{Calibrate, Common},
    chatty, join,
    progress::Bar,
    settings::{Setup, layers},
};
use crate::{
    batch::{Progress, Watch},
    calibration::{Calibration, FitOptions, FitReport, Quality, Sample},
    detector::Detector,
    text::{Document, unsupported_language},
};
use clap::ArgMatches;
use serde::Deserialize;
use std::{
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
};

/// Texts that are scored together.
const CHUNK: usize = 256;
/// The longest line that is read, bytes.
const LONGEST: u64 = 64 << 20;
/// Bad rows that are named before the rest is only counted.
const NAMED: usize = 10;

pub(super) fn run(args: &Calibrate, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let setup = Setup::take(&mut merge);
    merge.finish()?;
    let mut reading = Reading::new(join::uncalibrated(&setup)?, Bar::start(chatty())?, files(args)?);
    for path in &args.human {
        reading.file(path, false)?;
    }
    for path in &args.machine {
        reading.file(path, true)?;
    }
    reading.bar.end();
    if reading.bar.cancelled() {
        return Ok(Outcome::Stopped);
    }
    let Reading { samples, faults, skipped, detector, .. } = reading;
    refuse(&faults)?;
    if chatty() && skipped > 0 {
        writeln!(io::stderr(), "{skipped} texts were left out: empty, or in a language that the model does not know")?;
    }
    let name = args.profile.clone().or_else(|| Some(args.output.file_stem()?.to_string_lossy().into_owned())).unwrap_or_default();
    let model = detector.model();
    let options =
        FitOptions { normalize: setup.detector.normalize, ..FitOptions::new(name, &model.name, &model.hash, jiff::Timestamp::now()) };
    let (calibration, report) = Calibration::fit(&samples, &options).map_err(|e| Refused(e.to_string()))?;
    calibration.save(&args.output)?;
    write!(io::stdout(), "{}", table(&calibration, &report))?;
    Ok(Outcome::Done)
}

/// What the calibration is worth, for people.
fn table(calibration: &Calibration, report: &FitReport) -> String {
    let share = |v: Option<f64>| v.map_or_else(|| "    -".to_owned(), |v| format!("{v:5.3}"));
    let row = |name: &str, q: &Quality| {
        let (auroc, one, five) = (share(q.auroc), share(q.tpr_at_fpr_01), share(q.tpr_at_fpr_05));
        format!("{name:<32} {:>6} {:>7}  {auroc}   {one}   {five}", q.human, q.machine)
    };
    let mut out = vec![
        format!("{}: verdicts from {} tokens on; {} texts under 8 tokens left out", calibration.name, calibration.min_tokens(), report.too_short),
        String::new(),
        "                                  human machine  AUROC TPR@1% TPR@5%".to_owned(),
        row("all, cross-fitted", &report.overall),
    ];
    out.extend(report.bins.iter().map(|b| row(&format!("  from {} tokens", b.from_tokens), &b.quality)));
    out.push(String::new());
    out.push("each data set left out of the fit; last: its texts with p <= 0.01, human and machine".to_owned());
    for f in &report.families_left_out {
        out.push(format!("{}   {}   {}", row(&f.family, &f.quality), share(f.human_flagged_01), share(f.machine_flagged_01)));
    }
    out.join("\n") + "\n"
}

/// Bytes of all files; every one that cannot be read is told.
fn files(args: &Calibrate) -> anyhow::Result<u64> {
    let mut faults = Vec::new();
    let mut total = 0;
    for path in args.human.iter().chain(&args.machine) {
        match path.metadata() {
            Ok(meta) if meta.is_dir() => faults.push(format!("{} is a directory; name the files in it", path.display())),
            Ok(meta) => total += meta.len(),
            Err(error) => faults.push(format!("cannot read {}: {error}", path.display())),
        }
    }
    refuse(&faults)?;
    Ok(total)
}

fn refuse(faults: &[String]) -> Result<(), Refused> {
    let more = faults.len().saturating_sub(NAMED);
    match faults {
        [] => Ok(()),
        [one] => Err(Refused(one.clone())),
        _ if more == 0 => Err(Refused(format!("{} faults:\n  {}", faults.len(), faults.join("\n  ")))),
        _ => Err(Refused(format!("{} faults:\n  {}\n  and {more} more", faults.len(), faults[..NAMED].join("\n  ")))),
    }
}

/// Rows of one label on their way to samples.
struct Reading {
    detector: Detector,
    bar: Bar,
    progress: Progress,
    samples: Vec<Sample>,
    faults: Vec<String>,
    skipped: usize,
}

impl Reading {
    fn new(detector: Detector, bar: Bar, total: u64) -> Self {
        let progress = Progress { total_bytes: Some(total), ..Progress::default() };
        Self { detector, bar, progress, samples: Vec::new(), faults: Vec::new(), skipped: 0 }
    }

    fn file(&mut self, path: &Path, machine: bool) -> anyhow::Result<()> {
        let unreadable = |error: io::Error| Refused(format!("cannot read {}: {error}", path.display()));
        let family = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut texts = Vec::with_capacity(CHUNK);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 || self.bar.cancelled() {
                break;
            }
            self.progress.bytes_read += read as u64;
            match row(&line, machine) {
                Ok(Some(row)) => texts.push(row),
                Ok(None) => {}
                Err(fault) => self.faults.push(format!("{}, line {number}: {fault}", path.display())),
            }
            if texts.len() == CHUNK {
                self.score(&mut texts, machine, &family)?;
            }
        }
        self.score(&mut texts, machine, &family)
    }

    fn score(&mut self, rows: &mut Vec<Row>, machine: bool, family: &str) -> anyhow::Result<()> {
        let documents: Vec<_> = rows.iter().map(|r| Document::new(r.text.as_str())).collect();
        for (row, assessment) in rows.drain(..).zip(self.detector.assess(&documents)?) {
            self.progress.documents += 1;
            self.progress.tokens += assessment.tokens as u64;
            match assessment.statistics {
                Some(statistics) if unsupported_language(&row.text).is_none() => self.samples.push(Sample {
                    statistics,
                    tokens: assessment.tokens,
                    machine,
                    family: family.to_owned(),
                    group: group(&row.text),
                    domain: row.domain,
                    generator: row.generator,
                }),
                _ => self.skipped += 1,
            }
        }
        self.bar.progress(&self.progress);
        Ok(())
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct Row {
    text: String,
    label: Option<String>,
    domain: Option<String>,
    generator: Option<String>,
}

/// A row with the wanted label, or with none; `None` for the other label and for blank lines.
fn row(line: &[u8], machine: bool) -> Result<Option<Row>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let row: Row = serde_json::from_slice(line).map_err(|error| format!("expected an object with a `text`: {error}"))?;
    match row.label.as_deref() {
        None => Ok(Some(row)),
        Some("human") => Ok((!machine).then_some(row)),
        Some("machine") => Ok(machine.then_some(row)),
        Some(other) => Err(format!("expected the label human or machine, found `{other}`")),
    }
}

/// A number for the first 40 letters and digits in lower case: the same document cut or continued differently is one group.
fn group(text: &str) -> u64 {
    let start: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(40).collect();
    let mut hasher = DefaultHasher::new();
    start.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_by_their_label() {
        let human = br#"{"text":"a","label":"human","id":"1"}"#;
        let text = |line: &[u8], machine| row(line, machine).map(|r| r.map(|r| r.text));
        assert_eq!(text(human, false), Ok(Some("a".into())));
        assert_eq!(text(human, true), Ok(None));
        assert_eq!(text(br#"{"text":"b"}"#, true), Ok(Some("b".into())));
        assert_eq!(row(b"\r\n", true), Ok(None));
        for bad in [r#"{"text":"a","label":"robot"}"#, r#"{"label":"human"}"#, r#"{"text":1}"#, "no json"] {
            assert!(row(bad.as_bytes(), false).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_that_start_alike_are_one_group() {
        assert_eq!(group("The  CAT, sat\non"), group("the cat sat ON"));
        assert_eq!(group(&"é1".repeat(100)), group(&"É1".repeat(20)));
        assert_ne!(group("the cat sat on"), group("the cat sat"));
    }

    #[test]
    fn many_faults_are_counted_and_the_first_named() {
        let faults: Vec<_> = (0..12).map(|n| format!("fault {n}")).collect();
        let message = refuse(&faults).unwrap_err().0;
        assert!(message.contains("12 faults") && message.contains("fault 9") && message.contains("and 2 more"), "{message}");
        assert!(!message.contains("fault 10"));
    }
}
