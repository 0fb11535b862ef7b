//! Raw values of one row to a `Document`, with the checks that every format shares; and one line of JSON to raw values.

use super::{Fields, RowError};
use crate::text::{self, Document, StreamKey};
use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Longest id, bytes: it is repeated in every answer.
const MAX_ID: usize = 4096;
/// Most stream keys of one document.
const MAX_STREAMS: usize = 64;
/// Names of fields that an error lists.
const NAMES_SHOWN: usize = 12;

/// One value as it was sent. Nothing is held of what no field can be.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Cell {
    #[default]
    Null,
    Text(String),
    Integer(i128),
    Float(f64),
    Time(Timestamp),
    List(Vec<Cell>),
    /// Something else, by its name.
    Other(&'static str),
}

/// One row as it was sent.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub text: Cell,
    pub id: Cell,
    pub stream: Cell,
    pub time: Cell,
    /// Byte sequences of the row that were not UTF-8.
    pub invalid_utf8: u32,
    /// Names of the fields that the row has, where it says them itself.
    pub names: Vec<String>,
}

/// A row that cannot be answered, with its id where it has one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BadRow {
    pub id: Option<String>,
    pub error: RowError,
}

impl From<RowError> for BadRow {
    fn from(error: RowError) -> Self {
        Self { id: None, error }
    }
}

impl Record {
    /// Checks every value.
    pub(super) fn document(self, fields: &Fields, limit: usize) -> Result<Document, BadRow> {
        let id = id(self.id, &fields.id)?;
        let rest = || {
            let text = text(self.text, &fields.text, &self.names)?;
            if text.len() > limit {
                return Err(RowError::too_long(limit, "the text"));
            }
            let replaced = if self.invalid_utf8 == 0 { 0 } else { text.matches('\u{fffd}').count() };
            Ok(Document {
                id: None,
                invalid_utf8: self.invalid_utf8.min(u32::try_from(replaced).unwrap_or(u32::MAX)),
                text,
                streams: streams(self.stream, &fields.stream)?,
                time: time(self.time, &fields.time)?,
                with_tokens: false,
            })
        };
        match rest() {
            Ok(document) => Ok(Document { id, ..document }),
            Err(error) => Err(BadRow { id, error }),
        }
    }
}

/// Bytes as text, and how many sequences of them were not UTF-8.
pub(super) fn lossy(bytes: &[u8]) -> (String, u32) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.to_owned(), 0);
    }
    let invalid = bytes.utf8_chunks().filter(|c| !c.invalid().is_empty()).count();
    (String::from_utf8_lossy(bytes).into_owned(), u32::try_from(invalid).unwrap_or(u32::MAX))
}

fn wrong_type(field: &str, cell: &Cell, expected: &str) -> RowError {
    RowError::new("wrong_type", format!("field `{field}` is {}, expected {expected}", cell.name()))
}

fn text(cell: Cell, field: &str, names: &[String]) -> Result<String, RowError> {
    match cell {
        Cell::Text(text) => Ok(text),
        Cell::Null if names.is_empty() => Err(RowError::new("missing_field", format!("no value in `{field}`"))),
        Cell::Null => {
            let list = names.join("`, `");
            Err(RowError::new(
                "missing_field",
                format!("no text in field `{field}`; the row has `{list}`; name the field with --text-field"),
            ))
        }
        other => Err(wrong_type(field, &other, "a string")),
    }
}

fn id(cell: Cell, field: &str) -> Result<Option<String>, RowError> {
    match cell {
        Cell::Null => Ok(None),
        Cell::Text(id) if id.len() <= MAX_ID => Ok(Some(id)),
        Cell::Text(id) => Err(RowError::new("bad_id", format!("field `{field}` has {} bytes, at most {MAX_ID} are taken", id.len()))),
        Cell::Integer(n) => Ok(Some(n.to_string())),
        // A float would come back changed, and so would an integer of more than 64 bits.
        Cell::Float(_) => {
            Err(RowError::new("bad_id", format!("field `{field}` is a number that is no 64-bit integer; send it as a string")))
        }
        other => Err(wrong_type(field, &other, "a string or an integer")),
    }
}

fn streams(cell: Cell, field: &str) -> Result<Vec<StreamKey>, RowError> {
    let keys = match cell {
        Cell::Null => return Ok(Vec::new()),
        Cell::List(keys) if keys.len() > MAX_STREAMS => {
            return Err(RowError::new("bad_stream", format!("field `{field}` has more than {MAX_STREAMS} keys")));
        }
        Cell::List(keys) => keys,
        one => vec![one],
    };
    let key = |cell: Cell| match cell {
        Cell::Text(key) => StreamKey::new(key).map_err(|e| RowError::new("bad_stream", e.to_string())),
        Cell::Integer(n) => StreamKey::new(n.to_string()).map_err(|e| RowError::new("bad_stream", e.to_string())),
        other => Err(wrong_type(field, &other, "a string or a list of strings")),
    };
    keys.into_iter().map(key).collect()
}

fn time(cell: Cell, field: &str) -> Result<Option<Timestamp>, RowError> {
    let (parsed, what) = match cell {
        Cell::Null => return Ok(None),
        Cell::Time(time) => (Some(time), ""),
        Cell::Integer(n) => (text::timestamp_of_seconds(n as f64), "out of range"),
        Cell::Float(s) => (text::timestamp_of_seconds(s), "out of range"),
        Cell::Text(s) => (text::timestamp(&s), "no time"),
        other => return Err(wrong_type(field, &other, "RFC 3339 or seconds since 1970")),
    };
    let bad =
        || RowError::new("bad_time", format!("field `{field}` is {what}, expected RFC 3339, or seconds since 1970, not milliseconds"));
    parsed.map(Some).ok_or_else(bad)
}

impl Cell {
    fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "a string",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Other(name) => name,
        }
    }
}

/// One line of JSON to raw values; fields that are not asked for are skipped without being held.
pub(super) fn from_json(line: &[u8], fields: &Fields) -> Result<Record, RowError> {
    let (text, invalid_utf8) = match std::str::from_utf8(line) {
        Ok(text) => (std::borrow::Cow::Borrowed(text), 0),
        Err(_) => {
            let (text, invalid) = lossy(line);
            (text.into(), invalid)
        }
    };
    let mut json = serde_json::Deserializer::from_str(&text);
    let parsed = ObjectOf(fields).deserialize(&mut json).and_then(|record| json.end().map(|()| record));
    parsed.map(|record| Record { invalid_utf8, ..record }).map_err(|e| bad_json(&e))
}

/// What is wrong with a line of JSON.
pub(super) fn bad_json(error: &serde_json::Error) -> RowError {
    // The parser counts lines within this one: only its column helps.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    RowError::new("bad_json", format!("{message} at column {}", error.column()))
}

struct ObjectOf<'a>(&'a Fields);

impl<'de> DeserializeSeed<'de> for ObjectOf<'_> {
    type Value = Record;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectOf<'_> {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        while let Some(name) = map.next_key::<String>()? {
            let wanted = [&self.0.text, &self.0.id, &self.0.stream, &self.0.time].map(|field| *field == name);
            if wanted.contains(&true) {
                let cell = map.next_value_seed(AnyCell { depth: 0 })?;
                let places = [&mut record.text, &mut record.id, &mut record.stream, &mut record.time];
                places.into_iter().zip(wanted).filter(|(_, wanted)| *wanted).for_each(|(place, _)| *place = cell.clone());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if record.names.len() < NAMES_SHOWN && name.len() <= 100 {
                record.names.push(name);
            }
        }
        Ok(record)
    }
}

/// Any JSON value: scalars, or a list of them.
struct AnyCell {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for AnyCell {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyCell {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Cell, E> {
        Ok(Cell::Other("a boolean"))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Cell, E> {
        Ok(Cell::Integer(n.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Cell, E> {
        Ok(Cell::Integer(n.into()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Cell, E> {
        Ok(Cell::Float(n))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Cell, A::Error> {
        let mut cells = Vec::new();
        if self.depth == 0 {
            while cells.len() <= MAX_STREAMS
                && let Some(cell) = list.next_element_seed(AnyCell { depth: 1 })?
            {
                cells.push(cell);
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(if self.depth == 0 { Cell::List(cells) } else { Cell::Other("a list") })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Other("an object"))
    }
}
