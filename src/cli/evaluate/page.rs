//! Figures as a page: ROC curves, score histograms, false-positive bars, and every table.

use super::{
    measure::{Evaluation, Figures, judged},
    rows::Row,
    slices,
    table::{estimate, interval, marked, named, opening, sections},
};
use crate::{
    report::{Axis, Bar, Bars, Lines, Page, ReportError, Series, Shape},
    stats::{Ranked, Ranking, quantile},
};

/// Curves that one plot can show apart.
const CURVES: usize = 7;
/// Bars that one plot can show apart.
const BARS: usize = 40;
const CELLS: usize = 60;
/// The share of scores beyond either end of a histogram; they count in its end cells.
const BEYOND: f64 = 0.002;

pub(super) fn render(evaluation: &Evaluation, rows: &[Row]) -> Result<String, ReportError> {
    let mut page = Page::new("How well it tells machine texts from human ones");
    opening(evaluation).iter().for_each(|line| page.text(line));
    let calibrated = !evaluation.overall.flagged.is_empty();
    curves(&mut page, rows, calibrated)?;
    histogram(&mut page, rows, calibrated)?;
    let table = |page: &mut Page, title: &str, figures: &[Figures]| {
        if !figures.is_empty() {
            page.heading(title);
            told_apart(page, figures);
        }
    };
    table(&mut page, "all", std::slice::from_ref(&evaluation.overall));
    sections(evaluation).into_iter().for_each(|(title, figures)| table(&mut page, title, figures));
    baselines(&mut page, evaluation)?;
    if calibrated {
        page.heading("Human documents flagged by the calibration's p-values");
        for (title, figures) in sections(evaluation).into_iter().filter(|(title, _)| ["by file", "by domain", "by length"].contains(title))
        {
            false_positives(&mut page, title, figures)?;
        }
    }
    Ok(page.html())
}

fn curves(page: &mut Page, rows: &[Row], calibrated: bool) -> Result<(), ReportError> {
    page.heading("ROC curves");
    let chance = Series::new("chance", vec![(0., 0.), (1., 1.)], Shape::Reference);
    let curve = |slice: &slices::Slice<'_>| {
        let points = curve(&slice.rows, calibrated);
        (points.len() > 2).then(|| Series::new(&slice.name, points, Shape::Line))
    };
    let all = curve(&slices::overall(rows));
    for (kind, cut) in [("file", slices::by_file(rows)), ("generator", slices::by_generator(rows)), ("length", slices::by_length(rows))] {
        let found: Vec<_> = cut.slices.iter().filter_map(curve).collect();
        for part in found.chunks(CURVES - 1) {
            let series = [&chance].into_iter().chain(&all).chain(part).cloned().collect();
            let (x, y) = (Axis::new("false-positive rate").within(0., 1.), Axis::new("true-positive rate").within(0., 1.));
            page.lines(&Lines { title: format!("ROC by {kind}"), x, y, series })?;
        }
    }
    Ok(())
}

fn curve(rows: &[&Row], calibrated: bool) -> Vec<(f64, f64)> {
    let ranked = rows.iter().filter(|r| judged(r, calibrated));
    let of = ranked.filter_map(|r| Some(Ranked { score: r.score?, machine: r.machine, cluster: 0, weight: 1. }));
    Ranking::new(of.collect::<Vec<_>>()).curve()
}

fn histogram(page: &mut Page, rows: &[Row], calibrated: bool) -> Result<(), ReportError> {
    page.heading("Scores");
    let all = slices::overall(rows);
    let of =
        |machine| all.rows.iter().filter(|r| r.machine == machine && judged(r, calibrated)).filter_map(|r| r.score).collect::<Vec<_>>();
    let (human, machine) = (of(false), of(true));
    let mut both: Vec<f64> = human.iter().chain(&machine).copied().collect();
    both.sort_unstable_by(f64::total_cmp);
    let Some(within) = quantile(&both, BEYOND).zip(quantile(&both, 1. - BEYOND)) else { return Ok(()) };
    let series = [("human", &human), ("machine", &machine)]
        .map(|(name, scores)| Series::histogram(name, scores, within, CELLS))
        .into_iter()
        .collect();
    let (x, y) = (Axis::new("score, larger = more machine-like"), Axis::new("share of the texts"));
    page.lines(&Lines { title: "Scores of human documents and machine texts".into(), x, y, series })
}

fn told_apart(page: &mut Page, figures: &[Figures]) {
    let row = |f: &Figures| {
        let mut row = vec![marked(f), f.human.to_string(), f.machine.to_string()];
        row.extend([f.score.auroc, f.score.tpr_at_fpr_01, f.score.tpr_at_fpr_05].map(estimate));
        row.push(f.length_auroc.map_or_else(|| "-".into(), |a| format!("{a:.3}")));
        let equal = f.equal_lengths;
        row.extend([equal.auroc, equal.tpr_at_fpr_01, equal.tpr_at_fpr_05].map(estimate));
        row.push(f.line_break_auroc.map_or_else(|| "-".into(), |a| format!("{a:.3}")));
        row.push(estimate(f.without_line_breaks.auroc));
        row.extend([true, false].map(|human| {
            let share = |flagged: &super::measure::Flagged| interval(if human { flagged.human } else { flagged.machine });
            f.flagged.iter().map(share).collect::<Vec<_>>().join("; ")
        }));
        row.push(f.not_judged.iter().map(|(reason, n)| format!("{reason} {n}")).collect::<Vec<_>>().join(", "));
        row
    };
    let head = [
        "",
        "human",
        "machine",
        "AUROC",
        "TPR@1%",
        "TPR@5%",
        "AUROC of length alone",
        "AUROC at equal lengths",
        "TPR@1% at equal lengths",
        "TPR@5% at equal lengths",
        "AUROC of line breaks alone",
        "AUROC without line breaks",
        "human flagged at nominal 1%; 5%",
        "machine flagged at nominal 1%; 5%",
        "without a p-value",
    ];
    page.table(&head, &figures.iter().map(row).collect::<Vec<_>>());
}

fn baselines(page: &mut Page, evaluation: &Evaluation) -> Result<(), ReportError> {
    let f = &evaluation.overall;
    let Some(score) = f.score.auroc else { return Ok(()) };
    page.heading("The score and single statistics");
    let of = f.baselines.iter().filter_map(|b| Some((named(b.name), b.measures.auroc?)));
    let bar = |(name, a): (String, crate::stats::Estimate)| Bar { name, value: a.value, interval: Some((a.low, a.high)) };
    let bars = std::iter::once(("score".to_owned(), score)).chain(of).map(bar).collect();
    page.bars(&Bars { title: "AUROC over all files".into(), x: Axis::new("AUROC").within(0., 1.), bars, reference: Some(0.5) })?;
    let mut head = vec!["".to_owned()];
    head.extend(f.baselines.iter().map(|b| named(b.name)));
    let cells = |f: &Figures| std::iter::once(marked(f)).chain(f.baselines.iter().map(|b| estimate(b.measures.auroc))).collect::<Vec<_>>();
    let rows: Vec<_> = evaluation.by_file.iter().filter(|f| f.score.auroc.is_some()).map(cells).collect();
    page.table(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    Ok(())
}

fn false_positives(page: &mut Page, title: &str, figures: &[Figures]) -> Result<(), ReportError> {
    for (i, level) in [0.01, 0.05].into_iter().enumerate() {
        let bar = |f: &Figures| {
            let share = f.flagged.get(i)?.human?;
            Some(Bar { name: marked(f), value: share.share, interval: Some((share.low, share.high)) })
        };
        let bars: Vec<_> = figures.iter().filter_map(bar).collect();
        for part in bars.chunks(BARS) {
            let title = format!("False-positive rate at a nominal {:.0}%, {title}", 100. * level);
            page.bars(&Bars { title, x: Axis::new("share of human documents flagged"), bars: part.to_vec(), reference: Some(level) })?;
        }
    }
    Ok(())
}
