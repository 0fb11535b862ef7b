//! Reads a safetensors file, from memory or from disk, one tensor at a time; only the header is ever held whole.

use super::ModelError;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use safetensors::{Dtype, tensor::Metadata};
use std::{
    borrow::Cow,
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Headers above this are refused before they are read.
const MAX_HEADER: u64 = 100 << 20;

/// A safetensors file.
pub(crate) struct Weights {
    metadata: Metadata,
    /// Where tensor data starts in the file.
    start: u64,
    data: Data,
    place: String,
}

enum Data {
    Memory(Cow<'static, [u8]>),
    File(PathBuf, Mutex<File>),
}

impl Weights {
    /// A file that is already in memory.
    pub(crate) fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>, place: &str) -> Result<Self, ModelError> {
        let bytes = bytes.into();
        let (start, metadata) = header(&bytes, bytes.len() as u64, place)?;
        Ok(Self { metadata, start, data: Data::Memory(bytes), place: place.to_owned() })
    }

    /// A file on disk.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let place = path.display().to_string();
        let fault = |e: std::io::Error| checkpoint(&place, format!("cannot be read: {e}"));
        let mut file = File::open(path).map_err(fault)?;
        let length = file.metadata().map_err(fault)?.len();
        let mut first = [0; 8];
        file.read_exact(&mut first).map_err(|_| checkpoint(&place, format!("is no safetensors file: {length} bytes long")))?;
        let size = u64::from_le_bytes(first);
        if size > MAX_HEADER || size.saturating_add(8) > length {
            return Err(checkpoint(&place, format!("is truncated or no safetensors file: header of {size} bytes in a file of {length}")));
        }
        let mut bytes = first.to_vec();
        bytes.resize(8 + size as usize, 0);
        file.read_exact(&mut bytes[8..]).map_err(fault)?;
        let (start, metadata) = header(&bytes, length, &place)?;
        Ok(Self { metadata, start, data: Data::File(path.to_owned(), Mutex::new(file)), place })
    }

    /// The file's name in errors.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The file on disk, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.data {
            Data::Memory(_) => None,
            Data::File(path, _) => Some(path),
        }
    }

    /// Element type and shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<(Dtype, &[usize])> {
        self.metadata.info(name).map(|i| (i.dtype, i.shape.as_slice()))
    }

    /// A note of the header's `__metadata__`.
    pub(crate) fn note(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Where a tensor's bytes lie in the file: offset and length.
    pub(crate) fn position(&self, name: &str) -> Option<(u64, u64)> {
        let (from, to) = self.metadata.info(name)?.data_offsets;
        Some((self.start + from as u64, (to - from) as u64))
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Adds the whole file to a hash.
    pub(crate) fn digest(&self, hash: &mut blake3::Hasher) -> Result<(), ModelError> {
        match &self.data {
            Data::Memory(bytes) => hash.update(bytes),
            Data::File(path, _) => {
                let fault = |e: std::io::Error| checkpoint(&self.place, format!("cannot be read: {e}"));
                hash.update_reader(File::open(path).map_err(fault)?).map_err(fault)?
            }
        };
        Ok(())
    }

    fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        let (from, length) = self.position(name).ok_or_else(|| checkpoint(&self.place, format!("tensor `{name}` is missing")))?;
        match &self.data {
            Data::Memory(bytes) => Ok(Cow::Borrowed(&bytes[from as usize..(from + length) as usize])),
            Data::File(_, file) => {
                let mut out = vec![0; length as usize];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut out));
                read.map_err(|e| checkpoint(&self.place, format!("tensor `{name}` cannot be read: {e}")))?;
                Ok(Cow::Owned(out))
            }
        }
    }

    /// A tensor's numbers in single precision, row by row.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let bytes = self.bytes(name)?;
        let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        Ok(match self.metadata.info(name).map(|i| i.dtype) {
            Some(Dtype::F32) => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Some(Dtype::F16) => {
                let halves: Vec<f16> = halves().map(f16::from_bits).collect();
                let mut out = vec![0.; halves.len()];
                halves.convert_to_f32_slice(&mut out);
                out
            }
            Some(Dtype::BF16) => halves().map(|h| bf16::from_bits(h).to_f32()).collect(),
            other => {
                let found = other.map_or_else(|| "none".to_owned(), |d| format!("{d:?}"));
                return Err(checkpoint(&self.place, format!("tensor `{name}` has element type {found}, expected F32, F16 or BF16")));
            }
        })
    }
}

/// Reads the header that `bytes` start with, of a file of `length` bytes. Gives where the tensors start.
fn header(bytes: &[u8], length: u64, place: &str) -> Result<(u64, Metadata), ModelError> {
    let invalid = |what: String| checkpoint(place, format!("is truncated or no safetensors file: {what}"));
    let (first, rest) = bytes.split_first_chunk().ok_or_else(|| invalid(format!("{length} bytes long")))?;
    let size = u64::from_le_bytes(*first);
    let text = usize::try_from(size).ok().and_then(|n| rest.get(..n)).ok_or_else(|| invalid(format!("a header of {size} bytes")))?;
    let metadata: Metadata = serde_json::from_slice(text).map_err(|e| invalid(format!("its header cannot be read: {e}")))?;
    let expected = (8 + size).checked_add(metadata.data_len() as u64);
    if expected != Some(length) {
        let expected = expected.map_or_else(|| "more".to_owned(), |e| e.to_string());
        return Err(checkpoint(place, format!("is truncated or has data added: {length} bytes, its header says {expected}")));
    }
    Ok((8 + size, metadata))
}

fn checkpoint(place: &str, message: String) -> ModelError {
    ModelError::Checkpoint { place: place.to_owned(), message }
}
