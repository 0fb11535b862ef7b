//! Every parser of a checkpoint's files on bytes in memory, for fuzzing. Starts no session and touches no file.

use super::{
    ModelError,
    branches::Branches,
    config::Gpt2Config,
    convert::{self, Job, Storage},
    quantize::Bits,
    tokenizer::Bpe,
    weights::Weights,
};

/// Reads `config.json`, `tokenizer.json`, `branches.safetensors` (nothing is none) and `model.safetensors`, which one byte 0xFF each
/// divides, as far as they go, and converts.
#[doc(hidden)]
pub fn parse_checkpoint(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |&b| b == 0xff);
    // what is refused is refused by an error: the fuzzer looks for what is not
    let _ = parse(std::array::from_fn(|_| parts.next().unwrap_or_default()));
}

fn parse([config, tokenizer, branches, weights]: [&[u8]; 4]) -> Result<(), ModelError> {
    let config = Gpt2Config::parse(config, "config.json");
    let weights = Weights::from_bytes(weights.to_vec(), "model.safetensors");
    let tokenizer = Bpe::from_json(tokenizer, "tokenizer.json");
    if let Ok(tokenizer) = &tokenizer {
        let text = "The 2nd  post,\u{a0}naïve\r\n\u{1f469}\u{200d}\u{1f4bb} <|endoftext|>\0";
        let tokens = tokenizer.encode(text)?;
        assert_eq!(tokens.ids.len(), tokens.offsets.len());
    }
    let (config, weights) = (config?, weights?);
    let branches = Some(branches).filter(|b| !b.is_empty()).map(|b| Weights::from_bytes(b.to_vec(), "branches.safetensors"));
    let branches = branches.map(|b| Branches::new(b?, &config, "0")).transpose();
    let known = branches.as_ref().ok().and_then(Option::as_ref);
    for storage in [Storage::F32, Storage::F16, Storage::I8(Bits::Eight), Storage::I8(Bits::Seven)] {
        convert::prepare(&Job { config: &config, weights: &weights, branches: known, storage, hash: "0", cache: None })?;
    }
    branches?;
    tokenizer?.fits(config.vocabulary, "tokenizer.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn a_whole_checkpoint_goes_all_the_way() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity/branches");
        let files =
            ["config.json", "tokenizer.json", "branches.safetensors", "model.safetensors"].map(|f| fs::read(folder.join(f)).unwrap());
        let [config, tokenizer, branches, weights] = files.each_ref().map(Vec::as_slice);
        parse([config, tokenizer, branches, weights]).unwrap();
        parse([config, tokenizer, &[], weights]).unwrap();
        parse_checkpoint(&[config, tokenizer, branches, weights].join(&0xff));
        assert!(parse([config, tokenizer, branches, &weights[..weights.len() - 1]]).is_err());
        assert!(parse([config, tokenizer, &branches[..branches.len() - 1], weights]).is_err());
    }
}
