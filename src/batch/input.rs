//! The inputs of a job: checked all at once before the first is read, so that a run of hours does not end at a misspelt name.

use super::{
    BatchError, Input, InputFormat, Job, Limits,
    compression::{Compression, extension},
    reader::{Counting, Recipe, Rows, open_file, open_stream},
};
use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

/// Checked inputs and what else the reader needs.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub sources: Vec<Source>,
    pub limits: Limits,
    pub with_tokens: bool,
    /// Bytes of all inputs; `None` where one is a pipe.
    pub total_bytes: Option<u64>,
    /// Bytes read so far.
    pub bytes_read: Arc<AtomicU64>,
}

/// One checked input.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub input: Input,
    pub recipe: Recipe,
    /// Its size; `None` where it is a pipe.
    pub bytes: Option<u64>,
}

impl Plan {
    /// The name of an input in answers: only where there are several.
    pub(super) fn label(&self, source: usize) -> Option<&str> {
        (self.sources.len() > 1).then(|| self.sources.get(source).map(|s| s.recipe.name.as_str())).flatten()
    }
}

/// Checks every input of a job.
pub(super) fn check(job: &Job) -> Result<Plan, BatchError> {
    if job.inputs.is_empty() {
        return Err(BatchError::NoInput);
    }
    if job.inputs.iter().filter(|i| **i == Input::Stdin).count() > 1 {
        return Err(BatchError::StdinTwice);
    }
    let mut sources = job.inputs.iter().map(|input| source(input, job)).collect::<Result<Vec<_>, _>>()?;
    tell_apart(&mut sources);
    let total_bytes = sources.iter().map(|s| s.bytes).sum();
    Ok(Plan { sources, limits: job.limits, with_tokens: job.with_tokens, total_bytes, bytes_read: Arc::default() })
}

/// A text has the name of its file as its id; where several files have that name, each has its path.
fn tell_apart(sources: &mut [Source]) {
    let mut files: HashMap<String, usize> = HashMap::new();
    for name in sources.iter().filter_map(|s| s.recipe.text_id.clone()) {
        *files.entry(name).or_default() += 1;
    }
    for recipe in sources.iter_mut().map(|s| &mut s.recipe) {
        if recipe.text_id.as_ref().and_then(|name| files.get(name)).is_some_and(|&n| n > 1) {
            recipe.text_id = Some(recipe.name.clone());
        }
    }
}

fn source(input: &Input, job: &Job) -> Result<Source, BatchError> {
    let recipe = |name: String, format, compression| Recipe {
        name,
        text_id: None,
        format,
        compression,
        fields: job.fields.clone(),
        limits: job.limits,
    };
    let Input::Path(path) = input else {
        return Ok(Source { input: Input::Stdin, recipe: recipe("-".into(), job.input_format, Compression::None), bytes: None });
    };
    let name = path.display().to_string();
    let data = std::fs::metadata(path).map_err(|source| BatchError::Unreadable { path: name.clone(), source })?;
    if data.is_dir() {
        return Err(BatchError::Directory { path: name });
    }
    let (compression, plain) = Compression::by_name(path);
    let format = match job.input_format {
        Some(format) => Some(format),
        None => by_name(plain, data.is_file(), &name)?,
    };
    let text_id = path.file_name().map(|n| n.to_string_lossy().into_owned());
    let recipe = Recipe { text_id, ..recipe(name, format, compression) };
    let source = Source { input: input.clone(), recipe, bytes: data.is_file().then_some(data.len()) };
    if data.is_file() {
        // Reads the header, and is thrown away; a pipe can be read only once.
        source.open(Arc::default())?;
    }
    Ok(source)
}

/// What an extension says. No extension: the content decides.
fn by_name(path: &Path, regular: bool, name: &str) -> Result<Option<InputFormat>, BatchError> {
    Ok(Some(match extension(path).as_deref() {
        Some("txt" | "text" | "md") => InputFormat::Text,
        Some("jsonl" | "ndjson") => InputFormat::Jsonl,
        Some("csv") => InputFormat::Csv,
        Some("parquet" | "pq") => InputFormat::Parquet,
        None => return Ok(None),
        Some(_) if !regular => return Ok(None),
        Some(_) => return Err(BatchError::UnknownFormat { path: name.to_owned() }),
    }))
}

impl Source {
    /// Rows from the start of the input.
    pub(super) fn open(&self, count: Arc<AtomicU64>) -> Result<Box<dyn Rows>, BatchError> {
        match &self.input {
            Input::Stdin => open_stream(Box::new(Counting { inner: std::io::stdin(), count }), &self.recipe),
            Input::Path(path) => {
                let file = File::open(path).map_err(|source| BatchError::Unreadable { path: self.recipe.name.clone(), source })?;
                open_file(file, &self.recipe, count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_one_name_are_told_apart_by_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a/post.txt", "b/post.txt", "b/other.txt"].map(|name| folder.path().join(name));
        for path in &paths {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "a post").unwrap();
        }
        let ids = |inputs: &[std::path::PathBuf]| {
            let job = Job { inputs: inputs.iter().cloned().map(Input::Path).collect(), ..Job::default() };
            check(&job).unwrap().sources.into_iter().map(|s| s.recipe.text_id.unwrap()).collect::<Vec<_>>()
        };
        let told = paths.each_ref().map(|path| path.display().to_string());
        assert_eq!(ids(&paths), [told[0].as_str(), &told[1], "other.txt"]);
        assert_eq!(ids(&paths[1..]), ["post.txt", "other.txt"]);
    }
}
