//! Figures as tables that people read in a terminal.

use super::measure::{Evaluation, Figures, Share};
use crate::{
    cli::join::{LEFT_OUT_ADVICE, share},
    score::ScoreName,
    stats::Estimate,
    text::harmless,
};
use std::fmt::{self, Write};

/// The widest name that is shown.
const NAME: usize = 34;
/// The narrowest column of a statistic alone.
const ALONE: usize = 11;

pub(super) fn render(evaluation: &Evaluation) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for line in opening(evaluation) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\n{:<NAME$} {:>7} {:>7}  {:<17}  {:<17}  {:<17}", "", "human", "machine", "AUROC", "TPR@1%", "TPR@5%")?;
    told_apart(&mut out, &evaluation.overall)?;
    for (title, figures) in sections(evaluation) {
        writeln!(out, "\n{title}")?;
        figures.iter().try_for_each(|f| told_apart(&mut out, f))?;
    }
    alone(&mut out, evaluation)?;
    if evaluation.overall.flagged.is_empty() {
        return Ok(out);
    }
    writeln!(out, "\nHuman documents flagged at a nominal 1% and 5%, by the calibration's p-values")?;
    writeln!(out, "{:<NAME$} {:>7}  {:<23}  {:<23}", "", "human", "at 1%", "at 5%")?;
    flagged(&mut out, &evaluation.overall)?;
    for (title, figures) in sections(evaluation).into_iter().filter(|(title, _)| !title.contains("generator") && !title.contains("attack"))
    {
        writeln!(out, "{title}")?;
        figures.iter().try_for_each(|f| flagged(&mut out, f))?;
    }
    let told: Vec<_> = std::iter::once(&evaluation.overall).chain(&evaluation.by_file).filter(|f| !f.human_verdicts.is_empty()).collect();
    if !told.is_empty() {
        writeln!(out, "\nVerdicts on human documents, by file")?;
    }
    for f in told {
        let verdicts: Vec<_> = f.human_verdicts.iter().map(|(name, n)| format!("{name} {n}")).collect();
        writeln!(out, "{:<NAME$} {}", short(&f.name), verdicts.join(", "))?;
    }
    Ok(out)
}

/// What was measured and how far it can be believed, one sentence a line.
pub(super) fn opening(evaluation: &Evaluation) -> Vec<String> {
    let e = evaluation;
    let mut lines = vec![
        format!("{} rows: {} different human documents, {} machine texts.", e.rows, e.human_documents, e.machine_texts),
        format!("Model {}, calibration {}.", harmless(&e.model), harmless(&e.calibration)),
        format!(
            "Human documents count once. In brackets {:.0}% intervals: {} samples of whole documents, each with the texts made from it.",
            100. * e.confidence,
            e.samples
        ),
        "TPR@1%: share of machine texts found when 1% of the human documents of the same row are flagged. Texts without a p-value are left out."
            .into(),
    ];
    if e.left_out > 0 {
        lines.push(format!("{} rows were scored by `calibrate --scored`: by a fit that left their file out.", e.left_out));
    }
    if !e.fitted_on.is_empty() {
        lines.push(format!(
            "* The calibration was fitted on {} of these files: their figures, and all totals, are too good. {LEFT_OUT_ADVICE}",
            e.fitted_on.len()
        ));
    }
    let shown = || sections(e).into_iter().flat_map(|(_, figures)| figures).chain([&e.overall]);
    if shown().any(Figures::length_tells) {
        lines.push(
            "L: length alone gives the label away (AUROC of the word count beyond .4 to .6): go by the figures at equal lengths.".into(),
        );
    }
    if shown().any(Figures::line_breaks_tell) {
        lines.push(
            "B: having line breaks gives the label away (its AUROC alone beyond .4 to .6): go by the figures without line breaks.".into(),
        );
    }
    if e.dropped > 0 {
        lines.push(format!("{} smaller groups are left out: at most 60 of a kind are shown.", e.dropped));
    }
    lines
}

pub(super) fn sections(evaluation: &Evaluation) -> [(&'static str, &[Figures]); 5] {
    let e = evaluation;
    [
        ("by file", &e.by_file),
        ("by domain", &e.by_domain),
        ("by generator, against the human documents of its files", &e.by_generator),
        ("by attack, against the human documents of its files", &e.by_attack),
        ("by length", &e.by_length),
    ]
}

/// A name with its marks: fitted on, and given away by length or by line breaks.
pub(super) fn marked(figures: &Figures) -> String {
    let marks = [(figures.fitted_on, " *"), (figures.length_tells(), " L"), (figures.line_breaks_tell(), " B")];
    let marks: String = marks.into_iter().filter_map(|(holds, mark)| holds.then_some(mark)).collect();
    format!("{}{marks}", short(&figures.name))
}

/// A statistic's name, as in JSON.
pub(super) fn named(name: ScoreName) -> String {
    // A plain enum, which serialises to text.
    serde_json::to_value(name).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// An estimate as `.816 [.811 .822]`.
pub(super) fn estimate(estimate: Option<Estimate>) -> String {
    let plain = |v: f64| format!("{v:.3}").trim_start_matches('0').to_owned();
    estimate.map_or_else(|| "-".into(), |e| format!("{} [{} {}]", plain(e.value), plain(e.low), plain(e.high)))
}

/// A share as `3.2% [1.9% 5.0%]`.
pub(super) fn interval(of: Option<Share>) -> String {
    of.map_or_else(|| "-".into(), |s| format!("{} [{} {}]", share(Some(s.share)), share(Some(s.low)), share(Some(s.high))))
}

fn told_apart(out: &mut String, f: &Figures) -> fmt::Result {
    if f.score.auroc.is_none() {
        return Ok(());
    }
    let columns = |m: &crate::stats::Measures| {
        let of = [m.auroc, m.tpr_at_fpr_01, m.tpr_at_fpr_05].map(estimate);
        format!("{:<17}  {:<17}  {:<17}", of[0], of[1], of[2])
    };
    writeln!(out, "{:<NAME$} {:>7} {:>7}  {}", marked(f), f.human, f.machine, columns(&f.score).trim_end())?;
    if f.length_tells() {
        writeln!(out, "{:<NAME$} {:>7} {:>7}  {}", "  at equal lengths", "", "", columns(&f.equal_lengths).trim_end())?;
    }
    if f.line_breaks_tell() {
        let (human, machine) = (f.human_without_line_breaks, f.machine_without_line_breaks);
        writeln!(out, "{:<NAME$} {human:>7} {machine:>7}  {}", "  without line breaks", columns(&f.without_line_breaks).trim_end())?;
    }
    Ok(())
}

/// What each statistic can do without the others, over all files and in each.
fn alone(out: &mut String, evaluation: &Evaluation) -> fmt::Result {
    let mut names: Vec<_> = evaluation.overall.baselines.iter().map(|b| named(b.name)).collect();
    names.push("score".into());
    writeln!(out, "\nAUROC of one statistic alone")?;
    write!(out, "{:<NAME$}", "")?;
    names.iter().try_for_each(|name| write!(out, " {name:>ALONE$}"))?;
    writeln!(out)?;
    for f in std::iter::once(&evaluation.overall).chain(&evaluation.by_file).filter(|f| f.score.auroc.is_some()) {
        write!(out, "{:<NAME$}", short(&f.name))?;
        for (measures, name) in f.baselines.iter().map(|b| &b.measures).chain([&f.score]).zip(&names) {
            let width = name.len().max(ALONE);
            write!(out, " {:>width$}", measures.auroc.map_or_else(|| "-".into(), |a| format!("{:.3}", a.value)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn flagged(out: &mut String, f: &Figures) -> fmt::Result {
    if f.human == 0 {
        return Ok(());
    }
    let of: Vec<_> = f.flagged.iter().map(|flagged| interval(flagged.human)).collect();
    writeln!(
        out,
        "{:<NAME$} {:>7}  {}",
        marked(f),
        f.human,
        of.iter().map(|i| format!("{i:<23}")).collect::<Vec<_>>().join("  ").trim_end()
    )
}

fn short(name: &str) -> String {
    let name = harmless(name);
    match name.char_indices().nth(NAME - 4) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.into_owned(),
    }
}
