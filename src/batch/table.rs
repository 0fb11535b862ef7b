//! One answer as a flat row: the columns of the CSV and Parquet outputs, and what stands in each. Nested names are joined by dots.

use super::RowError;
use crate::verdict::Assessment;
use serde::Serialize;
use serde_json::Value;

/// One row of the output.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The input; only where there are several.
    pub file: Option<&'a str>,
    pub line: u64,
    /// How the document's streams stand; lists do not fit in a flat row.
    pub streams: Option<&'a Value>,
    pub content: Result<&'a Assessment, BadAnswer<'a>>,
}

/// An error row.
#[derive(Debug)]
pub(super) struct BadAnswer<'a> {
    pub id: Option<&'a str>,
    pub error: &'a RowError,
}

#[derive(Serialize)]
struct Scored<'a> {
    #[serde(flatten)]
    assessment: &'a Assessment,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    line: u64,
}

#[derive(Serialize)]
struct Bad<'a> {
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    line: u64,
    error: &'a RowError,
}

impl Serialize for Answer<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (file, line) = (self.file, self.line);
        match &self.content {
            Ok(assessment) => Scored { assessment, streams: self.streams, file, line }.serialize(serializer),
            Err(bad) => Bad { id: bad.id, file, line, error: bad.error }.serialize(serializer),
        }
    }
}

/// What a column holds; every column may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that a sender chose: a spreadsheet must not run it.
    Foreign,
    Text,
    Number,
    Integer,
    Boolean,
}

/// The columns, in order. A leaf of `Assessment` that is not here fails a test.
pub(super) const COLUMNS: &[(&str, Kind)] = &[
    ("id", Kind::Foreign),
    ("file", Kind::Foreign),
    ("line", Kind::Integer),
    ("stream", Kind::Foreign),
    ("verdict", Kind::Text),
    ("abstain_reason", Kind::Text),
    ("flagged", Kind::Boolean),
    ("score", Kind::Number),
    ("p_value", Kind::Number),
    ("kind_p_values", Kind::Text),
    ("machine_probability", Kind::Number),
    ("tokens", Kind::Integer),
    ("words", Kind::Integer),
    ("statistics.mean_surprisal_nats", Kind::Number),
    ("statistics.perplexity", Kind::Number),
    ("statistics.mean_log_rank", Kind::Number),
    ("statistics.lrr", Kind::Number),
    ("statistics.mean_entropy_nats", Kind::Number),
    ("statistics.discrepancy", Kind::Number),
    ("statistics.surprisal_std", Kind::Number),
    ("statistics.surprisal_p10", Kind::Number),
    ("statistics.surprisal_p90", Kind::Number),
    ("statistics.surprisal_autocorrelation", Kind::Number),
    ("statistics.log_likelihood_ratio", Kind::Number),
    ("statistics.log_likelihood_ratio_std", Kind::Number),
    ("statistics.log_likelihood_ratio_excess", Kind::Number),
    ("statistics.surprisal_step", Kind::Number),
    ("statistics.surprisal_excess", Kind::Number),
    ("statistics.high_entropy_fraction", Kind::Number),
    ("statistics.rank_fractions.top_10", Kind::Number),
    ("statistics.rank_fractions.top_100", Kind::Number),
    ("statistics.rank_fractions.top_1000", Kind::Number),
    ("statistics.rank_fractions.rest", Kind::Number),
    ("normalization.homoglyphs", Kind::Integer),
    ("normalization.zero_width", Kind::Integer),
    ("normalization.control", Kind::Integer),
    ("normalization.whitespace", Kind::Integer),
    ("normalization.compatibility", Kind::Integer),
    ("normalization.case", Kind::Integer),
    ("normalization.invalid_utf8", Kind::Integer),
    ("model", Kind::Text),
    ("calibration", Kind::Text),
    ("error.code", Kind::Text),
    ("error.message", Kind::Foreign),
];

/// The values of one answer, one for each column.
pub(super) fn flatten(answer: &Answer<'_>) -> serde_json::Result<Vec<Value>> {
    let mut tree = serde_json::to_value(answer)?;
    let mut take = |name: &str| match name.split('.').try_fold(&mut tree, |at, part| at.get_mut(part)) {
        // Several stream keys stand in one cell, as the JSON list that they are, and so do p-values by kind.
        Some(many @ (Value::Array(_) | Value::Object(_))) => Value::String(many.take().to_string()),
        Some(value) => value.take(),
        None => Value::Null,
    };
    Ok(COLUMNS.iter().map(|(name, _)| take(name)).collect())
}

/// A CSV cell.
pub(super) fn cell(kind: Kind, value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if kind == Kind::Foreign && runs_as_formula(&text) => format!("'{text}"),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Whether a spreadsheet would run this cell; a plain number such as `-5` is harmless.
fn runs_as_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err()
}
