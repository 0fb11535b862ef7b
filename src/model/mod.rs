//! Text to per-token scores by a GPT-2: the one place that knows ONNX Runtime.
//!
//! Everything above sees the [`Scorer`] trait; [`Fake`] stands in for it where no weights are needed.

use serde::Serialize;
use std::path::PathBuf;

mod attention;
mod branches;
mod checkpoint;
mod config;
mod convert;
mod fake;
mod foreign;
mod generator;
mod graph;
mod onnx;
mod ops;
mod options;
mod peak;
mod quantize;
mod rowmath;
mod runtime;
mod scorer;
mod tokenizer;
mod weights;
pub use checkpoint::EMBEDDED_CALIBRATION;
pub use fake::Fake;
#[doc(hidden)]
pub use foreign::parse_checkpoint;
pub use generator::FakeGenerator;
pub use options::{BranchSource, Device, LoadOptions, ModelSource, Precision};
#[doc(hidden)]
pub use peak::gemm_peak;

/// A language model that scores tokens. Synchronous; one owner.
pub trait Scorer: Send + Sync {
    /// What is loaded, and where.
    fn info(&self) -> &ModelInfo;

    /// Token ids of a text, without the leading end-of-text token, and each token's byte range in it.
    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError>;

    /// Scores every token of every text, in order; a text of any length, also an empty one. The first token is conditioned on end-of-text.
    /// A text's numbers do not depend on the texts beside it.
    fn score(&mut self, texts: &[&[u32]]) -> Result<Vec<TokenScores>, ModelError>;
}

/// A language model that continues token sequences. Synchronous; one owner.
///
/// It holds sequences by number, each of at most [`ModelInfo::context`] tokens. A sequence's logits depend on its own tokens only: not on
/// the sequences beside it, and not on how its tokens were portioned.
pub trait Generator: Send {
    /// What is loaded, and where.
    fn info(&self) -> &ModelInfo;

    /// The token that stands before every text and ends it.
    fn end_of_text(&self) -> u32;

    /// Token ids of a text, without the end-of-text token.
    fn tokenize(&self, text: &str) -> Result<Tokens, ModelError>;

    /// The text of token ids. Bytes that are not UTF-8 become U+FFFD, the end-of-text token nothing.
    fn detokenize(&self, ids: &[u32]) -> Result<String, ModelError>;

    /// Tokens that a sequence holds; 0 for one that was never begun.
    fn length(&self, sequence: usize) -> usize;

    /// Appends tokens, at least one each, to sequences, each once. Gives the logits of what follows each: (steps, vocabulary).
    ///
    /// # Errors
    /// A sequence that would grow beyond the context, an id outside the vocabulary, or a runtime that fails; then what the sequences hold
    /// is lost.
    fn extend(&mut self, steps: &[Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError>;

    /// Empties a sequence.
    fn forget(&mut self, sequence: usize);

    /// For each (from, to): makes sequence `to` what `from` was before the call.
    fn copy(&mut self, moves: &[(usize, usize)]) -> Result<(), ModelError>;
}

/// Tokens that continue one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The sequence's number.
    pub sequence: usize,
    /// What comes next in it.
    pub tokens: &'a [u32],
}

/// Token ids and where each one lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Ids in the model's vocabulary.
    pub ids: Vec<u32>,
    /// Byte ranges (start, end) in the tokenised text; the tokens of one character that was split share its range.
    pub offsets: Vec<(u32, u32)>,
}

/// Per-token scores of one text, all of the same length, and one vector of the whole text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenScores {
    /// -ln q(x_t | x_<t), nats.
    pub surprisal: Vec<f32>,
    /// 1 + number of tokens more probable than x_t.
    pub rank: Vec<u32>,
    /// Entropy of q(. | x_<t), nats.
    pub entropy: Vec<f32>,
    /// Variance of the surprisal under q(. | x_<t), nats squared.
    pub variance: Vec<f32>,
    /// Mean over the tokens of the final normalised hidden state that each one was predicted from, as long as [`ModelInfo::width`]: texts
    /// about the same thing in the same manner lie close together. Empty where nothing was scored.
    pub pooled: Vec<f32>,
    /// Surprisal under the branch that was tuned on texts by people, nats; empty where the model has no branches.
    pub human_surprisal: Vec<f32>,
    /// The same under the branch that was tuned on texts by machines.
    pub machine_surprisal: Vec<f32>,
    /// Human less machine surprisal, less what q(. | x_<t) expects of that difference, nats; empty where the model has no branches.
    pub ratio_excess: Vec<f32>,
}

impl TokenScores {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.surprisal.len()
    }

    /// Zeros for `tokens` tokens of a model with or without branches.
    fn zeros(tokens: usize, branches: bool) -> Self {
        let numbers = || vec![0.; tokens];
        let of_a_branch = || if branches { numbers() } else { Vec::new() };
        Self {
            surprisal: numbers(),
            rank: vec![0; tokens],
            entropy: numbers(),
            variance: numbers(),
            pooled: Vec::new(),
            human_surprisal: of_a_branch(),
            machine_surprisal: of_a_branch(),
            ratio_excess: of_a_branch(),
        }
    }

    /// The scores of some tokens, by their places.
    pub fn only(&self, places: &[usize]) -> Self {
        let some = |all: &[f32]| places.iter().filter_map(|&at| all.get(at).copied()).collect();
        Self {
            surprisal: some(&self.surprisal),
            rank: places.iter().filter_map(|&at| self.rank.get(at).copied()).collect(),
            entropy: some(&self.entropy),
            variance: some(&self.variance),
            pooled: self.pooled.clone(),
            human_surprisal: some(&self.human_surprisal),
            machine_surprisal: some(&self.machine_surprisal),
            ratio_excess: some(&self.ratio_excess),
        }
    }

    /// Whether every number is finite.
    fn is_finite(&self) -> bool {
        let Self { surprisal, rank: _, entropy, variance, pooled, human_surprisal, machine_surprisal, ratio_excess } = self;
        [surprisal, entropy, variance, pooled, human_surprisal, machine_surprisal, ratio_excess]
            .iter()
            .all(|v| v.iter().all(|x| x.is_finite()))
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.surprisal.is_empty()
    }
}

/// What is loaded, and where it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// `highwater-…` for the embedded model, else the directory's or the repository's name.
    pub name: String,
    /// First 16 hex digits of the BLAKE3 hash over configuration, tokenizer, weights and, where there are any, branches.
    pub hash: String,
    /// Number of parameters, those of branches not counted.
    pub parameters: u64,
    /// Vocabulary size.
    pub vocabulary: usize,
    /// Longest context in tokens.
    pub context: usize,
    /// Layers.
    pub layers: usize,
    /// Width of a layer.
    pub width: usize,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// `int8`, `fp32` or `fp16`.
    pub precision: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// Its two adapted branches, where it has them.
    pub branches: Option<BranchInfo>,
}

/// Two adapted copies of a model's upper layers, one tuned on texts by people, one on texts by machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BranchInfo {
    /// The first layer that is not shared, from 0.
    pub first_layer: usize,
    /// Where they come from, in their maker's words.
    pub provenance: Option<String>,
}

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// ONNX Runtime is missing, damaged or of another version.
    #[error("{}{message}; {mend}", .path.as_ref().map(|p| format!("{} ", p.display())).unwrap_or_default())]
    Runtime {
        /// The library, where one was found or named.
        path: Option<PathBuf>,
        /// What is wrong with it.
        message: String,
        /// The command that mends it.
        mend: &'static str,
    },
    /// A checkpoint's file is missing, damaged, or does not fit the others.
    #[error("{place}: {message}")]
    Checkpoint {
        /// The file.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// The converted weights cannot be kept.
    #[error("{}: converted weights cannot be kept there: {source}", path.display())]
    Cache {
        /// The file that was to be written.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A device and a precision that do not go together.
    #[error("{0}")]
    Unsupported(String),
    /// ONNX Runtime refused the graph or the device.
    #[error("model {model} cannot be started: {message}")]
    Session {
        /// The model's name.
        model: String,
        /// ONNX Runtime's reason.
        message: String,
    },
    /// ONNX Runtime failed while running.
    #[error("the model failed to run: {0}")]
    Run(String),
}

/// Loads a model: finds ONNX Runtime, reads the checkpoint, writes the graph and starts the sessions.
pub fn load(options: &LoadOptions) -> Result<Box<dyn Scorer>, ModelError> {
    Ok(Box::new(scorer::load(options)?))
}

/// Loads a model to write with; as [`load`], but one session on all threads, and no scoring.
pub fn load_generator(options: &LoadOptions) -> Result<Box<dyn Generator>, ModelError> {
    Ok(Box::new(generator::load(options)?))
}

/// Where converted weights and a downloaded ONNX Runtime are kept for this user: `$XDG_CACHE_HOME/highwater` or `~/.cache/highwater`.
fn cache_directory() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache"))).map(|c| c.join("highwater"))
}
