//! What texts begin with: prompts from a file, or the first words of human texts, each with what it is to be paired with.
//!
//! A file is JSON Lines where it begins with `{`, otherwise one prompt a line. A row that cannot be used is an error that names it.

use super::AdversaryError;
use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// The longest line that is read, bytes.
const LONGEST: u64 = 16 << 20;

/// What a text begins with, and what it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The words that it begins with; may be empty.
    pub text: String,
    /// What it shares with a human text.
    pub pair: Option<String>,
    /// What it is about.
    pub domain: Option<String>,
    /// The human text whose length it is to have.
    pub like: Option<String>,
}

/// A text of a file, as far as it is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Row {
    prompt: Option<String>,
    text: Option<String>,
    label: Option<String>,
    id: Option<serde_json::Value>,
    pair: Option<String>,
    domain: Option<String>,
    generator: Option<String>,
    decoding: Option<String>,
    model: Option<String>,
}

/// The prompts of a file: its lines, or the `prompt` (otherwise `text`) of its rows, with their `pair` and `domain`.
///
/// # Errors
/// A file that cannot be read or holds no prompt; a row without either field.
pub fn prompts(path: &Path) -> Result<Vec<Prompt>, AdversaryError> {
    let prompt = |line: usize, row: Row| {
        let text = row.prompt.or(row.text).ok_or_else(|| bad_row(path, line, "expected a `prompt` or a `text`"))?;
        Ok(Some(Prompt { text, pair: row.pair, domain: row.domain, like: None }))
    };
    nonempty(path, "prompts", read(path, prompt)?)
}

/// The texts of a file, whoever wrote them.
///
/// # Errors
/// A file that cannot be read or holds no text; a row without one.
pub fn texts(path: &Path) -> Result<Vec<String>, AdversaryError> {
    let text = |line: usize, row: Row| Ok(Some(row.text.ok_or_else(|| bad_row(path, line, "expected a `text`"))?));
    nonempty(path, "texts", read(path, text)?)
}

/// A human text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Human {
    /// The text.
    pub text: String,
    /// Its `pair`, or its `id`, or the file's name and its line.
    pub pair: String,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    /// What it is about.
    pub domain: Option<String>,
}

/// The texts of a file, those with another label than `human` left out.
///
/// # Errors
/// A file that cannot be read or holds no such text; a row without a text.
pub fn humans(path: &Path) -> Result<Vec<Human>, AdversaryError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let human = |line: usize, row: Row| {
        if row.label.as_deref().is_some_and(|label| label != "human") {
            return Ok(None);
        }
        let text = row.text.ok_or_else(|| bad_row(path, line, "expected a `text`"))?;
        let id = match row.id {
            Some(serde_json::Value::String(id)) => Some(id),
            None | Some(serde_json::Value::Null) => None,
            Some(other) => Some(other.to_string()),
        };
        let pair = row.pair.or_else(|| id.clone()).unwrap_or_else(|| format!("{stem}:{line}"));
        Ok(Some(Human { text, pair, id, domain: row.domain }).filter(|h| !h.text.trim().is_empty()))
    };
    nonempty(path, "human texts", read(path, human)?)
}

/// The texts of a file as rows of a corpus, those with another label than `machine` left out.
///
/// # Errors
/// As [`humans`].
pub fn machines(path: &Path) -> Result<Vec<super::Row>, AdversaryError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let machine = |line: usize, row: Row| {
        if row.label.as_deref().is_some_and(|label| label != "machine") {
            return Ok(None);
        }
        let text = row.text.ok_or_else(|| bad_row(path, line, "expected a `text`"))?;
        let id = row.id.map_or_else(|| format!("{stem}:{line}"), |id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        Ok(Some(super::Row {
            id,
            text,
            label: "machine",
            source: "file",
            domain: row.domain,
            generator: row.generator.unwrap_or_default(),
            decoding: row.decoding.unwrap_or_default(),
            attack: None,
            pair: row.pair,
            prompt: row.prompt.unwrap_or_default(),
            seed: 0,
            model: row.model.unwrap_or_default(),
            meta: serde_json::Value::Null,
        }))
    };
    nonempty(path, "machine texts", read(path, machine)?)
}

/// The first `words` words of each text that has more, with its pair.
///
/// # Errors
/// No text is long enough.
pub fn first_words(path: &Path, humans: Vec<Human>, words: usize) -> Result<Vec<Prompt>, AdversaryError> {
    let total = humans.len();
    let prompt = |h: Human| {
        let end = end_of_word(&h.text, words)?;
        Some(Prompt { text: h.text[..end].trim_start().to_owned(), pair: Some(h.pair), domain: h.domain, like: Some(h.text) })
    };
    let found: Vec<Prompt> = humans.into_iter().filter_map(prompt).collect();
    if found.is_empty() {
        let message = format!("none of its {total} texts has more than {words} words");
        return Err(AdversaryError::Input { path: path.to_owned(), message });
    }
    Ok(found)
}

/// Where word number `words` ends, in a text that goes on after it.
fn end_of_word(text: &str, words: usize) -> Option<usize> {
    let mut ends = text.split_whitespace().map(|word| word.as_ptr() as usize - text.as_ptr() as usize + word.len());
    let end = if words == 0 { 0 } else { ends.nth(words - 1)? };
    ends.next().map(|_| end)
}

fn nonempty<T>(path: &Path, what: &str, found: Vec<T>) -> Result<Vec<T>, AdversaryError> {
    if found.is_empty() {
        return Err(AdversaryError::Input { path: path.to_owned(), message: format!("holds no {what}") });
    }
    Ok(found)
}

fn bad_row(path: &Path, line: usize, what: &str) -> AdversaryError {
    AdversaryError::Input { path: path.to_owned(), message: format!("line {line}: {what}") }
}

/// Reads a file line by line; blank lines are skipped.
fn read<T>(path: &Path, take: impl Fn(usize, Row) -> Result<Option<T>, AdversaryError>) -> Result<Vec<T>, AdversaryError> {
    let unreadable = |source| AdversaryError::Read { path: path.to_owned(), source };
    let mut input = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut out, mut line, mut json) = (Vec::new(), Vec::new(), None);
    for number in 1.. {
        line.clear();
        let read = input.by_ref().take(LONGEST + 1).read_until(b'\n', &mut line).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        if line.len() as u64 > LONGEST {
            return Err(bad_row(path, number, &format!("is longer than {} MiB", LONGEST >> 20)));
        }
        let bytes = if number == 1 { line.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(&line) } else { &line };
        let text = std::str::from_utf8(bytes).map_err(|_| bad_row(path, number, "is not UTF-8"))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            continue;
        }
        let row = if *json.get_or_insert(text.trim_start().starts_with('{')) {
            serde_json::from_str(text).map_err(|error| bad_row(path, number, &format!("expected a JSON object: {error}")))?
        } else {
            Row { text: Some(text.to_owned()), ..Row::default() }
        };
        out.extend(take(number, row)?);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.jsonl");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn prompts_are_lines_or_rows() {
        let (_folder, path) = with("\u{FEFF}first one\n\n  second\r\n");
        let lines: Vec<_> = prompts(&path).unwrap().into_iter().map(|p| p.text).collect();
        assert_eq!(lines, ["first one", "  second"]);
        let (_folder, path) = with("{\"prompt\":\"a\",\"text\":\"b\",\"pair\":\"p\",\"domain\":\"d\"}\n{\"text\":\"b\"}\n");
        let rows = prompts(&path).unwrap();
        assert_eq!(rows[0], Prompt { text: "a".into(), pair: Some("p".into()), domain: Some("d".into()), like: None });
        assert_eq!(rows[1].text, "b");
        assert_eq!(texts(&path).unwrap(), ["b", "b"]);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (content, part) in [
            ("", "holds no prompts"),
            ("\n \n", "holds no prompts"),
            ("{\"prompt\":\"a\"}\n{\"id\":1}\n", "line 2: expected a `prompt` or a `text`"),
            ("{\"prompt\":\"a\"}\nno json\n", "line 2: expected a JSON object"),
            ("{\"prompt\":3}\n", "line 1: expected a JSON object"),
        ] {
            let (_folder, path) = with(content);
            let message = prompts(&path).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("file.jsonl"), "{message}");
        }
        let message = prompts(Path::new("/nowhere/x")).unwrap_err().to_string();
        assert!(message.contains("/nowhere/x"), "{message}");
        let (_folder, path) = with("{\"text\":\"a\",\"label\":\"machine\"}\n");
        assert!(humans(&path).unwrap_err().to_string().contains("holds no human texts"));
    }

    #[test]
    fn the_first_words_of_longer_texts_keep_their_pair() {
        let (_folder, path) = with(concat!(
            "{\"id\":\"h1\",\"text\":\" One  two\\nthree four\",\"label\":\"human\",\"domain\":\"d\"}\n",
            "{\"id\":2,\"text\":\"one two three\",\"pair\":\"p\"}\n",
            "{\"text\":\"a b c d e\"}\n",
        ));
        let humans = humans(&path).unwrap();
        assert_eq!(humans.iter().map(|h| h.pair.as_str()).collect::<Vec<_>>(), ["h1", "p", "file:3"]);
        let found = first_words(&path, humans.clone(), 3).unwrap();
        assert_eq!(found.iter().map(|p| p.text.as_str()).collect::<Vec<_>>(), ["One  two\nthree", "a b c"]);
        assert_eq!(found[0].pair.as_deref(), Some("h1"));
        assert_eq!(found[0].like.as_deref(), Some(" One  two\nthree four"));
        assert!(first_words(&path, humans, 5).unwrap_err().to_string().contains("none of its 3 texts has more than 5 words"));
    }
}
