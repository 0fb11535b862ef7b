//! Compressed bytes in and out as a stream. Takes raw readers and writers, gives plain ones; must not hold a whole file.

use flate2::{bufread::MultiGzDecoder, write::GzEncoder};
use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, also of several members: `.gz`.
    Gzip,
    /// Zstandard, also of several frames: `.zst`.
    Zstd,
}

pub(super) const BUFFER: usize = 1 << 16;
pub(crate) const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
pub(crate) const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

impl Compression {
    /// What a name says; with the name less that extension.
    pub(super) fn by_name(path: &Path) -> (Self, &Path) {
        let kind = match extension(path).as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => return (Self::None, path),
        };
        (kind, path.file_stem().map_or(path, Path::new))
    }

    /// What the first bytes say.
    pub(super) fn by_content(start: &[u8]) -> Self {
        match start {
            s if s.starts_with(GZIP_MAGIC) => Self::Gzip,
            s if s.starts_with(ZSTD_MAGIC) => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain file",
            Self::Gzip => "gzip file",
            Self::Zstd => "Zstandard file",
        }
    }
}

/// An extension in lower case.
pub(super) fn extension(path: &Path) -> Option<String> {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase())
}

/// A buffered stream of bytes.
pub(super) type Bytes = BufReader<Box<dyn Read + Send>>;

/// Plain bytes of `raw`. An input that was cut ends in an error, never in a quiet end of file.
pub(super) fn decompress(raw: Box<dyn Read + Send>, kind: Compression) -> io::Result<Box<dyn Read + Send>> {
    let buffered = BufReader::with_capacity(BUFFER, raw);
    Ok(match kind {
        Compression::None => buffered.into_inner(),
        Compression::Gzip => Box::new(MultiGzDecoder::new(buffered)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?),
    })
}

/// Compresses what is written.
pub(super) enum Compressor<W: Write> {
    Plain(BufWriter<W>),
    Gzip(GzEncoder<BufWriter<W>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<W>>),
}

impl<W: Write> Compressor<W> {
    pub(super) fn new(raw: W, kind: Compression) -> io::Result<Self> {
        let raw = BufWriter::with_capacity(BUFFER, raw);
        Ok(match kind {
            Compression::None => Self::Plain(raw),
            Compression::Gzip => Self::Gzip(GzEncoder::new(raw, flate2::Compression::default())),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(raw, 0)?),
        })
    }

    /// Writes what the format puts at the end, and flushes.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut raw) => raw.flush(),
            Self::Gzip(encoder) => encoder.finish()?.flush(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(w) => w.write(bytes),
            Self::Gzip(w) => w.write(bytes),
            Self::Zstd(w) => w.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(w) => w.flush(),
            Self::Gzip(w) => w.flush(),
            Self::Zstd(w) => w.flush(),
        }
    }
}
