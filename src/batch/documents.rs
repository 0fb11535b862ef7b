//! The rows of a job's inputs for other work than scoring: one document after the other, in order, one in memory at a time.
//! Takes the inputs, format, field names and limits of a [`Job`]; its output is not looked at.

use super::{
    BatchError, Job, RowError,
    input::{self, Plan},
    reader::{Row, Rows},
};
use crate::text::Document;
use serde_json::{Map, Value};
use std::sync::atomic::Ordering;

/// One row of an input.
#[derive(Debug)]
pub struct Read {
    /// The input's name.
    pub input: String,
    /// Number of the input, from 1: several may have one name.
    pub source: usize,
    /// Line or row of the input, from 1.
    pub line: u64,
    /// The sender's id, where it could be read.
    pub id: Option<String>,
    /// The document, or why there is none. A row is an error also where only a field that no document needs cannot be kept.
    pub content: Result<Document, RowError>,
    /// All fields of the row as they were sent. Those of CSV are text, an empty cell is null; other formats have none.
    pub fields: Map<String, Value>,
}

/// Reads rows.
pub struct Documents {
    plan: Plan,
    /// Number of the input in work.
    source: usize,
    rows: Option<Box<dyn Rows>>,
}

/// The documents of a job's inputs. All inputs are checked before the first is read.
///
/// # Errors
/// As a run of the job; while reading, an input that cannot be opened or is damaged ends the rows.
pub fn documents(job: &Job) -> Result<Documents, BatchError> {
    Ok(Documents { plan: input::check(job)?, source: 0, rows: None })
}

impl Documents {
    /// Bytes of the inputs read so far, and bytes of all of them; `None` where one is a pipe.
    pub fn bytes(&self) -> (u64, Option<u64>) {
        (self.plan.bytes_read.load(Ordering::Relaxed), self.plan.total_bytes)
    }

    fn fail(&mut self, error: BatchError) -> Option<Result<Read, BatchError>> {
        self.source = self.plan.sources.len();
        self.rows = None;
        Some(Err(error))
    }
}

impl Iterator for Documents {
    type Item = Result<Read, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let source = self.plan.sources.get(self.source)?;
            let rows = match &mut self.rows {
                Some(rows) => rows,
                none => match source.open(self.plan.bytes_read.clone()) {
                    Ok(rows) => none.insert(rows),
                    Err(error) => return self.fail(error),
                },
            };
            match rows.next() {
                Ok(Some(row)) => {
                    let fields = rows.fields();
                    return Some(Ok(read(row, (self.source + 1, source.recipe.name.as_str()), fields)));
                }
                Ok(None) => {
                    self.rows = None;
                    self.source += 1;
                }
                Err(reason) => {
                    let damaged = BatchError::Damaged { path: source.recipe.name.clone(), line: rows.line(), reason };
                    return self.fail(damaged);
                }
            }
        }
    }
}

fn read(row: Row, (source, input): (usize, &str), fields: Result<Map<String, Value>, RowError>) -> Read {
    let (id, content) = match row.content {
        Ok(document) => (document.id.clone(), Ok(document)),
        Err(bad) => (bad.id, Err(bad.error)),
    };
    let (content, fields) = match fields {
        Ok(fields) => (content, fields),
        Err(error) => (content.and(Err(error)), Map::new()),
    };
    Read { input: input.to_owned(), source, line: row.line, id, content, fields }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Input, InputFormat};
    use serde_json::json;

    #[test]
    fn rows_of_all_inputs_come_in_order_with_their_fields() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Input::Path(path)
        };
        let inputs = vec![
            write("a.jsonl", "{\"id\":7,\"text\":\"one\",\"label\":\"human\"}\n\n{\"id\":\"x\"}\n{\"text\":\"caf\\u00e9\"}"),
            write("b.csv", "text,id\ntwo,b\n"),
            write("c.txt", "three\nlines"),
        ];
        let job = Job { inputs, ..Job::default() };
        let rows: Vec<Read> = documents(&job).unwrap().map(Result::unwrap).collect();
        let texts: Vec<_> = rows.iter().map(|row| row.content.as_ref().map_or_else(|e| e.code, |d| d.text.as_str())).collect();
        assert_eq!(texts, ["one", "missing_field", "caf\u{e9}", "two", "three\nlines"]);
        assert_eq!(rows[0].fields["label"], "human");
        assert_eq!((rows[1].line, rows[1].id.as_deref()), (3, Some("x")));
        assert_eq!(Value::Object(rows[3].fields.clone()), json!({"text": "two", "id": "b"}));
        assert!(rows[4].fields.is_empty() && rows[3].input.ends_with("b.csv"));
        assert_eq!(rows.iter().map(|row| row.source).collect::<Vec<_>>(), [1, 1, 1, 2, 3]);
    }

    #[test]
    fn the_cells_of_a_csv_record_are_fields_by_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let records = b"id, label ,text,label,domain\n1,human,\"a \"\"b\"\",\nc\",machine,\n2,human\n3,human,x,,caf\xe9\n";
        std::fs::write(&path, records).unwrap();
        let job = Job { inputs: vec![Input::Path(path)], ..Job::default() };
        let rows: Vec<Read> = documents(&job).unwrap().map(Result::unwrap).collect();
        let fields: Vec<_> = rows.iter().map(|row| Value::Object(row.fields.clone())).collect();
        let first = json!({"id": "1", "label": "human", "text": "a \"b\",\nc", "domain": null});
        assert_eq!(fields, [first, json!({}), json!({"id": "3", "label": "human", "text": "x", "domain": "caf\u{fffd}"})]);
        assert_eq!(rows[1].content.as_ref().unwrap_err().code, "bad_csv");
    }

    /// Scoring passes over such a field; here it would take all others with it.
    #[test]
    fn a_row_whose_fields_cannot_be_kept_is_an_error_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let row = |other: &str| format!("{{\"id\":\"m\",\"text\":\"x\",\"label\":\"human\",\"other\":{other}}}\n").into_bytes();
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let latin = b"{\"text\":\"x\",\"label\":\"human\",\"other\":\"caf\xe9\"}\n".to_vec();
        let bad = b"{\"id\":\"m\",\"other\":1e999}\n".to_vec();
        std::fs::write(&path, [row(r#""cut \ud83d""#), row("1e999"), row(&deep), bad, latin, row("[1,{}]")].concat()).unwrap();
        let job = Job { inputs: vec![Input::Path(path)], ..Job::default() };
        let rows: Vec<Read> = documents(&job).unwrap().map(Result::unwrap).collect();
        let codes: Vec<_> = rows.iter().map(|row| row.content.as_ref().map_or_else(|e| e.code, |d| d.text.as_str())).collect();
        assert_eq!(codes, ["bad_json", "bad_json", "bad_json", "missing_field", "x", "x"]);
        assert!(rows[..4].iter().all(|row| row.id.as_deref() == Some("m") && row.fields.is_empty()));
        assert_eq!(rows[4].fields["label"], "human");
        assert_eq!(rows[4].fields["other"], "caf\u{fffd}");
        assert_eq!(rows[5].fields["other"], json!([1, {}]));
        let told = &rows[0].content.as_ref().unwrap_err().message;
        assert!(told.contains("hex escape") && told.contains("at column"), "{told}");
    }

    #[test]
    fn a_damaged_input_ends_the_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "text\none\n\"two").unwrap();
        let job = Job { inputs: vec![Input::Path(path)], input_format: Some(InputFormat::Csv), ..Job::default() };
        let rows: Vec<_> = documents(&job).unwrap().collect();
        assert!(rows.iter().filter(|row| row.is_err()).count() <= 1 && !rows.is_empty());
        assert!(documents(&Job::default()).is_err());
    }
}
