//! `highwater calibrate`: labelled texts to a calibration of the loaded model.
//!
//! Reads JSONL rows, scores their texts, and hands the statistics to the fit. A file that is not wholly understood is refused, before the
//! work: a calibration from half of the data would look like one from all of it.

use super::{
    Outcome, Refused,
    args::{Calibrate, Common},
    chatty, evaluate,
    folds::{self, Folds, Scorers},
    join::{self, Made, Wanted},
    progress::Bar,
    settings::{Setup, layers},
};
use crate::{
    batch::{BatchError, Progress, Watch},
    calibration::Sample,
    detector::Detector,
    stats::MOST_KINDS,
    text::{self, Document, group},
    verdict::AbstainReason,
};
use clap::ArgMatches;
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

mod paths;
pub(super) use paths::{bytes, not_plain, unwritable};

/// Texts that are scored together.
const CHUNK: usize = 256;
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

/// Refuses what needs machine texts where no file of them is named, a kind that is named twice, a data set that is not given, and one apart
/// that is of no kind: nothing would be fitted on it.
fn kinds(args: &Calibrate) -> Result<(), Refused> {
    if args.machine.is_empty() {
        return refuse(&without_machine(args));
    }
    let given: HashSet<String> = args.machine.iter().map(|path| family(path)).collect();
    let mut faults = Vec::new();
    for (i, kind) in args.kinds.iter().enumerate() {
        if args.kinds[..i].iter().any(|other| other.name == kind.name) {
            faults.push(format!("--kind {} is given twice; name all its data sets in one", kind.name));
        }
        let absent = kind.families.iter().filter(|family| !given.contains(*family));
        faults.extend(absent.map(|family| format!("--kind {} names {family}, but no file of --machine has this name", kind.name)));
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

/// A file that was named, and how.
struct Named<'a> {
    path: &'a Path,
    real: PathBuf,
    family: String,
    machine: bool,
    /// Named on both sides: only labels tell which rows are whose.
    both: bool,
}

impl<'a> Named<'a> {
    /// The files of --human and those of --machine.
    fn all(human: &'a [PathBuf], machine: &'a [PathBuf]) -> Vec<Self> {
        let [humans, machines] = [human, machine].map(|paths| paths.iter().map(|path| real(path)).collect::<HashSet<_>>());
        let one = |(path, machine): (&'a PathBuf, bool)| {
            let real = real(path);
            let both = humans.contains(&real) && machines.contains(&real);
            Self { path, real, family: family(path), machine, both }
        };
        human.iter().map(|path| (path, false)).chain(machine.iter().map(|path| (path, true))).map(one).collect()
    }

    /// A row of its side; `None` for one of the other side and for blank lines.
    fn row(&self, line: &[u8]) -> Result<Option<Row>, String> {
        let row = row(line, self.machine)?;
        if self.both && row.as_ref().is_some_and(|row| row.label.is_none()) {
            let expected = "expected a `label`, human or machine, since the file is given to both --human and --machine";
            return Err(format!("{expected}; label every row, or give the file to one of them"));
        }
        Ok(row)
    }
}

/// Rows on their way to samples.
struct Reading<'a> {
    detector: Detector,
    bar: &'a dyn Watch,
    progress: Progress,
    folds: Option<Folds>,
    /// Nothing is scored yet: a fault in the last line is found before the first text has taken its time.
    looking: bool,
    /// The branches that score now; only texts that these have not seen are taken.
    pass: Scorers,
    /// Rows of this pass so far.
    number: usize,
    /// Each with the number of its row.
    samples: Vec<(usize, Sample)>,
    /// The group of each pair of a file. Files of one data set may all count their pairs from 0.
    pairs: HashMap<PathBuf, HashMap<String, u64>>,
    faults: Refusals,
    /// Texts of each data set of which the folds say nothing.
    unplaced: BTreeMap<String, usize>,
    skipped: usize,
    /// Rows of this pass that hold no text.
    named: usize,
    /// Error rows of an earlier run.
    failed: usize,
}

/// A row on its way to a sample.
struct Kept {
    text: String,
    row: Row,
    number: usize,
    group: u64,
}

impl<'a> Reading<'a> {
    fn new(detector: Detector, bar: &'a dyn Watch, total: u64, folds: Option<Folds>) -> Self {
        let passes = folds.as_ref().map_or(1, |f| f.all().count()) as u64;
        let progress = Progress { total_bytes: Some(total * passes), ..Progress::default() };
        Self {
            detector,
            bar,
            progress,
            folds,
            looking: true,
            pass: None,
            number: 0,
            samples: Vec::new(),
            pairs: HashMap::new(),
            faults: Refusals::default(),
            unplaced: BTreeMap::new(),
            skipped: 0,
            named: 0,
            failed: 0,
        }
    }

    /// Looks through all files, then reads them once for each choice of branches; nothing more after a pass that found something to refuse.
    fn passes(&mut self, args: &Calibrate, setup: &Setup) -> anyhow::Result<()> {
        let files = Named::all(&args.human, &args.machine);
        self.all(&files)?;
        self.refuse()?;
        self.looking = false;
        let choices: Vec<Scorers> = self.folds.as_ref().map_or_else(|| vec![None], |f| f.all().collect());
        for choice in choices {
            if let Some((directory, fold)) = args.folds.as_deref().zip(choice) {
                (self.detector, self.pass) = (join::uncalibrated(&setup.with_branches(folds::branches(directory, fold)))?, choice);
            }
            self.all(&files)?;
            self.refuse()?;
        }
        Ok(())
    }

    /// Reads every file once; what can be read only once (a pipe) is not looked through.
    fn all(&mut self, files: &[Named<'_>]) -> anyhow::Result<()> {
        (self.number, self.named, self.failed) = (0, 0, 0);
        let looking = self.looking;
        files.iter().filter(|file| !looking || file.path.is_file()).try_for_each(|file| self.file(file))
    }

    fn refuse(&self) -> Result<(), Refused> {
        let mut all = self.faults.clone();
        for (family, n) in &self.unplaced {
            all.add(format!("{n} texts of {family} are in no fold, see folds.json"));
        }
        all.refuse()
    }

    /// Says what was read and is in no sample.
    fn tell_left_out(&self) -> io::Result<()> {
        if self.named > 0 {
            let n = self.named;
            writeln!(io::stderr(), "{n} rows name a post by its id and hold no text: join them with your own posts first")?;
        }
        tell_failed(self.failed)?;
        if self.skipped > 0 {
            let n = self.skipped;
            writeln!(
                io::stderr(),
                "{n} texts were left out: empty, no prose, known by heart, or in a language that the model does not know"
            )?;
        }
        Ok(())
    }

    /// The samples in the order of their rows.
    fn samples(&mut self) -> Vec<Sample> {
        self.samples.sort_by_key(|(number, _)| *number);
        self.samples.drain(..).map(|(_, sample)| sample).collect()
    }

    fn file(&mut self, file: &Named<'_>) -> anyhow::Result<()> {
        let mut rows = Vec::with_capacity(CHUNK);
        each_line(file.path, |number, line| {
            if !self.looking {
                self.progress.bytes_read += line.len() as u64;
            }
            match file.row(line) {
                Ok(Some(Row { text: None, .. })) | Err(_) if failed(line) => self.failed += usize::from(!(file.both && file.machine)),
                Ok(Some(row)) => rows.extend(self.keep(row, file)),
                // it was told when the file was read for the people
                Err(_) if file.both && file.machine => {}
                Err(fault) => self.faults.add(format!("{}, line {number}: {fault}", file.path.display())),
                Ok(None) => {}
            }
            if rows.len() == CHUNK {
                self.score(&mut rows, file)?;
            }
            Ok(!self.bar.cancelled())
        })?;
        self.score(&mut rows, file)
    }

    /// The row with its group, if it is this pass's to score.
    fn keep(&mut self, mut row: Row, file: &Named<'_>) -> Option<Kept> {
        let Some(text) = row.text.take() else {
            self.named += 1;
            return None;
        };
        self.number += 1;
        let (own, family) = (group(&text), &file.family);
        let paired = |pair: &String| *self.pairs.entry(file.real.clone()).or_default().entry(pair.clone()).or_insert(own);
        let group = row.pair.as_ref().map_or(own, paired);
        let Some(folds) = &self.folds else { return Some(Kept { text, row, number: self.number, group }) };
        let place = folds.of(group, family);
        if place.is_none() {
            *self.unplaced.entry(family.clone()).or_default() += 1;
        }
        (place == Some(self.pass)).then_some(Kept { text, row, number: self.number, group })
    }

    /// Scores the rows, unless the run ends without a calibration anyway.
    fn score(&mut self, rows: &mut Vec<Kept>, file: &Named<'_>) -> anyhow::Result<()> {
        if self.looking || !self.faults.is_empty() || !self.unplaced.is_empty() {
            rows.clear();
            return Ok(());
        }
        let documents: Vec<_> = rows.iter_mut().map(|kept| Document::new(std::mem::take(&mut kept.text))).collect();
        let assessments = self.detector.assess(&documents)?;
        for ((kept, assessment), document) in rows.drain(..).zip(assessments).zip(&documents) {
            self.progress.documents += 1;
            self.progress.tokens += assessment.tokens as u64;
            // for any other reason it would get no p-value, and does not belong to what p-values are made of
            let usable = assessment.abstain_reason == Some(AbstainReason::Uncalibrated);
            let Some(statistics) = assessment.statistics.filter(|_| usable) else {
                self.skipped += 1;
                continue;
            };
            let Kept { row: Row { domain, generator, attack, .. }, number, group, .. } = kept;
            let (tokens, machine, family) = (assessment.tokens, file.machine, file.family.clone());
            let (words, line_breaks) = (text::words(&document.text), text::line_breaks(&document.text));
            self.samples
                .push((number, Sample { statistics, tokens, machine, group, family, domain, generator, attack, words, line_breaks }));
        }
        self.bar.progress(&self.progress);
        Ok(())
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Row {
    /// Not there where feedback names a post of the sender's by its id.
    text: Option<String>,
    id: Option<IgnoredAny>,
    label: Option<String>,
    /// Shared by a human text and its machine counterparts or attacked forms.
    pair: Option<String>,
    domain: Option<String>,
    generator: Option<String>,
    attack: Option<String>,
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

/// A row with the wanted label, or with none; `None` for the other label and for blank lines.
fn row(line: &[u8], machine: bool) -> Result<Option<Row>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    object(line)?;
    let row: Row = serde_json::from_slice(line).map_err(|error| format!("expected an object with a `text`: {error}"))?;
    if row.text.is_none() && row.id.is_none() {
        return Err("expected an object with a `text`, found neither that nor an `id`".to_owned());
    }
    match row.label.as_deref() {
        None => Ok(Some(row)),
        Some("human") => Ok((!machine).then_some(row)),
        Some("machine") => Ok(machine.then_some(row)),
        Some(other) => Err(format!("expected the label human or machine, found `{other}`")),
    }
}

#[cfg(test)]
mod tests;
