//! From a checkpoint's tensors to the graph's: checked against the configuration, converted to the wanted precision, and laid out in
//! one safetensors file, which is kept in memory, or written once into a cache directory ([`cache`]), or is the checkpoint's own where
//! nothing has to be converted and nobody writes into it.

use super::{
    ModelError,
    branches::{self, Branches},
    config::Gpt2Config,
    onnx::{DType, External},
    quantize,
    weights::Weights,
};
use half::f16;
use safetensors::Dtype;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

mod cache;

/// Raised whenever the layout of converted files changes, so that an older file is not taken for a newer one.
const LAYOUT: &str = "3";

/// How the graph's weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    F32,
    F16,
    I8,
}

impl Storage {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "fp32",
            Self::F16 => "fp16",
            Self::I8 => "int8",
        }
    }
}

/// The graph's tensors, and the one file that holds them.
pub(crate) struct Prepared {
    pub(crate) tensors: HashMap<String, External>,
    pub(crate) file: WeightFile,
}

/// Where the graph's tensors lie.
pub(crate) enum WeightFile {
    Memory(Arc<[u8]>),
    Disk(PathBuf),
}

/// One tensor of the graph and how it is made.
struct Target {
    /// Whether it is of a branch, and made from the branches' file.
    branch: bool,
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    source: String,
    make: Make,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Make {
    /// As it is, in the target's element type.
    Same,
    /// Whole numbers, one scale for each column.
    Columns,
    /// Whole numbers of the transposed matrix, one scale for each row of the source.
    Transposed,
    /// The scales of `Columns`.
    ColumnScales,
    /// The scales of `Transposed`.
    RowScales,
}

/// The tensors of a GPT-2 with their shapes, by their names without the `transformer.` prefix.
fn expected(config: &Gpt2Config) -> Vec<(String, Vec<usize>)> {
    let embeddings = [("wte.weight", config.vocabulary), ("wpe.weight", config.context)];
    let embeddings = embeddings.map(|(name, rows)| (name.to_owned(), vec![rows, config.width]));
    embeddings.into_iter().chain(upper(config, 0)).collect()
}

/// Those of the layers from `first` on, and of the last normalisation.
fn upper(config: &Gpt2Config, first: usize) -> Vec<(String, Vec<usize>)> {
    let (c, inner) = (config.width, config.inner);
    let mut out = Vec::new();
    for layer in first..config.layers {
        for (name, shape) in [
            ("ln_1.weight", vec![c]),
            ("ln_1.bias", vec![c]),
            ("attn.c_attn.weight", vec![c, 3 * c]),
            ("attn.c_attn.bias", vec![3 * c]),
            ("attn.c_proj.weight", vec![c, c]),
            ("attn.c_proj.bias", vec![c]),
            ("ln_2.weight", vec![c]),
            ("ln_2.bias", vec![c]),
            ("mlp.c_fc.weight", vec![c, inner]),
            ("mlp.c_fc.bias", vec![inner]),
            ("mlp.c_proj.weight", vec![inner, c]),
            ("mlp.c_proj.bias", vec![c]),
        ] {
            out.push((format!("h.{layer}.{name}"), shape));
        }
    }
    out.push(("ln_f.weight".to_owned(), vec![c]));
    out.push(("ln_f.bias".to_owned(), vec![c]));
    out
}

/// Number of parameters, a tied head counted once.
pub(crate) fn parameters(config: &Gpt2Config) -> u64 {
    let head = if config.tied { 0 } else { config.vocabulary * config.width };
    (head + expected(config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum::<usize>()) as u64
}

/// Tensors of one file, found, checked and added one after another.
struct Planner<'a> {
    weights: &'a Weights,
    branch: bool,
    storage: Storage,
    targets: Vec<Target>,
}

impl<'a> Planner<'a> {
    fn new(weights: &'a Weights, branch: bool, storage: Storage) -> Self {
        Self { weights, branch, storage, targets: Vec::new() }
    }

    fn fault(&self, message: String) -> ModelError {
        ModelError::Checkpoint { place: self.weights.place().to_owned(), message }
    }

    /// The name that a tensor has in the file; none where it is not there.
    fn find(&self, name: &str, shape: &[usize]) -> Result<Option<String>, ModelError> {
        let names = [format!("transformer.{name}"), name.to_owned()];
        let Some(found) = names.into_iter().find(|n| self.weights.shape(n).is_some()) else { return Ok(None) };
        match self.weights.shape(&found) {
            Some((_, s)) if s != shape => Err(self.fault(format!("tensor `{found}` has shape {s:?}, the configuration says {shape:?}"))),
            Some(_) => self.weights.check_type(&found).map(|()| Some(found)),
            None => Ok(None),
        }
    }

    /// Adds the tensors `name`, made from the tensor `source`.
    fn add(&mut self, name: String, shape: Vec<usize>, source: String) {
        let float = if self.storage == Storage::F16 { DType::F16 } else { DType::F32 };
        let matrix = name.ends_with("c_attn.weight") || name.ends_with("c_proj.weight") || name.ends_with("c_fc.weight");
        let branch = self.branch;
        let target = |name, dtype, shape, make| Target { branch, name, dtype, shape, source: source.clone(), make };
        match self.storage {
            Storage::I8 if matrix => {
                self.targets.push(target(format!("{name}.scale"), DType::F32, vec![shape[1]], Make::ColumnScales));
                self.targets.push(target(name, DType::I8, shape, Make::Columns));
            }
            Storage::I8 if name == "head" => {
                self.targets.push(target("head.scale".to_owned(), DType::F32, vec![shape[0]], Make::RowScales));
                self.targets.push(target(name, DType::I8, vec![shape[1], shape[0]], Make::Transposed));
            }
            _ => self.targets.push(target(name, float, shape, Make::Same)),
        }
    }

    /// Adds a tensor that has to be there.
    fn require(&mut self, name: String, shape: Vec<usize>) -> Result<(), ModelError> {
        let Some(source) = self.find(&name, &shape)? else {
            return Err(self.fault(format!("tensor `{name}` is missing; the file has {}", sample(self.weights))));
        };
        self.add(name, shape, source);
        Ok(())
    }
}

/// Checks a checkpoint against its configuration and says how each tensor of the graph is made.
fn plan(job: &Job<'_>) -> Result<Vec<Target>, ModelError> {
    let mut targets = plan_base(job.config, job.weights, job.storage)?;
    if let Some(branches) = job.branches {
        targets.extend(plan_branches(job.config, branches, job.storage)?);
    }
    // single-precision tensors first, so that each one starts at a multiple of its element size
    targets.sort_by_key(|t| std::cmp::Reverse(t.dtype.size()));
    Ok(targets)
}

fn plan_base(config: &Gpt2Config, weights: &Weights, storage: Storage) -> Result<Vec<Target>, ModelError> {
    let mut planner = Planner::new(weights, false, storage);
    for (name, shape) in expected(config) {
        planner.require(name, shape)?;
    }
    let beyond = format!("h.{}.", config.layers);
    if let Some(extra) = weights.names().into_iter().find(|n| n.strip_prefix("transformer.").unwrap_or(n).starts_with(&beyond)) {
        return Err(planner.fault(format!("there is a tensor `{extra}`, but the configuration's `n_layer` is {}", config.layers)));
    }
    let shape = vec![config.vocabulary, config.width];
    match planner.find("lm_head.weight", &shape)? {
        Some(source) if !config.tied => planner.add("head".to_owned(), shape, source),
        None if !config.tied => {
            return Err(planner.fault("`tie_word_embeddings` is false, but tensor `lm_head.weight` is missing".to_owned()));
        }
        _ if matches!(storage, Storage::I8) => {
            let source = planner.find("wte.weight", &shape)?.unwrap_or_default();
            planner.add("head".to_owned(), shape, source);
        }
        _ => {}
    }
    Ok(planner.targets)
}

/// The branches' tensors; their file holds nothing else.
fn plan_branches(config: &Gpt2Config, branches: &Branches, storage: Storage) -> Result<Vec<Target>, ModelError> {
    let mut planner = Planner::new(&branches.weights, true, storage);
    for branch in branches::NAMES {
        for (name, shape) in upper(config, branches.info.first_layer) {
            planner.require(format!("{branch}.{name}"), shape)?;
        }
    }
    let used: HashSet<&str> = planner.targets.iter().map(|t| t.source.as_str()).collect();
    // a packed tensor has its scales beside it
    let expected = |n: &str| used.contains(n.strip_suffix(".scale").unwrap_or(n));
    if let Some(extra) = branches.weights.names().into_iter().find(|n| !expected(n)) {
        let first = branches.info.first_layer;
        return Err(planner.fault(format!("there is a tensor `{extra}`, which no branch from layer {first} to {} has", config.layers - 1)));
    }
    Ok(planner.targets)
}

fn sample(weights: &Weights) -> String {
    let names = weights.names();
    let shown = names.iter().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    format!("{} tensors, among them {shown}", names.len())
}

/// Prepares the graph's tensors. `hash` names the checkpoint in the cache; without a `cache` directory, or where it cannot be
/// written, the converted tensors stay in memory.
pub(crate) fn prepare(job: &Job<'_>) -> Result<Prepared, ModelError> {
    let targets = plan(job)?;
    if let Some(prepared) = as_it_is(job, &targets)? {
        return Ok(prepared);
    }
    if let Some(cache) = job.cache.filter(|_| job.weights.path().is_some()) {
        match cache::cached(job, &targets, cache) {
            Ok(prepared) => return Ok(prepared),
            Err(e @ ModelError::Checkpoint { .. }) => return Err(e),
            Err(e) => tracing::warn!("{e}; converting in memory instead, at every start"),
        }
    }
    let (tensors, mut bytes) = layout(&targets, job, None);
    write(&mut bytes, job, &targets).map_err(|e| e.or_checkpoint(job.weights))?;
    Ok(Prepared { tensors, file: WeightFile::Memory(bytes.into()) })
}

/// What is converted to what.
pub(crate) struct Job<'a> {
    pub(crate) config: &'a Gpt2Config,
    pub(crate) weights: &'a Weights,
    pub(crate) branches: Option<&'a Branches>,
    pub(crate) storage: Storage,
    pub(crate) hash: &'a str,
    pub(crate) cache: Option<&'a Path>,
}

impl<'a> Job<'a> {
    /// The file that a tensor is made from.
    fn file(&self, target: &Target) -> &'a Weights {
        self.branches.filter(|_| target.branch).map_or(self.weights, |b| &b.weights)
    }

    /// All files that are read.
    fn files(&self) -> impl Iterator<Item = &'a Weights> {
        std::iter::once(self.weights).chain(self.branches.map(|b| &b.weights))
    }
}

/// The checkpoint's own file, where the graph can use every tensor as it is. It stays mapped for as long as the model runs, so only a file
/// of a Hugging Face cache is taken: one that is cut or written into under way would end the process, or change its scores.
fn as_it_is(job: &Job<'_>, targets: &[Target]) -> Result<Option<Prepared>, ModelError> {
    let Some(tensors) = unchanged(targets, job) else { return Ok(None) };
    // ONNX Runtime refuses links that leave a directory, and a Hugging Face cache is made of them
    let real = job.weights.path().and_then(|path| fs::canonicalize(path).ok());
    // a path that is not UTF-8 cannot be told to it
    let Some(real) = real.filter(|real| in_hub_cache(real) && real.to_str().is_some()) else { return Ok(None) };
    for target in targets {
        checked(target, job.weights)?;
    }
    // where another file has taken the name, the one that was opened is converted
    Ok(job.weights.is_at(&real).then_some(Prepared { tensors, file: WeightFile::Disk(real) }))
}

/// Whether a file lies in a Hugging Face cache, where files are put in the place of others and never written into.
fn in_hub_cache(real: &Path) -> bool {
    let names: Vec<_> = real.iter().map(|name| name.to_string_lossy()).collect();
    names.windows(2).any(|pair| pair[0].starts_with("models--") && matches!(&*pair[1], "blobs" | "snapshots"))
}

/// The checkpoint's own tensors, where the graph can use every one as it is and all are in one file, which is mapped from its beginning:
/// numbers that do not start at a multiple of their size, as after a header of odd length, must not be read in place.
fn unchanged(targets: &[Target], job: &Job<'_>) -> Option<HashMap<String, External>> {
    let weights = job.weights;
    let one = |t: &Target| {
        let (dtype, _) = weights.shape(&t.source).filter(|_| !t.branch)?;
        let same = t.make == Make::Same && matches!((t.dtype, dtype), (DType::F32, Dtype::F32) | (DType::F16, Dtype::F16));
        let (offset, length) = weights.position(&t.source)?;
        let aligned = offset.is_multiple_of(t.dtype.size() as u64);
        (same && aligned).then(|| (t.name.clone(), External { dtype: t.dtype, shape: t.shape.clone(), offset, length }))
    };
    targets.iter().map(one).collect()
}

/// Why a file could not be written.
enum WriteError {
    Io(std::io::Error),
    Model(ModelError),
}

impl WriteError {
    fn or_checkpoint(self, weights: &Weights) -> ModelError {
        match self {
            Self::Io(e) => ModelError::Checkpoint { place: weights.place().to_owned(), message: e.to_string() },
            Self::Model(e) => e,
        }
    }
}

/// Where each tensor will lie, and the file's header, which is as long without the data's digest as with it.
fn layout(targets: &[Target], job: &Job<'_>, data: Option<&blake3::Hash>) -> (HashMap<String, External>, Vec<u8>) {
    let mut json = BTreeMap::new();
    let mut at = 0;
    for t in targets {
        let length = t.shape.iter().product::<usize>() * t.dtype.size();
        let dtype = match t.dtype {
            DType::F32 => "F32",
            DType::F16 => "F16",
            DType::I8 => "I8",
            DType::I64 => "I64",
        };
        json.insert(t.name.as_str(), serde_json::json!({"dtype": dtype, "shape": t.shape, "data_offsets": [at, at + length]}));
        at += length;
    }
    let data = data.map_or_else(|| "0".repeat(2 * blake3::OUT_LEN), |data| data.to_hex().to_string());
    let notes = serde_json::json!({"format": "pt", "source": job.hash, "storage": job.storage.name(), "layout": LAYOUT, "data": data});
    json.insert("__metadata__", notes);
    let mut text = serde_json::json!(json).to_string().into_bytes();
    // the data starts at a multiple of 64 bytes
    text.resize((8 + text.len()).next_multiple_of(64) - 8, b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.extend(text);
    let mut offset = header.len() as u64;
    let place = |t: &Target| {
        let length = (t.shape.iter().product::<usize>() * t.dtype.size()) as u64;
        offset += length;
        (t.name.clone(), External { dtype: t.dtype, shape: t.shape.clone(), offset: offset - length, length })
    };
    (targets.iter().map(place).collect(), header)
}

/// Writes the tensors, which follow the header, and checks that they were all read from what was opened.
fn write(out: &mut impl Write, job: &Job<'_>, targets: &[Target]) -> Result<(), WriteError> {
    for target in targets {
        let values = checked(target, job.file(target)).map_err(WriteError::Model)?;
        out.write_all(&convert(target, &values)).map_err(WriteError::Io)?;
    }
    job.files().try_for_each(Weights::check_unchanged).map_err(WriteError::Model)?;
    out.flush().map_err(WriteError::Io)
}

/// A tensor's numbers, every one of which the target's element type can hold.
fn checked(target: &Target, weights: &Weights) -> Result<Vec<f32>, ModelError> {
    let values = weights.read(&target.source)?;
    let (largest, expected) = match target.dtype {
        DType::F16 => (f16::MAX.to_f32(), "numbers that fp16 can hold"),
        _ => (f32::MAX, "finite numbers"),
    };
    match values.iter().find(|v| v.is_nan() || v.abs() > largest) {
        Some(bad) => {
            let message = format!("tensor `{}` holds {bad}, expected {expected}", target.source);
            Err(ModelError::Checkpoint { place: weights.place().to_owned(), message })
        }
        None => Ok(values),
    }
}

fn convert(target: &Target, values: &[f32]) -> Vec<u8> {
    let floats = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let bytes = |v: Vec<i8>| v.into_iter().map(|x| x as u8).collect::<Vec<u8>>();
    match target.make {
        Make::Same if target.dtype == DType::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        Make::Same => floats(values),
        Make::Columns => bytes(quantize::columns(values, target.shape[1]).0),
        Make::ColumnScales => floats(&quantize::columns(values, target.shape[0]).1),
        Make::Transposed => bytes(quantize::rows_transposed(values, target.shape[0]).0),
        Make::RowScales => floats(&quantize::rows_transposed(values, values.len() / target.shape[0]).1),
    }
}

#[cfg(test)]
mod tests;
