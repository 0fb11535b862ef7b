//! Labelled JSONL rows, with texts or already scored by `calibrate --scored`, to scored rows. The texts themselves are not kept.

use crate::{
    batch::{Progress, Watch},
    cli::{
        calibrate::{Refusals, Scored, each_line, failed, family, object, real, tell_failed},
        join::same_calibration,
        progress::Bar,
    },
    detector::Detector,
    score::Statistics,
    text::{self, Document},
    verdict::{AbstainReason, Verdict},
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
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

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Label {
    Human,
    Machine,
}

/// Files on their way to rows.
pub(super) struct Reading<W> {
    detector: Detector,
    bar: W,
    progress: Progress,
    files: Vec<PathBuf>,
    rows: Vec<Row>,
    /// The group of each pair of a file.
    pairs: HashMap<PathBuf, HashMap<String, u64>>,
    faults: Refusals,
    /// Error rows of an earlier run.
    failed: usize,
}

impl Reading<Bar> {
    /// The rows and what scored them; `None` where the run was stopped.
    pub(super) fn finish(mut self) -> anyhow::Result<Option<(Vec<Row>, Detector)>> {
        let done = self.read_all();
        self.bar.end();
        done?;
        if self.bar.cancelled() {
            return Ok(None);
        }
        self.faults.refuse()?;
        tell_failed(self.failed)?;
        Ok(Some((self.rows, self.detector)))
    }
}

impl<W: Watch> Reading<W> {
    pub(super) fn new(detector: Detector, bar: W, total: u64) -> Self {
        let progress = Progress { total_bytes: Some(total), ..Progress::default() };
        Self { detector, bar, progress, files: Vec::new(), rows: Vec::new(), pairs: HashMap::new(), faults: Refusals::default(), failed: 0 }
    }

    /// Looks through a file for faults, unless it can be read only once (a pipe). Texts are scored when all files were looked through: one bad
    /// line at the end must not cost what came before it.
    pub(super) fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        self.files.push(path.to_owned());
        if !path.is_file() {
            return Ok(());
        }
        each_line(path, |number, line| {
            self.row(path, (number, line));
            Ok(!self.bar.cancelled())
        })
    }

    /// Scores all files; nothing more after a fault.
    fn read_all(&mut self) -> anyhow::Result<()> {
        self.failed = 0;
        for path in std::mem::take(&mut self.files) {
            if self.faults.is_empty() {
                self.read(&path)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut waiting = Vec::with_capacity(CHUNK);
        each_line(path, |number, line| {
            self.progress.bytes_read += line.len() as u64;
            match self.row(path, (number, line)) {
                Some(Given::Text(text, row)) => waiting.push((text, *row)),
                Some(Given::Scored(row)) => self.rows.push(*row),
                None => {}
            }
            if waiting.len() == CHUNK {
                self.score(&mut waiting, path)?;
            }
            Ok(!self.bar.cancelled())
        })?;
        self.score(&mut waiting, path)
    }

    /// What a line gives; nothing for a blank one, and for a faulty one, which is kept to be told at the end.
    fn row(&mut self, path: &Path, (number, line): (usize, &[u8])) -> Option<Given> {
        if line.trim_ascii().is_empty() {
            return None;
        }
        let read = row(line, &self.detector.calibration().name);
        if read.is_err() && failed(line) {
            self.failed += 1;
            return None;
        }
        read.inspect_err(|fault| self.faults.add(format!("{}, line {number}: {fault}", path.display()))).ok()
    }

    fn score(&mut self, waiting: &mut Vec<(String, Labelled)>, path: &Path) -> anyhow::Result<()> {
        if !self.faults.is_empty() {
            waiting.clear();
            return Ok(());
        }
        let (file, real) = (family(path), real(path));
        let (documents, rows): (Vec<_>, Vec<_>) = waiting.drain(..).map(|(text, row)| (Document::new(text), row)).unzip();
        let assessments = self.detector.assess(&documents)?;
        for ((document, row), assessment) in documents.iter().zip(rows).zip(assessments) {
            self.progress.documents += 1;
            self.progress.tokens += assessment.tokens as u64;
            let own = text::group(&document.text);
            let group = row.pair.map_or(own, |pair| *self.pairs.entry(real.clone()).or_default().entry(pair).or_insert(own));
            self.rows.push(Row {
                file: file.clone(),
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
    object(line)?;
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
    use crate::{calibration::Calibration, detector::Options, model::Fake};
    use std::{collections::HashSet, fs};

    #[test]
    fn a_row_has_a_text_and_a_label() {
        let good = br#"{"id":"1","text":"a","label":"machine","attack":"x","meta":{"b":1}}"#;
        let Ok(Given::Text(text, found)) = row(good, "c") else { panic!("refused") };
        assert_eq!((text.as_str(), found.label, found.attack.as_deref(), found.generator), ("a", Label::Machine, Some("x"), None));
        for bad in [r#"{"text":"a"}"#, r#"{"text":"a","label":"robot"}"#, r#"{"label":"human"}"#, r#"{"label":"human","words":3}"#] {
            assert!(row(bad.as_bytes(), "c").is_err(), "{bad}");
        }
        for bad in ["3", "[1]", "\"a\"", "id,text", "no json"] {
            assert_eq!(row(bad.as_bytes(), "c").err().as_deref(), Some("expected JSONL, one object with a `text` a line"), "{bad}");
        }
    }

    /// What was read of files of this name with these rows, in folders of their own, and how many of their texts were scored.
    fn read(files: &[&str]) -> (Result<Vec<Row>, String>, u64) {
        let folder = tempfile::tempdir().unwrap();
        let calibration = Calibration::none("0000000000000000").into();
        let detector = Detector::new(Box::new(Fake::default()), calibration, Options::default()).unwrap();
        let mut reading = Reading::new(detector, (), 0);
        for (i, rows) in files.iter().enumerate() {
            let path = folder.path().join(i.to_string()).join("posts.jsonl");
            fs::create_dir(path.parent().unwrap()).unwrap();
            fs::write(&path, rows).unwrap();
            reading.file(&path).unwrap();
        }
        reading.read_all().unwrap();
        let refused = reading.faults.refuse().map_err(|refused| refused.0);
        (refused.map(|()| reading.rows), reading.progress.documents)
    }

    fn line(n: usize) -> String {
        format!("{{\"text\":\"{n} of the posts about the weather by the river\",\"label\":\"human\",\"pair\":\"{}\"}}\n", n % 2)
    }

    #[test]
    fn pairs_of_another_file_of_the_same_name_are_others() {
        let files: Vec<String> = (0..3).map(|file| [0, 1, 2, 3].map(|n| line(10 * (file + 1) + n)).concat()).collect();
        // the second begins with a byte-order mark
        let (rows, _) = read(&[&files[0], &format!("\u{FEFF}{}", files[1]), &files[2]]);
        let groups: Vec<u64> = rows.unwrap().iter().map(|row| row.group).collect();
        assert_eq!((groups.len(), groups.iter().collect::<HashSet<_>>().len()), (12, 6));
        assert!(groups.chunks(4).all(|file| file[0] == file[2] && file[1] == file[3]), "{groups:?}");
    }

    /// A bad line at the end of the last file is found before the first text is scored.
    #[test]
    fn nothing_is_scored_for_a_run_that_will_be_refused() {
        let (good, bad) = ((0..300).map(line).collect::<String>(), "no json\n".repeat(12));
        let (rows, scored) = read(&[&good]);
        assert_eq!((rows.map(|rows| rows.len()), scored), (Ok(300), 300));
        let (refused, scored) = read(&[&good, &bad]);
        let told = refused.unwrap_err();
        assert!(scored == 0 && told.starts_with("12 faults") && told.ends_with("and 2 more"), "{scored} {told}");
    }
}
