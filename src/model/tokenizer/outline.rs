//! What a foreign tokenizer may hold, looked at before the library has it: the library panics at some files, fills the memory at others.
//!
//! Takes `tokenizer.json`, or the merges of `merges.txt`; gives the first thing that no GPT-2 has. It builds no tokenizer.

use serde::Deserialize;
use serde_json::Value;

/// What a text may be split by.
pub(super) const SPLITTERS: &str = "`ByteLevel`, or a `Sequence` of at most 7 `Split`s that remove nothing and a `ByteLevel`";

/// Parts of a `Sequence`; those of GPT-2's relatives have four.
const MOST_PARTS: usize = 8;

/// Unicode's own normal forms: a text grows by a bounded factor.
const FORMS: [&str; 4] = ["NFC", "NFD", "NFKC", "NFKD"];

/// Ways to split that keep the whole text; `Removed` does not.
const KEEPING: [&str; 4] = ["Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"];

/// The parts of `tokenizer.json` that are looked at.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    model: Value,
}

/// Refuses a `tokenizer.json` that no GPT-2 has. What is merely misshapen is left to the library.
pub(super) fn check(json: &[u8]) -> Result<(), String> {
    let outline: Outline = serde_json::from_slice(json).map_err(|e| format!("is no valid tokenizer: {e}"))?;
    check_normalizer(&outline.normalizer)?;
    check_pre_tokenizer(&outline.pre_tokenizer)?;
    check_model(&outline.model)
}

/// Why merge `number`, from 1, makes no token; the library panics where the two together are longer than every token.
pub(super) fn unknown_merge(number: usize, (a, b): (&str, &str), is_known: impl Fn(&str) -> bool) -> Option<String> {
    let told = || format!("merge {number} joins `{}` and `{}` to what is no token of the vocabulary", short(a), short(b));
    (!is_known(&[a, b].concat())).then(told)
}

fn check_normalizer(value: &Value) -> Result<(), String> {
    match parts(value, "normalizers").iter().find(|part| !FORMS.contains(&kind(part))) {
        Some(part) => {
            let (found, forms) = (short(kind(part)), FORMS.join(", "));
            Err(format!("has the normalizer `{found}`, which no GPT-2 has; expected null, {forms}: it is another model's tokenizer"))
        }
        None => Ok(()),
    }
}

/// One that is missing is told by the caller, once it is known that the rest is a tokenizer.
fn check_pre_tokenizer(value: &Value) -> Result<(), String> {
    let wrong = match parts(value, "pretokenizers").split_last() {
        Some((last, splits)) if kind(last) == "ByteLevel" => splits.iter().find(|part| !is_keeping_split(part)),
        Some((last, _)) => Some(last),
        None => None,
    };
    match wrong {
        Some(part) => {
            let found = short(kind(part));
            Err(format!("has the pre_tokenizer `{found}` where no GPT-2 has it; expected {SPLITTERS}: it is another model's tokenizer"))
        }
        None => Ok(()),
    }
}

fn is_keeping_split(part: &Value) -> bool {
    kind(part) == "Split" && part.get("behavior").and_then(Value::as_str).is_some_and(|b| KEEPING.contains(&b))
}

fn check_model(value: &Value) -> Result<(), String> {
    // GPT-2's own file names no type; that another type is refused is the caller's
    if value.get("type").is_some_and(|kind| *kind != "BPE") {
        return Ok(());
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        if let Some(found) = value.get(key).and_then(Value::as_str).filter(|found| !found.is_empty()) {
            let found = short(found);
            return Err(format!("`{key}` is `{found}`, which no GPT-2 has; expected null: it is another model's tokenizer"));
        }
    }
    let vocabulary = value.get("vocab").and_then(Value::as_object);
    let merges = value.get("merges").and_then(Value::as_array);
    let (Some(vocabulary), Some(merges)) = (vocabulary, merges) else { return Ok(()) };
    let pairs = merges.iter().enumerate().filter_map(|(i, merge)| Some((i + 1, pair(merge)?)));
    for (number, pair) in pairs {
        if let Some(wrong) = unknown_merge(number, pair, |token| vocabulary.contains_key(token)) {
            return Err(format!("is damaged: {wrong}; take the file anew from where the model was published"));
        }
    }
    Ok(())
}

/// The two tokens of a merge: a list, or a line as in `merges.txt`, where a comment may stand.
fn pair(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(line) if !line.starts_with("#version") => line.split_once(' '),
        Value::Array(list) => match list.as_slice() {
            [Value::String(a), Value::String(b)] => Some((a, b)),
            _ => None,
        },
        _ => None,
    }
}

/// A part alone, or those of a `Sequence` that is not too long; nothing of null.
fn parts<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    match value.get(key) {
        _ if value.is_null() => &[],
        Some(Value::Array(list)) if kind(value) == "Sequence" && (1..=MOST_PARTS).contains(&list.len()) => list.as_slice(),
        _ => std::slice::from_ref(value),
    }
}

fn kind(part: &Value) -> &str {
    part.get("type").and_then(Value::as_str).unwrap_or("without a type")
}

/// The beginning of a foreign text, for a message.
fn short(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
