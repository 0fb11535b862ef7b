//! `config.json` of a Hugging Face GPT-2: what is read, and what is refused by name.

use super::ModelError;
use serde::Deserialize;

/// The shape of a GPT-2 and the choices that change its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gpt2Config {
    pub(crate) vocabulary: usize,
    pub(crate) context: usize,
    pub(crate) width: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) inner: usize,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f32,
    pub(crate) scale_attention: bool,
    pub(crate) scale_by_layer: bool,
    /// Token that stands before every text; where the configuration names none, the vocabulary's last, as in GPT-2.
    pub(crate) end_of_text: u32,
    /// Whether the head is the embedding, whatever else the file holds.
    pub(crate) tied: bool,
}

/// The feed-forward layer's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    GeluTanh,
    Gelu,
    Relu,
    Silu,
    Tanh,
    QuickGelu,
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    vocab_size: usize,
    #[serde(alias = "n_ctx")]
    n_positions: Option<usize>,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    activation_function: Option<String>,
    layer_norm_epsilon: Option<f32>,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    add_cross_attention: Option<bool>,
    tie_word_embeddings: Option<bool>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<u32>,
    quantization_config: Option<serde_json::Value>,
}

impl Gpt2Config {
    /// What a layer multiplies its products of queries and keys by.
    pub(crate) fn attention_scale(&self, layer: usize) -> f32 {
        let scale = if self.scale_attention { 1. / ((self.width / self.heads) as f32).sqrt() } else { 1. };
        if self.scale_by_layer { scale / (layer + 1) as f32 } else { scale }
    }

    /// Reads a configuration; `place` names the file in errors.
    pub(crate) fn parse(json: &[u8], place: &str) -> Result<Self, ModelError> {
        let fault = |message: String| ModelError::Checkpoint { place: place.to_owned(), message };
        // `n_ctx` and `n_positions` both stand in old files, which a serde alias would refuse as a duplicate
        let mut value: serde_json::Value = serde_json::from_slice(json).map_err(|e| fault(format!("not valid JSON: {e}")))?;
        let map = value.as_object_mut().ok_or_else(|| fault("is no JSON object, expected the model's settings".to_owned()))?;
        if map.contains_key("n_positions") {
            map.remove("n_ctx");
        }
        let raw: Raw = serde_json::from_value(value).map_err(|e| fault(e.to_string()))?;
        raw.check().map_err(fault)
    }
}

impl Raw {
    fn check(self) -> Result<Gpt2Config, String> {
        if let Some(kind) = self.model_type.as_deref().filter(|&k| k != "gpt2") {
            return Err(format!("`model_type` is `{kind}`, only `gpt2` is supported"));
        }
        if self.add_cross_attention == Some(true) {
            return Err("`add_cross_attention` is true, only a plain decoder is supported".into());
        }
        if self.quantization_config.as_ref().is_some_and(|q| !q.is_null()) {
            return Err("`quantization_config` is set; give the original weights, Highwater quantises them itself".into());
        }
        let context = self.n_positions.ok_or("`n_positions` is missing")?;
        let limits = [
            ("vocab_size", self.vocab_size, 1 << 20),
            ("n_positions", context, 1 << 16),
            ("n_embd", self.n_embd, 1 << 14),
            ("n_layer", self.n_layer, 256),
            ("n_head", self.n_head, 256),
            ("n_inner", self.n_inner.unwrap_or(1), 1 << 16),
        ];
        for (name, value, most) in limits {
            if value == 0 || value > most {
                return Err(format!("`{name}` is {value}, expected 1 to {most}"));
            }
        }
        if context < 2 {
            return Err("`n_positions` is 1, expected at least 2".into());
        }
        if !self.n_embd.is_multiple_of(self.n_head) {
            return Err(format!("`n_embd` {} is not a multiple of `n_head` {}", self.n_embd, self.n_head));
        }
        let epsilon = self.layer_norm_epsilon.unwrap_or(1e-5);
        if !(epsilon > 0. && epsilon < 1.) {
            return Err(format!("`layer_norm_epsilon` is {epsilon}, expected a small positive number"));
        }
        let end_of_text = self.bos_token_id.or(self.eos_token_id).unwrap_or(self.vocab_size as u32 - 1);
        if end_of_text as usize >= self.vocab_size {
            return Err(format!("`bos_token_id` is {end_of_text}, but `vocab_size` is {}", self.vocab_size));
        }
        Ok(Gpt2Config {
            vocabulary: self.vocab_size,
            context,
            width: self.n_embd,
            layers: self.n_layer,
            heads: self.n_head,
            inner: self.n_inner.unwrap_or(4 * self.n_embd),
            activation: activation(self.activation_function.as_deref().unwrap_or("gelu_new"))?,
            epsilon,
            scale_attention: self.scale_attn_weights.unwrap_or(true),
            scale_by_layer: self.scale_attn_by_inverse_layer_idx.unwrap_or(false),
            end_of_text,
            tied: self.tie_word_embeddings.unwrap_or(true),
        })
    }
}

fn activation(name: &str) -> Result<Activation, String> {
    Ok(match name {
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "gelu" => Activation::Gelu,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        "quick_gelu" => Activation::QuickGelu,
        other => {
            return Err(format!(
                "`activation_function` is `{other}`, supported are gelu_new, gelu_pytorch_tanh, gelu_fast, gelu, relu, silu, tanh, quick_gelu"
            ));
        }
    })
}
