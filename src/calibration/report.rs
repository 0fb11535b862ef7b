//! How well a fit tells human from machine: cross-fitted, by length, and by data set left out.

use super::{
    Bin, KindOf,
    fit::{Crossed, FitOptions, Sample, cross_fit, fit_score, mark_first, narrow, scores},
};
use crate::stats::{auroc, p_value, tpr_at_fpr};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Human documents from which on a fit's own scores of them are as good as cross-fitted ones. Fresh texts were flagged at a nominal 10% at a rate
/// of 19% by the own scores of a fit on 60 documents of each class, 10.8% on 300, and 10.0% on 1000, where the difference is lost in the noise.
/// Cross-fitting each fit that leaves a data set out would make most of the work of a fit five times as long.
const UNBIASED: usize = 2000;

/// What a fit can do, by scores of models that did not see the text's document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Samples left out because they have fewer than 8 tokens.
    pub too_short: usize,
    /// All lengths; true-positive rates by thresholds per length bin.
    pub overall: Quality,
    /// Each length bin.
    pub bins: Vec<BinQuality>,
    /// Each data set, scored by a model fitted on all the others and read against their human texts: what to expect of a new source.
    pub families_left_out: Vec<FamilyQuality>,
    /// The same for each sample, in the order in which they were given; `None` for a text that is too short, or of a data set that cannot
    /// be left out.
    #[serde(skip)]
    pub left_out: Vec<Option<LeftOut>>,
}

/// What a fit without a text's data set makes of the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOut {
    /// Log odds, larger = more machine-like.
    pub score: f64,
    /// Read against the human texts of the other data sets; `None` where they have none in its length bin.
    pub p_value: Option<f64>,
    /// The same by each kind's score, by the kind's name; without the kinds of which the data set is all there is, and those that only
    /// profiles read.
    pub kinds: BTreeMap<String, f64>,
}

/// How well two classes are told apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Different human documents.
    pub human: usize,
    /// Machine texts.
    pub machine: usize,
    /// Area under the ROC curve; null where a class is missing.
    pub auroc: Option<f64>,
    /// Share of machine texts found at a false-positive rate of 1%.
    pub tpr_at_fpr_01: Option<f64>,
    /// Share of machine texts found at a false-positive rate of 5%.
    pub tpr_at_fpr_05: Option<f64>,
}

/// One length bin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BinQuality {
    /// Fewest tokens.
    pub from_tokens: usize,
    /// How well it tells the classes apart.
    #[serde(flatten)]
    pub quality: Quality,
}

/// One data set that the score was fitted without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FamilyQuality {
    /// The data set.
    pub family: String,
    /// How well the score of the others tells its classes apart, by its own thresholds.
    #[serde(flatten)]
    pub quality: Quality,
    /// Share of its human documents with p <= 0.01 against the others' human texts; null where none of them has a p-value.
    pub human_flagged_01: Option<f64>,
    /// The same with p <= 0.05.
    pub human_flagged_05: Option<f64>,
    /// Share of its machine texts with p <= 0.01; null where none of them has a p-value.
    pub machine_flagged_01: Option<f64>,
    /// The same with p <= 0.05.
    pub machine_flagged_05: Option<f64>,
}

impl Quality {
    fn of(human: &[f64], machine: &[f64]) -> Self {
        Self {
            human: human.len(),
            machine: machine.len(),
            auroc: auroc(human, machine),
            tpr_at_fpr_01: tpr_at_fpr(human, machine, 0.01),
            tpr_at_fpr_05: tpr_at_fpr(human, machine, 0.05),
        }
    }
}

/// The cross-fitted part of the report.
pub(super) fn of(bins: &[Bin], crossed: &[Crossed<'_>]) -> FitReport {
    let ends = bins.iter().skip(1).map(|b| b.from_tokens).chain([usize::MAX]);
    let one = |(bin, to): (&Bin, usize)| {
        let of = |machine| scores(crossed, machine, bin.from_tokens, to);
        BinQuality { from_tokens: bin.from_tokens, quality: Quality::of(&of(false), &of(true)) }
    };
    let by_bin: Vec<BinQuality> = bins.iter().zip(ends).map(one).collect();
    let of = |machine| scores(crossed, machine, 0, usize::MAX);
    let overall = Quality {
        tpr_at_fpr_01: over_bins(&by_bin, |q| q.tpr_at_fpr_01),
        tpr_at_fpr_05: over_bins(&by_bin, |q| q.tpr_at_fpr_05),
        ..Quality::of(&of(false), &of(true))
    };
    FitReport { overall, bins: by_bin, ..FitReport::default() }
}

/// Every family in turn, scored by a fit on the rest, and what became of each sample. A family that holds a whole class, or without which a
/// part of the cross-fit does, cannot be left out and is not listed.
pub(super) fn leave_out(samples: &[&Sample], bins: &[Bin], options: &FitOptions) -> (Vec<FamilyQuality>, Vec<Option<LeftOut>>) {
    let starts: Vec<usize> = bins.iter().map(|b| b.from_tokens).collect();
    let families: BTreeSet<&str> = samples.iter().map(|s| s.family.as_str()).collect();
    let mut left_out = vec![None; samples.len()];
    let mut one = |family: &str| {
        let (own, others): (Vec<&Sample>, Vec<&Sample>) = samples.iter().partition(|s| s.family == family);
        // families share human documents: what the fit saw elsewhere would not be left out
        let seen: BTreeSet<u64> = own.iter().map(|s| s.group).collect();
        let rest: Vec<&Sample> = others.into_iter().filter(|s| !seen.contains(&s.group)).collect();
        let (scored, p_values) = by_fit_on(&options.pooled(&rest), &own, &starts, options)?;
        let by_kind = |kind: &KindOf| {
            let (_, p_values) = by_fit_on(&kind.among(&rest), &own, &starts, options)?;
            Some((kind.name.clone(), p_values))
        };
        let read = options.kinds.iter().filter(|kind| !kind.is_apart(options));
        let kinds: BTreeMap<String, Vec<Option<f64>>> = read.filter_map(by_kind).collect();
        let places = (0..samples.len()).filter(|&i| samples[i].family == family);
        for (i, (place, crossed)) in places.zip(&scored).enumerate() {
            let kinds = kinds.iter().filter_map(|(name, p)| Some((name.clone(), p[i]?))).collect();
            left_out[place] = Some(LeftOut { score: crossed.score, p_value: p_values[i], kinds });
        }
        Some(family_quality(family, &scored, &p_values))
    };
    let qualities = families.into_iter().filter_map(&mut one).collect();
    (qualities, left_out)
}

/// Scores of one family's texts by a fit on others, and their p-values against the human texts among these, by length bin. The reference is
/// cross-fitted, as in a calibration, where the others have fewer than [`UNBIASED`] human documents.
fn by_fit_on<'a>(
    others: &[&Sample],
    own: &[&'a Sample],
    starts: &[usize],
    options: &FitOptions,
) -> Option<(Vec<Crossed<'a>>, Vec<Option<f64>>)> {
    let model = fit_score(others, options.ridge).ok()?;
    let score = |s: &Sample| model.score(&s.statistics, s.tokens);
    let own = mark_first(own.iter().map(|&s| (s, score(s))), starts);
    let people: BTreeSet<u64> = others.iter().filter(|s| !s.machine).map(|s| s.group).collect();
    let others = if people.len() < UNBIASED {
        cross_fit(others, starts, options).ok()?
    } else {
        mark_first(others.iter().map(|&s| (s, score(s))), starts)
    };
    let p_values = p_values(&own, &others, starts);
    Some((own, p_values))
}

/// p-values of one family's texts against the others' human texts, by length bin; `None` where these have none in the bin.
fn p_values(own: &[Crossed<'_>], others: &[Crossed<'_>], starts: &[usize]) -> Vec<Option<f64>> {
    let end = |i: usize| starts.get(i + 1).copied();
    let references: Vec<Vec<f32>> = starts.iter().enumerate().map(|(i, &from)| reference(others, from, end(i))).collect();
    let read = |c: &Crossed<'_>| {
        let of = &references[starts.partition_point(|&from| from <= c.sample.tokens).saturating_sub(1)];
        (!of.is_empty()).then(|| p_value(of, c.score as f32))
    };
    own.iter().map(read).collect()
}

fn family_quality(family: &str, own: &[Crossed<'_>], p_values: &[Option<f64>]) -> FamilyQuality {
    let flagged = |machine: bool, level: f64| {
        let of = own.iter().zip(p_values).filter(|(c, _)| c.first && c.sample.machine == machine);
        let of: Vec<f64> = of.filter_map(|(_, &p)| p).collect();
        (!of.is_empty()).then(|| of.iter().filter(|&&p| p <= level).count() as f64 / of.len() as f64)
    };
    let of = |machine| scores(own, machine, 0, usize::MAX);
    FamilyQuality {
        family: family.to_owned(),
        quality: Quality::of(&of(false), &of(true)),
        human_flagged_01: flagged(false, 0.01),
        human_flagged_05: flagged(false, 0.05),
        machine_flagged_01: flagged(true, 0.01),
        machine_flagged_05: flagged(true, 0.05),
    }
}

fn reference(rest: &[Crossed<'_>], from: usize, to: Option<usize>) -> Vec<f32> {
    let mut human = narrow(&scores(rest, false, from, to.unwrap_or(usize::MAX)));
    human.sort_unstable_by(f32::total_cmp);
    human
}

/// The mean over machine texts of a rate that each bin has by its own threshold.
fn over_bins(bins: &[BinQuality], rate: impl Fn(&Quality) -> Option<f64>) -> Option<f64> {
    let rates: Vec<(f64, f64)> = bins.iter().filter_map(|b| Some((rate(&b.quality)?, b.quality.machine as f64))).collect();
    let total: f64 = rates.iter().map(|(_, n)| n).sum();
    (total > 0.).then(|| rates.iter().map(|(r, n)| r * n).sum::<f64>() / total)
}
