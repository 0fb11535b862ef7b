//! Tokenizers that would end the program, fill the memory or read another text than the one that was given; and relatives that do not.

use super::Copy;
use highwater::model::{Precision, Tokens};
use serde_json::{Value, json};
use std::fs;

/// GPT-2's own way to cut a text into words.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const TEXT: &str = "The weather's 2nd  post,\u{a0}naïve <pad>\r\n\u{1f469}\u{200d}\u{1f4bb} and the rest";

/// The tokenizer of a copy.
fn tokenizer(copy: &Copy) -> Value {
    serde_json::from_slice(&fs::read(copy.path("tokenizer.json")).unwrap()).unwrap()
}

fn with(copy: &Copy, place: &str, value: Value) {
    let mut json = tokenizer(copy);
    *json.pointer_mut(place).unwrap() = value;
    copy.write("tokenizer.json", json.to_string());
}

fn tokens(copy: &Copy) -> Tokens {
    copy.load(Precision::Fp32).unwrap().tokenize(TEXT).unwrap()
}

fn splits(count: usize, behavior: &str) -> Value {
    let split = json!({"type": "Split", "pattern": {"Regex": WORDS}, "behavior": behavior, "invert": false});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let parts = [vec![split; count], vec![bytes]].concat();
    json!({"type": "Sequence", "pretokenizers": parts})
}

#[test]
fn a_tokenizer_with_parts_that_no_gpt2_has_is_refused_by_name() {
    let twice = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    for (place, value, told) in [
        ("/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "has the pre_tokenizer `FixedLength`"),
        ("/pre_tokenizer", splits(1, "Isolated")["pretokenizers"][0].clone(), "has the pre_tokenizer `Split`"),
        ("/pre_tokenizer", splits(1, "Removed"), "has the pre_tokenizer `Split`"),
        ("/pre_tokenizer", splits(8, "Isolated"), "has the pre_tokenizer `Sequence`"),
        ("/pre_tokenizer", json!({"type": "Sequence", "pretokenizers": []}), "has the pre_tokenizer `Sequence`"),
        ("/pre_tokenizer", json!({}), "has the pre_tokenizer `without a type`"),
        ("/pre_tokenizer", Value::Null, "names no pre_tokenizer"),
        ("/normalizer", json!({"type": "Replace", "pattern": {"String": ""}, "content": "x"}), "has the normalizer `Replace`"),
        ("/normalizer", json!({"type": "Sequence", "normalizers": vec![twice; 6]}), "has the normalizer `Replace`"),
        ("/normalizer", json!({"type": "Lowercase"}), "has the normalizer `Lowercase`"),
        ("/model/continuing_subword_prefix", json!("longer than a token"), "`continuing_subword_prefix` is `longer than a token`"),
        ("/model/end_of_word_suffix", json!("</w>"), "`end_of_word_suffix` is `</w>`"),
    ] {
        let copy = Copy::of("plain");
        with(&copy, place, value);
        copy.refused("tokenizer.json", &[told, "expected "]);
    }
}

/// The two are tokens; together they are longer than any.
#[test]
fn a_merge_into_what_is_no_token_is_refused() {
    let told = "joins `Ġnothing` and `Ġweather` to what is no token of the vocabulary";
    for merge in [json!(["Ġnothing", "Ġweather"]), json!("Ġnothing Ġweather")] {
        let copy = Copy::of("plain");
        let mut merges = tokenizer(&copy)["model"]["merges"].clone();
        if merge.is_string() {
            merges = merges.as_array().unwrap().iter().map(line).collect();
        }
        merges.as_array_mut().unwrap().push(merge);
        with(&copy, "/model/merges", merges);
        copy.refused("tokenizer.json", &[told]);
    }
    let copy = Copy::of("vocab_merges");
    let merges = fs::read_to_string(copy.path("merges.txt")).unwrap();
    copy.write("merges.txt", format!("{merges}\nĠnothing Ġweather\n"));
    copy.refused("vocab.json", &["vocab.json and merges.txt do not fit together", told]);
}

/// A merge as older files write it.
fn line(merge: &Value) -> Value {
    json!(format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()))
}

#[test]
fn what_relatives_of_gpt2_write_otherwise_reads_a_text_alike() {
    let alike = tokens(&Copy::of("plain"));
    let a = json!({"Sequence": {"id": "A", "type_id": 0}});
    let pair = json!([a, {"Sequence": {"id": "B", "type_id": 1}}]);
    let twice = json!({"type": "TemplateProcessing", "single": [a, a], "pair": pair, "special_tokens": {}});
    for (place, value) in [
        ("/post_processor", twice),
        ("/post_processor", Value::Null),
        ("/decoder", Value::Null),
        ("/normalizer", json!({"type": "NFC"})),
        ("/normalizer", json!({"type": "Sequence", "normalizers": [{"type": "NFC"}]})),
        ("/pre_tokenizer", splits(1, "Isolated")),
        ("/pre_tokenizer", splits(7, "Isolated")),
    ] {
        let copy = Copy::of("plain");
        with(&copy, place, value);
        assert_eq!(tokens(&copy), alike, "{place}");
    }
    // GPT-2's own file
    let copy = Copy::of("plain");
    let mut json = tokenizer(&copy);
    let merges: Value = json["model"]["merges"].as_array().unwrap().iter().map(line).collect();
    let vocabulary = json["model"]["vocab"].clone();
    json["model"] = json!({
        "dropout": null, "unk_token": "", "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false,
        "vocab": vocabulary, "merges": merges,
    });
    copy.write("tokenizer.json", json.to_string());
    assert_eq!(tokens(&copy), alike);
}

#[test]
fn a_special_token_beyond_the_vocabulary_is_let_be_and_another_is_not() {
    let added = |special: bool| {
        let copy = Copy::of("plain");
        let mut list = tokenizer(&copy)["added_tokens"].clone();
        let token = json!({"id": 457, "content": "<pad>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": special});
        list.as_array_mut().unwrap().push(token);
        with(&copy, "/added_tokens", list);
        copy
    };
    // the text holds it, as plain text
    assert_eq!(tokens(&added(true)), tokens(&Copy::of("plain")));
    added(false).refused("tokenizer.json", &["has 458 tokens", "`vocab_size` is 457"]);
}
