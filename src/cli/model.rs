//! `highwater model info`: the model, its device, its calibration and its limits.

use super::{
    Outcome,
    args::Common,
    join,
    settings::{Setup, layers},
};
use crate::text::harmless;
use clap::ArgMatches;
use serde_json::{Value, json};
use std::io::{self, Write};

pub(super) fn info(as_json: bool, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let setup = Setup::take(&mut merge);
    merge.finish()?;
    let detector = join::detector(&setup)?;
    let told = json!({
        "model": detector.model(),
        "calibration": join::provenance(detector.calibration())?,
        "limits": {
            "fpr": detector.options().policy.fpr,
            "min_tokens": detector.calibration().verdicts_from(),
            "context_tokens": detector.model().context,
        },
    });
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{told:#}")?;
    } else {
        out.write_all(table(&told).as_bytes())?;
    }
    Ok(Outcome::Done)
}

/// One heading a section, one line a value, and one line an entry of a list.
fn table(told: &Value) -> String {
    let mut out = String::new();
    for (section, values) in told.as_object().into_iter().flatten() {
        out.push_str(&format!("{section}\n"));
        for (name, value) in values.as_object().into_iter().flatten() {
            let name = name.replace('_', " ");
            let entries = value.as_array().map_or_else(|| vec![plain(value)], |list| list.iter().map(plain).collect());
            for (i, entry) in entries.iter().enumerate() {
                out.push_str(&format!("  {:<16} {}\n", if i == 0 { name.as_str() } else { "" }, harmless(entry)));
            }
        }
    }
    out
}

/// A value for people: text without quotes, the fields of an object in one line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            let named = |(name, value): (&String, &Value)| format!("{} {}", name.replace('_', " "), plain(value));
            fields.iter().filter(|(_, v)| !v.as_array().is_some_and(Vec::is_empty)).map(named).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_one_line_a_value() {
        let told = json!({"model": {"name": "a\u{1b}b", "batch_tokens": 5}, "limits": {"sizes": [{"n": 1, "of": ["x", "y"]}, {"n": 2, "of": []}]}});
        assert_eq!(
            table(&told),
            "model\n  name             a<U+001B>b\n  batch tokens     5\nlimits\n  sizes            n 1, of x; y\n                   n 2\n"
        );
    }
}
