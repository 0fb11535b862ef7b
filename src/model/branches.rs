//! `branches.safetensors`: two fine-tuned copies, `human` and `machine`, of the upper layers of a checkpoint that share all below.
//!
//! Tensors are named `human.h.4.attn.c_attn.weight`, …, `human.ln_f.weight`; the header's `__metadata__` names the format, the first
//! layer of a branch and, if it likes, the base's hash and where the branches come from. The embedding and the head are the base's.

use super::{BranchInfo, ModelError, config::Gpt2Config, weights::Weights};

/// The branches, in the order of the graph's results.
pub(crate) const NAMES: [&str; 2] = ["human", "machine"];

/// Value of `format` that is read here.
const FORMAT: &str = "highwater-branches-1";

/// Longest note on where the branches come from, bytes.
const MAX_PROVENANCE: usize = 64 << 10;

/// Two branches, opened and checked against their base's configuration as far as the header goes.
pub(crate) struct Branches {
    pub(crate) weights: Weights,
    pub(crate) info: BranchInfo,
}

impl Branches {
    /// Checks the header; `base` is the hash of the checkpoint without its branches.
    pub(crate) fn new(weights: Weights, config: &Gpt2Config, base: &str) -> Result<Self, ModelError> {
        let fault = |message: String| ModelError::Checkpoint { place: weights.place().to_owned(), message };
        let format = weights.note("format").unwrap_or_default();
        if format != FORMAT {
            return Err(fault(format!("`format` in its metadata is `{}`, expected `{FORMAT}`", short(format))));
        }
        let asked = weights.note("first_layer").unwrap_or_default();
        let first_layer = asked.parse().ok().filter(|n| (1..config.layers).contains(n)).ok_or_else(|| {
            let most = config.layers.saturating_sub(1);
            fault(format!("`first_layer` in its metadata is `{}`, expected 1 to {most}: one layer shared, one branched", short(asked)))
        })?;
        if let Some(own) = weights.note("base").filter(|own| *own != base) {
            let message = format!("was made for the model {}, but beside it lies {base}; give the branches of this model", short(own));
            return Err(fault(message));
        }
        let provenance = weights.note("provenance").map(str::to_owned);
        if let Some(length) = provenance.as_ref().map(String::len).filter(|&n| n > MAX_PROVENANCE) {
            return Err(fault(format!("`provenance` in its metadata is {length} bytes long, expected at most {MAX_PROVENANCE}")));
        }
        Ok(Self { weights, info: BranchInfo { first_layer, provenance } })
    }
}

/// The beginning of a foreign text, for a message.
fn short(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
