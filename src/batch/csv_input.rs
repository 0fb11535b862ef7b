//! CSV (RFC 4180) to raw values. Records are of bounded length; a quote that is never closed costs its own line, not the rest of the
//! file, which is why the records are cut here and not by the csv crate.

use super::{
    BatchError, Fields, RowError,
    compression::Bytes,
    reader::{Row, Rows, missing_column},
    record::{Cell, Record, lossy},
};
use serde_json::{Map, Value};
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
    text: usize,
    id: Option<usize>,
    stream: Option<usize>,
    time: Option<usize>,
}

/// Rows of a CSV file.
pub(super) struct CsvRows {
    records: Records,
    header: Vec<String>,
    columns: Columns,
    fields: Fields,
    document_bytes: usize,
    /// The record that `next` gave last; empty where it was not whole.
    last: Vec<u8>,
}

impl CsvRows {
    /// Reads the header.
    pub(super) fn open(input: Bytes, fields: &Fields, limits: &super::Limits, path: &str) -> Result<Self, BatchError> {
        let mut records = Records::new(input, limits.record_bytes());
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
            text: find(&fields.text).ok_or_else(|| missing(&fields.text))?,
            id: optional(&fields.id, &standard.id)?,
            stream: optional(&fields.stream, &standard.stream)?,
            time: optional(&fields.time, &standard.time)?,
        };
        let (fields, document_bytes) = (fields.clone(), limits.document_bytes);
        Ok(Self { records, header, columns, fields, document_bytes, last: Vec::new() })
    }

    fn record(&self, bytes: &[u8]) -> Result<Record, RowError> {
        let mut cells = split(bytes);
        if cells.len() != self.header.len() {
            let message = format!("the record has {} fields, the header has {}", cells.len(), self.header.len());
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
        self.last = Vec::new();
        let record = bytes.and_then(|bytes| {
            self.last = bytes;
            self.record(&self.last)
        });
        let content = record.map_err(Into::into).and_then(|r| r.document(&self.fields, self.document_bytes));
        Ok(Some(Row { line, content }))
    }

    fn line(&self) -> u64 {
        self.records.lines
    }

    /// Text, and null for an empty cell; of columns with one name the first counts, as in `record`.
    fn fields(&self) -> Result<Map<String, Value>, RowError> {
        let (cells, mut fields) = (split(&self.last), Map::new());
        if !self.last.is_empty() && cells.len() == self.header.len() {
            for (name, cell) in self.header.iter().zip(&cells) {
                let value = if cell.is_empty() { Value::Null } else { Value::String(lossy(cell).0) };
                fields.entry(name.as_str()).or_insert(value);
            }
        }
        Ok(fields)
    }

    fn ready(&self) -> bool {
        self.records.ready()
    }
}

/// Whole records of a stream.
struct Records {
    input: Bytes,
    /// Bytes that were read; those from `start` on are not given yet.
    held: Vec<u8>,
    start: usize,
    /// A quote that is open at the end of a line before this place is open here too: a record was read up to here in vain. So what lies
    /// between is not read again for every line.
    open: usize,
    limit: usize,
    /// Line ends passed.
    lines: u64,
}

/// Where a record stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// At its end.
    Whole,
    /// Within quotes, at the limit or at the end of the input.
    Quoted,
    /// There, but not within quotes.
    Cut,
}

type RawRecord = Result<Vec<u8>, RowError>;

impl Records {
    fn new(input: Bytes, limit: usize) -> Self {
        Self { input, held: Vec::new(), start: 0, open: 0, limit, lines: 0 }
    }

    /// The next record that is not blank, and the line that it starts on.
    fn next(&mut self) -> io::Result<Option<(u64, RawRecord)>> {
        loop {
            self.forget();
            let line = self.lines + 1;
            let (length, stop) = self.find()?;
            let bytes = &self.held[self.start..self.start + length];
            if bytes.is_empty() {
                return Ok(None);
            }
            if stop == Stop::Quoted {
                return self.recover(length).map(|error| Some((line, Err(error))));
            }
            self.lines += bytes.iter().filter(|&&b| b == b'\n').count() as u64;
            // A last record without a line end is a line all the same.
            self.lines += u64::from(stop == Stop::Cut);
            let record = (length <= self.limit).then(|| without_end(bytes).to_vec());
            self.start += length;
            match record {
                Some(record) if record.is_empty() => {}
                Some(record) => return Ok(Some((line, Ok(record)))),
                None => {
                    if stop == Stop::Cut {
                        self.skip_line()?;
                    }
                    return Ok(Some((line, Err(RowError::too_long(self.limit, "the record")))));
                }
            }
        }
    }

    /// Whether the next record that is not blank can be had without waiting for input.
    fn ready(&self) -> bool {
        let blank = self.held[self.start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let (at, _, whole) = self.look(self.start + blank);
        whole || at - self.start > self.limit
    }

    /// How far a record from `from` on goes in what is held, how the scanner stands there, and whether that is its end.
    fn look(&self, from: usize) -> (usize, Scanner, bool) {
        let (mut at, mut scanner) = (from, Scanner::default());
        while at < self.open {
            let byte = self.held[at];
            at += 1;
            if scanner.step(byte) == Mark::EndOfRecord {
                return (at, scanner, true);
            }
            if byte == b'\n' {
                at = self.open;
            }
        }
        let end = self.held[at..].iter().position(|&b| scanner.step(b) == Mark::EndOfRecord);
        (end.map_or(self.held.len(), |end| at + end + 1), scanner, end.is_some())
    }

    /// Reads up to the end of a record, the end of the input or the limit: the length of what is there, and which of them it was.
    fn find(&mut self) -> io::Result<(usize, Stop)> {
        let (mut at, mut scanner, mut whole) = self.look(self.start);
        while !whole && at - self.start <= self.limit && self.more()? {
            let end = self.held[at..].iter().position(|&b| scanner.step(b) == Mark::EndOfRecord);
            (at, whole) = (end.map_or(self.held.len(), |end| at + end + 1), end.is_some());
        }
        let stop = match scanner.0 {
            _ if whole => Stop::Whole,
            State::Quoted => Stop::Quoted,
            _ => Stop::Cut,
        };
        if stop == Stop::Quoted {
            self.open = at;
        }
        Ok((at - self.start, stop))
    }

    /// Reads on; false at the end of the input.
    fn more(&mut self) -> io::Result<bool> {
        let bytes = self.input.fill_buf()?;
        let count = bytes.len();
        self.held.extend_from_slice(bytes);
        self.input.consume(count);
        Ok(count > 0)
    }

    /// Lets go of what was given, once that is more than what is left.
    fn forget(&mut self) {
        if self.start > self.held.len() / 2 {
            self.held.drain(..self.start);
            // One giant record must not hold its memory for the rest of the file.
            self.held.shrink_to(1 << 20);
            self.open = self.open.saturating_sub(self.start);
            self.start = 0;
        }
    }

    /// Goes on after the first line of a record whose quote is open at the limit or at the end of the input.
    fn recover(&mut self, length: usize) -> io::Result<RowError> {
        self.lines += 1;
        let mut message = format!("a quote is opened on this line and not closed within {} bytes", self.limit);
        match self.held[self.start..].iter().position(|&b| b == b'\n') {
            Some(end) => {
                self.start += end + 1;
                message += "; went on with the next line";
            }
            None => {
                self.start += length;
                if length > self.limit {
                    self.skip_line()?;
                }
            }
        }
        Ok(RowError::new("bad_csv", message))
    }

    /// Skips the rest of a line of which all that is held is given.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            self.held.clear();
            (self.start, self.open) = (0, 0);
            if !self.more()? {
                return Ok(());
            }
            if let Some(end) = self.held.iter().position(|&b| b == b'\n') {
                self.start = end + 1;
                return Ok(());
            }
        }
    }
}

/// A record without its line end.
fn without_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// Every record of `bytes`, or the first error.
#[cfg(test)]
pub(super) fn all_records(bytes: &[u8]) -> Result<Vec<Vec<String>>, RowError> {
    let input: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(bytes.to_vec()));
    let mut records = Records::new(io::BufReader::with_capacity(3, input), 1000);
    let mut all = Vec::new();
    while let Ok(Some((_, record))) = records.next() {
        all.push(split(&record?).iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The line of each record, and the record or the code of its error.
    type Found = Vec<(u64, Result<Vec<u8>, &'static str>)>;

    fn found(bytes: Vec<u8>, limit: usize, buffer: usize) -> Found {
        let input: Box<dyn io::Read + Send> = Box::new(io::Cursor::new(bytes));
        let mut records = Records::new(io::BufReader::with_capacity(buffer, input), limit);
        std::iter::from_fn(|| records.next().unwrap()).map(|(line, record)| (line, record.map_err(|e| e.code))).collect()
    }

    /// The same, where each line after an open quote is begun anew and read as far as a record may go.
    fn found_slowly(bytes: &[u8], limit: usize) -> Found {
        let (mut at, mut lines, mut all) = (0, 0, Vec::new());
        let next_line = |at: usize| bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |end| at + end + 1);
        while at < bytes.len() {
            let (line, mut scanner) = (lines + 1, Scanner::default());
            let most = bytes.len().min(at + limit + 1);
            let end = bytes[at..most].iter().position(|&b| scanner.step(b) == Mark::EndOfRecord).map(|end| at + end + 1);
            if end.is_none() && scanner.0 == State::Quoted {
                lines += 1;
                all.push((line, Err("bad_csv")));
                at = next_line(at);
                continue;
            }
            let record = &bytes[at..end.unwrap_or(most)];
            lines += record.iter().filter(|&&b| b == b'\n').count() as u64 + u64::from(end.is_none());
            let too_long = record.len() > limit;
            if too_long || !without_end(record).is_empty() {
                all.push((line, if too_long { Err("too_long") } else { Ok(without_end(record).to_vec()) }));
            }
            at = end.unwrap_or_else(|| if too_long { next_line(most) } else { most });
        }
        all
    }

    proptest! {
        #[test]
        fn lines_after_an_open_quote_are_records_as_if_read_anew(text in "[ab\",\r\n]{0,60}", limit in 1usize..60, buffer in 1usize..9) {
            // A record is noticed to be too long when a buffer is read: of one byte, at once.
            prop_assert_eq!(found(text.clone().into_bytes(), limit, 1), found_slowly(text.as_bytes(), limit));
            prop_assert_eq!(found(text.clone().into_bytes(), 100, buffer), found_slowly(text.as_bytes(), 100));
        }
    }

    /// Each of these lines was read on to the limit, or to the end of the input: hours for a few megabytes.
    #[test]
    fn quotes_that_stay_open_are_read_once() {
        let bytes = "x\",\"\n".repeat(200_000).into_bytes();
        for limit in [1 << 16, 1 << 30] {
            // Whole lines at a time: the limit is noticed at the end of one, within quotes.
            let rows = found(bytes.clone(), limit, 4000);
            assert_eq!(rows.len(), 200_000);
            assert!(rows.iter().zip(1..).all(|(row, line)| *row == (line, Err("bad_csv"))));
        }
    }
}
