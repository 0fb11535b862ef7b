//! The checkpoint's tokenizer: text to ids with byte offsets. Special tokens written in a text are plain text here.

use super::{ModelError, Tokens};
use std::{
    collections::HashMap,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tokenizers::{
    Encoding, ModelWrapper, PostProcessorWrapper, Tokenizer,
    models::bpe::{BPE, Merges, Vocab},
    pre_tokenizers::byte_level::ByteLevel,
};

mod outline;

/// What every tokenizer is tried on: words, numbers, accents, spaces of all kinds, joined characters, a special token, a zero byte.
const TRIAL: &str = "The 2nd  post,\u{a0}naïve\r\n\u{1f469}\u{200d}\u{1f4bb} <|endoftext|>\0";

/// A byte-level BPE.
pub(crate) struct Bpe(Tokenizer);

impl Bpe {
    /// From `tokenizer.json`; `place` names it in errors.
    pub(crate) fn from_json(json: &[u8], place: &str) -> Result<Self, ModelError> {
        outline::check(json).map_err(|message| fault(place, message))?;
        let tokenizer = guarded(|| Tokenizer::from_bytes(json)).map_err(|e| fault(place, format!("is no valid tokenizer: {e}")))?;
        match tokenizer.get_model() {
            ModelWrapper::BPE(BPE { dropout: Some(rate), .. }) if *rate > 0. => {
                Err(fault(place, format!("`dropout` is {rate}, which makes tokens random; expected null")))
            }
            ModelWrapper::BPE(_) => Self::plain(tokenizer).tried(place),
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
        for (i, (a, b)) in merges.iter().enumerate() {
            if let Some(wrong) = outline::unknown_merge(i + 1, (a.as_str(), b.as_str()), |token| vocabulary.contains_key(token)) {
                return Err(fault(place, format!("vocab.json and merges.txt do not fit together: {wrong}; take both from one place")));
            }
        }
        let bpe = BPE::builder().vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges).build();
        let mut tokenizer = Tokenizer::new(bpe.map_err(|e| fault(place, format!("vocab.json and merges.txt do not fit together: {e}")))?);
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        Self::plain(tokenizer).tried(place)
    }

    fn plain(mut tokenizer: Tokenizer) -> Self {
        tokenizer.set_encode_special_tokens(true);
        tokenizer.with_padding(None);
        // removing a truncation that may not even be there cannot fail
        let _ = tokenizer.with_truncation(None);
        // GPT-2's own only says where tokens begin; others put the text together anew
        if !matches!(tokenizer.get_post_processor(), Some(PostProcessorWrapper::ByteLevel(_))) {
            tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        }
        // whatever the file names, or does not: this one alone undoes what `ByteLevel` did to the text
        tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
        Self(tokenizer)
    }

    /// Refuses one that holds nothing, loses the spaces, or fails at a text.
    fn tried(self, place: &str) -> Result<Self, ModelError> {
        if self.0.get_vocab_size(false) == 0 {
            return Err(fault(place, "holds no tokens; take the file anew from where the model was published".to_owned()));
        }
        if self.0.get_pre_tokenizer().is_none() {
            let message = format!("names no pre_tokenizer, without which spaces are lost; expected {}", outline::SPLITTERS);
            return Err(fault(place, message));
        }
        match self.read(TRIAL) {
            Ok(_) => Ok(self),
            Err(e) => Err(fault(place, format!("fails at a text: {e}; take the file anew from where the model was published"))),
        }
    }

    /// Refuses a tokenizer with ids that a model of `vocabulary` tokens does not have. A special token that was added beyond them, as for
    /// padding, is let be: written in a text it is plain text, so that its id is never given.
    pub(crate) fn fits(&self, vocabulary: usize, place: &str) -> Result<(), ModelError> {
        let added = self.0.get_added_vocabulary();
        let given = added.get_vocab().iter().filter(|(token, _)| !added.is_special_token(token)).map(|(_, &id)| id);
        let size = self.0.get_vocab(false).into_values().chain(given).max().map_or(0, |id| id as usize + 1);
        if size > vocabulary {
            let message = format!("has {size} tokens, but the model's `vocab_size` is {vocabulary}: it is another model's tokenizer");
            return Err(fault(place, message));
        }
        Ok(())
    }

    fn read(&self, text: &str) -> Result<Encoding, String> {
        guarded(|| self.0.encode(text, false))
    }

    /// Ids of a text and the bytes that each one stands for.
    pub(crate) fn encode(&self, text: &str) -> Result<Tokens, ModelError> {
        let encoding = self.read(text).map_err(|e| ModelError::Run(format!("the tokenizer failed: {e}")))?;
        let offsets = encoding.get_offsets().iter().map(|&(a, b)| (a as u32, b as u32)).collect();
        Ok(Tokens { ids: encoding.get_ids().to_vec(), offsets })
    }

    /// The text of ids, special tokens left out; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        self.0.decode(ids, true).map_err(|e| ModelError::Run(format!("the tokenizer failed: {e}")))
    }
}

/// What the library did; where it panics, as at some files that pass all checks, an error too.
fn guarded<T, E: Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(_) => Err("the tokenizer library gave up on it".to_owned()),
    }
}

fn fault(place: &str, message: String) -> ModelError {
    ModelError::Checkpoint { place: place.to_owned(), message }
}
