//! `folds.json` of `calibrate --folds`: of each text, which branches were tuned without it. Takes a directory that is checked as foreign
//! input, gives lookups; scores nothing.

use super::Refused;
use serde::Deserialize;
use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Value of `format` that is read here.
const FORMAT: &str = "highwater-folds-1";
/// Largest folds.json in bytes: a million groups take a fortieth of it.
const MAX_BYTES: u64 = 1 << 30;
/// Most folds.
const MOST: usize = 100;

/// Which branches score a text: those of a fold that has not seen it, or the model's own.
pub(super) type Scorers = Option<usize>;

/// Where each text was held out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Folds {
    format: String,
    folds: usize,
    /// By document group, 16 hexadecimal digits; comes before `families`.
    #[serde(default)]
    groups: HashMap<String, Scorers>,
    /// By data set: the stem of the file's name.
    #[serde(default)]
    families: HashMap<String, Scorers>,
}

impl Folds {
    /// Reads `folds.json` of a directory and looks whether every fold's branches are there.
    pub(super) fn read(directory: &Path) -> Result<Self, Refused> {
        let path = directory.join("folds.json");
        let fault = |what: String| Refused(format!("{}: {what}", path.display()));
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|e| fault(format!("cannot be read: {e}")))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(fault(format!("is larger than {MAX_BYTES} bytes")));
        }
        let folds: Self = serde_json::from_slice(&bytes).map_err(|e| fault(format!("is no list of folds: {e}")))?;
        folds.check().map_err(fault)?;
        match (0..folds.folds).map(|k| branches(directory, k)).find(|file| !file.is_file()) {
            Some(missing) => Err(fault(format!("`folds` is {}, but {} is missing", folds.folds, missing.display()))),
            None => Ok(folds),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("`format` is {:?}, expected `{FORMAT}`", self.format));
        }
        if !(1..=MOST).contains(&self.folds) {
            return Err(format!("`folds` is {}, expected 1 to {MOST}", self.folds));
        }
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if let Some(group) = self.groups.keys().find(|g| g.len() != 16 || !g.chars().all(hex)) {
            return Err(format!("the group {group:?} is not 16 lower-case hexadecimal digits"));
        }
        match self.groups.iter().chain(&self.families).find(|(_, fold)| fold.is_some_and(|k| k >= self.folds)) {
            Some((name, fold)) => Err(format!("{name:?} is in fold {}, but `folds` is {}", fold.unwrap_or_default(), self.folds)),
            None => Ok(()),
        }
    }

    /// Every choice of branches, the model's own first.
    pub(super) fn all(&self) -> impl Iterator<Item = Scorers> + use<> {
        std::iter::once(None).chain((0..self.folds).map(Some))
    }

    /// The branches that have not seen a text of this group and data set; `None` where nothing is known of it.
    pub(super) fn of(&self, group: u64, family: &str) -> Option<Scorers> {
        self.groups.get(&format!("{group:016x}")).or_else(|| self.families.get(family)).copied()
    }
}

/// The file of a fold's branches.
pub(super) fn branches(directory: &Path, fold: usize) -> PathBuf {
    directory.join(format!("fold-{fold}")).join("branches.safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// What is read of a directory with this list and two folds' branches.
    fn read(list: &str) -> Result<Folds, Refused> {
        let folder = tempfile::tempdir().unwrap();
        for fold in 0..2 {
            let file = branches(folder.path(), fold);
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        std::fs::write(folder.path().join("folds.json"), list).unwrap();
        Folds::read(folder.path())
    }

    #[test]
    fn a_text_is_looked_up_by_its_group_and_then_by_its_data_set() {
        let list = json!({"format": FORMAT, "folds": 2, "families": {"news": 0, "verse": null}, "groups": {"00000000000000ff": 1}});
        let folds = read(&list.to_string()).unwrap();
        assert_eq!(folds.all().collect::<Vec<_>>(), [None, Some(0), Some(1)]);
        assert_eq!(folds.of(255, "news"), Some(Some(1)));
        assert_eq!(folds.of(254, "news"), Some(Some(0)));
        assert_eq!((folds.of(254, "verse"), folds.of(254, "poems")), (Some(None), None));
    }

    #[test]
    fn a_list_that_does_not_fit_is_refused_by_what_is_wrong() {
        let with = |key: &str, value: Value| {
            let mut list = json!({"format": FORMAT, "folds": 2, "families": {"news": 0}});
            list[key] = value;
            read(&list.to_string()).err().map(|e| e.0).unwrap_or_default()
        };
        for (told, expected) in [
            (with("format", json!("other")), "expected `highwater-folds-1`"),
            (with("folds", json!(0)), "`folds` is 0, expected 1 to 100"),
            (with("folds", json!(3)), "`folds` is 3, but"),
            (with("folds", json!(-1)), "is no list of folds"),
            (with("families", json!({"news": 2})), "\"news\" is in fold 2, but `folds` is 2"),
            (with("groups", json!({"FF": 1})), "the group \"FF\" is not 16"),
            (with("extra", json!(1)), "unknown field `extra`"),
        ] {
            assert!(told.contains("folds.json: ") && told.contains(expected), "expected “{expected}” in: {told}");
        }
        assert!(Folds::read(Path::new("/absent")).unwrap_err().0.contains("cannot be read"));
    }
}
