//! Rows of attacked texts: the fields of the original in the schema of evaluation sets, and what was done to it.
//! Must keep every field that the input had.

use crate::{
    adversary::attack::{Chain, Quality, Variant},
    batch::Read,
};
use serde_json::{Map, Value, json};

/// The fields of every row, in their order.
const SCHEMA: [&str; 9] = ["id", "text", "label", "source", "domain", "generator", "decoding", "attack", "pair"];

/// A text as it came.
pub(super) struct Base {
    id: String,
    fields: Map<String, Value>,
}

impl Base {
    /// A row's text, or the error row for one without. `number` names a text that has no name.
    pub(super) fn of(read: Read, number: u64) -> Result<Self, Value> {
        let document = match read.content {
            Ok(document) => document,
            Err(error) => return Err(json!({"id": read.id, "file": read.input, "line": read.line, "error": error})),
        };
        let id = document.id.unwrap_or_else(|| format!("{}-{number:05}", stem(&read.input)));
        let mut fields: Map<String, Value> = SCHEMA.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
        fields.extend(read.fields);
        fields.insert("id".to_owned(), json!(id));
        fields.insert("text".to_owned(), json!(document.text));
        if fields["pair"].is_null() {
            fields.insert("pair".to_owned(), json!(id));
        }
        Ok(Self { id, fields })
    }

    /// The row of the original.
    pub(super) fn original(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// The row of a variant by this attack, which is added to those that the input names.
    pub(super) fn variant(&self, attack: &str, text: &str, added: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        let mut row = self.fields.clone();
        let all = row["attack"].as_str().map_or_else(|| attack.to_owned(), |before| format!("{before},{attack}"));
        if let Some(seed) = row.get("seed").filter(|seed| !seed.is_null()).cloned() {
            row.insert("base_seed".to_owned(), seed);
        }
        row.insert("id".to_owned(), json!(format!("{}:{attack}", self.id)));
        row.insert("text".to_owned(), json!(text));
        row.insert("attack".to_owned(), json!(all));
        row.insert("base_id".to_owned(), json!(self.id));
        row.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(row)
    }

    /// The row of a variant by a chain of attacks; `model` is what rewrote it, where one did.
    pub(super) fn attacked(&self, chain: &Chain, variant: &Variant, (quality, model): (&Quality, Option<&str>)) -> Value {
        let mut added = vec![
            ("seed", json!(chain.seed())),
            ("attack_rate", json!(chain.shares())),
            ("attack_edits", json!(variant.edits)),
            ("attack_quality", json!(quality)),
        ];
        if chain.needs_model() {
            added.push(("attack_model", json!(model)));
        }
        self.variant(&chain.name(), &variant.text, added)
    }
}

/// A file's name without its ending.
fn stem(input: &str) -> String {
    let name = std::path::Path::new(input).file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name.split_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ if name == "-" || name.is_empty() => "text".to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adversary::attack::{Attack, Rate},
        text::Document,
    };

    fn read(fields: Value, text: &str) -> Read {
        let fields = fields.as_object().cloned().unwrap_or_default();
        let id = fields.get("id").and_then(Value::as_str).map(str::to_owned);
        Read { input: "dir/some.jsonl.gz".into(), line: 3, content: Ok(Document { id: id.clone(), ..Document::new(text) }), id, fields }
    }

    #[test]
    fn a_variant_keeps_the_fields_and_says_what_was_done() {
        let fields =
            json!({"id": "a", "text": "old", "label": "machine", "extra": [1], "seed": 4, "attack": "back_translation", "pair": null});
        let base = Base::of(read(fields, "old"), 0).ok().unwrap();
        let chain = Chain::new(&[Attack::Homoglyph, Attack::Number], Rate::Usual, 7).unwrap();
        let variant = Variant { text: "new".into(), edits: vec![3, 0] };
        let quality = Quality { surprisal_before: None, surprisal_after: None, words_kept: 0.5 };
        let row = base.attacked(&chain, &variant, (&quality, None));
        let expected = json!({"id": "a:homoglyph,number", "text": "new", "label": "machine", "source": null, "domain": null,
            "generator": null, "decoding": null, "attack": "back_translation,homoglyph,number", "pair": "a", "extra": [1], "seed": 7,
            "base_seed": 4, "base_id": "a", "attack_rate": [1.0, 0.5], "attack_edits": [3, 0],
            "attack_quality": {"surprisal_before": null, "surprisal_after": null, "words_kept": 0.5}});
        assert_eq!(row, expected);
        assert_eq!(row.as_object().unwrap().keys().take(9).collect::<Vec<_>>(), SCHEMA);
        assert_eq!(base.original()["text"], "old");
    }

    #[test]
    fn a_text_without_a_name_gets_one_and_a_bad_row_an_error() {
        let base = Base::of(read(json!({}), "x"), 12).ok().unwrap();
        assert_eq!((base.original()["id"].as_str(), base.original()["pair"].as_str()), (Some("some-00012"), Some("some-00012")));
        assert_eq!(["a.b.c", "-", "", "/x/.hidden"].map(stem), ["a", "text", "text", ".hidden"]);
    }
}
