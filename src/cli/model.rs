//! `highwater model info`: the model, its device, its calibration and its limits.

use super::{
    Outcome,
    args::Common,
    explain::harmless,
    join,
    settings::{Setup, layers},
};
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
            "min_tokens": detector.calibration().min_tokens(),
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

/// One heading a section, one line a value; lists and objects within stay JSON.
fn table(told: &Value) -> String {
    let mut out = String::new();
    for (section, values) in told.as_object().into_iter().flatten() {
        out.push_str(&format!("{section}\n"));
        for (name, value) in values.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            out.push_str(&format!("  {:<16} {}\n", name.replace('_', " "), harmless(&value)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_one_line_a_value() {
        let told = json!({"model": {"name": "a\u{1b}b", "batch_tokens": 5}, "limits": {"sizes": [1, 2]}});
        assert_eq!(table(&told), "model\n  name             a<U+001B>b\n  batch tokens     5\nlimits\n  sizes            [1,2]\n");
    }
}
