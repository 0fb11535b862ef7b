//! CSV (RFC 4180) to raw values. Records are of bounded length; a quote that is never closed costs its own line, not the rest of the
//! file, which is why the records are cut here and not by the csv crate.

use super::{
    BatchError, Fields, RowError,
    compression::Bytes,
    reader::{Row, Rows, missing_column},
    record::{Cell, Record, lossy},
};
use std::io::{self, BufRead};

/// Where a scanner stands within a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote within a quoted field: its end, or half of a doubled quote.
    QuoteEnd,
}

/// Finds the ends of records and fields.
#[derive(Debug, Default)]
pub(super) struct Scanner(State);

/// What a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Part of the field.
    Data,
    /// A quote that is no data.
    Quote,
    EndOfField,
    EndOfRecord,
}

impl Scanner {
    /// Takes the next byte.
    pub(super) fn step(&mut self, byte: u8) -> Mark {
        let (state, mark) = match (self.0, byte) {
            (State::Quoted, b'"') => (State::QuoteEnd, Mark::Quote),
            (State::Quoted, _) => (State::Quoted, Mark::Data),
            (State::FieldStart, b'"') => (State::Quoted, Mark::Quote),
            (State::QuoteEnd, b'"') => (State::Quoted, Mark::Data),
            (_, b',') => (State::FieldStart, Mark::EndOfField),
            (_, b'\n') => (State::FieldStart, Mark::EndOfRecord),
            _ => (State::Unquoted, Mark::Data),
        };
        self.0 = state;
        mark
    }
}

/// Fields of one whole record without its line end.
fn split(record: &[u8]) -> Vec<Vec<u8>> {
    let mut scanner = Scanner::default();
    let mut fields = vec![Vec::new()];
    for &byte in record {
        match scanner.step(byte) {
            Mark::EndOfField => fields.push(Vec::new()),
            Mark::Data => fields.last_mut().into_iter().for_each(|f| f.push(byte)),
            Mark::Quote | Mark::EndOfRecord => {}
        }
    }
    fields
}

/// Where each field stands in a record.
struct Columns {
    count: usize,
    text: usize,
    id: Option<usize>,
    stream: Option<usize>,
    time: Option<usize>,
}

/// Rows of a CSV file.
pub(super) struct CsvRows {
    records: Records,
    columns: Columns,
    fields: Fields,
    document_bytes: usize,
}

impl CsvRows {
    /// Reads the header.
    pub(super) fn open(input: Bytes, fields: &Fields, limits: &super::Limits, path: &str) -> Result<Self, BatchError> {
        let mut records = Records { input, pending: Vec::new(), used: 0, limit: limits.record_bytes(), lines: 0 };
        let damaged = |reason: String| BatchError::Damaged { path: path.to_owned(), line: 0, reason };
        let header = match records.next().map_err(|e| damaged(super::reader::reason(&e)))? {
            None => Vec::new(),
            Some((_, Ok(bytes))) => split(&bytes).iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect(),
            Some((_, Err(error))) => return Err(damaged(format!("its header cannot be read: {}", error.message))),
        };
        let find = |name: &str| header.iter().position(|h| h == name);
        let missing = |column: &str| missing_column(path, column, &header);
        let standard = Fields::default();
        let optional = |name: &str, standard: &str| match find(name) {
            None if name != standard => Err(missing(name)),
            found => Ok(found),
        };
        let columns = Columns {
            count: header.len(),
            text: find(&fields.text).ok_or_else(|| missing(&fields.text))?,
            id: optional(&fields.id, &standard.id)?,
            stream: optional(&fields.stream, &standard.stream)?,
            time: optional(&fields.time, &standard.time)?,
        };
        Ok(Self { records, columns, fields: fields.clone(), document_bytes: limits.document_bytes })
    }

    fn record(&self, bytes: &[u8]) -> Result<Record, RowError> {
        let mut cells = split(bytes);
        if cells.len() != self.columns.count {
            let message = format!("the record has {} fields, the header has {}", cells.len(), self.columns.count);
            return Err(RowError::new("bad_csv", message));
        }
        let (text, invalid_utf8) = lossy(&std::mem::take(&mut cells[self.columns.text]));
        let optional = |column: Option<usize>| match column.map(|c| lossy(&cells[c]).0) {
            None => Cell::Null,
            Some(value) if value.is_empty() => Cell::Null,
            Some(value) => Cell::Text(value),
        };
        Ok(Record {
            text: Cell::Text(text),
            id: optional(self.columns.id),
            stream: optional(self.columns.stream),
            time: optional(self.columns.time),
            invalid_utf8,
            names: Vec::new(),
        })
    }
}

impl Rows for CsvRows {
    fn next(&mut self) -> Result<Option<Row>, String> {
        let Some((line, bytes)) = self.records.next().map_err(|e| super::reader::reason(&e))? else { return Ok(None) };
        let record = bytes.and_then(|bytes| self.record(&bytes));
        let content = record.map_err(Into::into).and_then(|r| r.document(&self.fields, self.document_bytes));
        Ok(Some(Row { line, content }))
    }

    fn line(&self) -> u64 {
        self.records.lines
    }
}

/// Whole records of a stream.
struct Records {
    input: Bytes,
    /// Bytes to read again: what follows the line of a quote that was never closed.
    pending: Vec<u8>,
    used: usize,
    limit: usize,
    /// Line ends passed.
    lines: u64,
}

type RawRecord = Result<Vec<u8>, RowError>;

impl Records {
    /// The next record that is not blank, and the line that it starts on.
    fn next(&mut self) -> io::Result<Option<(u64, RawRecord)>> {
        loop {
            let line = self.lines + 1;
            let mut record = Vec::new();
            let mut scanner = Scanner::default();
            let ended = self.fill(&mut record, &mut scanner)?;
            if record.is_empty() {
                return Ok(None);
            }
            if !ended && scanner.0 == State::Quoted {
                return self.recover(record).map(|error| Some((line, Err(error))));
            }
            self.lines += record.iter().filter(|&&b| b == b'\n').count() as u64;
            // A last record without a line end is a line all the same.
            self.lines += u64::from(!ended);
            if record.len() > self.limit {
                if !ended {
                    self.skip_line()?;
                }
                return Ok(Some((line, Err(RowError::too_long(self.limit, "the record")))));
            }
            let end = record.strip_suffix(b"\n").unwrap_or(&record);
            let end = end.strip_suffix(b"\r").unwrap_or(end).len();
            record.truncate(end);
            if !record.is_empty() {
                return Ok(Some((line, Ok(record))));
            }
        }
    }

    /// Reads up to the end of a record, the end of the input or the limit; true where it was the end of a record.
    fn fill(&mut self, record: &mut Vec<u8>, scanner: &mut Scanner) -> io::Result<bool> {
        loop {
            let again = self.used < self.pending.len();
            let bytes = if again { &self.pending[self.used..] } else { self.input.fill_buf()? };
            let end = bytes.iter().position(|&b| scanner.step(b) == Mark::EndOfRecord);
            let taken = end.map_or(bytes.len(), |e| e + 1);
            record.extend_from_slice(&bytes[..taken]);
            if again {
                self.used += taken;
            } else {
                self.input.consume(taken);
            }
            if end.is_some() || taken == 0 || record.len() > self.limit {
                return Ok(end.is_some());
            }
        }
    }

    /// Goes on after the first line of a record whose quote is open at the limit or at the end of the input.
    fn recover(&mut self, mut record: Vec<u8>) -> io::Result<RowError> {
        let limit = self.limit;
        self.lines += 1;
        let Some(end) = record.iter().position(|&b| b == b'\n') else {
            // All that was to be read again is in the record.
            if record.len() > limit {
                self.skip_line()?;
            }
            return Ok(RowError::new("bad_csv", format!("a quote is opened on this line and not closed within {limit} bytes")));
        };
        record.drain(..=end);
        record.extend_from_slice(&self.pending[self.used..]);
        (self.pending, self.used) = (record, 0);
        let message = format!("a quote is opened on this line and not closed within {limit} bytes; went on with the next line");
        Ok(RowError::new("bad_csv", message))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        (self.pending, self.used) = (Vec::new(), 0);
        loop {
            let bytes = self.input.fill_buf()?;
            let end = bytes.iter().position(|&b| b == b'\n');
            let taken = end.map_or(bytes.len(), |e| e + 1);
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                return Ok(());
            }
        }
    }
}

/// Every record of `bytes`, or the first error.
#[cfg(test)]
pub(super) fn all_records(bytes: &[u8]) -> Result<Vec<Vec<String>>, RowError> {
    let input: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(bytes.to_vec()));
    let mut records = Records { input: io::BufReader::with_capacity(3, input), pending: Vec::new(), used: 0, limit: 1000, lines: 0 };
    let mut all = Vec::new();
    while let Ok(Some((_, record))) = records.next() {
        all.push(split(&record?).iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect());
    }
    Ok(all)
}
