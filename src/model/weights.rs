//! Reads a safetensors file, from memory or from disk, one tensor at a time; of a file on disk only the header is ever held whole, and
//! all is read through the one handle that it was opened with, so that a file put in its place changes nothing.
//! A matrix may be packed: I8, beside a tensor of its name and `.scale` (F32) that it is multiplied by, one number for each row
//! (shape [rows, 1]) or for each column ([1, columns]).

use super::ModelError;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use safetensors::{Dtype, tensor::Metadata};
use std::{
    borrow::Cow,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
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
    File { path: PathBuf, file: Mutex<File>, opened: Stamp },
}

/// A file's length and when it was last written to: what tells that it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, Option<SystemTime>);

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.len(), metadata.modified().ok())
    }
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
        let opened = Stamp::of(&file.metadata().map_err(fault)?);
        let length = opened.0;
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
        Ok(Self { metadata, start, data: Data::File { path: path.to_owned(), file: Mutex::new(file), opened }, place })
    }

    /// The file's name in errors.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The file on disk, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.data {
            Data::Memory(_) => None,
            Data::File { path, .. } => Some(path),
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
            Data::File { file, .. } => {
                let fault = |e: std::io::Error| checkpoint(&self.place, format!("cannot be read: {e}"));
                let mut file = locked(file);
                file.seek(SeekFrom::Start(0)).map_err(fault)?;
                hash.update_reader(&mut *file).map_err(fault)?
            }
        };
        Ok(())
    }

    /// Refuses a file that was written to since it was opened: what was read of it may be neither the old tensors nor the new ones.
    pub(crate) fn check_unchanged(&self) -> Result<(), ModelError> {
        let Data::File { file, opened, .. } = &self.data else { return Ok(()) };
        let now = locked(file).metadata().map_err(|e| checkpoint(&self.place, format!("cannot be read: {e}")))?;
        if Stamp::of(&now) == *opened {
            return Ok(());
        }
        Err(checkpoint(&self.place, "changed while it was read; run again once nothing writes to it".to_owned()))
    }

    /// Whether the file that now has this path is the one that was opened, as far as length and time tell.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        matches!(&self.data, Data::File { opened, .. } if fs::metadata(path).is_ok_and(|now| Stamp::of(&now) == *opened))
    }

    fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>, ModelError> {
        let (from, length) = self.position(name).ok_or_else(|| checkpoint(&self.place, format!("tensor `{name}` is missing")))?;
        match &self.data {
            Data::Memory(bytes) => Ok(Cow::Borrowed(&bytes[from as usize..(from + length) as usize])),
            Data::File { file, .. } => {
                let mut out = vec![0; length as usize];
                let mut file = locked(file);
                let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut out));
                read.map_err(|e| checkpoint(&self.place, format!("tensor `{name}` cannot be read: {e}")))?;
                Ok(Cow::Owned(out))
            }
        }
    }

    /// Whether a tensor is stored in a way that [`Self::read`] knows; the fault where it is not.
    pub(crate) fn check_type(&self, name: &str) -> Result<(), ModelError> {
        match self.shape(name) {
            Some((Dtype::F32 | Dtype::F16 | Dtype::BF16, _)) => Ok(()),
            Some((Dtype::I8, _)) => self.scale(name).map(|_| ()),
            other => {
                let found = other.map_or_else(|| "none".to_owned(), |(dtype, _)| format!("{dtype:?}"));
                let message = format!("tensor `{name}` has element type {found}, expected F32, F16 or BF16, or I8 with a scale");
                Err(checkpoint(&self.place, message))
            }
        }
    }

    /// The scales of a packed matrix and its columns.
    fn scale(&self, name: &str) -> Result<(Scale, usize), ModelError> {
        let scale = format!("{name}.scale");
        let fault = |message| Err(checkpoint(&self.place, message));
        let Some(&[rows, columns]) = self.shape(name).map(|(_, shape)| shape) else {
            return fault(format!("tensor `{name}` has element type I8, expected a matrix of it"));
        };
        match self.shape(&scale) {
            Some((Dtype::F32, &[r, 1])) if r == rows => Ok((Scale::Rows(self.read(&scale)?), columns)),
            Some((Dtype::F32, &[1, c])) if c == columns => Ok((Scale::Columns(self.read(&scale)?), columns)),
            Some((dtype, shape)) => {
                fault(format!("tensor `{scale}` is {dtype:?} of shape {shape:?}, expected F32 of shape [{rows}, 1] or [1, {columns}]"))
            }
            None => fault(format!("tensor `{name}` has element type I8, but `{scale}` is missing")),
        }
    }

    fn unpack(&self, name: &str, bytes: &[u8]) -> Result<Vec<f32>, ModelError> {
        let (scale, columns) = self.scale(name)?;
        let whole = |b: &u8| f32::from(i8::from_ne_bytes([*b]));
        let rows = bytes.chunks_exact(columns.max(1));
        Ok(match scale {
            Scale::Rows(scales) => rows.zip(scales).flat_map(|(row, s)| row.iter().map(move |b| whole(b) * s)).collect(),
            Scale::Columns(scales) => rows.flat_map(|row| row.iter().zip(&scales).map(|(b, s)| whole(b) * s)).collect(),
        })
    }

    /// A tensor's numbers in single precision, row by row.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.check_type(name)?;
        let bytes = self.bytes(name)?;
        let halves = || bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        Ok(match self.shape(name).map(|(dtype, _)| dtype) {
            Some(Dtype::I8) => self.unpack(name, &bytes)?,
            Some(Dtype::F16) => {
                let halves: Vec<f16> = halves().map(f16::from_bits).collect();
                let mut out = vec![0.; halves.len()];
                halves.convert_to_f32_slice(&mut out);
                out
            }
            Some(Dtype::BF16) => halves().map(|h| bf16::from_bits(h).to_f32()).collect(),
            // of single precision: `check_type` refused everything else
            _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        })
    }
}

fn locked(file: &Mutex<File>) -> MutexGuard<'_, File> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The numbers that a packed matrix is multiplied by.
enum Scale {
    Rows(Vec<f32>),
    Columns(Vec<f32>),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A file: each tensor's name, element type, shape and bytes.
    fn encoded(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
        let mut header = serde_json::Map::new();
        let mut data: Vec<u8> = Vec::new();
        for (name, dtype, shape, bytes) in tensors {
            let offsets = [data.len(), data.len() + bytes.len()];
            header.insert((*name).into(), serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
            data.extend_from_slice(bytes);
        }
        let text = serde_json::Value::from(header).to_string();
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.into_bytes());
        bytes.extend(data);
        bytes
    }

    /// The same, read from memory.
    fn file(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Weights {
        Weights::from_bytes(encoded(tensors), "packed.safetensors").unwrap()
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    const WHOLE: [u8; 6] = [1, 2, 3, 0xff, 0x81, 127];

    #[test]
    fn packed_matrices_are_multiplied_by_row_or_by_column() {
        let weights = file(&[("w", "I8", &[2, 3], WHOLE.to_vec()), ("w.scale", "F32", &[2, 1], floats(&[0.5, 2.]))]);
        assert_eq!(weights.read("w").unwrap(), [0.5, 1., 1.5, -2., -254., 254.]);
        let weights = file(&[("w", "I8", &[2, 3], WHOLE.to_vec()), ("w.scale", "F32", &[1, 3], floats(&[1., 10., 0.5]))]);
        assert_eq!(weights.read("w").unwrap(), [1., 20., 1.5, -1., -1270., 63.5]);
        // one row: both readings of its scale's shape would fit, if it had one column
        let weights = file(&[("w", "I8", &[1, 3], WHOLE[..3].to_vec()), ("w.scale", "F32", &[1, 3], floats(&[1., 2., 3.]))]);
        assert_eq!(weights.read("w").unwrap(), [1., 4., 9.]);
    }

    #[test]
    fn a_packed_matrix_without_fitting_scales_is_refused() {
        let told = |tensors: &[_]| file(tensors).check_type("w").unwrap_err().to_string();
        let packed = || ("w", "I8", &[2usize, 3][..], WHOLE.to_vec());
        assert!(told(&[packed()]).contains("`w.scale` is missing"));
        let message = told(&[packed(), ("w.scale", "F32", &[3, 1], floats(&[1.; 3]))]);
        assert!(message.ends_with("`w.scale` is F32 of shape [3, 1], expected F32 of shape [2, 1] or [1, 3]"), "{message}");
        assert!(told(&[packed(), ("w.scale", "F16", &[2, 1], vec![0; 4])]).contains("is F16 of shape"));
        assert!(told(&[("w", "I8", &[6], WHOLE.to_vec()), ("w.scale", "F32", &[6, 1], floats(&[1.; 6]))]).contains("expected a matrix"));
        assert!(told(&[("w", "I64", &[1], vec![0; 8])]).contains("has element type I64, expected F32, F16 or BF16, or I8"));
    }

    #[test]
    #[cfg(unix)]
    fn the_hash_is_of_the_file_that_is_read_also_where_another_took_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let old = encoded(&[("w", "F32", &[2], floats(&[1., 2.]))]);
        fs::write(&path, &old).unwrap();
        let weights = Weights::open(&path).unwrap();
        assert!(weights.is_at(&path));
        fs::write(folder.path().join("new"), encoded(&[("w", "F32", &[3], floats(&[3., 4., 5.]))])).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        let mut hash = blake3::Hasher::new();
        weights.digest(&mut hash).unwrap();
        assert_eq!(hash.finalize(), blake3::hash(&old));
        assert_eq!(weights.read("w").unwrap(), [1., 2.]);
        // what was opened is still whole, but no longer what that path leads to
        weights.check_unchanged().unwrap();
        assert!(!weights.is_at(&path));
    }

    #[test]
    fn a_file_that_is_written_to_while_it_is_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, encoded(&[("w", "F32", &[2], floats(&[1., 2.]))])).unwrap();
        let weights = Weights::open(&path).unwrap();
        weights.check_unchanged().unwrap();
        fs::write(&path, encoded(&[("w", "F32", &[3], floats(&[3., 4., 5.]))])).unwrap();
        let told = weights.check_unchanged().unwrap_err().to_string();
        assert!(told.starts_with(&path.display().to_string()) && told.contains("changed while it was read; run again"), "{told}");
    }
}
