//! Finds a model's files: embedded in the binary, in a directory, or in the Hugging Face cache.

use super::{BranchSource, ModelError, ModelSource, branches::Branches, config::Gpt2Config, tokenizer::Bpe, weights::Weights};
use std::{
    env, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The one place that says which model is compiled in.
macro_rules! embedded {
    ($file:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/highwater-27m/", $file))
    };
}

const EMBEDDED_NAME: &str = "highwater-27m";
const EMBEDDED_CONFIG: &[u8] = embedded!("config.json");
const EMBEDDED_TOKENIZER: &[u8] = embedded!("tokenizer.json");
const EMBEDDED_WEIGHTS: &[u8] = embedded!("model.safetensors");
/// `None` where the embedded model has no branches.
const EMBEDDED_BRANCHES: Option<&[u8]> = Some(embedded!("branches.safetensors"));
/// The calibration that is shipped with the embedded model.
pub const EMBEDDED_CALIBRATION: &[u8] = embedded!("calibration.json");

/// Largest config.json, tokenizer.json, vocab.json or merges.txt in bytes; a vocabulary of a million tokens is a tenth of it.
const MAX_SMALL: u64 = 256 << 20;

/// The file of the branches in a model's directory.
const BRANCHES: &str = "branches.safetensors";

/// A model's files, read as far as needed, and their common hash.
pub(crate) struct Checkpoint {
    pub(crate) name: String,
    pub(crate) hash: String,
    pub(crate) config: Gpt2Config,
    pub(crate) tokenizer: Bpe,
    pub(crate) weights: Weights,
    pub(crate) branches: Option<Branches>,
}

impl Checkpoint {
    /// Opens the files that `source` names, and the branches.
    pub(crate) fn open(source: &ModelSource, branches: &BranchSource) -> Result<Self, ModelError> {
        let mut hash = blake3::Hasher::new();
        let (mut checkpoint, own) = match source {
            ModelSource::Embedded => (Self::embedded(&mut hash)?, None),
            ModelSource::Directory(path) => (Self::directory(path, &directory_name(path), &mut hash)?, Some(path.join(BRANCHES))),
            ModelSource::Hub(id) => {
                let path = cached_snapshot(id)?;
                (Self::directory(&path, id, &mut hash)?, Some(path.join(BRANCHES)))
            }
        };
        checkpoint.hash = short(&hash);
        let weights = match (branches, own) {
            (BranchSource::None, _) => None,
            (BranchSource::File(path), _) => Some(Weights::open(path)?),
            // a link that leads nowhere is there, and is told
            (BranchSource::Own, Some(path)) => path.symlink_metadata().is_ok().then(|| Weights::open(&path)).transpose()?,
            (BranchSource::Own, None) => {
                EMBEDDED_BRANCHES.map(|bytes| Weights::from_bytes(bytes, "embedded branches.safetensors")).transpose()?
            }
        };
        if let Some(weights) = weights {
            weights.digest(&mut hash)?;
            checkpoint.branches = Some(Branches::new(weights, &checkpoint.config, &checkpoint.hash)?);
            checkpoint.hash = short(&hash);
        }
        Ok(checkpoint)
    }

    fn embedded(hash: &mut blake3::Hasher) -> Result<Self, ModelError> {
        for part in [EMBEDDED_CONFIG, EMBEDDED_TOKENIZER, EMBEDDED_WEIGHTS] {
            hash.update(part);
        }
        Ok(Self {
            name: EMBEDDED_NAME.to_owned(),
            hash: String::new(),
            config: Gpt2Config::parse(EMBEDDED_CONFIG, "embedded config.json")?,
            tokenizer: Bpe::from_json(EMBEDDED_TOKENIZER, "embedded tokenizer.json")?,
            weights: Weights::from_bytes(EMBEDDED_WEIGHTS, "embedded model.safetensors")?,
            branches: None,
        })
    }

    fn directory(directory: &Path, name: &str, hash: &mut blake3::Hasher) -> Result<Self, ModelError> {
        let read = |file: &str| {
            let path = directory.join(file);
            read_small(&path).map_err(|e| {
                fault(&path, format!("cannot be read: {e}; a checkpoint is config.json, model.safetensors and tokenizer.json"))
            })
        };
        let config = read("config.json")?;
        hash.update(&config);
        let config = Gpt2Config::parse(&config, &directory.join("config.json").display().to_string())?;
        let (tokenizer, place) = if directory.join("tokenizer.json").exists() {
            let json = read("tokenizer.json")?;
            hash.update(&json);
            let place = directory.join("tokenizer.json").display().to_string();
            (Bpe::from_json(&json, &place)?, place)
        } else if directory.join("vocab.json").exists() {
            let (vocabulary, merges) = (read("vocab.json")?, read("merges.txt")?);
            hash.update(&vocabulary).update(&merges);
            let place = directory.join("vocab.json").display().to_string();
            (Bpe::from_vocabulary(&vocabulary, &merges, &place)?, place)
        } else {
            return Err(fault(directory, "holds neither tokenizer.json nor vocab.json and merges.txt".to_owned()));
        };
        tokenizer.fits(config.vocabulary, &place)?;
        let path = directory.join("model.safetensors");
        if !path.exists() && directory.join("pytorch_model.bin").exists() {
            let message = "holds pytorch_model.bin but no model.safetensors; convert it, for example with `model.save_pretrained(directory)` in transformers";
            return Err(fault(directory, message.to_owned()));
        }
        let weights = Weights::open(&path)?;
        weights.digest(hash)?;
        Ok(Self { name: name.to_owned(), hash: String::new(), config, tokenizer, weights, branches: None })
    }
}

/// A configuration or a tokenizer: what is larger than any is refused before memory is full of it.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_SMALL + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SMALL {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} MiB", MAX_SMALL >> 20)));
    }
    Ok(bytes)
}

fn short(hash: &blake3::Hasher) -> String {
    hash.finalize().to_hex()[..16].to_owned()
}

fn fault(place: &Path, message: String) -> ModelError {
    ModelError::Checkpoint { place: place.display().to_string(), message }
}

fn directory_name(path: &Path) -> String {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// The newest snapshot of a repository in the local Hugging Face cache (`HF_HUB_CACHE`, `HF_HOME`, or the user's cache).
fn cached_snapshot(id: &str) -> Result<PathBuf, ModelError> {
    let variable = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let hub = variable("HF_HUB_CACHE")
        .or_else(|| Some(variable("HF_HOME")?.join("hub")))
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(variable("HOME")?.join(".cache/huggingface/hub")))
        .unwrap_or_default();
    let repository = hub.join(format!("models--{}", id.replace('/', "--")));
    let missing = || {
        let message = format!("is not in the local Hugging Face cache; get it with `hf download {id}`, or give a directory");
        ModelError::Checkpoint { place: format!("model {id} ({})", repository.display()), message }
    };
    let commit = fs::read_to_string(repository.join("refs/main")).map_err(|_| missing())?;
    let snapshot = repository.join("snapshots").join(commit.trim());
    let is_commit = !commit.trim().is_empty() && commit.trim().chars().all(|c| c.is_ascii_hexdigit());
    if is_commit && snapshot.is_dir() { Ok(snapshot) } else { Err(missing()) }
}
