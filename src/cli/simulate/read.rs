//! JSONL rows, with texts or already scored, to assessments. A file that is not wholly understood is refused.

use crate::{
    batch::{Progress, Watch},
    cli::{
        Refused,
        calibrate::{each_line, object},
        join::same_calibration,
        progress::Bar,
    },
    detector::Detector,
    text::Document,
    verdict::Assessment,
};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Texts that are scored together.
const CHUNK: usize = 256;

/// What a row may say.
#[derive(Debug, Deserialize)]
struct Row {
    text: Option<String>,
    label: Option<String>,
    error: Option<IgnoredAny>,
}

/// What a row without a text says, one that `highwater score` wrote.
#[derive(Debug, Deserialize)]
struct Answer {
    tokens: usize,
    p_value: Option<f64>,
    /// Null where `p_value` is.
    kind_p_values: Option<BTreeMap<String, f64>>,
    #[serde(default)]
    flagged: bool,
    calibration: Option<String>,
}

/// Rows on their way to assessments.
pub(super) struct Reading<'a> {
    detector: &'a mut Detector,
    bar: &'a Bar,
    progress: Progress,
}

impl<'a> Reading<'a> {
    pub(super) fn new(detector: &'a mut Detector, bar: &'a Bar) -> Self {
        Self { detector, bar, progress: Progress::default() }
    }

    /// The assessments of all rows of one label, or without one.
    pub(super) fn files(&mut self, paths: &[PathBuf], machine: bool) -> anyhow::Result<Vec<Assessment>> {
        let mut all = Vec::new();
        for path in paths {
            self.file(path, machine, &mut all)?;
        }
        let side = if machine { "--machine" } else { "--human" };
        if !self.bar.cancelled() && !all.iter().any(|a: &Assessment| a.p_value.is_some()) {
            return Err(
                Refused(format!("no row of {side} has a p-value: all are too short, of another language, or of another label")).into()
            );
        }
        Ok(all)
    }

    fn file(&mut self, path: &Path, machine: bool, all: &mut Vec<Assessment>) -> anyhow::Result<()> {
        let mut texts = Vec::new();
        each_line(path, |number, line| {
            let fault = |what: String| Refused(format!("{}, line {number}: {what}", path.display()));
            match self.row(line, machine).map_err(fault)? {
                Some(Given::Scored(assessment)) => all.push(*assessment),
                Some(Given::Text(text)) => texts.push(Document::new(text)),
                None => {}
            }
            if texts.len() == CHUNK {
                self.score(&mut texts, all)?;
            }
            Ok(!self.bar.cancelled())
        })?;
        self.score(&mut texts, all)
    }

    /// `None` for a blank line, a row of the other label, and an error row.
    fn row(&self, line: &[u8], machine: bool) -> Result<Option<Given>, String> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        object(line)?;
        let row: Row = serde_json::from_slice(line).map_err(|error| format!("expected an object with a `text`: {error}"))?;
        let wanted = match row.label.as_deref() {
            None => true,
            Some("human") => !machine,
            Some("machine") => machine,
            Some(other) => return Err(format!("expected the label human or machine, found `{other}`")),
        };
        if !wanted || row.error.is_some() {
            return Ok(None);
        }
        // whatever else stands beside it: a corpus may count tokens of its own
        if let Some(text) = row.text {
            return Ok(Some(Given::Text(text)));
        }
        let answer: Answer = serde_json::from_slice(line)
            .map_err(|error| format!("expected a `text`, or `tokens` and `p_value` as `highwater score` writes them: {error}"))?;
        answer.calibration.map_or(Ok(()), |made_with| same_calibration(&made_with, &self.detector.calibration().name))?;
        let kind_p_values = answer.kind_p_values.unwrap_or_default();
        let evidence = Assessment::evidence(answer.tokens, answer.p_value, answer.flagged);
        Ok(Some(Given::Scored(Box::new(Assessment { kind_p_values, ..evidence }))))
    }

    fn score(&mut self, texts: &mut Vec<Document>, all: &mut Vec<Assessment>) -> anyhow::Result<()> {
        let assessments = self.detector.assess(texts)?;
        self.progress.documents += texts.len() as u64;
        self.progress.tokens += assessments.iter().map(|a| a.tokens as u64).sum::<u64>();
        self.bar.progress(&self.progress);
        all.extend(assessments);
        texts.clear();
        Ok(())
    }
}

/// What a row gave.
enum Given {
    Text(String),
    Scored(Box<Assessment>),
}
