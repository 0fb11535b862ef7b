//! Settings: flags over environment over file over defaults, in one merge that reports every fault at once.
//!
//! Takes layers of plain text values, each with where it came from; gives typed values through the parsers of those who know them.
//! Must not know what a setting means, read the environment or print.

use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Every setting that a configuration file may hold: the name of its flag without the dashes.
pub const KEYS: [&str; 45] = [
    "api-key",
    "arl",
    "as",
    "base-share",
    "batch",
    "batch-tokens",
    "beams",
    "calibration",
    "device",
    "drain",
    "flood",
    "format",
    "fpr",
    "frequency-penalty",
    "id-field",
    "include-prefix",
    "length",
    "length-penalty",
    "listen",
    "max-body",
    "max-streams",
    "min-p",
    "model",
    "no-repeat-ngram",
    "normalize",
    "nsamples",
    "onnxruntime",
    "output-format",
    "precision",
    "prompt-words",
    "queue",
    "repetition-penalty",
    "seed",
    "state",
    "stream-field",
    "temperature",
    "text-field",
    "threads",
    "time-field",
    "tokens",
    "top-k",
    "top-p",
    "typical-p",
    "webhook",
    "webhook-secret",
];

/// Where a value came from; a smaller one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Env,
    /// A configuration file.
    File(PathBuf),
}

impl Origin {
    /// How a user names this setting there: `--fpr`, `HIGHWATER_FPR`, or the key and the file.
    fn name(&self, key: &str) -> String {
        match self {
            Self::Flag => format!("--{key}"),
            Self::Env => variable(key),
            Self::File(path) => format!("`{key}` in {}", path.display()),
        }
    }
}

/// The environment twin of a flag, such as `HIGHWATER_BATCH_TOKENS`.
pub fn variable(key: &str) -> String {
    format!("HIGHWATER_{}", key.replace('-', "_").to_uppercase())
}

/// What one place says, as text.
#[derive(Debug, Clone)]
pub struct Layer {
    origin: Origin,
    values: BTreeMap<String, String>,
}

impl Layer {
    /// A layer that says nothing yet.
    pub fn new(origin: Origin) -> Self {
        Self { origin, values: BTreeMap::new() }
    }

    /// Adds a value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
    }
}

/// All layers under one another. Every value is parsed where it is taken; what cannot be used is kept until [`Merge::finish`].
#[derive(Debug, Default)]
pub struct Merge {
    layers: Vec<Layer>,
    faults: Vec<String>,
}

impl Merge {
    /// Puts a layer below those that are there: what they say wins.
    pub fn below(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Puts a TOML file of flat `key = value` lines below what is there. `batch_tokens` is read as `batch-tokens`.
    pub fn below_file(mut self, path: PathBuf, text: &str) -> Self {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                self.faults.push(format!("{} is not TOML: {}", path.display(), error.to_string().trim_end()));
                return self;
            }
        };
        let mut layer = Layer::new(Origin::File(path));
        for (name, value) in &table {
            match read_entry(name, value) {
                Ok((key, text)) if !layer.values.contains_key(&key) => layer.set(&key, text),
                Ok((key, _)) => self.faults.push(format!("{}: written twice", layer.origin.name(&key))),
                Err(fault) => self.faults.push(format!("{}: {fault}", layer.origin.name(name))),
            }
        }
        self.below(layer)
    }

    /// The uppermost value of `key`, parsed; `None` where no layer has one or it cannot be used.
    pub fn take<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        debug_assert!(KEYS.contains(&key), "{key} is not in KEYS");
        let (origin, value) = self.layers.iter().find_map(|layer| Some((&layer.origin, layer.values.get(key)?)))?;
        match parse(value) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.faults.push(format!("{}: {fault}", origin.name(key)));
                None
            }
        }
    }

    /// Adds a fault that no single value shows.
    pub fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// Ends the merge: an error with every fault, if there is one.
    pub fn finish(self) -> Result<(), Faults> {
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(self.faults)) }
    }
}

fn read_entry(name: &str, value: &toml::Value) -> Result<(String, String), String> {
    let key = name.replace('_', "-");
    if !KEYS.contains(&key.as_str()) {
        return Err(format!("no such setting; there are {}", KEYS.join(", ")));
    }
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(on) => if *on { "on" } else { "off" }.to_owned(),
        other => return Err(format!("expected text, a number or true/false, found {}", other.type_str())),
    };
    Ok((key, text))
}

/// Every setting that cannot be used, one sentence each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            all => {
                write!(f, "{} settings cannot be used", all.len())?;
                all.iter().try_for_each(|fault| write!(f, "\n  - {}", fault.replace('\n', "\n    ")))
            }
        }
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(origin: Origin, values: &[(&str, &str)]) -> Layer {
        let mut layer = Layer::new(origin);
        values.iter().for_each(|(key, value)| layer.set(key, *value));
        layer
    }

    fn text(value: &str) -> Result<String, String> {
        Ok(value.to_owned())
    }

    fn number(value: &str) -> Result<u32, String> {
        value.parse().map_err(|_| format!("`{value}` is no number"))
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let mut merge = Merge::default()
            .below(layer(Origin::Flag, &[("model", "from-flag")]))
            .below(layer(Origin::Env, &[("model", "from-env"), ("device", "from-env")]))
            .below_file("hw.toml".into(), "model = 'from-file'\ndevice = 'from-file'\nprecision = 'from-file'");
        let taken = ["model", "device", "precision", "listen"].map(|key| merge.take(key, text));
        assert_eq!(taken, [Some("from-flag".into()), Some("from-env".into()), Some("from-file".into()), None]);
        assert_eq!(merge.finish(), Ok(()));
    }

    #[test]
    fn a_value_that_is_overruled_is_not_judged() {
        let mut merge = Merge::default().below(layer(Origin::Flag, &[("threads", "2")])).below(layer(Origin::Env, &[("threads", "two")]));
        assert_eq!(merge.take("threads", number), Some(2));
        assert_eq!(merge.finish(), Ok(()));
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        let mut merge = Merge::default()
            .below(layer(Origin::Flag, &[("threads", "many")]))
            .below(layer(Origin::Env, &[("batch-tokens", "lots")]))
            .below_file("hw.toml".into(), "queue = 'long'\ncolour = 'red'\nmodel = ['a']\n[serve]\nlisten = 'x'");
        for key in ["threads", "batch-tokens", "queue"] {
            assert_eq!(merge.take(key, number), None);
        }
        let message = merge.finish().unwrap_err().to_string();
        for part in [
            "6 settings cannot be used",
            "--threads: `many` is no number",
            "HIGHWATER_BATCH_TOKENS: `lots` is no number",
            "`queue` in hw.toml: `long` is no number",
            "`colour` in hw.toml: no such setting; there are api-key, arl, as, base-share, batch",
            "`model` in hw.toml: expected text, a number or true/false, found array",
            "`serve` in hw.toml: no such setting",
        ] {
            assert!(message.contains(part), "{part}\nnot in\n{message}");
        }
    }

    #[test]
    fn a_file_may_use_toml_types_and_underscores_but_no_key_twice() {
        let mut merge = Merge::default().below_file("hw.toml".into(), "fpr = 0.05\nbatch_tokens = 4096\nnormalize = false\n");
        let taken = ["fpr", "batch-tokens", "normalize"].map(|key| merge.take(key, text));
        assert_eq!(taken, [Some("0.05".into()), Some("4096".into()), Some("off".into())]);
        let twice = Merge::default().below_file("hw.toml".into(), "batch_tokens = 1\nbatch-tokens = 2").finish().unwrap_err();
        assert!(twice.to_string().contains("written twice"), "{twice}");
    }

    #[test]
    fn broken_toml_names_the_file_and_the_line() {
        let message = Merge::default().below_file("hw.toml".into(), "fpr = 0.05\ndevice = \n").finish().unwrap_err().to_string();
        assert!(message.contains("hw.toml is not TOML") && message.contains("line 2"), "{message}");
    }
}
