//! Damaged checkpoints: every one is refused with one sentence that names the file, what was found and what was expected.

mod branches;
mod cache;
mod library;
mod tokenizer;

use highwater::model::{self, BranchSource, Device, LoadOptions, ModelError, ModelSource, Precision};
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A copy of a small checkpoint that may be damaged.
pub(crate) struct Copy(TempDir);

impl Copy {
    pub(crate) fn of(name: &str) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity").join(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path(&entry.file_name().to_string_lossy())).unwrap();
        }
        copy
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(file), bytes).unwrap();
    }

    /// Sets one key of config.json; null removes it.
    fn set(&self, key: &str, value: Value) {
        let mut config: Map<String, Value> = serde_json::from_slice(&fs::read(self.path("config.json")).unwrap()).unwrap();
        if value.is_null() {
            config.remove(key)
        } else {
            config.insert(key.to_owned(), value)
        };
        self.write("config.json", serde_json::to_vec(&config).unwrap());
    }

    /// Rewrites model.safetensors with another header and other data.
    fn reweigh(&self, change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        self.rewrite("model.safetensors", change);
    }

    /// The same with any safetensors file.
    pub(crate) fn rewrite(&self, file: &str, change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        let bytes = fs::read(self.path(file)).unwrap();
        let size = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + size]).unwrap();
        let mut data = bytes[8 + size..].to_vec();
        change(&mut header, &mut data);
        let header = serde_json::to_vec(&header).unwrap();
        self.write(file, [&(header.len() as u64).to_le_bytes(), &header[..], &data].concat());
    }

    fn load(&self, precision: Precision) -> Result<Box<dyn model::Scorer>, ModelError> {
        let source = ModelSource::Directory(self.0.path().to_owned());
        model::load(&LoadOptions { source, device: Device::Cpu, precision, threads: 1, cache: None, ..LoadOptions::default() })
    }

    /// Refused in both precisions by a sentence that starts with the file's path and holds every one of `parts`.
    fn refused(&self, file: &str, parts: &[&str]) {
        for precision in [Precision::Int8, Precision::Fp32] {
            let error = self.load(precision).err().unwrap_or_else(|| panic!("loaded, expected {parts:?}"));
            let told = error.to_string();
            assert!(matches!(error, ModelError::Checkpoint { .. }), "{error:?}");
            let place = if file.is_empty() { self.0.path().to_owned() } else { self.path(file) };
            assert!(told.starts_with(&format!("{}: ", place.display())), "{told}\ndoes not start with {}", place.display());
            assert!(parts.iter().all(|part| told.contains(part)), "{told}\ndoes not hold all of {parts:?}");
            assert!(told.lines().count() == 1 && told.len() < 600, "{told}");
        }
    }
}

const BIAS: &str = "transformer.h.1.mlp.c_fc.bias";

#[test]
fn an_undamaged_copy_loads() {
    for name in ["plain", "vocab_merges"] {
        let copy = Copy::of(name);
        copy.reweigh(|_, _| {});
        copy.load(Precision::Int8).unwrap();
        copy.load(Precision::Fp32).unwrap();
    }
}

#[test]
fn a_missing_a_misshapen_and_a_mistyped_tensor_are_named() {
    let damage = |change: fn(&mut Map<String, Value>, Value)| {
        let copy = Copy::of("plain");
        copy.reweigh(|header, _| {
            let tensor = header.remove(BIAS).unwrap();
            change(header, tensor);
        });
        copy
    };
    let missing = damage(|header, tensor| drop(header.insert("transformer.other".to_owned(), tensor)));
    missing.refused("model.safetensors", &["`h.1.mlp.c_fc.bias` is missing", "the file has 28 tensors"]);
    let misshapen = damage(|header, mut tensor| {
        tensor["shape"] = json!([2, 48]);
        header.insert(BIAS.to_owned(), tensor);
    });
    misshapen.refused("model.safetensors", &[BIAS, "[2, 48]", "[96]"]);
    let mistyped = damage(|header, mut tensor| {
        tensor["dtype"] = json!("I32");
        header.insert(BIAS.to_owned(), tensor);
    });
    mistyped.refused("model.safetensors", &[BIAS, "I32", "expected F32, F16 or BF16"]);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    for (bits, told) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        for tensor in [BIAS, "transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"] {
            let copy = Copy::of("plain");
            copy.reweigh(|header, data| {
                let end = header[tensor]["data_offsets"][1].as_u64().unwrap() as usize;
                data[end - 4..end].copy_from_slice(&bits.to_le_bytes());
            });
            copy.refused("model.safetensors", &[tensor, told, "expected finite numbers"]);
        }
    }
}

#[test]
fn truncated_weights_are_refused_wherever_they_are_cut() {
    let copy = Copy::of("plain");
    let whole = fs::read(copy.path("model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let cuts = [0, 1, 7, 8, 9, header / 2, header - 1, header, header + 1, whole.len() / 2, whole.len() - 4, whole.len() - 1];
    for cut in cuts.into_iter().chain((0..whole.len()).step_by(9973)) {
        copy.write("model.safetensors", &whole[..cut]);
        copy.refused("model.safetensors", &["safetensors"]);
    }
    copy.write("model.safetensors", [&whole[..], b"more"].concat());
    copy.refused("model.safetensors", &["has data added"]);
}

#[test]
fn a_safetensors_header_that_lies_is_refused() {
    type Lie = fn(&mut Map<String, Value>);
    let lies: [Lie; 7] = [
        |h| h[BIAS]["data_offsets"] = json!([0, 384]),
        |h| h[BIAS]["data_offsets"] = json!([u64::MAX - 1, u64::MAX]),
        |h| h[BIAS]["data_offsets"] = json!([384, 0]),
        |h| h[BIAS]["data_offsets"] = json!([-1, 5]),
        |h| h[BIAS]["shape"] = json!([u64::MAX, u64::MAX]),
        |h| h[BIAS]["shape"] = json!([1u64 << 62, 16]),
        |h| h[BIAS]["dtype"] = json!("F33"),
    ];
    for lie in lies {
        let copy = Copy::of("plain");
        copy.reweigh(|header, _| lie(header));
        copy.refused("model.safetensors", &["its header"]);
    }
    let copy = Copy::of("plain");
    let whole = fs::read(copy.path("model.safetensors")).unwrap();
    for size in [0, 1, whole.len() as u64, 100 << 20, (100 << 20) + 1, u64::MAX - 8, u64::MAX] {
        copy.write("model.safetensors", [&size.to_le_bytes(), &whole[8..]].concat());
        copy.refused("model.safetensors", &["header"]);
    }
}

#[test]
fn a_configuration_that_lies_is_refused_by_the_name_of_what_does_not_fit() {
    let weights = "model.safetensors";
    let config = "config.json";
    for (key, value, file, parts) in [
        ("n_embd", json!(48), weights, &["[457, 24]", "[457, 48]"][..]),
        ("n_embd", json!(25), config, &["`n_embd` 25", "`n_head` 3"]),
        ("n_head", json!(5), config, &["`n_embd` 24", "`n_head` 5"]),
        ("n_head", json!(0), config, &["`n_head` is 0", "expected 1 to"]),
        ("n_layer", json!(3), weights, &["`h.2.ln_1.weight` is missing"]),
        ("n_layer", json!(1), weights, &["h.1.", "`n_layer` is 1"]),
        ("n_layer", json!(u64::MAX), config, &["`n_layer` is", "expected 1 to 256"]),
        ("n_inner", json!(95), weights, &["[24, 96]", "[24, 95]"]),
        ("vocab_size", json!(458), weights, &["[457, 24]", "[458, 24]"]),
        ("vocab_size", json!(456), config, &["`bos_token_id` is 456", "`vocab_size` is 456"]),
        ("vocab_size", json!(-1), config, &["-1"]),
        ("vocab_size", Value::Null, config, &["missing field `vocab_size`"]),
        ("n_positions", json!(65), weights, &["[64, 24]", "[65, 24]"]),
        ("n_positions", json!(0), config, &["`n_positions` is 0", "expected 1 to"]),
        ("n_positions", json!(1u64 << 40), config, &["`n_positions` is 1099511627776", "expected 1 to"]),
        ("layer_norm_epsilon", json!(0), config, &["`layer_norm_epsilon` is 0"]),
        ("activation_function", json!("mish"), config, &["`activation_function` is `mish`", "gelu_new"]),
        ("model_type", json!("llama"), config, &["`llama`", "gpt2"]),
        ("tie_word_embeddings", json!(false), weights, &["`lm_head.weight` is missing"]),
        ("bos_token_id", json!(457), config, &["`bos_token_id` is 457", "`vocab_size` is 457"]),
        ("add_cross_attention", json!(true), config, &["`add_cross_attention`"]),
        ("quantization_config", json!({"bits": 4}), config, &["`quantization_config`"]),
        ("n_embd", json!("wide"), config, &["\"wide\""]),
    ] {
        let copy = Copy::of("plain");
        copy.set(key, value);
        copy.refused(file, parts);
    }
}

#[test]
fn a_configuration_that_is_none_is_refused() {
    let copy = Copy::of("plain");
    let deep = "[".repeat(100_000);
    for text in ["", "{", "[]", "null", "3", "{\"vocab_size\": 457", "\u{0}", deep.as_str(), "<html>not found</html>"] {
        copy.write("config.json", text);
        copy.refused("config.json", &[]);
    }
    copy.write("config.json", "[457, 64, 24]");
    copy.refused("config.json", &["is no JSON object"]);
    copy.write("config.json", b"\xff\xfe{}");
    copy.refused("config.json", &["JSON"]);
    fs::remove_file(copy.path("config.json")).unwrap();
    copy.refused("config.json", &["cannot be read", "a checkpoint is config.json, model.safetensors and tokenizer.json"]);
    fs::create_dir(copy.path("config.json")).unwrap();
    copy.refused("config.json", &["cannot be read", "directory"]);
}

#[test]
fn a_tokenizer_that_is_damaged_or_of_another_model_is_refused() {
    let copy = Copy::of("plain");
    let whole = fs::read_to_string(copy.path("tokenizer.json")).unwrap();
    for text in ["", "{}", "[]", "null", &whole[..whole.len() / 2], "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\"}}"] {
        copy.write("tokenizer.json", text);
        copy.refused("tokenizer.json", &["is no valid tokenizer"]);
    }
    copy.write("tokenizer.json", whole.replace("\"Ġthe\":258", "\"Ġthe\":50000"));
    copy.refused("tokenizer.json", &["has 50001 tokens", "`vocab_size` is 457"]);
    copy.write("tokenizer.json", whole.replace("\"dropout\":null", "\"dropout\":0.1"));
    copy.refused("tokenizer.json", &["`dropout` is 0.1", "expected null"]);
    let table = json!({"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="}]});
    copy.write("tokenizer.json", whole.replace("\"normalizer\":null", &format!("\"normalizer\":{table}")));
    copy.refused("tokenizer.json", &["has the normalizer `Precompiled`"]);
    let words = json!({"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}});
    copy.write("tokenizer.json", words.to_string());
    copy.refused("tokenizer.json", &["is no BPE"]);
    let empty = json!({"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}});
    copy.write("tokenizer.json", empty.to_string());
    copy.refused("tokenizer.json", &["holds no tokens"]);

    let copy = Copy::of("vocab_merges");
    let merges = fs::read_to_string(copy.path("merges.txt")).unwrap();
    copy.write("merges.txt", format!("{merges}\nunheard of\n"));
    copy.refused("vocab.json", &["vocab.json and merges.txt do not fit together"]);
    copy.write("merges.txt", format!("{merges}\nalone\n"));
    copy.refused("vocab.json", &["merges.txt line ", "expected two tokens"]);
    copy.write("merges.txt", b"\xff\xfe");
    copy.refused("vocab.json", &["merges.txt is not UTF-8"]);
    copy.write("vocab.json", "[1, 2]");
    copy.refused("vocab.json", &["is not a map of tokens to ids"]);
}

#[test]
fn a_directory_without_all_files_says_which_one_it_needs() {
    let copy = Copy::of("vocab_merges");
    fs::remove_file(copy.path("merges.txt")).unwrap();
    copy.refused("merges.txt", &["cannot be read", "tokenizer.json"]);
    fs::remove_file(copy.path("vocab.json")).unwrap();
    copy.refused("", &["holds neither tokenizer.json nor vocab.json and merges.txt"]);

    let copy = Copy::of("plain");
    fs::remove_file(copy.path("model.safetensors")).unwrap();
    copy.refused("model.safetensors", &["cannot be read"]);
    copy.write("pytorch_model.bin", "PK");
    copy.refused("", &["holds pytorch_model.bin but no model.safetensors", "save_pretrained"]);

    Copy(tempfile::tempdir().unwrap()).refused("config.json", &["cannot be read", "a checkpoint is"]);
}
