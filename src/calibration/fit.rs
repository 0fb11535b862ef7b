//! Labelled samples to a calibration: cross-fitted scores by length bin, the final score on all of them, and a report.
//!
//! Deterministic: the same samples and options give the same calibration, byte for byte.

use super::{
    Bin, Calibration, NO_VERDICTS, SCHEMA, SHORTEST, Source,
    bins::{self, MIN_MACHINE},
    kinds::{Kind, KindOf},
    report::{self, BinQuality, FitReport},
    weights::{fold, shuffled, weights},
};
use crate::{
    score::{FittedScore, ScoreFitError, ScoreModel, Statistics, TrainingRow},
    stats::auroc,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Finest length bins, in tokens; neighbours are joined until each holds enough human documents.
pub(super) const EDGES: [usize; 12] = [SHORTEST, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384];
/// Human scores kept per bin; more are thinned by a choice that does not look at the score.
const MAX_HUMAN: usize = 5000;
/// Fewest human documents of a fit: with fewer no bin can say p = 0.05.
pub(super) const MIN_HUMAN: usize = 20;
/// A verdict of its own takes a length from which on the cross-fitted AUROC is at least this.
const VERDICT_AUROC: f64 = 0.7;
/// Texts of each class that a range of lengths takes to be judged by: with fewer the standard error of its AUROC is above 0.05.
const JUDGED_BY: usize = 50;

/// One labelled text, scored by the model that the calibration is for.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its statistics.
    pub statistics: Statistics,
    /// Its tokens.
    pub tokens: usize,
    /// Whether a machine wrote it.
    pub machine: bool,
    /// The same for all texts that come from one human document (its copies, its machine counterparts, its attacked forms): they share a
    /// fold, and the human document counts once.
    pub group: u64,
    /// The data set that it came from.
    pub family: String,
    /// Subject or place, if known.
    pub domain: Option<String>,
    /// What wrote it, if known.
    pub generator: Option<String>,
    /// What was done to it, if anything.
    pub attack: Option<String>,
    /// Its words.
    pub words: usize,
    /// Its line breaks.
    pub line_breaks: usize,
}

/// How a calibration is fitted and what it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Its name in answers.
    pub name: String,
    /// Name of the model.
    pub model_name: String,
    /// Hash of the model.
    pub model_hash: String,
    /// Whether the texts were normalised before scoring.
    pub normalize: bool,
    /// When it is made.
    pub created: Timestamp,
    /// Different human documents that a length bin should hold, where there are as many.
    pub bin_size: usize,
    /// Penalty on squared weights of the score, relative to the mean log loss.
    pub ridge: f64,
    /// Folds of the cross-fit, at least 2.
    pub folds: usize,
    /// Kinds of machine text that get a score of their own, for streams; at most [`crate::stats::MOST_KINDS`].
    pub kinds: Vec<KindOf>,
    /// Data sets whose machine texts only the kinds' scores are fitted on: the score that gives verdicts does not see them.
    pub apart: Vec<String>,
}

impl FitOptions {
    /// Usual options for a calibration of this name for this model.
    pub fn new(name: impl Into<String>, model_name: impl Into<String>, model_hash: impl Into<String>, created: Timestamp) -> Self {
        let (name, model_name, model_hash) = (name.into(), model_name.into(), model_hash.into());
        Self {
            name,
            model_name,
            model_hash,
            normalize: true,
            created,
            bin_size: 1500,
            ridge: 3e-2,
            folds: 5,
            kinds: Vec::new(),
            apart: Vec::new(),
        }
    }

    /// The samples that the score for verdicts is fitted on.
    pub(super) fn pooled<'a>(&self, samples: &[&'a Sample]) -> Vec<&'a Sample> {
        samples.iter().filter(|s| !s.machine || !self.apart.contains(&s.family)).copied().collect()
    }
}

/// Why a calibration could not be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Too little to go by.
    #[error(
        "a calibration takes at least {MIN_HUMAN} different human texts of {SHORTEST} tokens or more, found {found}; give more human texts"
    )]
    TooFewHuman {
        /// Different human documents of enough tokens.
        found: usize,
    },
    /// No machine texts, or hardly any.
    #[error(
        "fitting a score takes at least {MIN_MACHINE} machine texts of {SHORTEST} tokens or more, found {found}; give more, or give none to keep the present score"
    )]
    TooFewMachine {
        /// Machine texts of enough tokens.
        found: usize,
    },
    /// Hardly any machine texts of a kind.
    #[error(
        "the kind {name} takes at least {MIN_MACHINE} machine texts of {SHORTEST} tokens or more, found {found}; name more data sets with machine texts"
    )]
    SmallKind {
        /// The kind.
        name: String,
        /// Its machine texts of enough tokens.
        found: usize,
    },
    /// One part of the cross-fit holds a whole class.
    #[error(
        "the {texts} {class} are too much alike: they count as {documents} document(s), all in one part of the cross-fit; texts with the same first 40 letters and digits, or with the same `pair`, are one document: cut off what they all begin with, or give others"
    )]
    Alike {
        /// Of which label, or of which kind, they are.
        class: String,
        /// How many there are.
        texts: usize,
        /// Different documents among them.
        documents: usize,
    },
    /// The score could not be fitted.
    #[error(transparent)]
    Score(#[from] ScoreFitError),
}

/// A sample's score by a model that never saw its group.
pub(super) struct Crossed<'a> {
    pub(super) sample: &'a Sample,
    pub(super) score: f64,
    /// Whether it counts: the first of its human document in its length bin, or machine.
    pub(super) first: bool,
}

impl Calibration {
    /// Fits a score and its reference on labelled samples.
    ///
    /// The reference scores of a document come from models fitted without its whole group (K folds), so they are as large as those of a
    /// new text; the score that the calibration carries is fitted on all. `min_tokens` is the shortest length from which on the cross-fitted
    /// AUROC is 0.7 or more in every range of lengths with 50 texts of each class or more, and in every bin where there are several;
    /// [`NO_VERDICTS`] where there is no such length.
    ///
    /// ```
    /// use highwater::{calibration::{Calibration, FitOptions, Sample}, model::TokenScores, score::Statistics};
    ///
    /// // In earnest the token scores come from a model; here every text is a gentle wave, higher for humans.
    /// let sample = |i: u64| {
    ///     let machine = i % 2 == 1;
    ///     let wave = |t: u64| ((i * 37 + t * 17) % 64) as f32 / 16. + if machine { 0.5 } else { 2. };
    ///     let surprisal: Vec<f32> = (0..40).map(wave).collect();
    ///     let rank = surprisal.iter().map(|s| 1 + s.exp() as u32).collect();
    ///     let tokens = TokenScores { rank, entropy: vec![2.5; 40], variance: vec![3.; 40], surprisal, ..TokenScores::default() };
    ///     let statistics = Statistics::of(&tokens, &tokens)?;
    ///     Some(Sample { statistics, tokens: 40, machine, group: i / 2, family: "waves".into(), domain: None, generator: None, attack: None, words: 40, line_breaks: 0 })
    /// };
    /// let samples: Vec<Sample> = (0..400).filter_map(sample).collect();
    /// let options = FitOptions::new("waves", "gpt2", "0123456789abcdef", jiff::Timestamp::UNIX_EPOCH);
    /// let (calibration, report) = Calibration::fit(&samples, &options)?;
    /// assert!(report.overall.auroc > Some(0.9));
    /// assert!(calibration.read(&samples[1].statistics, 40).p_value < Some(0.05));
    /// # Ok::<(), highwater::calibration::FitError>(())
    /// ```
    pub fn fit(samples: &[Sample], options: &FitOptions) -> Result<(Self, FitReport), FitError> {
        let long: Vec<&Sample> = samples.iter().filter(|s| s.tokens >= SHORTEST).collect();
        let pooled = options.pooled(&long);
        enough(&pooled)?;
        let score = fit_score(&pooled, options.ridge)?;
        let starts = starts(&pooled, &EDGES, options.bin_size);
        let crossed = cross_fit(&pooled, &starts, options)?;
        let bins = bins_of(&starts, &crossed);
        let mut kinds = options.kinds.iter().map(|of| of.fit(&long, &starts, options)).collect::<Result<Vec<Kind>, _>>()?;
        kinds.sort_by(|a, b| a.name.cmp(&b.name));
        let mut report = report::of(&bins, &crossed);
        report.too_short = samples.len() - long.len();
        let (families, left_out) = report::leave_out(&long, &bins, options);
        let mut left_out = left_out.into_iter();
        report.families_left_out = families;
        report.left_out = samples.iter().map(|s| if s.tokens >= SHORTEST { left_out.next().flatten() } else { None }).collect();
        let calibration = Self {
            schema: SCHEMA,
            name: options.name.clone(),
            model_name: options.model_name.clone(),
            model_hash: options.model_hash.clone(),
            normalize: options.normalize,
            created: options.created,
            sources: sources(&long, &options.apart),
            min_tokens: min_tokens(&report.bins, &bins, &crossed),
            score: ScoreModel::Fitted(score),
            bins,
            kinds,
        };
        Ok((calibration, report))
    }
}

fn enough(samples: &[&Sample]) -> Result<(), FitError> {
    let humans: HashSet<u64> = samples.iter().filter(|s| !s.machine).map(|s| s.group).collect();
    let machine = samples.iter().filter(|s| s.machine).count();
    if humans.len() < MIN_HUMAN {
        Err(FitError::TooFewHuman { found: humans.len() })
    } else if machine < MIN_MACHINE {
        Err(FitError::TooFewMachine { found: machine })
    } else {
        Ok(())
    }
}

/// Fits the score with every sample counting as [`weights`] says.
pub(super) fn fit_score(samples: &[&Sample], ridge: f64) -> Result<FittedScore, ScoreFitError> {
    let bins: Vec<usize> = samples.iter().map(|s| EDGES.partition_point(|&e| e <= s.tokens)).collect();
    let rows: Vec<TrainingRow<'_>> = samples.iter().zip(weights(samples, &bins)).map(|(s, weight)| row(s, weight)).collect();
    FittedScore::fit(&rows, ridge)
}

fn row(sample: &Sample, weight: f64) -> TrainingRow<'_> {
    TrainingRow { statistics: &sample.statistics, tokens: sample.tokens, machine: sample.machine, weight }
}

fn starts(samples: &[&Sample], edges: &[usize], bin_size: usize) -> Vec<usize> {
    let mut seen = HashSet::new();
    let lengths: Vec<usize> = samples.iter().filter(|s| !s.machine && seen.insert(s.group)).map(|s| s.tokens).collect();
    bins::merge(edges, &lengths, bin_size.max(MIN_HUMAN))
}

pub(super) fn cross_fit<'a>(samples: &[&'a Sample], starts: &[usize], options: &FitOptions) -> Result<Vec<Crossed<'a>>, FitError> {
    let folds = options.folds.max(2);
    let without = |k: usize| -> Result<FittedScore, FitError> {
        let seen: Vec<&Sample> = samples.iter().filter(|s| fold(s.group, folds) != k).copied().collect();
        held_out(samples, &seen).map_or(Ok(()), Err)?;
        Ok(fit_score(&seen, options.ridge)?)
    };
    let models = (0..folds).map(without).collect::<Result<Vec<_>, _>>()?;
    let score = |s: &'a Sample| (s, models[fold(s.group, folds)].score(&s.statistics, s.tokens));
    Ok(mark_first(samples.iter().map(|s| score(s)), starts))
}

/// What is wrong where a fit without one fold has `seen` nothing of a class: its texts are too few documents.
fn held_out(samples: &[&Sample], seen: &[&Sample]) -> Option<FitError> {
    let (machine, class) =
        [(false, "human texts"), (true, "machine texts")].into_iter().find(|(machine, _)| seen.iter().all(|s| s.machine != *machine))?;
    let of: Vec<u64> = samples.iter().filter(|s| s.machine == machine).map(|s| s.group).collect();
    Some(FitError::Alike { class: class.into(), texts: of.len(), documents: of.iter().collect::<HashSet<_>>().len() })
}

/// Marks the samples that count: each human document once per bin, every machine text.
pub(super) fn mark_first<'a>(scored: impl Iterator<Item = (&'a Sample, f64)>, starts: &[usize]) -> Vec<Crossed<'a>> {
    let mut seen = HashSet::new();
    let mark = |(sample, score): (&'a Sample, f64)| {
        let bin = starts.partition_point(|&from| from <= sample.tokens);
        Crossed { sample, score, first: sample.machine || seen.insert((sample.group, bin)) }
    };
    scored.map(mark).collect()
}

/// Scores of one class between two lengths, human documents once each.
pub(super) fn scores(crossed: &[Crossed<'_>], machine: bool, from: usize, to: usize) -> Vec<f64> {
    let wanted = |c: &&Crossed<'_>| c.first && c.sample.machine == machine && c.sample.tokens >= from && c.sample.tokens < to;
    crossed.iter().filter(wanted).map(|c| c.score).collect()
}

/// The bins that begin at `starts`.
pub(super) fn bins_of(starts: &[usize], crossed: &[Crossed<'_>]) -> Vec<Bin> {
    (0..starts.len()).map(|i| bin_of(starts, i, crossed)).collect()
}

fn bin_of(starts: &[usize], i: usize, crossed: &[Crossed<'_>]) -> Bin {
    let (from, to) = (starts[i], starts.get(i + 1).copied().unwrap_or(usize::MAX));
    let (human, machine) = (reference(crossed, from, to), scores(crossed, true, from, to));
    let probability = bins::probability(&human, &machine);
    Bin::new(from, narrow(&human), narrow(&machine), probability)
}

/// Human scores that a bin keeps: once for each document, and at most [`MAX_HUMAN`].
pub(super) fn reference(crossed: &[Crossed<'_>], from: usize, to: usize) -> Vec<f64> {
    let mut human: Vec<&Crossed<'_>> =
        crossed.iter().filter(|c| c.first && !c.sample.machine && c.sample.tokens >= from && c.sample.tokens < to).collect();
    // Which ones are kept depends on the group alone: a choice by score would break exchangeability.
    human.sort_by_key(|c| shuffled(!c.sample.group));
    human.truncate(MAX_HUMAN);
    human.iter().map(|c| c.score).collect()
}

/// The precision of the file.
pub(super) fn narrow(scores: &[f64]) -> Vec<f32> {
    scores.iter().map(|&s| s as f32).collect()
}

/// From where on texts get verdicts. A bin alone does not tell: with few texts there is one for all lengths, which is good enough by its long
/// texts whatever the short ones do.
fn min_tokens(qualities: &[BinQuality], bins: &[Bin], crossed: &[Crossed<'_>]) -> usize {
    let by_bins = if bins.len() > 1 { good_bins(qualities, bins) } else { SHORTEST };
    by_bins.max(good_ranges(crossed))
}

/// The start of the first bin from which on every bin with a machine reference tells the classes apart.
fn good_bins(qualities: &[BinQuality], bins: &[Bin]) -> usize {
    let judged = qualities.iter().zip(bins).rev().filter(|(_, bin)| !bin.machine().is_empty());
    let good = judged.take_while(|(quality, _)| quality.quality.auroc.is_some_and(|a| a >= VERDICT_AUROC));
    good.last().map_or(NO_VERDICTS, |(quality, _)| quality.from_tokens)
}

/// The same by unions of the finest ranges, from the longest down, with enough texts of each class. What is left at the short end is too
/// little to know.
fn good_ranges(crossed: &[Crossed<'_>]) -> usize {
    let (mut least, mut end) = (NO_VERDICTS, usize::MAX);
    for from in EDGES.into_iter().rev() {
        let [human, machine] = [false, true].map(|machine| scores(crossed, machine, from, end));
        if human.len().min(machine.len()) < JUDGED_BY {
            continue;
        }
        if auroc(&human, &machine).is_none_or(|a| a < VERDICT_AUROC) {
            break;
        }
        (least, end) = (from, from);
    }
    least
}

/// Where the samples came from, by family name.
pub(super) fn sources(samples: &[&Sample], apart: &[String]) -> Vec<Source> {
    let mut families: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for s in samples {
        families.entry(&s.family).or_default().push(s);
    }
    let named = |names: BTreeSet<&String>| names.into_iter().cloned().collect();
    let source = |(name, of): (&str, Vec<&Sample>)| Source {
        name: name.to_owned(),
        human: of.iter().filter(|s| !s.machine).map(|s| s.group).collect::<HashSet<_>>().len(),
        machine: of.iter().filter(|s| s.machine).count(),
        generators: named(of.iter().filter_map(|s| s.generator.as_ref()).collect()),
        domains: named(of.iter().filter_map(|s| s.domain.as_ref()).collect()),
        apart: apart.iter().any(|family| family == name),
    };
    families.into_iter().map(source).collect()
}
