//! The checkpoint's tokenizer: text to ids with byte offsets. Special tokens written in a text are plain text here.

use super::{ModelError, Tokens};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use tokenizers::{
    ModelWrapper, Tokenizer,
    models::bpe::{BPE, Merges, Vocab},
    pre_tokenizers::byte_level::ByteLevel,
};

/// What is looked at before the file is trusted to the tokenizer library.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    normalizer: Value,
}

/// Whether SentencePiece's table of replacements is used anywhere: the library panics on damaged ones.
fn is_precompiled(normalizer: &Value) -> bool {
    match normalizer {
        Value::String(text) => text == "Precompiled",
        Value::Array(list) => list.iter().any(is_precompiled),
        Value::Object(map) => map.contains_key("precompiled_charsmap") || map.values().any(is_precompiled),
        _ => false,
    }
}

/// A byte-level BPE.
pub(crate) struct Bpe(Tokenizer);

impl Bpe {
    /// From `tokenizer.json`; `place` names it in errors.
    pub(crate) fn from_json(json: &[u8], place: &str) -> Result<Self, ModelError> {
        let invalid = |e: serde_json::Error| fault(place, format!("is no valid tokenizer: {e}"));
        if is_precompiled(&serde_json::from_slice::<Outline>(json).map_err(invalid)?.normalizer) {
            return Err(fault(place, "has the normalizer `Precompiled`, which no GPT-2 has; it is another model's tokenizer".to_owned()));
        }
        let tokenizer = Tokenizer::from_bytes(json).map_err(|e| fault(place, format!("is no valid tokenizer: {e}")))?;
        match tokenizer.get_model() {
            ModelWrapper::BPE(BPE { dropout: Some(rate), .. }) if *rate > 0. => {
                Err(fault(place, format!("`dropout` is {rate}, which makes tokens random; expected null")))
            }
            ModelWrapper::BPE(_) => Ok(Self::plain(tokenizer)),
            _ => Err(fault(place, "is no BPE, which every GPT-2 has; it is another model's tokenizer".to_owned())),
        }
    }

    /// From `vocab.json` and `merges.txt`, as GPT-2 was published.
    pub(crate) fn from_vocabulary(vocabulary: &[u8], merges: &[u8], place: &str) -> Result<Self, ModelError> {
        let vocabulary: HashMap<String, u32> =
            serde_json::from_slice(vocabulary).map_err(|e| fault(place, format!("is not a map of tokens to ids: {e}")))?;
        let text = std::str::from_utf8(merges).map_err(|e| fault(place, format!("merges.txt is not UTF-8: {e}")))?;
        let pair = |(i, line): (usize, &str)| {
            let (a, b) = line.split_once(' ').ok_or_else(|| fault(place, format!("merges.txt line {}: expected two tokens", i + 1)))?;
            Ok((a.to_owned(), b.to_owned()))
        };
        let comment = |i: usize, line: &str| line.is_empty() || i == 0 && line.starts_with("#version");
        let lines = text.lines().enumerate().filter(|&(i, l)| !comment(i, l));
        let merges: Merges = lines.map(pair).collect::<Result<_, ModelError>>()?;
        let bpe = BPE::builder().vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges).build();
        let mut tokenizer = Tokenizer::new(bpe.map_err(|e| fault(place, format!("vocab.json and merges.txt do not fit together: {e}")))?);
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        Ok(Self::plain(tokenizer))
    }

    fn plain(mut tokenizer: Tokenizer) -> Self {
        tokenizer.set_encode_special_tokens(true);
        tokenizer.with_padding(None);
        // removing a truncation that may not even be there cannot fail
        let _ = tokenizer.with_truncation(None);
        // vocab.json and merges.txt name no decoder, and some tokenizer.json do not either
        tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
        Self(tokenizer)
    }

    /// Refuses a tokenizer without tokens, or with ids that a model of `vocabulary` tokens does not have.
    pub(crate) fn fits(&self, vocabulary: usize, place: &str) -> Result<(), ModelError> {
        let size = self.0.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        if size == 0 {
            return Err(fault(place, "holds no tokens".to_owned()));
        }
        if size > vocabulary {
            let message = format!("has {size} tokens, but the model's `vocab_size` is {vocabulary}: it is another model's tokenizer");
            return Err(fault(place, message));
        }
        Ok(())
    }

    /// Ids of a text and the bytes that each one stands for.
    pub(crate) fn encode(&self, text: &str) -> Result<Tokens, ModelError> {
        let encoding = self.0.encode(text, false).map_err(|e| ModelError::Run(format!("the tokenizer failed: {e}")))?;
        let offsets = encoding.get_offsets().iter().map(|&(a, b)| (a as u32, b as u32)).collect();
        Ok(Tokens { ids: encoding.get_ids().to_vec(), offsets })
    }

    /// The text of ids, special tokens left out; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.0.decode(ids, true).map_err(|e| ModelError::Run(format!("the tokenizer failed: {e}")))
    }
}

fn fault(place: &str, message: String) -> ModelError {
    ModelError::Checkpoint { place: place.to_owned(), message }
}
