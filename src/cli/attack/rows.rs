//! Rows of attacked texts: the fields of the original in the schema of evaluation sets, and what was done to it.
//! Must keep every field that the input had, but not the text and the id under names of their own.

use crate::{
    adversary::attack::{Chain, Quality, Variant},
    batch::{Fields, Read},
};
use serde_json::{Map, Value, json};

/// The fields of every row, in their order.
const SCHEMA: [&str; 9] = ["id", "text", "label", "source", "domain", "generator", "decoding", "attack", "pair"];

/// Where rows come from.
pub(super) struct Inputs {
    /// What the text and its id are called there.
    pub(super) fields: Fields,
    /// Whether there is more than one.
    pub(super) several: bool,
}

/// A text as it came.
pub(super) struct Base {
    id: String,
    fields: Map<String, Value>,
}

impl Base {
    /// A row's text, or the error row for one without. `number` names a text that has no name.
    pub(super) fn of(read: Read, number: u64, inputs: &Inputs) -> Result<Self, Value> {
        let document = match read.content {
            Ok(document) => document,
            Err(error) => return Err(json!({"id": read.id, "file": read.input, "line": read.line, "error": error})),
        };
        let id = document.id.unwrap_or_else(|| format!("{}-{number:05}", stem(&read.input)));
        let mut fields: Map<String, Value> = SCHEMA.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
        // what was attacked must not stand beside what came of it: `--text-field` would find it there
        let own = [&inputs.fields.text, &inputs.fields.id];
        fields.extend(read.fields.into_iter().filter(|(name, _)| !own.contains(&name)));
        fields.insert("id".to_owned(), json!(id));
        fields.insert("text".to_owned(), json!(document.text));
        if fields["pair"].is_null() {
            fields.insert("pair".to_owned(), json!(id));
        }
        // equal pairs of one file are one document, and each input may count its own from 0
        if inputs.several {
            let pair = &fields["pair"];
            let pair = pair.as_str().map_or_else(|| pair.to_string(), str::to_owned);
            fields.insert("pair".to_owned(), json!(format!("{}/{pair}", read.source)));
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
        let content = Ok(Document { id: id.clone(), ..Document::new(text) });
        Read { input: "dir/some.jsonl.gz".into(), source: 2, line: 3, content, id, fields }
    }

    fn inputs(several: bool) -> Inputs {
        Inputs { fields: Fields::default(), several }
    }

    #[test]
    fn a_variant_keeps_the_fields_and_says_what_was_done() {
        let fields =
            json!({"id": "a", "text": "old", "label": "machine", "extra": [1], "seed": 4, "attack": "back_translation", "pair": null});
        let base = Base::of(read(fields, "old"), 0, &inputs(false)).ok().unwrap();
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
        let base = Base::of(read(json!({}), "x"), 12, &inputs(false)).ok().unwrap();
        assert_eq!((base.original()["id"].as_str(), base.original()["pair"].as_str()), (Some("some-00012"), Some("some-00012")));
        assert_eq!(["a.b.c", "-", "", "/x/.hidden"].map(stem), ["a", "text", "text", ".hidden"]);
    }

    #[test]
    fn where_inputs_are_several_pairs_say_which_they_are_from() {
        let pair = |given: Value, several| {
            let base = Base::of(read(json!({"id": "0", "pair": given}), "x"), 0, &inputs(several)).ok().unwrap();
            let pair = base.original()["pair"].clone();
            assert_eq!(base.variant("number", "y", [])["pair"], pair);
            pair
        };
        assert_eq!([pair(Value::Null, true), pair(json!("a"), true), pair(json!(7), true)], [json!("2/0"), json!("2/a"), json!("2/7")]);
        assert_eq!([pair(Value::Null, false), pair(json!("a"), false), pair(json!(7), false)], [json!("0"), json!("a"), json!(7)]);
    }

    #[test]
    fn the_text_and_the_id_stand_under_no_other_names() {
        let named =
            |text: &str, id: &str| Inputs { fields: Fields { text: text.into(), id: id.into(), ..Fields::default() }, several: false };
        let fields = json!({"post": "a", "id": "a", "body": "old", "forum": 3, "pair": "p"});
        let base = Base::of(read(fields.clone(), "old"), 0, &named("body", "post")).ok().unwrap();
        for (row, text) in [(base.original(), "old"), (base.variant("number", "new", []), "new")] {
            assert!(row.get("body").is_none() && row.get("post").is_none(), "{row}");
            assert_eq!((&row["text"], &row["forum"], &row["pair"]), (&json!(text), &json!(3), &json!("p")));
        }
        let base = Base::of(read(fields, "p"), 0, &named("pair", "id")).ok().unwrap();
        assert_eq!((&base.original()["pair"], &base.original()["body"]), (&json!("a"), &json!("old")));
    }
}
