//! Rows of labelled files to samples: texts are scored, rows that `calibrate --scored` wrote are taken as they are.

use super::{Refusals, each_line, failed, family, object, real, tell_failed};
use crate::{
    batch::{Progress, Watch},
    calibration::Sample,
    cli::{
        Refused,
        args::Calibrate,
        folds::{self, Folds, Scorers},
        join,
        settings::Setup,
    },
    detector::Detector,
    model::ModelInfo,
    score::Statistics,
    text::{self, Document, group},
    verdict::AbstainReason,
};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Texts that are scored together.
const CHUNK: usize = 256;

/// A file that was named, and how.
pub(super) struct Named<'a> {
    path: &'a Path,
    real: PathBuf,
    family: String,
    machine: bool,
    /// Named on both sides: only labels tell which rows are whose.
    both: bool,
}

impl<'a> Named<'a> {
    /// The files of --human and those of --machine.
    pub(super) fn all(human: &'a [PathBuf], machine: &'a [PathBuf]) -> Vec<Self> {
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
pub(super) struct Reading<'a> {
    detector: Detector,
    /// What the calibration is for, whichever branches score now.
    own: ModelInfo,
    bar: &'a dyn Watch,
    pub(super) progress: Progress,
    folds: Option<Folds>,
    /// Nothing is scored yet: a fault in the last line is found before the first text has taken its time.
    pub(super) looking: bool,
    /// The branches that score now; only texts that these have not seen are taken.
    pass: Scorers,
    /// Passes that score and are done.
    done: usize,
    /// Data sets with machine texts.
    machine_families: HashSet<String>,
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
    pub(super) fn new(detector: Detector, bar: &'a dyn Watch, total: u64, folds: Option<Folds>) -> Self {
        let passes = folds.as_ref().map_or(1, |f| f.all().count()) as u64;
        let progress = Progress { total_bytes: Some(total * passes), ..Progress::default() };
        Self {
            own: detector.model().clone(),
            detector,
            bar,
            progress,
            folds,
            looking: true,
            pass: None,
            done: 0,
            machine_families: HashSet::new(),
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
    pub(super) fn passes(&mut self, args: &Calibrate, setup: &Setup) -> anyhow::Result<()> {
        let files = Named::all(&args.human, &args.machine);
        self.machine_families = files.iter().filter(|file| file.machine).map(|file| file.family.clone()).collect();
        self.all(&files)?;
        for kind in &args.kinds {
            for family in kind.families.iter().filter(|family| !self.machine_families.contains(*family)) {
                self.faults.add(format!("--kind {} names {family}, but no file of --machine has this name", kind.name));
            }
        }
        self.refuse()?;
        self.looking = false;
        let choices: Vec<Scorers> = self.folds.as_ref().map_or_else(|| vec![None], |f| f.all().collect());
        for choice in choices {
            if let Some((directory, fold)) = args.folds.as_deref().zip(choice) {
                (self.detector, self.pass) = (join::uncalibrated(&setup.with_branches(folds::branches(directory, fold)))?, choice);
            }
            self.all(&files)?;
            self.refuse()?;
            self.done += 1;
        }
        Ok(())
    }

    /// Reads every file once; what can be read only once (a pipe) is not looked through.
    pub(super) fn all(&mut self, files: &[Named<'_>]) -> anyhow::Result<()> {
        (self.number, self.named, self.failed) = (0, 0, 0);
        let looking = self.looking;
        files.iter().filter(|file| !looking || file.path.is_file()).try_for_each(|file| self.file(file))
    }

    pub(super) fn refuse(&self) -> Result<(), Refused> {
        let mut all = self.faults.clone();
        for (family, n) in &self.unplaced {
            all.add(format!("{n} texts of {family} are in no fold, see folds.json"));
        }
        all.refuse()
    }

    /// Says what was read and is in no sample.
    pub(super) fn tell_left_out(&self) -> io::Result<()> {
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
    pub(super) fn samples(&mut self) -> Vec<Sample> {
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
                Ok(Some(Row { text: None, scored: Some(scored), domain, generator, attack, .. })) => {
                    match scored.sample(file.machine, &self.own, self.detector.options().normalize) {
                        Ok(sample) => self.take(Sample { domain, generator, attack, ..sample }),
                        Err(fault) => self.faults.add(format!("{}, line {number}: {fault}", file.path.display())),
                    }
                }
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

    /// Keeps a sample that was scored in an earlier run, once in all passes.
    fn take(&mut self, sample: Sample) {
        self.number += 1;
        if self.looking && sample.machine {
            self.machine_families.insert(sample.family.clone());
        }
        if !self.looking && self.done == 0 {
            self.samples.push((self.number, sample));
        }
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
pub(super) struct Row {
    /// Not there where feedback names a post of the sender's by its id.
    pub(super) text: Option<String>,
    id: Option<IgnoredAny>,
    label: Option<String>,
    /// Shared by a human text and its machine counterparts or attacked forms.
    pair: Option<String>,
    domain: Option<String>,
    generator: Option<String>,
    attack: Option<String>,
    /// Of a row without a text.
    #[serde(flatten)]
    scored: Option<Scored>,
}

/// What `calibrate --scored` says of a text.
#[derive(Debug, PartialEq, Deserialize)]
pub(in crate::cli) struct Scored {
    pub(in crate::cli) family: String,
    pub(in crate::cli) group: u64,
    tokens: usize,
    pub(in crate::cli) words: usize,
    pub(in crate::cli) line_breaks: usize,
    pub(in crate::cli) score: Option<f64>,
    pub(in crate::cli) p_value: Option<f64>,
    pub(in crate::cli) statistics: Statistics,
    pub(in crate::cli) calibration: String,
    /// Earlier versions did not say this, nor whether they normalised.
    model: Option<String>,
    normalize: Option<bool>,
}

impl Scored {
    /// Refuses figures that the loaded model, or the same without normalisation, would not have given.
    fn sample(self, machine: bool, own: &ModelInfo, normalize: bool) -> Result<Sample, String> {
        let Some((model, normalized)) = self.model.zip(self.normalize) else {
            return Err("does not say what scored it, as rows of earlier versions; give the texts".to_owned());
        };
        // a model's folder may have another name today
        if model.rsplit('@').next() != Some(&own.hash) {
            let told = format!("scored by {model}, but {}@{} is loaded", own.name, own.hash);
            return Err(format!("{told}; load that one with --model, or give the texts"));
        }
        if normalized != normalize {
            let was = if normalized { "on" } else { "off" };
            return Err(format!("scored with --normalize {was}; say so here too, or give the texts"));
        }
        let Self { family, group, tokens, words, line_breaks, statistics, .. } = self;
        Ok(Sample { statistics, tokens, machine, group, family, domain: None, generator: None, attack: None, words, line_breaks })
    }
}

/// A row with the wanted label, or with none; `None` for the other label and for blank lines.
pub(super) fn row(line: &[u8], machine: bool) -> Result<Option<Row>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    object(line)?;
    let row: Row = serde_json::from_slice(line).map_err(|error| format!("expected an object with a `text`: {error}"))?;
    if row.text.is_none() && row.id.is_none() && row.scored.is_none() {
        return Err(
            "expected an object with a `text`, or a whole row of `highwater calibrate --scored`; found neither, nor an `id`".to_owned()
        );
    }
    match row.label.as_deref() {
        None => Ok(Some(row)),
        Some("human") => Ok((!machine).then_some(row)),
        Some("machine") => Ok(machine.then_some(row)),
        Some(other) => Err(format!("expected the label human or machine, found `{other}`")),
    }
}
