//! Every parser of a checkpoint's files on bytes in memory, for fuzzing. Starts no session and touches no file.

use super::{
    ModelError,
    branches::Branches,
    config::Gpt2Config,
    convert::{self, Job, Storage},
    tokenizer::Bpe,
    weights::Weights,
};

/// Reads `config.json`, `tokenizer.json`, `branches.safetensors` (nothing is none), each after its length in four bytes, the lowest first,
/// and `model.safetensors`, which is the rest, as far as they go, and converts.
#[doc(hidden)]
pub fn parse_checkpoint(bytes: &[u8]) -> Result<(), ModelError> {
    let mut rest = bytes;
    let [config, tokenizer, branches] = std::array::from_fn(|_| part(&mut rest));
    parse([config, tokenizer, branches, rest])
}

/// Takes a part off the front; of one that is said to be longer than the rest, the rest.
fn part<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some((length, after)) = rest.split_first_chunk::<4>() else { return std::mem::take(rest) };
    let length = (u32::from_le_bytes(*length) as usize).min(after.len());
    let (part, after) = after.split_at(length);
    *rest = after;
    part
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
    for storage in [Storage::F32, Storage::F16, Storage::I8] {
        convert::prepare(&Job { config: &config, weights: &weights, branches: known, storage, hash: "0", cache: None })?;
    }
    branches?;
    tokenizer?.fits(config.vocabulary, "tokenizer.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// Parts as [`parse_checkpoint`] takes them.
    fn joined([config, tokenizer, branches, weights]: [&[u8]; 4]) -> Vec<u8> {
        let with_length = |part: &[u8]| [&(part.len() as u32).to_le_bytes(), part].concat();
        [with_length(config), with_length(tokenizer), with_length(branches), weights.to_vec()].concat()
    }

    #[test]
    fn a_whole_checkpoint_goes_all_the_way() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity/branches");
        let files =
            ["config.json", "tokenizer.json", "branches.safetensors", "model.safetensors"].map(|f| fs::read(folder.join(f)).unwrap());
        let [config, tokenizer, branches, weights] = files.each_ref().map(Vec::as_slice);
        parse([config, tokenizer, branches, weights]).unwrap();
        parse([config, tokenizer, &[], weights]).unwrap();
        assert!(branches.contains(&0xff), "no byte may divide the parts: packed numbers have every one");
        parse_checkpoint(&joined([config, tokenizer, branches, weights])).unwrap();
        parse_checkpoint(&joined([config, tokenizer, &[], weights])).unwrap();
        let cut = joined([config, tokenizer, branches, weights]);
        for length in [0, 3, 4, 100, config.len() + 4, config.len() + 6, cut.len() - 1] {
            assert!(parse_checkpoint(&cut[..length]).is_err(), "{length} bytes");
        }
        assert!(parse([config, tokenizer, branches, &weights[..weights.len() - 1]]).is_err());
        assert!(parse([config, tokenizer, &branches[..branches.len() - 1], weights]).is_err());
    }

    /// Seeds that went nowhere would be found out by nobody.
    #[test]
    fn the_seeds_of_the_fuzzer_go_as_far_as_they_should() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/checkpoint");
        let parsed = |name: &str| parse_checkpoint(&fs::read(folder.join(name)).unwrap());
        for name in ["f32", "f16", "branches"] {
            parsed(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let told = parsed("other-tokenizer").unwrap_err().to_string();
        assert!(told.contains("has the normalizer `Replace`"), "{told}");
    }
}
