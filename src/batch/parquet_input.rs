//! Parquet to raw values, row by row, reading only the columns that are asked for; at most one page of each is in memory.
//! The parquet crate may panic on a hostile file: every call into it is caught and becomes an error of that file. What cannot be caught, or
//! would take hours, is looked for before the crate reads (see `thrift`).

use super::{
    BatchError, Fields,
    reader::{Recipe, Row, Rows, missing_column},
    record::{Cell, Record, lossy},
    thrift::{check_footer, check_pages},
};
use parquet::{
    basic::{Compression, ConvertedType, LogicalType, TimeUnit, Type as Physical},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::DataType,
    errors::ParquetError,
    file::reader::{FileReader, Length, RowGroupReader, SerializedFileReader},
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};
use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a column is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Text,
    Id,
    Stream,
    Time,
}

/// What the values of a column are, beyond how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    AsStored,
    Unsigned,
    /// The writer knew of no value.
    Nulls,
    /// Something that no field can be, by its name.
    Other(&'static str),
}

/// One column that is read.
struct Column {
    role: Role,
    leaf: usize,
    name: String,
    /// Whether its integers are stored with a sign that they do not have.
    unsigned: bool,
    /// Nanoseconds of one unit, where the column is a date or a timestamp.
    unit: Option<i128>,
    list: bool,
    /// Bytes of its parts of the row groups so far.
    bytes: u64,
    reader: Option<ColumnReader>,
    invalid_utf8: u32,
}

/// Rows of a Parquet file.
pub(super) struct ParquetRows {
    file: SerializedFileReader<File>,
    /// The same file, for a look at its structures before the crate reads them.
    source: File,
    columns: Vec<Column>,
    fields: Fields,
    document_bytes: usize,
    next_group: usize,
    left_in_group: u64,
    row: u64,
    total_rows: u64,
    bytes: u64,
    reported: u64,
    count: Arc<AtomicU64>,
}

impl ParquetRows {
    /// Reads the footer and finds the columns.
    pub(super) fn open(file: File, recipe: &Recipe, count: Arc<AtomicU64>) -> Result<Self, BatchError> {
        let bytes = file.metadata().map_or(0, |m| m.len());
        let damaged = |reason| BatchError::Damaged { path: recipe.name.clone(), line: 0, reason };
        let source = file.try_clone().map_err(|e| damaged(e.to_string()))?;
        check_footer(&source).map_err(damaged)?;
        let file = guarded(|| SerializedFileReader::new(file).map_err(|e| e.to_string())).map_err(damaged)?;
        let columns = guarded(|| Ok(find_columns(&file, recipe))).map_err(damaged)??;
        let total_rows = file.metadata().file_metadata().num_rows().max(0) as u64;
        Ok(Self {
            file,
            source,
            columns,
            fields: recipe.fields.clone(),
            document_bytes: recipe.limits.document_bytes,
            next_group: 0,
            left_in_group: 0,
            row: 0,
            total_rows,
            bytes,
            reported: 0,
            count,
        })
    }

    /// Opens row groups until one has rows; false where there is none left.
    fn enter_group(&mut self) -> Result<bool, String> {
        while self.left_in_group == 0 {
            if self.next_group == self.file.num_row_groups() {
                return Ok(false);
            }
            let group = self.file.get_row_group(self.next_group).map_err(|e| e.to_string())?;
            let rows = group.metadata().num_rows().max(0) as u64;
            if rows > 0 {
                for column in &mut self.columns {
                    column.enter(group.as_ref(), &self.source)?;
                }
            }
            self.left_in_group = rows;
            self.next_group += 1;
        }
        Ok(true)
    }

    fn record(&mut self) -> Result<Option<Record>, String> {
        if !self.enter_group()? {
            return Ok(None);
        }
        let mut record = Record::default();
        for column in &mut self.columns {
            let cell = column.next()?;
            match column.role {
                Role::Text => (record.text, record.invalid_utf8) = (cell, column.invalid_utf8),
                Role::Id => record.id = cell,
                Role::Stream => record.stream = cell,
                Role::Time => record.time = cell,
            }
        }
        self.left_in_group -= 1;
        Ok(Some(record))
    }
}

impl Rows for ParquetRows {
    fn next(&mut self) -> Result<Option<Row>, String> {
        let Some(record) = guarded(|| self.record())? else { return Ok(None) };
        self.row += 1;
        let read = (u128::from(self.bytes) * u128::from(self.row) / u128::from(self.total_rows.max(1))) as u64;
        self.count.fetch_add(read.saturating_sub(self.reported), Ordering::Relaxed);
        self.reported = read.max(self.reported);
        Ok(Some(Row { line: self.row, content: record.document(&self.fields, self.document_bytes) }))
    }

    fn line(&self) -> u64 {
        self.row
    }
}

/// Runs `f`; a panic in it becomes an error.
fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err("the Parquet reader gave up on it".to_owned()))
}

fn find_columns(file: &SerializedFileReader<File>, recipe: &Recipe) -> Result<Vec<Column>, BatchError> {
    let (fields, standard) = (&recipe.fields, Fields::default());
    let asked = [
        (Role::Text, &fields.text, true),
        (Role::Id, &fields.id, fields.id != standard.id),
        (Role::Stream, &fields.stream, fields.stream != standard.stream),
        (Role::Time, &fields.time, fields.time != standard.time),
    ];
    let schema = file.metadata().file_metadata().schema_descr();
    let mut columns = Vec::new();
    for (role, name, required) in asked {
        match find_leaf(schema, name) {
            Some(leaf) => columns.push(column(file, recipe, (role, name, leaf))?),
            None if required => {
                let there: Vec<_> = schema.root_schema().get_fields().iter().map(|f| f.name().to_owned()).collect();
                return Err(missing_column(&recipe.name, name, &there));
            }
            None => {}
        }
    }
    Ok(columns)
}

/// The column of this dotted path, or the only one below this top-level name (a list).
fn find_leaf(schema: &SchemaDescriptor, name: &str) -> Option<usize> {
    let columns = schema.columns();
    let exact = columns.iter().position(|c| c.path().string() == name);
    let below = || {
        let mut found = (0..columns.len()).filter(|&i| columns[i].path().parts().first().is_some_and(|p| p == name));
        found.next().filter(|_| found.next().is_none())
    };
    exact.or_else(below)
}

fn column(file: &SerializedFileReader<File>, recipe: &Recipe, (role, name, leaf): (Role, &str, usize)) -> Result<Column, BatchError> {
    let descriptor = file.metadata().file_metadata().schema_descr().column(leaf);
    let list = descriptor.max_rep_level() == 1;
    let physical = descriptor.physical_type();
    let flat = descriptor.max_rep_level() == 0;
    let meaning = meaning(&descriptor);
    let (fits, expected) = match (role, physical) {
        (Role::Text, Physical::INT32) => (flat && meaning == Meaning::Nulls, "a string column"),
        (Role::Text, p) => (flat && p == Physical::BYTE_ARRAY, "a string column"),
        (Role::Id, p) => (flat && matches!(p, Physical::BYTE_ARRAY | Physical::INT32 | Physical::INT64), "a string or integer column"),
        (Role::Stream, p) => {
            ((flat || list) && matches!(p, Physical::BYTE_ARRAY | Physical::INT32 | Physical::INT64), "strings or integers, one or a list")
        }
        (Role::Time, p) => (flat && !matches!(p, Physical::BOOLEAN | Physical::FIXED_LEN_BYTE_ARRAY), "a timestamp, a string or seconds"),
    };
    if !fits || matches!(meaning, Meaning::Other(_)) {
        let one = match meaning {
            Meaning::Other(what) => what.to_owned(),
            Meaning::Nulls => "null".to_owned(),
            Meaning::AsStored | Meaning::Unsigned => physical.to_string(),
        };
        let found = format!("{one}{}", if flat { "" } else { " in lists" });
        return Err(BatchError::ColumnType { path: recipe.name.clone(), column: name.to_owned(), found, expected });
    }
    let unreadable =
        |c: &Compression| !matches!(c, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_));
    let codec = file.metadata().row_groups().iter().map(|g| g.column(leaf).compression()).find(unreadable);
    if let Some(codec) = codec {
        let path = &recipe.name;
        return Err(BatchError::Unsupported(format!(
            "column `{name}` of {path} is compressed with {codec}; write it with Snappy, gzip, Zstandard or none"
        )));
    }
    let unit = (role == Role::Time).then(|| unit(descriptor.converted_type(), descriptor.logical_type_ref())).flatten();
    let unsigned = meaning == Meaning::Unsigned;
    Ok(Column { role, leaf, name: name.to_owned(), unsigned, unit, list, bytes: 0, reader: None, invalid_utf8: 0 })
}

/// A decimal number without decimals that is stored as an integer is that integer; of others the stored one is a multiple.
fn meaning(descriptor: &ColumnDescriptor) -> Meaning {
    let whole = descriptor.type_scale() == 0 && matches!(descriptor.physical_type(), Physical::INT32 | Physical::INT64);
    match (descriptor.converted_type(), descriptor.logical_type_ref()) {
        (ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64, _) => Meaning::Unsigned,
        (_, Some(LogicalType::Integer(t))) if !t.is_signed => Meaning::Unsigned,
        (ConvertedType::DECIMAL, _) | (_, Some(LogicalType::Decimal(_))) if !whole => Meaning::Other("a decimal number"),
        (ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS, _) | (_, Some(LogicalType::Time(_))) => Meaning::Other("a time of day"),
        (_, Some(LogicalType::Unknown)) => Meaning::Nulls,
        _ => Meaning::AsStored,
    }
}

fn unit(converted: ConvertedType, logical: Option<&LogicalType>) -> Option<i128> {
    match (converted, logical) {
        (_, Some(LogicalType::Timestamp(t))) => Some(match t.unit {
            TimeUnit::MILLIS => 1_000_000,
            TimeUnit::MICROS => 1_000,
            TimeUnit::NANOS => 1,
        }),
        (ConvertedType::TIMESTAMP_MILLIS, _) => Some(1_000_000),
        (ConvertedType::TIMESTAMP_MICROS, _) => Some(1_000),
        (ConvertedType::DATE, _) => Some(86_400_000_000_000),
        _ => None,
    }
}

impl Column {
    /// Goes on with its part of a row group. Parts do not share bytes: all of a thousand groups could name the same million of pages.
    fn enter(&mut self, group: &dyn RowGroupReader, source: &File) -> Result<(), String> {
        let range = group.metadata().column(self.leaf).byte_range();
        self.bytes = self.bytes.saturating_add(range.1);
        if self.bytes > source.len() {
            return Err(format!("column `{}` has more bytes than the file", self.name));
        }
        check_pages(source, range)?;
        self.reader = Some(group.get_column_reader(self.leaf).map_err(|e| e.to_string())?);
        Ok(())
    }

    /// The value of the next row.
    fn next(&mut self) -> Result<Cell, String> {
        self.invalid_utf8 = 0;
        let (unit, unsigned) = (self.unit, self.unsigned);
        let integer = |n: i128| match unit {
            None => Cell::Integer(n),
            Some(unit) => n
                .checked_mul(unit)
                .and_then(|n| jiff::Timestamp::from_nanosecond(n).ok())
                .map_or(Cell::Other("a time out of range"), Cell::Time),
        };
        let mut invalid = 0;
        let cells = match self.reader.as_mut() {
            Some(ColumnReader::ByteArrayColumnReader(r)) => one_record(r, |bytes| {
                let (text, lost) = lossy(bytes.data());
                invalid += lost;
                Cell::Text(text)
            }),
            Some(ColumnReader::Int32ColumnReader(r)) => one_record(r, |&n| integer(if unsigned { (n as u32).into() } else { n.into() })),
            Some(ColumnReader::Int64ColumnReader(r)) => one_record(r, |&n| integer(if unsigned { (n as u64).into() } else { n.into() })),
            Some(ColumnReader::Int96ColumnReader(r)) => {
                one_record(r, |n| jiff::Timestamp::from_microsecond(n.to_micros()).map_or(Cell::Other("a time out of range"), Cell::Time))
            }
            Some(ColumnReader::FloatColumnReader(r)) => one_record(r, |x| Cell::Float((*x).into())),
            Some(ColumnReader::DoubleColumnReader(r)) => one_record(r, |x| Cell::Float(*x)),
            _ => return Err(format!("column `{}` changed its type", self.name)),
        };
        let mut cells = cells.map_err(|e| format!("column `{}`: {e}", self.name))?;
        self.invalid_utf8 = invalid;
        Ok(if self.list { Cell::List(cells) } else { cells.pop().unwrap_or_default() })
    }
}

/// The values of one record; none where it is null.
fn one_record<T: DataType>(reader: &mut ColumnReaderImpl<T>, cell: impl FnMut(&T::T) -> Cell) -> Result<Vec<Cell>, ParquetError> {
    let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (records, ..) = reader.read_records(1, Some(&mut definition), Some(&mut repetition), &mut values)?;
    if records == 0 {
        return Err(ParquetError::General("it has fewer rows than the footer says".to_owned()));
    }
    Ok(values.iter().map(cell).collect())
}
