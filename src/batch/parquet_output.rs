//! Answers to Parquet: typed columns, all optional, in row groups of bounded size. The footer comes at the end, so a run that was killed
//! leaves nothing that can be read; one that was stopped does.

use super::table::{Answer, COLUMNS, Kind, flatten};
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::{ParquetError, Result},
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter},
    },
    schema::types::Type,
};
use serde_json::Value;
use std::{
    io::{self, Write},
    sync::Arc,
};

/// Rows of a row group.
const GROUP: usize = 8192;

/// Writes answers.
pub(super) struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    rows: Vec<Vec<Value>>,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(super) fn new(raw: W) -> io::Result<Self> {
        let fields = COLUMNS.iter().map(|&(name, kind)| field(name, kind).map(Arc::new)).collect::<Result<Vec<_>>>().map_err(plain)?;
        let schema = Type::group_type_builder("assessment").with_fields(fields).build().map_err(plain)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let file = SerializedFileWriter::new(raw, Arc::new(schema), Arc::new(properties)).map_err(plain)?;
        Ok(Self { file, rows: Vec::new() })
    }

    pub(super) fn write(&mut self, answer: &Answer<'_>) -> io::Result<()> {
        self.rows.push(flatten(answer)?);
        if self.rows.len() == GROUP { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> io::Result<()> {
        let mut rows = std::mem::take(&mut self.rows);
        let mut group = self.file.next_row_group().map_err(plain)?;
        for (index, &(_, kind)) in COLUMNS.iter().enumerate() {
            let values: Vec<Value> = rows.iter_mut().map(|row| row[index].take()).collect();
            let mut column = group.next_column().map_err(plain)?.ok_or_else(|| io::Error::other("the schema lost a column"))?;
            write_column(&mut column, kind, &values).and_then(|()| column.close()).map_err(plain)?;
        }
        group.close().map(|_| ()).map_err(plain)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        self.file.finish().map_err(plain)?;
        self.file.flush()
    }
}

fn field(name: &str, kind: Kind) -> Result<Type> {
    let (physical, logical) = match kind {
        Kind::Foreign | Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Number => (Physical::DOUBLE, None),
        Kind::Integer => (Physical::INT64, None),
        Kind::Boolean => (Physical::BOOLEAN, None),
    };
    Type::primitive_type_builder(name, physical).with_logical_type(logical).with_repetition(Repetition::OPTIONAL).build()
}

fn write_column(column: &mut SerializedColumnWriter<'_>, kind: Kind, values: &[Value]) -> Result<()> {
    match kind {
        Kind::Foreign | Kind::Text => write_values::<ByteArrayType>(column, values, |v| v.as_str().map(ByteArray::from)),
        Kind::Number => write_values::<DoubleType>(column, values, Value::as_f64),
        Kind::Integer => write_values::<Int64Type>(column, values, Value::as_i64),
        Kind::Boolean => write_values::<BoolType>(column, values, Value::as_bool),
    }
}

fn write_values<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &[Value],
    convert: impl Fn(&Value) -> Option<T::T>,
) -> Result<()> {
    let converted: Vec<Option<T::T>> = values.iter().map(convert).collect();
    let definition: Vec<i16> = converted.iter().map(|v| i16::from(v.is_some())).collect();
    let there: Vec<T::T> = converted.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&there, Some(&definition), None).map(|_| ())
}

/// The system's own error where there is one: a caller looks for a broken pipe.
fn plain(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(io) => *io,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
