//! `highwater calibrate`: labelled texts to a calibration of the loaded model.
//!
//! Reads JSONL rows, scores their texts, and hands the statistics to the fit. A file that is not wholly understood is refused:
//! a calibration from half of the data would look like one from all of it.

use super::{
    Outcome, Refused,
    args::{Calibrate, Common},
    chatty, evaluate,
    folds::{self, Folds, Scorers},
    join::{self, Wanted},
    progress::Bar,
    settings::{Setup, layers},
};
use crate::{
    batch::{Progress, Watch, same_file},
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

/// Texts that are scored together.
const CHUNK: usize = 256;
/// The longest line that is read, bytes.
pub(super) const LONGEST: u64 = 64 << 20;
/// Bad rows that are named before the rest is only counted.
const NAMED: usize = 10;

pub(super) fn run(args: &Calibrate, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let mut setup = Setup::take(&mut merge);
    merge.finish()?;
    if let Some(base) = &args.base {
        setup.calibration = (base != "embedded").then(|| base.into());
    }
    let total = files(args)?;
    kinds(args)?;
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
    let mut reading = Reading::new(detector, Bar::start(chatty())?, total, folds);
    let done = reading.passes(args, &setup);
    reading.bar.end();
    done?;
    if reading.bar.cancelled() {
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
    let made = join::fit(&samples, &setup, &info, &Wanted { name: &name, kinds: &args.kinds, apart: &args.apart })?;
    if let Some(path) = &args.scored {
        evaluate::write(path, |out| made.write_scored(&samples, &setup, out))?;
    }
    if let Some(path) = &args.json {
        evaluate::write(path, |out| Ok(serde_json::to_writer_pretty(out, &made.report)?))?;
    }
    if let Some(path) = &args.report {
        let page = made.page()?;
        evaluate::write(path, |out| Ok(out.write_all(page.as_bytes())?))?;
    }
    io::stdout().write_all(made.saved(&args.output)?.as_bytes())?;
    Ok(Outcome::Done)
}

fn files(args: &Calibrate) -> anyhow::Result<u64> {
    let outputs = [&args.output].into_iter().chain(&args.scored).chain(&args.json).chain(&args.report);
    bytes(args.human.iter().chain(&args.machine), outputs)
}

/// Refuses a kind that is named twice, a data set that is not given, and one apart that is of no kind: nothing would be fitted on it.
fn kinds(args: &Calibrate) -> Result<(), Refused> {
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

/// Bytes of all inputs; every file that cannot be read or written is told, before the work and not after it.
pub(super) fn bytes<'a>(
    inputs: impl IntoIterator<Item = &'a PathBuf>,
    outputs: impl IntoIterator<Item = &'a PathBuf>,
) -> anyhow::Result<u64> {
    let inputs: Vec<&Path> = inputs.into_iter().map(PathBuf::as_path).collect();
    let mut faults = Vec::new();
    let mut total = 0;
    for path in &inputs {
        match path.metadata() {
            Ok(meta) if meta.is_dir() => faults.push(format!("{} is a directory; name the files in it", path.display())),
            Ok(meta) => total += meta.len(),
            Err(error) => faults.push(format!("cannot read {}: {error}", path.display())),
        }
    }
    faults.extend(outputs.into_iter().filter_map(|path| unwritable(path, &inputs)));
    refuse(&faults)?;
    Ok(total)
}

/// Why an output cannot be written, or must not be: `taken` are the other files of the run.
pub(super) fn unwritable(path: &Path, taken: &[&Path]) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() || path.is_dir() {
        return Some(format!("cannot write {}: its folder is not there, or it is a folder itself", path.display()));
    }
    let is_taken = taken.iter().any(|other| *other == path || same_file(other, path));
    is_taken.then(|| format!("{} is read or written by this run already and would be lost; name another file", path.display()))
}

pub(super) fn refuse(faults: &[String]) -> Result<(), Refused> {
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
    folds: Option<Folds>,
    /// The branches that score now; only texts that these have not seen are taken.
    pass: Scorers,
    /// Rows of this pass so far.
    number: usize,
    /// Each with the number of its row.
    samples: Vec<(usize, Sample)>,
    /// The group of each pair of a data set.
    pairs: HashMap<(String, String), u64>,
    faults: Vec<String>,
    /// Texts of each data set of which the folds say nothing.
    unplaced: BTreeMap<String, usize>,
    skipped: usize,
    /// Rows of this pass that hold no text.
    named: usize,
}

/// A row on its way to a sample.
struct Kept {
    text: String,
    row: Row,
    number: usize,
    group: u64,
}

impl Reading {
    fn new(detector: Detector, bar: Bar, total: u64, folds: Option<Folds>) -> Self {
        let passes = folds.as_ref().map_or(1, |f| f.all().count()) as u64;
        let progress = Progress { total_bytes: Some(total * passes), ..Progress::default() };
        Self {
            detector,
            bar,
            progress,
            folds,
            pass: None,
            number: 0,
            samples: Vec::new(),
            pairs: HashMap::new(),
            faults: Vec::new(),
            unplaced: BTreeMap::new(),
            skipped: 0,
            named: 0,
        }
    }

    /// Reads all files once for each choice of branches; nothing more after a pass that found something to refuse.
    fn passes(&mut self, args: &Calibrate, setup: &Setup) -> anyhow::Result<()> {
        let choices: Vec<Scorers> = self.folds.as_ref().map_or_else(|| vec![None], |f| f.all().collect());
        for choice in choices {
            if let Some((directory, fold)) = args.folds.as_deref().zip(choice) {
                (self.detector, self.pass) = (join::uncalibrated(&setup.with_branches(folds::branches(directory, fold)))?, choice);
            }
            self.all(args)?;
            self.refuse()?;
        }
        Ok(())
    }

    /// Reads every file once.
    fn all(&mut self, args: &Calibrate) -> anyhow::Result<()> {
        (self.number, self.named) = (0, 0);
        for path in &args.human {
            self.file(path, false)?;
        }
        for path in &args.machine {
            self.file(path, true)?;
        }
        Ok(())
    }

    fn refuse(&self) -> Result<(), Refused> {
        let unplaced = self.unplaced.iter().map(|(family, n)| format!("{n} texts of {family} are in no fold, see folds.json"));
        refuse(&self.faults.iter().cloned().chain(unplaced).collect::<Vec<_>>())
    }

    /// Says what was read and is in no sample.
    fn tell_left_out(&self) -> io::Result<()> {
        if self.named > 0 {
            let n = self.named;
            writeln!(io::stderr(), "{n} rows name a post by its id and hold no text: join them with your own posts first")?;
        }
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

    fn file(&mut self, path: &Path, machine: bool) -> anyhow::Result<()> {
        let unreadable = |error: io::Error| Refused(format!("cannot read {}: {error}", path.display()));
        let family = family(path);
        let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut rows = Vec::with_capacity(CHUNK);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 || self.bar.cancelled() {
                break;
            }
            self.progress.bytes_read += read as u64;
            match row(&line, machine) {
                Ok(Some(row)) => rows.extend(self.keep(row, &family)),
                Ok(None) => {}
                Err(fault) => self.faults.push(format!("{}, line {number}: {fault}", path.display())),
            }
            if rows.len() == CHUNK {
                self.score(&mut rows, machine, &family)?;
            }
        }
        self.score(&mut rows, machine, &family)
    }

    /// The row with its group, if it is this pass's to score.
    fn keep(&mut self, mut row: Row, family: &str) -> Option<Kept> {
        let Some(text) = row.text.take() else {
            self.named += 1;
            return None;
        };
        self.number += 1;
        let own = group(&text);
        let pair = row.pair.as_ref().map(|pair| (family.to_owned(), pair.clone()));
        let group = pair.map_or(own, |pair| *self.pairs.entry(pair).or_insert(own));
        let Some(folds) = &self.folds else { return Some(Kept { text, row, number: self.number, group }) };
        let place = folds.of(group, family);
        if place.is_none() {
            *self.unplaced.entry(family.to_owned()).or_default() += 1;
        }
        (place == Some(self.pass)).then_some(Kept { text, row, number: self.number, group })
    }

    fn score(&mut self, rows: &mut Vec<Kept>, machine: bool, family: &str) -> anyhow::Result<()> {
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
            let (tokens, family) = (assessment.tokens, family.to_owned());
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

/// A row with the wanted label, or with none; `None` for the other label and for blank lines.
fn row(line: &[u8], machine: bool) -> Result<Option<Row>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
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
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_by_their_label() {
        let human = br#"{"text":"a","label":"human","id":"1"}"#;
        assert_eq!(row(human, false).map(|r| r.and_then(|r| r.text)), Ok(Some("a".into())));
        assert_eq!(row(human, true), Ok(None));
        assert_eq!(row(br#"{"text":"b","generator":null}"#, true).map(|r| r.and_then(|r| r.text)), Ok(Some("b".into())));
        assert_eq!(row(b"\r\n", true), Ok(None));
        for bad in [r#"{"text":"a","label":"robot"}"#, r#"{"label":"human"}"#, r#"{"id":null,"text":null}"#, r#"{"text":1}"#, "no json"] {
            assert!(row(bad.as_bytes(), false).is_err(), "{bad}");
        }
    }

    /// The service's tests hold the file against what it gives back.
    #[test]
    fn feedback_of_the_service_is_read_and_what_holds_no_text_is_no_fault() {
        let lines = include_str!("../service/tests/feedback.jsonl");
        let texts = |machine| -> Vec<Option<String>> {
            lines.lines().filter_map(|line| row(line.as_bytes(), machine).unwrap()).map(|row| row.text).collect()
        };
        assert_eq!(texts(false), [None, Some("Another post.".to_owned())]);
        assert_eq!(texts(true), [Some("A \"post\".".to_owned())]);
    }

    #[test]
    fn many_faults_are_counted_and_the_first_named() {
        let faults: Vec<_> = (0..12).map(|n| format!("fault {n}")).collect();
        let message = refuse(&faults).unwrap_err().0;
        assert!(message.contains("12 faults") && message.contains("fault 9") && message.contains("and 2 more"), "{message}");
        assert!(!message.contains("fault 10"));
    }
}
