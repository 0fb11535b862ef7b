//! Labelled JSONL rows, with texts or already scored by `calibrate --scored`, to scored rows. The texts themselves are not kept.

use crate::{
    batch::{Progress, Watch},
    cli::{Refused, calibrate, join::same_calibration, progress::Bar},
    detector::Detector,
    score::Statistics,
    text::{self, Document},
    verdict::{AbstainReason, Verdict},
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// Texts that are scored together.
const CHUNK: usize = 256;

/// One labelled text and what the detector says of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The stem of its file's name.
    pub(super) file: String,
    pub(super) domain: Option<String>,
    pub(super) generator: Option<String>,
    pub(super) attack: Option<String>,
    pub(super) machine: bool,
    pub(super) words: usize,
    pub(super) line_breaks: usize,
    /// The same for all texts that come from one human document, as in a fit.
    pub(super) group: u64,
    /// The verdict, or the reason for none; scored rows do not say.
    pub(super) told: Option<String>,
    /// Its score is by a fit without its file.
    pub(super) left_out: bool,
    pub(super) score: Option<f64>,
    pub(super) p_value: Option<f64>,
    pub(super) statistics: Option<Statistics>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Labelled {
    text: Option<String>,
    label: Label,
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
struct Scored {
    family: String,
    group: u64,
    words: usize,
    line_breaks: usize,
    score: Option<f64>,
    p_value: Option<f64>,
    statistics: Statistics,
    calibration: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Label {
    Human,
    Machine,
}

/// Files on their way to rows.
pub(super) struct Reading {
    detector: Detector,
    bar: Bar,
    progress: Progress,
    rows: Vec<Row>,
    pairs: HashMap<(String, String), u64>,
    faults: Vec<String>,
}

impl Reading {
    pub(super) fn new(detector: Detector, bar: Bar, total: u64) -> Self {
        let progress = Progress { total_bytes: Some(total), ..Progress::default() };
        Self { detector, bar, progress, rows: Vec::new(), pairs: HashMap::new(), faults: Vec::new() }
    }

    /// Scores a file; faulty rows are kept for [`Self::finish`].
    pub(super) fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let unreadable = |error: io::Error| Refused(format!("cannot read {}: {error}", path.display()));
        let name = calibrate::family(path);
        let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut waiting = Vec::with_capacity(CHUNK);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = lines.by_ref().take(calibrate::LONGEST).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 || self.bar.cancelled() {
                break;
            }
            self.progress.bytes_read += read as u64;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match row(&line, &self.detector.calibration().name) {
                Ok(Given::Text(text, row)) => waiting.push((text, *row)),
                Ok(Given::Scored(row)) => self.rows.push(*row),
                Err(fault) => self.faults.push(format!("{}, line {number}: {fault}", path.display())),
            }
            if waiting.len() == CHUNK {
                self.score(&mut waiting, &name)?;
            }
        }
        self.score(&mut waiting, &name)
    }

    /// The rows and what scored them; `None` where the run was stopped.
    pub(super) fn finish(self) -> anyhow::Result<Option<(Vec<Row>, Detector)>> {
        self.bar.end();
        if self.bar.cancelled() {
            return Ok(None);
        }
        calibrate::refuse(&self.faults)?;
        Ok(Some((self.rows, self.detector)))
    }

    fn score(&mut self, waiting: &mut Vec<(String, Labelled)>, file: &str) -> anyhow::Result<()> {
        let (documents, rows): (Vec<_>, Vec<_>) = waiting.drain(..).map(|(text, row)| (Document::new(text), row)).unzip();
        let assessments = self.detector.assess(&documents)?;
        for ((document, row), assessment) in documents.iter().zip(rows).zip(assessments) {
            self.progress.documents += 1;
            self.progress.tokens += assessment.tokens as u64;
            let own = text::group(&document.text);
            let group = row.pair.map_or(own, |pair| *self.pairs.entry((file.to_owned(), pair)).or_insert(own));
            self.rows.push(Row {
                file: file.to_owned(),
                domain: row.domain,
                generator: row.generator,
                attack: row.attack,
                machine: row.label == Label::Machine,
                words: text::words(&document.text),
                line_breaks: text::line_breaks(&document.text),
                group,
                told: Some(told(assessment.verdict, assessment.abstain_reason)),
                left_out: false,
                score: assessment.score,
                p_value: assessment.p_value,
                statistics: assessment.statistics,
            });
        }
        self.bar.progress(&self.progress);
        Ok(())
    }
}

/// What a row gave.
enum Given {
    Text(String, Box<Labelled>),
    Scored(Box<Row>),
}

/// A line; one without a text has its score, by the calibration `own`.
fn row(line: &[u8], own: &str) -> Result<Given, String> {
    let mut row: Labelled = serde_json::from_slice(line)
        .map_err(|error| format!("expected an object with a `text` and a `label`, human or machine: {error}"))?;
    if let Some(text) = row.text.take() {
        return Ok(Given::Text(text, Box::new(row)));
    }
    let scored = row.scored.ok_or("expected a `text`, or a whole row of `highwater calibrate --scored`")?;
    same_calibration(&scored.calibration, own)?;
    Ok(Given::Scored(Box::new(Row {
        file: scored.family,
        domain: row.domain,
        generator: row.generator,
        attack: row.attack,
        machine: row.label == Label::Machine,
        words: scored.words,
        line_breaks: scored.line_breaks,
        group: scored.group,
        told: None,
        left_out: true,
        score: scored.score,
        p_value: scored.p_value,
        statistics: Some(scored.statistics),
    })))
}

fn told(verdict: Verdict, reason: Option<AbstainReason>) -> String {
    let told = reason.map_or_else(|| serde_json::to_value(verdict), serde_json::to_value);
    // Both are plain enums, which serialise to text.
    told.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_text_and_a_label() {
        let good = br#"{"id":"1","text":"a","label":"machine","attack":"x","meta":{"b":1}}"#;
        let Ok(Given::Text(text, found)) = row(good, "c") else { panic!("refused") };
        assert_eq!((text.as_str(), found.label, found.attack.as_deref(), found.generator), ("a", Label::Machine, Some("x"), None));
        for bad in [r#"{"text":"a"}"#, r#"{"text":"a","label":"robot"}"#, r#"{"label":"human"}"#, r#"{"label":"human","words":3}"#] {
            assert!(row(bad.as_bytes(), "c").is_err(), "{bad}");
        }
    }
}
