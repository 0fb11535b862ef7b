//! Where rows go: standard output, or a file that is written as `FILE.part` and renamed when it is whole.
//! Must not overwrite a file unasked, and never one that is read.

use crate::{
    batch::{part_of, same_file},
    cli::Refused,
};
use anyhow::Context;
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// An open output.
pub(super) struct Sink {
    out: Box<dyn Write>,
    /// The part file and what it will be called.
    file: Option<(PathBuf, PathBuf)>,
}

impl Sink {
    /// Checks and opens; no path is standard output.
    pub(super) fn open(path: Option<&Path>, inputs: &[PathBuf], force: bool) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self { out: Box::new(BufWriter::new(io::stdout())), file: None }) };
        let told = path.display();
        if inputs.iter().any(|input| same_file(input, path)) {
            return Err(Refused(format!("{told} is read and cannot be written at the same time; name another output")).into());
        }
        if path.is_dir() {
            return Err(Refused(format!("{told} is a directory; name a file in it")).into());
        }
        if path.extension().is_some_and(|e| ["gz", "zst", "csv", "parquet", "pq"].iter().any(|other| e.eq_ignore_ascii_case(other))) {
            return Err(Refused(format!("{told}: attacked rows are written as plain JSONL; name a .jsonl file")).into());
        }
        let part = part_of(path);
        if inputs.iter().any(|input| same_file(input, &part)) {
            let told = part.display();
            return Err(Refused(format!(
                "{told} is read, and attacked rows are written there first; move it to another name, or name another output"
            ))
            .into());
        }
        if let Some(there) = [path, &part].into_iter().find(|there| !force && there.exists()) {
            return Err(Refused(format!("{} exists already; name another output, or overwrite it with --force", there.display())).into());
        }
        let file = File::create(&part).with_context(|| format!("cannot write {}", part.display()))?;
        Ok(Self { out: Box::new(BufWriter::new(file)), file: Some((part, path.to_owned())) })
    }

    pub(super) fn write(&mut self, row: &Value) -> anyhow::Result<()> {
        writeln!(self.out, "{row}").with_context(|| self.failed())
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().with_context(|| self.failed())
    }

    fn failed(&self) -> String {
        let name = self.file.as_ref().map_or_else(|| "standard output".to_owned(), |(part, _)| part.display().to_string());
        format!("cannot write {name}")
    }

    /// Gives a whole file its name; says where the rows of a stopped run are.
    pub(super) fn end(mut self, stopped: bool) -> anyhow::Result<String> {
        self.flush()?;
        match &self.file {
            Some((part, _)) if stopped => Ok(format!("\nstopped; the rows so far are whole, in {}", part.display())),
            None if stopped => Ok("\nstopped; the rows so far are whole".to_owned()),
            Some((part, path)) => {
                fs::rename(part, path).with_context(|| format!("cannot rename {} to {}", part.display(), path.display()))?;
                Ok(String::new())
            }
            None => Ok(String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_appears_whole_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let open = |force| Sink::open(Some(&path), &[], force);
        let mut sink = open(false).unwrap();
        sink.write(&json!({"id": 1})).unwrap();
        assert!(!path.exists());
        sink.end(false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"id\":1}\n");
        assert!(open(false).err().unwrap().to_string().contains("--force"));
        let told = open(true).unwrap().end(true).unwrap();
        assert!(told.contains("out.jsonl.part") && fs::read_to_string(&path).unwrap() == "{\"id\":1}\n");
        assert!(open(false).is_err());
    }

    #[test]
    fn an_input_a_folder_and_another_format_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.jsonl");
        fs::write(&path, "{}").unwrap();
        let told = |path: &Path, inputs: &[PathBuf]| Sink::open(Some(path), inputs, true).err().unwrap().to_string();
        assert!(told(&path, std::slice::from_ref(&path)).contains("is read"));
        let part = folder.path().join("out.jsonl.part");
        fs::write(&part, "{}").unwrap();
        for force in [false, true] {
            let refused = Sink::open(Some(&folder.path().join("out.jsonl")), std::slice::from_ref(&part), force).err().unwrap().to_string();
            assert!(refused.contains("out.jsonl.part is read") && refused.contains("move it"), "{refused}");
            assert_eq!(fs::read_to_string(&part).unwrap(), "{}");
        }
        assert!(told(folder.path(), &[]).contains("directory"));
        assert!(told(&folder.path().join("a.csv"), &[]).contains("JSONL"));
    }
}
