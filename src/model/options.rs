//! How a model is chosen and run: which one, on what, how precisely.

use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf, str::FromStr};

/// How to load a model.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// Which model.
    pub source: ModelSource,
    /// Which branches score beside it.
    pub branches: BranchSource,
    /// Where it runs.
    pub device: Device,
    /// How precisely.
    pub precision: Precision,
    /// Worker threads on CPU; 0 means one per core.
    pub threads: usize,
    /// Padded tokens that one run of a worker may take.
    pub batch_tokens: usize,
    /// The ONNX Runtime library, where the user named it.
    pub onnxruntime: Option<PathBuf>,
    /// Directory that keeps converted weights; `None` converts in memory at every start.
    pub cache: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            source: ModelSource::Embedded,
            branches: BranchSource::Own,
            device: Device::Auto,
            precision: Precision::Auto,
            threads: 0,
            batch_tokens: 0,
            onnxruntime: None,
            cache: super::cache_directory().map(|c| c.join("converted")),
        }
    }
}

/// Which branches to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BranchSource {
    /// The model's own, where it has any.
    Own,
    /// Those of a `branches.safetensors`.
    File(PathBuf),
    /// None, for who needs the model's own numbers only: with the embedded model's branches a text costs 1.4 times as much.
    None,
}

/// Which model to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// The one compiled into the binary.
    Embedded,
    /// A Hugging Face GPT-2 directory.
    Directory(PathBuf),
    /// A Hugging Face repository id in the local cache.
    Hub(String),
}

impl FromStr for ModelSource {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let path = PathBuf::from(s);
        let looks_like_id =
            s.split('/').count() <= 2 && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) && !s.starts_with(['.', '/']);
        match s {
            "" => Err("a model is `embedded`, a directory or a Hugging Face id; this one is empty".into()),
            "embedded" => Ok(Self::Embedded),
            _ if path.is_dir() => Ok(Self::Directory(path)),
            _ if path.is_file() => Err(format!("`{s}` is a file; give the directory that holds it, config.json and tokenizer.json")),
            _ if looks_like_id && !s.ends_with('/') => Ok(Self::Hub(s.to_owned())),
            _ => Err(format!(
                "`{s}` is no directory; a model is `embedded`, a directory or a Hugging Face id such as `openai-community/gpt2`"
            )),
        }
    }
}

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// CUDA where it is there, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device; absent is an error.
    Cuda(u32),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => s
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("`{s}` is no device: auto, cpu, cuda or cuda:N")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// How precisely a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// int8 on the CPU, fp16 on CUDA.
    Auto,
    /// Row-scaled 8-bit activations and per-column 8-bit weights; CPU only.
    Int8,
    /// 32-bit floating point.
    Fp32,
    /// 16-bit floating point; CUDA only.
    Fp16,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(Self::Auto),
            "int8" => Ok(Self::Int8),
            "fp32" => Ok(Self::Fp32),
            "fp16" => Ok(Self::Fp16),
            _ => Err(format!("`{s}` is no precision: auto, int8, fp32 or fp16")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Int8 => "int8",
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
        })
    }
}
