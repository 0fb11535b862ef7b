//! An input to rows, whatever its format and compression. Takes streams or files, gives documents or row errors, one row at a time.

use super::{
    BatchError, Fields, InputFormat, Limits, RowError,
    compression::{BUFFER, Bytes, Compression, decompress},
    csv_input::CsvRows,
    lines::{Line, Lines},
    parquet_input::ParquetRows,
    record::{BadRow, bad_json, from_json, lossy},
};
use crate::text::Document;
use serde_json::{Map, Value};
use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// One row of an input.
pub(super) struct Row {
    /// Line or row of the input, from 1.
    pub line: u64,
    pub content: Result<Document, BadRow>,
}

/// Rows of one input.
pub(super) trait Rows: Send {
    /// The next row; an error means that the input is damaged from here on.
    fn next(&mut self) -> Result<Option<Row>, String>;

    /// The last line or row that was read whole.
    fn line(&self) -> u64;

    /// All fields of the row that `next` gave last, where its format names them. What a document does not need was passed over so far; what
    /// cannot be kept of it is told, not dropped.
    fn fields(&self) -> Result<Map<String, Value>, RowError> {
        Ok(Map::new())
    }

    /// Whether the next row can be had without waiting for a slow sender.
    fn ready(&self) -> bool {
        true
    }
}

/// How to read one input.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// Its name in errors.
    pub name: String,
    /// The id of a text, where the input is one document.
    pub text_id: Option<String>,
    /// `None`: JSONL where the input starts with `{`, else text.
    pub format: Option<InputFormat>,
    /// What its name promises.
    pub compression: Compression,
    pub fields: Fields,
    pub limits: Limits,
}

/// Adds what is read to a shared count.
pub(super) struct Counting<R> {
    pub inner: R,
    pub count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// What an input error means to people.
pub(super) fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof || error.to_string().contains("incomplete frame") {
        return "the compressed data ends in the middle, so the file was cut".to_owned();
    }
    error.to_string()
}

pub(super) fn missing_column(path: &str, column: &str, there: &[String]) -> BatchError {
    let found = if there.is_empty() { "it is empty".to_owned() } else { format!("its columns are `{}`", there.join("`, `")) };
    BatchError::MissingColumn { path: path.to_owned(), column: column.to_owned(), found }
}

/// Rows of a stream of bytes; everything but Parquet.
pub(super) fn open_stream(raw: Box<dyn Read + Send>, recipe: &Recipe) -> Result<Box<dyn Rows>, BatchError> {
    let unreadable = |source| BatchError::Unreadable { path: recipe.name.clone(), source };
    let wrong = |expected, found| BatchError::WrongContent { path: recipe.name.clone(), expected, found };
    let (start, raw) = peek(raw);
    let compression = Compression::by_content(&start);
    if recipe.compression != Compression::None && recipe.compression != compression {
        let found = if start.is_empty() { "it is empty" } else { "its first bytes are something else; rename it" };
        return Err(wrong(recipe.compression.name(), found));
    }
    let (start, plain) = peek(decompress(raw, compression).map_err(unreadable)?);
    let plain = match start.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => without_mark(plain).map_err(unreadable)?,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err(wrong("UTF-8 text", "it starts like UTF-16; convert it to UTF-8")),
        b"PAR1" => return Err(wrong("text", "it starts like Parquet; give the file itself, with --format parquet")),
        b"PK\x03\x04" => return Err(wrong("text", "it starts like a ZIP archive or an office document")),
        [0xfd, b'7', b'z', b'X'] | [b'B', b'Z', b'h', _] => {
            return Err(wrong("text", "it starts like xz or bzip2; only gzip and Zstandard are read"));
        }
        _ => plain,
    };
    let unmarked = start.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(&start);
    let looks_like_json = unmarked.trim_ascii_start().first() == Some(&b'{');
    let format = recipe.format.unwrap_or(if looks_like_json { InputFormat::Jsonl } else { InputFormat::Text });
    let input = BufReader::with_capacity(BUFFER, plain);
    let limits = &recipe.limits;
    Ok(match format {
        InputFormat::Text => Box::new(TextRow {
            input: Some(input),
            id: recipe.text_id.clone(),
            limit: limits.document_bytes,
            line: 0,
            guessed: recipe.format.is_none().then(|| recipe.name.clone()),
        }),
        InputFormat::Lines => Box::new(LineRows(Lines::new(input, limits.document_bytes))),
        InputFormat::Jsonl => {
            let lines = Lines::new(input, limits.record_bytes());
            Box::new(JsonRows { lines, fields: recipe.fields.clone(), document_bytes: limits.document_bytes })
        }
        InputFormat::Csv => Box::new(CsvRows::open(input, &recipe.fields, limits, &recipe.name)?),
        InputFormat::Parquet => {
            return Err(BatchError::Unsupported(format!("{} is no plain file, and Parquet is read from files only", recipe.name)));
        }
    })
}

/// Rows of a file.
pub(super) fn open_file(file: File, recipe: &Recipe, count: Arc<AtomicU64>) -> Result<Box<dyn Rows>, BatchError> {
    if recipe.format != Some(InputFormat::Parquet) {
        return open_stream(Box::new(Counting { inner: file, count }), recipe);
    }
    if recipe.compression != Compression::None {
        return Err(BatchError::Unsupported(format!("{}: Parquet compresses itself; unpack the file first", recipe.name)));
    }
    Ok(Box::new(ParquetRows::open(file, recipe, count)?))
}

/// Reads foreign bytes to the end: `(documents, error rows)`. For fuzzing and benchmarks.
///
/// # Errors
/// As a job with this one input.
#[doc(hidden)]
pub fn read_all(bytes: &[u8], format: InputFormat, compression: Compression) -> Result<(u64, u64), BatchError> {
    let recipe = Recipe {
        name: "bytes".into(),
        text_id: None,
        format: Some(format),
        compression,
        fields: Fields::default(),
        limits: Limits { document_bytes: 1 << 12, ..Limits::default() },
    };
    let unreadable = |source| BatchError::Unreadable { path: "bytes".into(), source };
    let mut rows = if format == InputFormat::Parquet {
        open_file(scratch_file(bytes).map_err(unreadable)?, &recipe, Arc::default())?
    } else {
        open_stream(Box::new(Cursor::new(bytes.to_vec())), &recipe)?
    };
    let (mut documents, mut errors) = (0, 0);
    loop {
        match rows.next() {
            Ok(Some(Row { content: Ok(_), .. })) => documents += 1,
            Ok(Some(Row { content: Err(_), .. })) => errors += 1,
            Ok(None) => return Ok((documents, errors)),
            Err(reason) => return Err(BatchError::Damaged { path: "bytes".into(), line: rows.line(), reason }),
        }
    }
}

/// A file without a name: Parquet is read by seeking.
fn scratch_file(bytes: &[u8]) -> io::Result<File> {
    use std::io::{Seek, Write};
    let path = std::env::temp_dir().join(format!("highwater-{}-{:?}.parquet", std::process::id(), std::thread::current().id()));
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// The first four bytes, and a reader that still gives them. An error on the way comes after the bytes before it.
fn peek(mut raw: Box<dyn Read + Send>) -> (Vec<u8>, Box<dyn Read + Send>) {
    let mut start = Vec::with_capacity(4);
    let error = raw.by_ref().take(4).read_to_end(&mut start).err();
    let again = Cursor::new(start.clone());
    (start, Box::new(again.chain(Failing(error)).chain(raw)))
}

/// Fails once, then is empty.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn without_mark(mut plain: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    plain.read_exact(&mut [0; 3])?;
    Ok(plain)
}

/// The whole input as one document.
struct TextRow {
    input: Option<Bytes>,
    id: Option<String>,
    limit: usize,
    line: u64,
    /// The input's name, where nobody said that it is one text.
    guessed: Option<String>,
}

impl Rows for TextRow {
    fn next(&mut self) -> Result<Option<Row>, String> {
        let Some(input) = self.input.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        input.take(self.limit as u64 + 1).read_to_end(&mut bytes).map_err(|e| reason(&e))?;
        self.line = 1;
        if let Some(name) = &self.guessed
            && bytes.trim_ascii_end().contains(&b'\n')
        {
            let name = if name == "-" { "standard input" } else { name };
            tracing::warn!(
                "{name} does not begin with `{{`, so all its lines are read as one text; for one text a line use --format lines"
            );
        }
        let id = self.id.take();
        let content = if bytes.len() > self.limit {
            Err(BadRow { id, error: RowError::too_long(self.limit, "the text") })
        } else {
            let (text, invalid_utf8) = lossy(&bytes);
            Ok(Document { id, text, invalid_utf8, ..Document::default() })
        };
        Ok(Some(Row { line: 1, content }))
    }

    fn line(&self) -> u64 {
        self.line
    }
}

/// Every line as one document.
struct LineRows(Lines);

impl Rows for LineRows {
    fn next(&mut self) -> Result<Option<Row>, String> {
        let limit = self.0.limit();
        let content = match self.0.next().map_err(|e| reason(&e))? {
            None => return Ok(None),
            Some(Line::TooLong) => Err(RowError::too_long(limit, "the line").into()),
            Some(Line::Whole(line)) => {
                let (text, invalid_utf8) = lossy(line);
                Ok(Document { text, invalid_utf8, ..Document::default() })
            }
        };
        Ok(Some(Row { line: self.0.number(), content }))
    }

    fn line(&self) -> u64 {
        self.0.number()
    }

    fn ready(&self) -> bool {
        self.0.ready()
    }
}

/// Every line as one JSON object.
struct JsonRows {
    lines: Lines,
    fields: Fields,
    document_bytes: usize,
}

impl Rows for JsonRows {
    fn next(&mut self) -> Result<Option<Row>, String> {
        let limit = self.lines.limit();
        loop {
            let content = match self.lines.next().map_err(|e| reason(&e))? {
                None => return Ok(None),
                Some(Line::TooLong) => Err(RowError::too_long(limit, "the line").into()),
                Some(Line::Whole(line)) if line.trim_ascii().is_empty() => continue,
                Some(Line::Whole(line)) => {
                    from_json(line, &self.fields).map_err(Into::into).and_then(|r| r.document(&self.fields, self.document_bytes))
                }
            };
            return Ok(Some(Row { line: self.lines.number(), content }));
        }
    }

    fn line(&self) -> u64 {
        self.lines.number()
    }

    fn fields(&self) -> Result<Map<String, Value>, RowError> {
        serde_json::from_str(&String::from_utf8_lossy(self.lines.last())).map_err(|e| bad_json(&e))
    }

    fn ready(&self) -> bool {
        self.lines.ready()
    }
}
