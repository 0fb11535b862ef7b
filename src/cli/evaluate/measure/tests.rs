//! What is compared with what, and what is marked.

use super::*;
use crate::{
    calibration::Source,
    cli::evaluate::{page, table},
};

/// A row of the file `f`, group `group`, p-value falling with the score.
pub(in crate::cli::evaluate) fn row(group: u64, machine: bool, score: f64) -> Row {
    Row {
        file: "f".into(),
        domain: Some("news".into()),
        generator: machine.then(|| "gpt2".into()),
        attack: None,
        machine,
        words: 40,
        line_breaks: 0,
        group,
        told: Some("uncertain".into()),
        left_out: false,
        score: Some(score),
        p_value: Some((-score).exp().min(1.)),
        statistics: None,
    }
}

fn evaluated_on(rows: &[Row], sources: &[&str]) -> Evaluation {
    let mut calibration = Calibration::for_fake();
    calibration.sources = sources.iter().map(|name| Source { name: (*name).into(), ..Source::default() }).collect();
    evaluated(rows, &calibration, "m@0".into())
}

/// 100 human documents, each eight times over, and 100 machine texts that score higher.
fn rows() -> Vec<Row> {
    let human = (0..800u64).map(|i| row(i % 100, false, (i % 100) as f64 / 20.));
    human.chain((0..100).map(|i| row(i, true, 3. + i as f64 / 20.))).collect()
}

#[test]
fn human_documents_count_once_however_often_they_stand_there() {
    let found = evaluated_on(&rows(), &[]);
    assert_eq!((found.rows, found.human_documents, found.machine_texts), (900, 100, 100));
    assert_eq!((found.overall.human, found.overall.machine), (100, 100));
    let human = found.overall.flagged[0].human.unwrap();
    // e^-score <= .01 from 4.605 on: 4.65 to 4.95
    assert_eq!((human.count, human.of), (7, 100));
    assert!(human.low < 0.07 && human.high > 0.07);
    let auroc = found.overall.score.auroc.unwrap();
    assert!(auroc.low < auroc.value && auroc.value < auroc.high, "{auroc:?}");
}

/// A document's texts by eight generators: here all of them are flagged or none, so that eight say no more than one.
#[test]
fn more_texts_of_the_same_documents_narrow_no_interval() {
    let flagged = |times: u64, score: &dyn Fn(u64) -> f64| {
        let human = (0..100).map(|i| row(i, false, 0.));
        let machine = (0..100 * times).map(|i| row(i % 100, true, score(i % 100)));
        evaluated_on(&human.chain(machine).collect::<Vec<_>>(), &[]).overall.flagged[0].machine.unwrap()
    };
    let rising = |i: u64| i as f64 / 20.;
    let (once, often) = (flagged(1, &rising), flagged(8, &rising));
    assert_eq!((once.count, once.of, often.count, often.of), (7, 100, 56, 800));
    assert_eq!((once.low, once.high), (often.low, often.high));
    assert!(often.low < 0.04 && often.high > 0.1, "{often:?}");
    // where all documents are alike, as many documents of another sort may be missing as 100 leave room for
    let (none, all) = (flagged(8, &|_| 0.), flagged(8, &|_| 9.));
    assert!(none.low == 0. && (0.03..0.04).contains(&none.high), "{none:?}");
    assert!(all.high == 1. && (0.96..0.97).contains(&all.low), "{all:?}");
}

#[test]
fn a_column_is_as_wide_as_its_name_and_named_as_in_json() {
    let rows = rows();
    let found = evaluated_on(&rows, &[]);
    let text = table::render(&found).unwrap();
    let mut lines = text.lines().skip_while(|line| *line != "AUROC of one statistic alone").skip(1);
    let (head, all) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(all.starts_with("all ") && head.contains(" log_rank ") && head.contains(" log_likelihood_ratio "), "{text}");
    assert_eq!(head.chars().count(), all.chars().count(), "{head}\n{all}");
    assert!(page::render(&found, &rows).unwrap().contains("<th scope=\"col\">log_likelihood_ratio</th>"));
}

#[test]
fn a_file_that_the_calibration_saw_is_marked() {
    let mut rows = rows();
    rows.extend((0..50).map(|i| Row { file: "unseen".into(), ..row(900 + i, i % 2 == 0, i as f64) }));
    let found = evaluated_on(&rows, &["f", "other"]);
    assert_eq!(found.fitted_on, ["f"]);
    let text = table::render(&found).unwrap();
    assert!(text.contains("\nf * ") && text.contains("\nunseen ") && !text.contains("unseen *"), "{text}");
    assert!(text.contains("fitted on 1 of these files"), "{text}");
    // scores by a fit without the file are not too good, until one row was scored by the calibration itself
    rows.iter_mut().for_each(|row| row.left_out = true);
    assert!(evaluated_on(&rows, &["f", "other"]).fitted_on.is_empty());
    rows[0].left_out = false;
    assert_eq!(evaluated_on(&rows, &["f", "other"]).fitted_on, ["f"]);
    assert!(!table::render(&evaluated_on(&rows, &[])).unwrap().contains("too good"));
}

/// The score is nothing but length: at equal lengths it must fall to chance.
#[test]
fn what_length_gives_away_is_marked_and_taken_out() {
    let words = |i: u64, machine: bool| if (i % 10 < 8) == machine { 60 } else { 20 };
    let one = |i: u64, machine: bool| {
        let words = words(i, machine);
        Row { words, ..row(i + if machine { 500 } else { 0 }, machine, words as f64 + (i * 7919 % 97) as f64 / 100.) }
    };
    let rows: Vec<Row> = (0..200).flat_map(|i| [one(i, false), one(i, true)]).collect();
    let found = evaluated_on(&rows, &[]).overall;
    assert!(found.length_tells() && found.score.auroc.unwrap().value > 0.75, "{found:?}");
    assert!((found.equal_lengths.auroc.unwrap().value - 0.5).abs() < 0.05, "{:?}", found.equal_lengths);
}

/// The score is nothing but whether there are line breaks: over the texts without any it must fall to chance.
#[test]
fn what_line_breaks_give_away_is_marked_and_taken_out() {
    let one = |i: u64, machine: bool| {
        let line_breaks = usize::from((i % 10 < 5) == machine) * 3;
        Row { line_breaks, ..row(i + if machine { 500 } else { 0 }, machine, line_breaks as f64 + (i * 7919 % 97) as f64 / 100.) }
    };
    let mut rows: Vec<Row> = (0..200).flat_map(|i| [one(i, false), one(i, true)]).collect();
    assert!(!evaluated_on(&rows, &[]).overall.line_breaks_tell(), "half of each");
    rows.iter_mut().filter(|row| !row.machine && row.group % 4 > 0 && row.line_breaks > 0).for_each(|row| {
        row.line_breaks = 0;
        row.score = row.score.map(|s| s - 3.);
    });
    let evaluation = evaluated_on(&rows, &[]);
    let found = &evaluation.overall;
    assert!(found.line_breaks_tell() && !found.length_tells() && found.score.auroc.unwrap().value > 0.6, "{found:?}");
    assert!((found.without_line_breaks.auroc.unwrap().value - 0.5).abs() < 0.05, "{:?}", found.without_line_breaks);
    let text = table::render(&evaluation).unwrap();
    assert!(text.contains("\nf B ") && text.contains("\n  without line breaks") && text.contains("B: having line breaks"), "{text}");
}

#[test]
fn texts_without_a_p_value_are_counted_and_not_compared() {
    let mut rows = rows();
    for row in &mut rows[..3] {
        row.p_value = None;
        row.told = Some("unsupported_language".into());
    }
    let found = evaluated_on(&rows, &[]).overall;
    // the first form of each document stands for it
    assert_eq!((found.human, found.not_judged["unsupported_language"]), (97, 3));
}

#[test]
fn the_page_and_the_json_hold_what_the_table_holds() {
    let rows = rows();
    let found = evaluated_on(&rows, &["f"]);
    let html = page::render(&found, &rows).unwrap();
    assert!(html.matches("<svg").count() > 5 && html.contains("ROC by generator") && html.contains("False-positive rate at a nominal 1%"));
    let json = serde_json::to_value(&found).unwrap();
    for name in ["auroc", "tpr_at_fpr_01", "tpr_at_fpr_05", "equal_lengths", "line_break_auroc", "baselines", "flagged"] {
        assert!(!json["by_file"][0][name].is_null(), "{name} in {json}");
    }
    assert_eq!(json["overall"]["baselines"].as_array().unwrap().len(), ScoreName::ALL.len());
}

#[test]
fn one_class_alone_is_no_fault() {
    let humans: Vec<Row> = rows().into_iter().filter(|r| !r.machine).collect();
    let found = evaluated_on(&humans, &[]);
    assert_eq!((found.overall.score.auroc, found.overall.human), (None, 100));
    assert!(table::render(&found).unwrap().contains("flagged at a nominal"));
    assert!(page::render(&found, &humans).is_ok());
}
