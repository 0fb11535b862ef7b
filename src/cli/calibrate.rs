//! `highwater calibrate`: labelled texts to a calibration of the loaded model.
//!
//! Reads JSONL rows, scores their texts, and hands the statistics to the fit. A file that is not wholly understood is refused, before the
//! work: a calibration from half of the data would look like one from all of it.

use super::{
    Outcome, Refused,
    args::{Calibrate, Common},
    chatty, evaluate,
    folds::Folds,
    join::{self, Made, Wanted},
    progress::Bar,
    settings::{Setup, layers},
};
use crate::{
    batch::{BatchError, Watch},
    calibration::Sample,
    stats::MOST_KINDS,
};
use clap::ArgMatches;
use serde::{Deserialize, de::IgnoredAny};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

mod paths;
mod reading;
pub(super) use paths::{bytes, not_plain, unwritable};
use reading::Reading;
pub(super) use reading::Scored;

/// The longest line that is read, bytes.
const LONGEST: u64 = 64 << 20;
/// The byte-order mark that some programs put before a file's first line.
const MARK: &str = "\u{FEFF}";
/// Bad rows that are named before the rest is only counted.
const NAMED: usize = 10;

pub(super) fn run(args: &Calibrate, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let mut setup = Setup::take(&mut merge);
    merge.finish()?;
    if let Some(base) = &args.base {
        setup.calibration = (base != "embedded").then(|| base.into());
    }
    kinds(args)?;
    let total = files(args)?;
    let folds = args.folds.as_deref().map(Folds::read).transpose()?;
    let detector = join::uncalibrated(&setup)?;
    let info = detector.model().clone();
    if folds.is_some() && info.branches.is_none() {
        return Err(Refused(format!(
            "{} has no branches, so there is nothing to --folds; give a model with branches.safetensors",
            info.name
        ))
        .into());
    }
    let base = args.machine.is_empty().then(|| join::base(&setup, &info)).transpose()?;
    let bar = Bar::start(chatty())?;
    let mut reading = Reading::new(detector, &bar, total, folds);
    let done = reading.passes(args, &setup);
    bar.end();
    done?;
    if bar.cancelled() {
        return Ok(Outcome::Stopped);
    }
    if chatty() {
        reading.tell_left_out()?;
    }
    let samples = reading.samples();
    let name = args.profile.clone().or_else(|| Some(args.output.file_stem()?.to_string_lossy().into_owned())).unwrap_or_default();
    if chatty() {
        writeln!(io::stderr(), "{} texts scored; fitting", samples.len())?;
    }
    let made = join::fit(&samples, &setup, &info, Wanted { name: &name, kinds: &args.kinds, apart: &args.apart, base })?;
    // what took the longest is safe first
    let table = made.saved(&args.output)?;
    let reported = reports(args, &made, &samples, &setup);
    let printed = io::stdout().write_all(table.as_bytes());
    reported?;
    printed?;
    Ok(Outcome::Done)
}

/// Writes what was asked for beside the calibration, each whatever becomes of the others.
fn reports(args: &Calibrate, made: &Made, samples: &[Sample], setup: &Setup) -> anyhow::Result<()> {
    let scored = args.scored.as_ref().map_or(Ok(()), |path| evaluate::write(path, |out| made.write_scored(samples, setup, out)));
    let report = &made.report;
    let json = args.json.as_ref().map_or(Ok(()), |path| evaluate::write(path, |out| Ok(serde_json::to_writer_pretty(out, report)?)));
    let page = args.report.as_ref().map_or(Ok(()), |path| {
        let page = made.page()?;
        evaluate::write(path, |out| Ok(out.write_all(page.as_bytes())?))
    });
    scored.and(json).and(page)
}

/// Bytes of all inputs; a calibration that would be overwritten unasked is refused.
fn files(args: &Calibrate) -> anyhow::Result<u64> {
    let outputs = [&args.output].into_iter().chain(&args.scored).chain(&args.json).chain(&args.report);
    let total = bytes(args.human.iter().chain(&args.machine), outputs)?;
    if args.output.is_file() && !args.force {
        return Err(BatchError::OutputExists { path: args.output.clone() }.into());
    }
    Ok(total)
}

/// What only a fit can give, of a run over texts by people alone: they make a profile, which keeps the score of its base.
fn without_machine(args: &Calibrate) -> Vec<String> {
    let (of_kinds, of_figures) = ("kinds are of machine texts", "from texts by people alone there is nothing to measure");
    let options = [
        ("--kind", !args.kinds.is_empty(), of_kinds),
        ("--apart", !args.apart.is_empty(), of_kinds),
        ("--scored", args.scored.is_some(), of_figures),
        ("--json", args.json.is_some(), of_figures),
        ("--report", args.report.is_some(), of_figures),
    ];
    let fault = |(name, _, why): (&str, bool, &str)| {
        format!("{name} needs --machine: {why}; name files with texts by machines, or leave {name} out")
    };
    options.into_iter().filter(|(_, given, _)| *given).map(fault).collect()
}

/// Refuses what needs machine texts where no file of them is named, a kind that is named twice, and a data set apart that is of no kind: nothing
/// would be fitted on it.
fn kinds(args: &Calibrate) -> Result<(), Refused> {
    if args.machine.is_empty() {
        return refuse(&without_machine(args));
    }
    let mut faults = Vec::new();
    for (i, kind) in args.kinds.iter().enumerate() {
        if args.kinds[..i].iter().any(|other| other.name == kind.name) {
            faults.push(format!("--kind {} is given twice; name all its data sets in one", kind.name));
        }
    }
    let lonely = args.apart.iter().filter(|family| !args.kinds.iter().any(|kind| kind.families.contains(family)));
    faults.extend(lonely.map(|family| format!("--apart {family} is in no --kind; name it in one, or leave its file out")));
    if args.kinds.len() > MOST_KINDS {
        faults.push(format!("{} kinds are given, at most {MOST_KINDS} are taken", args.kinds.len()));
    }
    refuse(&faults)
}

/// The data set of a file: its name without folder and ending.
pub(super) fn family(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file's name without links, by which it is known again.
pub(super) fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

pub(super) fn refuse(faults: &[String]) -> Result<(), Refused> {
    let mut all = Refusals::default();
    faults.iter().for_each(|fault| all.add(fault.clone()));
    all.refuse()
}

/// What is wrong: the first faults by name, all others by their number.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals {
    named: Vec<String>,
    more: usize,
}

impl Refusals {
    pub(super) fn add(&mut self, fault: String) {
        if self.named.len() < NAMED {
            self.named.push(fault);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Refuses all of them, if there are any.
    pub(super) fn refuse(&self) -> Result<(), Refused> {
        let named = self.named.join("\n  ");
        match (self.named.len() + self.more, self.more) {
            (0, _) => Ok(()),
            (1, _) => Err(Refused(named)),
            (all, 0) => Err(Refused(format!("{all} faults:\n  {named}"))),
            (all, more) => Err(Refused(format!("{all} faults:\n  {named}\n  and {more} more"))),
        }
    }
}

/// Gives each line of a file with its number, until there is none or `take` wants no more.
pub(super) fn each_line(path: &Path, mut take: impl FnMut(usize, &[u8]) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let unreadable = |error: io::Error| Refused(format!("cannot read {}: {error}", path.display()));
    let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(unreadable)?;
        let marked: &[u8] = if number == 1 { MARK.as_bytes() } else { &[] };
        if read == 0 || !take(number, line.strip_prefix(marked).unwrap_or(&line))? {
            break;
        }
    }
    Ok(())
}

/// Refuses a line that is no JSON object, before it is told in terms of our own types.
pub(super) fn object(line: &[u8]) -> Result<(), String> {
    let is_object = line.trim_ascii_start().starts_with(b"{");
    if is_object { Ok(()) } else { Err("expected JSONL, one object with a `text` a line".to_owned()) }
}

/// Whether a line is an error row, as `attack` and `generate` write them: an `error`, and no `text`.
pub(super) fn failed(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Failed {
        error: Option<IgnoredAny>,
        text: Option<IgnoredAny>,
    }
    serde_json::from_slice(line).is_ok_and(|row: Failed| row.error.is_some() && row.text.is_none())
}

/// Says how many rows were of that kind, unless nothing is to be said.
pub(super) fn tell_failed(rows: usize) -> io::Result<()> {
    if rows > 0 && chatty() { writeln!(io::stderr(), "error rows of an earlier run, without a text: {rows}") } else { Ok(()) }
}

#[cfg(test)]
mod tests;
