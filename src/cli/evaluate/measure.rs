//! Slices to figures: how well each score tells the classes apart, with intervals by document, and who is flagged at nominal rates.

use super::{
    rows::Row,
    slices::{self, Cut, Slice},
};
use crate::{
    calibration::Calibration,
    detector::Detector,
    score::ScoreName,
    stats::{Measures, Ranked, Ranking, Resampling, measured, proportion_interval, quantile, random::Random},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Samples drawn for an interval.
pub(super) const SAMPLES: usize = 1000;
const SEED: u64 = 20_240_607;
const CONFIDENCE: f64 = 0.95;
/// Nominal false-positive rates.
const LEVELS: [f64; 2] = [0.01, 0.05];
/// Where the AUROC of the word count, or of having line breaks, is this far from 0.5, that alone gives the label away.
const GIVEN_AWAY: f64 = 0.1;
/// Bands of equal numbers of texts in which lengths are made equal.
const BANDS: usize = 10;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Evaluation {
    pub(super) model: String,
    pub(super) calibration: String,
    pub(super) rows: usize,
    /// Different human documents.
    pub(super) human_documents: usize,
    pub(super) machine_texts: usize,
    /// How the intervals are made.
    pub(super) confidence: f64,
    pub(super) samples: usize,
    pub(super) seed: u64,
    /// Rows whose score is by a fit without their file, from `calibrate --scored`.
    pub(super) left_out: usize,
    /// Files that the calibration was fitted on: their figures are too good.
    pub(super) fitted_on: Vec<String>,
    pub(super) overall: Figures,
    pub(super) by_file: Vec<Figures>,
    pub(super) by_domain: Vec<Figures>,
    pub(super) by_generator: Vec<Figures>,
    pub(super) by_attack: Vec<Figures>,
    pub(super) by_length: Vec<Figures>,
    /// Slices left out because there are more than 60 of a kind.
    pub(super) dropped: usize,
}

/// The figures of one slice.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) name: String,
    /// The calibration was fitted on this file.
    pub(super) fitted_on: bool,
    /// Human documents compared.
    pub(super) human: usize,
    /// Machine texts compared.
    pub(super) machine: usize,
    /// Texts that have no p-value, by the reason, and so are not compared.
    pub(super) not_judged: BTreeMap<String, usize>,
    /// AUROC of the word count alone; null where a class is missing.
    pub(super) length_auroc: Option<f64>,
    /// AUROC of having line breaks, alone; null where a class is missing.
    pub(super) line_break_auroc: Option<f64>,
    /// The document score.
    #[serde(flatten)]
    pub(super) score: Measures,
    /// The document score with both classes weighted to equal lengths.
    pub(super) equal_lengths: Measures,
    /// The document score over the texts without line breaks, and how many of them there are.
    pub(super) without_line_breaks: Measures,
    pub(super) human_without_line_breaks: usize,
    pub(super) machine_without_line_breaks: usize,
    /// One statistic alone each.
    pub(super) baselines: Vec<Baseline>,
    /// Texts flagged at nominal rates.
    pub(super) flagged: Vec<Flagged>,
    /// Verdicts on the human documents and on the machine texts, abstentions by their reason.
    pub(super) human_verdicts: BTreeMap<String, usize>,
    pub(super) machine_verdicts: BTreeMap<String, usize>,
}

/// What one statistic alone can do.
#[derive(Debug, Serialize)]
pub(super) struct Baseline {
    pub(super) name: ScoreName,
    #[serde(flatten)]
    pub(super) measures: Measures,
}

/// Shares of texts with a p-value at or below a level.
#[derive(Debug, Serialize)]
pub(super) struct Flagged {
    pub(super) level: f64,
    /// Of the human documents: the false-positive rate.
    pub(super) human: Option<Share>,
    /// Of the machine texts.
    pub(super) machine: Option<Share>,
}

/// A share of texts; its interval counts documents.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Share {
    pub(super) count: usize,
    pub(super) of: usize,
    pub(super) share: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Figures {
    /// Whether its length gives the label away.
    pub(super) fn length_tells(&self) -> bool {
        given_away(self.length_auroc)
    }

    /// Whether its line breaks give the label away.
    pub(super) fn line_breaks_tell(&self) -> bool {
        given_away(self.line_break_auroc)
    }
}

fn given_away(auroc: Option<f64>) -> bool {
    auroc.is_some_and(|a| (a - 0.5).abs() >= GIVEN_AWAY)
}

/// Measures everything. Deterministic.
pub(super) fn evaluation(rows: &[Row], detector: &Detector) -> Evaluation {
    let info = detector.model();
    evaluated(rows, detector.calibration(), format!("{}@{}", info.name, info.hash))
}

fn evaluated(rows: &[Row], calibration: &Calibration, model: String) -> Evaluation {
    // a file's scores are too good where the calibration itself gave them
    let own: HashSet<&str> = rows.iter().filter(|r| !r.left_out).map(|r| r.file.as_str()).collect();
    let fitted: HashSet<&str> = calibration.sources.iter().map(|s| s.name.as_str()).filter(|name| own.contains(name)).collect();
    let measure = |slice: &Slice<'_>| figures(slice, calibration.is_calibrated());
    let mut dropped = 0;
    let mut all = |cut: Cut<'_>| {
        dropped += cut.dropped;
        cut.slices.iter().map(measure).collect::<Vec<_>>()
    };
    let mut by_file = all(slices::by_file(rows));
    by_file.iter_mut().for_each(|f| f.fitted_on = fitted.contains(f.name.as_str()));
    let (by_domain, by_generator) = (all(slices::by_domain(rows)), all(slices::by_generator(rows)));
    let (by_attack, by_length) = (all(slices::by_attack(rows)), all(slices::by_length(rows)));
    let humans: HashSet<u64> = rows.iter().filter(|r| !r.machine).map(|r| r.group).collect();
    Evaluation {
        model,
        calibration: calibration.name.clone(),
        rows: rows.len(),
        human_documents: humans.len(),
        machine_texts: rows.iter().filter(|r| r.machine).count(),
        confidence: CONFIDENCE,
        samples: SAMPLES,
        seed: SEED,
        left_out: rows.iter().filter(|r| r.left_out).count(),
        fitted_on: by_file.iter().filter(|f| f.fitted_on).map(|f| f.name.clone()).collect(),
        overall: measure(&slices::overall(rows)),
        by_file,
        by_domain,
        by_generator,
        by_attack,
        by_length,
        dropped,
    }
}

/// Whether a text's score is compared: it has a p-value, or there is no calibration at all.
pub(super) fn judged(row: &Row, calibrated: bool) -> bool {
    row.p_value.is_some() || !calibrated && row.score.is_some()
}

fn figures(slice: &Slice<'_>, calibrated: bool) -> Figures {
    let (rows, left): (Vec<&Row>, Vec<&Row>) = slice.rows.iter().copied().partition(|row| judged(row, calibrated));
    let one_line = |r: &Row| r.line_breaks == 0;
    let count = |machine, which: &dyn Fn(&Row) -> bool| rows.iter().filter(|r| r.machine == machine && which(r)).count();
    let of = |score: &dyn Fn(&Row) -> Option<f64>, weights: &[f64]| ranking(&rows, score, weights);
    let plain = vec![1.; rows.len()];
    let unbroken: Vec<f64> = rows.iter().map(|r| if one_line(r) { 1. } else { 0. }).collect();
    let mut rankings: Vec<_> = [&plain, &equal_lengths(&rows), &unbroken].map(|weights| of(&|r| r.score, weights)).into();
    // A plain statistic that is undefined is no evidence, as in a calibration without a fit.
    rankings.extend(ScoreName::ALL.map(|name| of(&|r| r.statistics.as_ref().map(|s| name.of(s).unwrap_or(0.)), &plain)));
    let groups: HashSet<u64> = rows.iter().map(|r| r.group).collect();
    let mut found =
        measured(&rankings, Resampling { clusters: groups.len(), samples: SAMPLES, seed: SEED, confidence: CONFIDENCE }).into_iter();
    let alone = |value: &dyn Fn(&Row) -> f64| {
        let of = |machine| rows.iter().filter(|r| r.machine == machine).map(|r| value(r)).collect::<Vec<_>>();
        crate::stats::auroc(&of(false), &of(true))
    };
    Figures {
        name: slice.name.clone(),
        fitted_on: false,
        human: count(false, &|_| true),
        machine: count(true, &|_| true),
        not_judged: told(left.into_iter()),
        length_auroc: alone(&|r| r.words as f64),
        line_break_auroc: alone(&|r| if one_line(r) { 0. } else { 1. }),
        score: found.next().unwrap_or_default(),
        equal_lengths: found.next().unwrap_or_default(),
        without_line_breaks: found.next().unwrap_or_default(),
        human_without_line_breaks: count(false, &one_line),
        machine_without_line_breaks: count(true, &one_line),
        baselines: ScoreName::ALL.into_iter().zip(found).map(|(name, measures)| Baseline { name, measures }).collect(),
        flagged: LEVELS.iter().filter(|_| calibrated).map(|&level| flagged(&rows, level)).collect(),
        human_verdicts: told(slice.rows.iter().copied().filter(|r| !r.machine)),
        machine_verdicts: told(slice.rows.iter().copied().filter(|r| r.machine)),
    }
}

fn ranking(rows: &[&Row], score: &dyn Fn(&Row) -> Option<f64>, weights: &[f64]) -> Ranking {
    let mut clusters = HashMap::new();
    let ranked = rows.iter().zip(weights).filter_map(|(row, &weight)| {
        let next = clusters.len();
        let cluster = *clusters.entry(row.group).or_insert(next);
        Some(Ranked { score: score(row)?, machine: row.machine, cluster, weight })
    });
    Ranking::new(ranked.collect::<Vec<_>>())
}

/// Weights under which both classes have the same lengths: in each of ten bands of length both weigh 2hm/(h + m), the effective size of
/// comparing h human with m machine texts, as in a fit; a band without one class weighs nothing.
fn equal_lengths(rows: &[&Row]) -> Vec<f64> {
    let mut words: Vec<usize> = rows.iter().map(|r| r.words).collect();
    words.sort_unstable();
    let edges: Vec<usize> = (1..BANDS).filter_map(|i| words.get(i * words.len() / BANDS)).copied().collect();
    let bands: Vec<usize> = rows.iter().map(|r| edges.partition_point(|&e| e <= r.words)).collect();
    let mut counts = [[0.; 2]; BANDS];
    rows.iter().zip(&bands).for_each(|(row, &band)| counts[band][usize::from(row.machine)] += 1.);
    let weight = |(row, &band): (&&Row, &usize)| {
        let [human, machine] = counts[band];
        2. * if row.machine { human } else { machine } / (human + machine)
    };
    rows.iter().zip(&bands).map(weight).collect()
}

fn flagged(rows: &[&Row], level: f64) -> Flagged {
    let texts = |machine: bool| {
        let of = rows.iter().filter(|r| r.machine == machine);
        of.map(|r| (r.group, r.p_value.is_some_and(|p| p <= level))).collect::<Vec<_>>()
    };
    Flagged { level, human: share(&texts(false)), machine: share_by_document(&texts(true)) }
}

/// The share flagged of texts of one document each, given as that document and whether it is flagged; the interval is Clopper & Pearson's.
fn share(texts: &[(u64, bool)]) -> Option<Share> {
    let (count, of) = (texts.iter().filter(|t| t.1).count(), texts.len());
    let (low, high) = proportion_interval(count, of, CONFIDENCE);
    (of > 0).then(|| Share { count, of, share: count as f64 / of as f64, low, high })
}

/// The same where one document may have many texts, which are not independent: whole documents are drawn, as for the measures. Draws from
/// documents that are all alike would say that nothing is uncertain: there the interval is Clopper & Pearson's over the documents.
fn share_by_document(texts: &[(u64, bool)]) -> Option<Share> {
    let plain = share(texts)?;
    let mut places = HashMap::new();
    // flagged texts of each document, and all of them
    let mut documents: Vec<(usize, usize)> = Vec::new();
    for &(group, flagged) in texts {
        let place = *places.entry(group).or_insert(documents.len());
        if place == documents.len() {
            documents.push((0, 0));
        }
        documents[place].0 += usize::from(flagged);
        documents[place].1 += 1;
    }
    let (low, high) = match plain.count {
        0 => proportion_interval(0, documents.len(), CONFIDENCE),
        count if count == plain.of => proportion_interval(documents.len(), documents.len(), CONFIDENCE),
        _ => drawn_interval(&documents)?,
    };
    Some(Share { low, high, ..plain })
}

/// Percentile interval of the share flagged over draws of documents, each given as its flagged texts and all of them.
fn drawn_interval(documents: &[(usize, usize)]) -> Option<(f64, f64)> {
    let mut random = Random(SEED);
    let mut draw = || {
        let drawn = (0..documents.len()).map(|_| documents[random.below(documents.len())]);
        let (flagged, all) = drawn.fold((0, 0), |(a, b), (flagged, all)| (a + flagged, b + all));
        flagged as f64 / all as f64
    };
    let mut shares: Vec<f64> = (0..SAMPLES).map(|_| draw()).collect();
    shares.sort_unstable_by(f64::total_cmp);
    let tail = (1. - CONFIDENCE) / 2.;
    quantile(&shares, tail).zip(quantile(&shares, 1. - tail))
}

/// How many texts got which verdict; abstentions by their reason.
fn told<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        if let Some(told) = &row.told {
            *counts.entry(told.clone()).or_insert(0) += 1;
        }
    }
    counts
}

#[cfg(test)]
pub(super) mod tests;
