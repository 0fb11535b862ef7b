//! Where the command line meets the model and its calibration: which one judges, and how a new one is made.

use super::{Refused, settings::Setup};
use crate::{
    calibration::{Calibration, FamilyQuality, FitOptions, FitReport, KindOf, Quality, SUFFICIENT, Sample},
    detector::{Detector, Options},
    model::{self, ModelInfo, ModelSource},
    report::{Axis, Bar, Bars, Page},
    text::harmless,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    fmt::{self, Write},
    io,
    path::Path,
    sync::Arc,
};

/// Loads the model and the calibration that fits it.
pub(super) fn detector(setup: &Setup) -> anyhow::Result<Detector> {
    let scorer = model::load(&setup.load)?;
    let info = scorer.info();
    let calibration = calibration(setup, info)?.unwrap_or_else(|| {
        let name = &info.name;
        tracing::warn!(
            "{name} has no calibration, so no text gets a verdict; make one with `highwater calibrate`, name it with --calibration"
        );
        none(setup, info)
    });
    for warning in warnings(&calibration, setup.detector) {
        tracing::warn!("{warning}");
    }
    Ok(Detector::new(scorer, Arc::new(calibration), setup.detector)?)
}

/// What a user must know who judges with these options by this calibration.
fn warnings(calibration: &Calibration, options: Options) -> Vec<String> {
    let mut warnings = Vec::new();
    if calibration.normalize != options.normalize {
        let [made, now] = [calibration.normalize, options.normalize].map(|on| if on { "on" } else { "off" });
        warnings.push(format!(
            "calibration {} was made with --normalize {made}, and this run has it {now}, so its p-values do not hold; use --normalize {made}, or \
             make a calibration with `highwater calibrate --normalize {now}`",
            harmless(&calibration.name)
        ));
    }
    let bins: Vec<_> = calibration.bins().iter().map(|bin| (bin.from_tokens, bin.smallest_p_value())).collect();
    warnings.extend(never_flagged(&bins, options.policy.fpr));
    warnings
}

/// The lengths at which no text is flagged, however high it scores: the calibration has too few human texts for a p-value as small as `fpr`.
/// Bins by their fewest tokens and their smallest p-value, shortest first.
fn never_flagged(bins: &[(usize, f64)], fpr: f64) -> Option<String> {
    // neighbours are one range, the last of which may have no end
    let mut ranges: Vec<(usize, Option<usize>)> = Vec::new();
    let ends = bins.iter().skip(1).map(|bin| Some(bin.0)).chain([None]);
    for (&(from, smallest), to) in bins.iter().zip(ends) {
        match ranges.last_mut() {
            _ if smallest <= fpr => {}
            Some((_, end)) if *end == Some(from) => *end = to,
            _ => ranges.push((from, to)),
        }
    }
    let enough = bins.iter().map(|bin| bin.1).filter(|&smallest| smallest > fpr).fold(0., f64::max);
    let which = match (&ranges[..], bins) {
        ([], _) => return None,
        ([(from, None)], [(first, _), ..]) if from == first => "no text is".to_owned(),
        _ => {
            let range = |&(from, to): &(usize, Option<usize>)| {
                to.map_or_else(|| format!("{from} tokens or more"), |to| format!("{from} to {} tokens", to - 1))
            };
            format!("no text of {} is", ranges.iter().map(range).collect::<Vec<_>>().join(" and of "))
        }
    };
    Some(format!(
        "{which} ever flagged at --fpr {fpr}: the calibration has too few human texts for a p-value this small; use --fpr {} or more, or a \
         calibration by more texts",
        rounded_up(enough)
    ))
}

/// A p-value to two digits, rounded up, so that a rate of as much is enough.
fn rounded_up(p_value: f64) -> String {
    let digits = (1. - p_value.log10().floor()).max(0.) as usize;
    let scale = 10f64.powi(digits as i32);
    format!("{:.digits$}", (p_value * scale).ceil() / scale)
}

/// Loads the model for its statistics alone.
pub(super) fn uncalibrated(setup: &Setup) -> anyhow::Result<Detector> {
    let scorer = model::load(&setup.load)?;
    let none = none(setup, scorer.info());
    Ok(Detector::new(scorer, Arc::new(none), setup.detector)?)
}

/// No calibration, for this model: no text gets a verdict.
fn none(setup: &Setup, info: &ModelInfo) -> Calibration {
    let mut none = Calibration::none(&info.hash);
    none.model_name = info.name.clone();
    none.normalize = setup.detector.normalize;
    none
}

/// The calibration that the user named, else the model's own where it fits, else none.
fn calibration(setup: &Setup, info: &ModelInfo) -> anyhow::Result<Option<Calibration>> {
    let read = |path: &Path| Calibration::load(path).map_err(|error| Refused(error.to_string()));
    if let Some(path) = &setup.calibration {
        return Ok(Some(read(path)?));
    }
    match &setup.load.source {
        ModelSource::Embedded => Ok(Some(Calibration::parse(model::EMBEDDED_CALIBRATION, "embedded")?)),
        ModelSource::Directory(folder) if folder.join("calibration.json").is_file() => {
            let path = folder.join("calibration.json");
            let own = read(&path)?;
            if own.model_hash() == info.hash {
                return Ok(Some(own));
            }
            tracing::warn!("{} was made with the model {}, but {} is loaded; it is not used", path.display(), own.model_hash(), info.hash);
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// A new calibration and what it can do.
pub(super) struct Made {
    calibration: Calibration,
    /// Absent for a profile: it takes its score from another calibration.
    pub(super) report: Option<FitReport>,
}

/// What the command line says of a fit.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) kinds: &'a [KindOf],
    pub(super) apart: &'a [String],
    /// What a profile leans on, where it was read before the work.
    pub(super) base: Option<Calibration>,
}

/// The calibration that a profile leans on: it must be of the same model, and of texts that were normalised alike.
pub(super) fn base(setup: &Setup, info: &ModelInfo) -> anyhow::Result<Calibration> {
    let base = calibration(setup, info)?.unwrap_or_else(|| none(setup, info));
    if base.model_hash() != info.hash {
        let fault = format!("calibration {} was made with the model {}, but {} is loaded", base.name, base.model_hash(), info.hash);
        return Err(Refused(format!("{fault}; name another with --base, or load that model with --model")).into());
    }
    if base.normalize != setup.detector.normalize {
        return Err(Refused(format!("calibration {} was made with another --normalize; use the same", base.name)).into());
    }
    Ok(base)
}

/// Fits a score and its reference; without machine texts, keeps the present score and reads it against these human texts.
pub(super) fn fit(samples: &[Sample], setup: &Setup, info: &ModelInfo, wanted: Wanted<'_>) -> anyhow::Result<Made> {
    let name = wanted.name;
    let refused = |error: crate::calibration::FitError| Refused(error.to_string());
    let now = Timestamp::now();
    if samples.iter().any(|sample| sample.machine) {
        let normalize = setup.detector.normalize;
        let (kinds, apart) = (wanted.kinds.to_vec(), wanted.apart.to_vec());
        let options = FitOptions { normalize, kinds, apart, ..FitOptions::new(name, &info.name, &info.hash, now) };
        let (calibration, report) = Calibration::fit(samples, &options).map_err(refused)?;
        return Ok(Made { calibration, report: Some(report) });
    }
    // files of --machine may hold no row of theirs
    let base = wanted.base.map_or_else(|| base(setup, info), Ok)?;
    let calibration = base.profile(samples, name, now).map_err(refused)?;
    Ok(Made { calibration, report: None })
}

/// Whether figures that were made with the calibration `made_with` may stand beside those of `own`; why not.
pub(super) fn same_calibration(made_with: &str, own: &str) -> Result<(), String> {
    if made_with == own {
        return Ok(());
    }
    Err(format!("it was scored with the calibration {made_with}, but {own} is in use; name that one with --calibration, or give the texts"))
}

/// Where honest figures for a file come from that the calibration has seen.
pub(super) const LEFT_OUT_ADVICE: &str =
    "`highwater calibrate --human FILES --machine FILES` prints each file's figures by a fit without it.";

impl Made {
    /// Its report as a page; a profile has none, and says so.
    pub(super) fn page(&self) -> anyhow::Result<String> {
        let mut page = Page::new(&format!("Calibration {}", self.calibration.name));
        let Some(report) = &self.report else {
            page.text("A profile keeps the score of its base: there is nothing to compare.");
            return Ok(page.html());
        };
        page.text("Cross-fitted: each text is scored by a fit that saw neither it nor what was made from the same document.");
        let row = |name: &str, q: &Quality| {
            let auroc = q.auroc.map_or_else(|| "-".to_owned(), |a| format!("{a:.3}"));
            vec![name.to_owned(), q.human.to_string(), q.machine.to_string(), auroc, share(q.tpr_at_fpr_01), share(q.tpr_at_fpr_05)]
        };
        let mut rows = vec![row("all lengths", &report.overall)];
        rows.extend(report.bins.iter().map(|bin| row(&format!("from {} tokens", bin.from_tokens), &bin.quality)));
        page.table(&["", "human", "machine", "AUROC", "TPR@1%", "TPR@5%"], &rows);
        page.heading("Each file, scored by a fit on all the others");
        let left_out = |f: &FamilyQuality| {
            let flagged = [f.human_flagged_01, f.human_flagged_05, f.machine_flagged_01, f.machine_flagged_05].map(share);
            row(&f.family, &f.quality).into_iter().chain(flagged).collect::<Vec<_>>()
        };
        let head = ["", "human", "machine", "AUROC", "TPR@1%", "TPR@5%", "human flagged at 1%", "at 5%", "machine flagged at 1%", "at 5%"];
        page.table(&head, &report.families_left_out.iter().map(left_out).collect::<Vec<_>>());
        // a file may hold no human texts
        let bar = |f: &FamilyQuality| Some(Bar { name: f.family.clone(), value: f.human_flagged_01?, interval: None });
        let bars: Vec<_> = report.families_left_out.iter().filter_map(bar).collect();
        for part in bars.chunks(40) {
            let (title, x) = ("Human documents flagged at a nominal 1%".to_owned(), Axis::new("share"));
            page.bars(&Bars { title, x, bars: part.to_vec(), reference: Some(0.01) })?;
        }
        Ok(page.html())
    }

    /// The samples, one JSON object a line, each with its score and p-value by the fit without its data set.
    pub(super) fn write_scored(&self, samples: &[Sample], setup: &Setup, out: &mut dyn io::Write) -> anyhow::Result<()> {
        let Some(report) = &self.report else {
            return Err(Refused("a profile is fitted to one community: there is nothing to leave out, and so no --scored".into()).into());
        };
        for (sample, left_out) in samples.iter().zip(&report.left_out) {
            let p_value = left_out.as_ref().and_then(|l| l.p_value);
            let row = json!({
                "family": sample.family,
                "label": if sample.machine { "machine" } else { "human" },
                "domain": sample.domain,
                "generator": sample.generator,
                "attack": sample.attack,
                "words": sample.words,
                "line_breaks": sample.line_breaks,
                "group": sample.group,
                "tokens": sample.tokens,
                "score": left_out.as_ref().map(|l| l.score),
                "p_value": p_value,
                "kind_p_values": left_out.as_ref().map(|l| &l.kinds),
                "flagged": p_value.is_some_and(|p| p <= setup.detector.policy.fpr),
                "calibration": self.calibration.name,
                "model": format!("{}@{}", self.calibration.model_name, self.calibration.model_hash()),
                "normalize": self.calibration.normalize,
                "statistics": sample.statistics,
            });
            writeln!(out, "{row}")?;
        }
        Ok(())
    }

    /// Saves it, and gives its report as a table.
    pub(super) fn saved(&self, path: &Path) -> anyhow::Result<String> {
        self.calibration.save(path)?;
        let mut out = String::new();
        writeln!(out, "{} for {}, in {}\n", self.calibration.name, self.calibration.model_name, path.display())?;
        match &self.report {
            Some(report) => fit_table(&mut out, report)?,
            None => profile_table(&mut out, &self.calibration)?,
        }
        match self.calibration.verdicts_from() {
            None => writeln!(out, "\nNo text gets a verdict of its own: at no length are enough texts told apart; give more, or others.")?,
            Some(least) => writeln!(out, "\nA text gets a verdict of its own from {least} tokens on.")?,
        }
        Ok(out)
    }
}

fn fit_table(out: &mut String, report: &FitReport) -> fmt::Result {
    writeln!(out, "{:<28} {:>7} {:>7} {:>7} {:>8} {:>8}", "", "human", "machine", "AUROC", "TPR@1%", "TPR@5%")?;
    line(out, "all lengths", &report.overall)?;
    for bin in &report.bins {
        line(out, &format!("from {} tokens", bin.from_tokens), &bin.quality)?;
    }
    if !report.families_left_out.is_empty() {
        writeln!(out, "\nEach file, scored by a fit on all the others; its human texts flagged at 1% and 5%:")?;
    }
    for family in &report.families_left_out {
        line(out, &family.family, &family.quality)?;
        writeln!(out, "{:<44} flagged {:>8} {:>8}", "", share(family.human_flagged_01), share(family.human_flagged_05))?;
    }
    if report.too_short > 0 {
        writeln!(out, "\n{} texts were too short to count.", report.too_short)?;
    }
    Ok(())
}

fn line(out: &mut String, name: &str, q: &Quality) -> fmt::Result {
    let auroc = q.auroc.map_or_else(|| "-".to_owned(), |a| format!("{a:.3}"));
    let (one, five) = (share(q.tpr_at_fpr_01), share(q.tpr_at_fpr_05));
    writeln!(out, "{name:<28} {:>7} {:>7} {auroc:>7} {one:>8} {five:>8}", q.human, q.machine)
}

pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{:.1}%", 100. * v))
}

fn profile_table(out: &mut String, calibration: &Calibration) -> fmt::Result {
    writeln!(out, "{:<28} {:>7} {:>17} {:>27}", "", "human", "smallest p-value", "true rate at 1%, at most")?;
    for bin in calibration.bins() {
        let n = bin.documents();
        let bound = bin.rate_bounds().iter().find(|b| b.level == 0.01).map(|b| b.upper);
        let name = format!("from {} tokens", bin.from_tokens);
        writeln!(out, "{name:<28} {n:>7} {:>17.4} {:>27}", bin.smallest_p_value(), share(bound))?;
    }
    if calibration.bins().iter().any(|bin| bin.documents() != bin.human().len()) {
        writeln!(
            out,
            "\nWith fewer than {SUFFICIENT} texts, the base calibration lends the shape of the scores, moved and stretched to these texts."
        )?;
    }
    Ok(())
}

/// Where a calibration comes from and what it was measured on, for `model info`.
pub(super) fn provenance(calibration: &Calibration) -> anyhow::Result<Value> {
    let lengths: Vec<_> = calibration
        .bins()
        .iter()
        .map(|bin| json!({ "from_tokens": bin.from_tokens, "human": bin.documents(), "machine": bin.machine().len() }))
        .collect();
    Ok(json!({
        "name": calibration.name,
        "model_name": calibration.model_name,
        "model_hash": calibration.model_hash(),
        "normalize": calibration.normalize,
        "created": calibration.created,
        "kinds": calibration.kinds_read().map(|kind| json!({ "name": kind.name, "families": kind.families })).collect::<Vec<_>>(),
        "sources": serde_json::to_value(&calibration.sources)?,
        "lengths": lengths,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Fake, LoadOptions, Scorer},
        verdict::Policy,
    };

    #[test]
    fn lengths_that_are_never_flagged_are_named() {
        // of the second bin a text may be flagged at 0.0004, of the first only from 0.0005 on
        let bins = [(8, 0.0005), (24, 0.0004), (48, 1. / 2087.), (128, 0.0003)];
        for (fpr, which, enough) in [
            (0.000_49, "no text of 8 to 23 tokens is ever", "0.00050"),
            (0.000_45, "no text of 8 to 23 tokens and of 48 to 127 tokens is ever", "0.00050"),
            (0.000_35, "no text of 8 to 127 tokens is ever", "0.00050"),
            (0.000_29, "no text is ever", "0.00050"),
        ] {
            let told = never_flagged(&bins, fpr).unwrap();
            assert!(told.starts_with(which) && told.contains(&format!("use --fpr {enough} or more")), "{fpr}: {told}");
        }
        assert_eq!(never_flagged(&bins, 0.0005), None, "a p-value at the rate itself is flagged");
        let told = never_flagged(&[(8, 0.0001), (24, 1. / 2087.)], 0.0002).unwrap();
        assert!(told.starts_with("no text of 24 tokens or more is ever") && told.contains("--fpr 0.00048 or more"), "{told}");
        assert_eq!(never_flagged(&[], 0.01), None);
    }

    #[test]
    fn what_does_not_fit_the_calibration_is_told() {
        let calibration = Calibration::for_fake();
        let told = |fpr, normalize| warnings(&calibration, Options { policy: Policy { fpr, ..Policy::default() }, normalize });
        // one of 999 texts and itself
        assert!(told(0.001, true).is_empty(), "{:?}", told(0.001, true));
        let found = told(0.0009, false);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("made with --normalize on") && found[0].contains("`highwater calibrate --normalize off`"), "{found:?}");
        assert!(found[1].starts_with("no text is ever flagged at --fpr 0.0009"), "{found:?}");
    }

    /// It takes no texts to see it, so none need be scored before.
    #[test]
    fn a_base_that_cannot_be_leaned_on_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.json");
        let told = |normalize: bool, hash: &str| {
            let options = Options { normalize, ..Options::default() };
            let setup = Setup { load: LoadOptions::default(), detector: options, calibration: Some(path.clone()) };
            let info = ModelInfo { hash: hash.to_owned(), ..Fake::default().info().clone() };
            base(&setup, &info).map(|base| base.name).map_err(|error| error.to_string())
        };
        let own = "0000000000000000";
        assert!(told(true, own).unwrap_err().contains("cannot read calibration") && !path.exists());
        Calibration::for_fake().save(&path).unwrap();
        assert_eq!(told(true, own), Ok("fake".to_owned()));
        assert!(told(false, own).unwrap_err().contains("another --normalize"));
        let other = told(true, "1111111111111111").unwrap_err();
        assert!(other.contains("1111111111111111 is loaded; name another with --base"), "{other}");
    }

    #[test]
    fn a_file_without_human_texts_has_no_bar() {
        let page = |human_flagged_01| {
            let file = FamilyQuality { family: "machines".into(), human_flagged_01, ..FamilyQuality::default() };
            let report = FitReport { families_left_out: vec![file], ..FitReport::default() };
            Made { calibration: Calibration::for_fake(), report: Some(report) }.page().unwrap()
        };
        assert!(page(Some(0.02)).contains("<svg") && !page(None).contains("<svg"));
    }
}
