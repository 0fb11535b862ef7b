//! Reads the module table in `src/lib.rs` and holds every file to it: which module may use which, which crates it alone
//! may name, how long a file may be and how it opens. Takes source text only; it must not need the library to build.
//!
//! Files are cut into Rust tokens first, so that comments and strings count for nothing. Code under `#[cfg(test)]` is
//! free: what a test borrows is no dependency of the module.

#![allow(clippy::expect_used, reason = "a test that cannot read the sources must stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Crates that every module may name.
const FREE: [&str; 5] = ["serde", "serde_json", "thiserror", "tracing", "jiff"];
/// The one module that `main.rs` may name.
const FRONT_DOOR: &str = "cli";
const MOST_LINES: usize = 500;
const MOST_LINES_OF_MAIN: usize = 40;
const MOST_OPENING_LINES: usize = 8;

/// One row of the table.
struct Row {
    name: String,
    may_use: Vec<String>,
    alone_may_name: Vec<String>,
}

/// The rows found in the doc comment of `lib.rs`.
fn table(lib: &str) -> Vec<Row> {
    let list = |cell: &str| cell.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("//! |")?.split('|').collect();
        let name = cells.first()?.trim().strip_prefix("[`")?.strip_suffix("`]")?.to_owned();
        Some(Row { name, may_use: list(cells.get(2)?), alone_may_name: list(cells.get(3)?) })
    };
    lib.lines().filter_map(row).collect()
}

/// A path as written, for example `crate::model::Fake`, with the inline modules around it and its line.
#[derive(Debug)]
struct Reference {
    inside: Vec<String>,
    segments: Vec<String>,
    line: usize,
}

/// What one file says: the paths it names and the child modules that it declares for tests only.
#[derive(Default)]
struct Source {
    references: Vec<Reference>,
    /// The inline modules around the place that is being read.
    inside: Vec<String>,
    test_children: BTreeSet<String>,
}

impl Source {
    fn read(text: &str) -> Result<Self, String> {
        let stream: TokenStream = text.parse().map_err(|error| format!("is no Rust: {error}"))?;
        let mut source = Self::default();
        source.walk(stream);
        Ok(source)
    }

    /// Collects the references in a piece of code.
    fn walk(&mut self, code: TokenStream) {
        let tokens = &Vec::from_iter(code);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match (token, tokens.get(at + 1), tokens.get(at + 2)) {
                _ if is_cfg_test(tokens, at) => self.skip_test_item(tokens, at + 2),
                (TokenTree::Ident(word), Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) if word == "mod" => {
                    self.inside.push(name.to_string());
                    self.walk(body.stream());
                    self.inside.pop();
                    at + 3
                }
                (TokenTree::Ident(word), ..) if word == "use" => self.follow(tokens, at + 1, Some(&[])),
                (TokenTree::Ident(word), Some(TokenTree::Ident(next)), _) if word == "extern" && next == "crate" => {
                    self.follow(tokens, at + 2, Some(&[]))
                }
                (TokenTree::Ident(_), ..) if starts_path(tokens, at) => self.follow(tokens, at, None),
                (TokenTree::Group(group), ..) => {
                    self.walk(group.stream());
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    /// Gives the place behind the item at `at`, which is compiled for tests only, and notes it if it is a module.
    fn skip_test_item(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        let mut import = false;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(word) if word == "use" => import = true,
                TokenTree::Ident(word) if word == "mod" => self.test_children.extend(tokens.get(at).map(ToString::to_string)),
                TokenTree::Punct(mark) if mark.as_char() == ';' => break,
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace && !import => break,
                _ => {}
            }
        }
        at
    }

    /// Follows the path at `at`, or in a `use` the tree of paths below a prefix; gives the place behind it.
    fn follow(&mut self, tokens: &[TokenTree], mut at: usize, prefix: Option<&[String]>) -> usize {
        let import = prefix.is_some();
        let mut segments = prefix.unwrap_or_default().to_vec();
        let mut line = 0;
        while let Some(token) = tokens.get(at) {
            line = token.span().start().line;
            match token {
                TokenTree::Ident(word) => segments.push(word.to_string().trim_start_matches("r#").to_owned()),
                TokenTree::Punct(star) if star.as_char() == '*' && import => segments.push("*".to_owned()),
                TokenTree::Group(list) if list.delimiter() == Delimiter::Brace && import => {
                    let inner = Vec::from_iter(list.stream());
                    let parts = inner.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','));
                    for part in parts.filter(|part| !part.is_empty()) {
                        self.follow(part, 0, Some(&segments));
                    }
                    return at + 1;
                }
                _ if is_separator(tokens, at) => {
                    at += 2;
                    continue;
                }
                _ => break,
            }
            at += 1;
            if !is_separator(tokens, at) {
                break;
            }
        }
        if segments.len() > usize::from(!import) {
            self.references.push(Reference { inside: self.inside.clone(), segments, line });
        }
        at
    }
}

/// Whether `::` stands at `at`.
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| match tokens.get(at) {
        Some(TokenTree::Punct(mark)) if mark.as_char() == ':' => Some(mark.spacing()),
        _ => None,
    };
    colon(at) == Some(Spacing::Joint) && colon(at + 1).is_some()
}

/// Whether the word at `at` is the first of a path and not a later segment of one.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let after_separator = at >= 2 && is_separator(tokens, at - 2);
    !after_separator || !matches!(at.checked_sub(3).and_then(|before| tokens.get(before)), Some(TokenTree::Ident(_)))
}

/// Whether `#[cfg(test)]` starts at `at`.
fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    matches!(&tokens[at], TokenTree::Punct(mark) if mark.as_char() == '#')
        && matches!(tokens.get(at + 1), Some(TokenTree::Group(group)) if group.stream().to_string().replace(' ', "") == "cfg(test)")
}

/// The module path of a file below `src/`: `model/mod.rs` is `[model]`, `model/graph.rs` is `[model, graph]`, `lib.rs` is `[]`.
fn module_path(file: &Path) -> Vec<String> {
    let stem = file.with_extension("");
    let mut path: Vec<String> = stem.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

/// Where a reference leads inside the crate, as a path from its root; `None` if it leads outside or stays where it is.
fn resolve(module: &[String], reference: &Reference) -> Option<Vec<String>> {
    let segments = &reference.segments;
    if segments.first()? == "crate" {
        return Some(segments[1..].to_vec());
    }
    let rest: Vec<&String> = segments.iter().skip_while(|segment| *segment == "self").collect();
    let up = rest.iter().take_while(|segment| **segment == "super").count();
    let here: Vec<&String> = module.iter().chain(&reference.inside).collect();
    (up > 0).then(|| here[..here.len().saturating_sub(up)].iter().chain(&rest[up..]).map(|segment| (*segment).clone()).collect())
}

/// Every arrow in one file of `src/` that the table does not draw.
fn wrong_arrows(file: &Path, source: &Source, rows: &[Row]) -> Vec<String> {
    let module = module_path(file);
    let own = module.first().map(String::as_str);
    let row = rows.iter().find(|row| Some(row.name.as_str()) == own);
    let is_main = file == Path::new("main.rs");
    let mut faults = Vec::new();
    for reference in &source.references {
        let text = reference.segments.join("::");
        let mut fault = |why: String| faults.push(format!("src/{}:{}: `{text}`: {why}", file.display(), reference.line));
        let first = reference.segments[0].as_str();
        let owner = rows.iter().find(|row| row.alone_may_name.iter().any(|name| name == first));
        let target = if first == "highwater" { Some(reference.segments[1..].to_vec()) } else { resolve(&module, reference) };
        if let Some(target) = target {
            let target = target.first().map_or("", String::as_str);
            let known = rows.iter().any(|row| row.name == target);
            if is_main && target != FRONT_DOOR {
                fault(format!("main.rs may use only `{FRONT_DOOR}`"));
            } else if !known && Some(target) != own {
                fault("leads to the root of the crate; name a module of the table".to_owned());
            } else if !is_main && Some(target) != own && !row.is_some_and(|row| row.may_use.iter().any(|name| name == target)) {
                fault(format!("the row of `{}` does not list `{target}`", own.unwrap_or("lib.rs")));
            }
        } else if let Some(owner) = owner.filter(|owner| Some(owner.name.as_str()) != own) {
            fault(format!("only `{}` may name the crate `{first}`", owner.name));
        }
    }
    faults
}

/// What is wrong with the length and the opening of one file.
fn wrong_shape(file: &Path, text: &str) -> Vec<String> {
    let is = |name: &str| file == Path::new(name);
    let lines = text.lines().count();
    let most = if is("src/main.rs") { MOST_LINES_OF_MAIN } else { MOST_LINES };
    let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
    let mut faults = Vec::new();
    if lines > most {
        faults.push(format!("{}: {lines} lines, at most {most}: what does it want to become?", file.display()));
    }
    if opening == 0 {
        faults.push(format!("{}: opens without `//!`: say what it takes, what it gives, what it must not do", file.display()));
    }
    if opening > MOST_OPENING_LINES && !is("src/lib.rs") {
        faults.push(format!("{}: opens with {opening} lines of `//!`, at most {MOST_OPENING_LINES}", file.display()));
    }
    faults
}

/// What is wrong with the table itself: rows against modules, arrows that point downwards, crates without an owner.
fn wrong_table(rows: &[Row], modules: &BTreeSet<String>, dependencies: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let names: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    faults.extend(modules.difference(&names).map(|name| format!("src/{name} has no row in the table of src/lib.rs")));
    faults.extend(names.difference(modules).map(|name| format!("the table of src/lib.rs has a row `{name}` and src/ has no such module")));
    let mut above = BTreeSet::new();
    for row in rows {
        let wrong = row.may_use.iter().filter(|name| !above.contains(name.as_str()));
        faults.extend(wrong.map(|name| format!("the row of `{}` lists `{name}`, which is not a row above it", row.name)));
        above.insert(row.name.as_str());
    }
    let mut owners: BTreeMap<&str, &str> = FREE.iter().map(|name| (*name, "every module")).collect();
    for row in rows {
        for name in &row.alone_may_name {
            if let Some(other) = owners.insert(name, &row.name) {
                faults.push(format!("the crate `{name}` belongs to `{}` and to `{other}`", row.name));
            }
            if !dependencies.contains(name) {
                faults.push(format!("the row of `{}` names the crate `{name}`, which is no dependency in Cargo.toml", row.name));
            }
        }
    }
    let homeless = dependencies.iter().filter(|name| !owners.contains_key(name.as_str()));
    faults.extend(homeless.map(|name| format!("the dependency `{name}` is in no row of the table: which module alone may name it?")));
    faults
}

/// The names, as code writes them, of `[dependencies]` in a `Cargo.toml`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("Cargo.toml is TOML");
    manifest["dependencies"].as_table().expect("[dependencies] is a table").keys().map(|name| name.replace('-', "_")).collect()
}

/// Every `.rs` file below a folder, with its path relative to `root`.
fn rust_files(root: &Path, folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a folder entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path.strip_prefix(root).expect("below the root").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Every wrong arrow below `src/`; files that are declared under `#[cfg(test)]` are free.
fn all_wrong_arrows(files: &[(PathBuf, String)], rows: &[Row]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut sources = Vec::new();
    for (path, text) in files {
        let file = path.strip_prefix("src").expect("below src");
        match Source::read(text) {
            Ok(source) => sources.push((file, source)),
            Err(why) => faults.push(format!("{}: {why}", path.display())),
        }
    }
    let child = |file: &Path, name: &String| [module_path(file), vec![name.clone()]].concat();
    let tests: Vec<Vec<String>> =
        sources.iter().flat_map(|(file, source)| source.test_children.iter().map(|name| child(file, name))).collect();
    for (file, source) in &sources {
        let module = module_path(file);
        if !tests.iter().any(|test| module.starts_with(test)) {
            faults.extend(wrong_arrows(file, source, rows));
        }
    }
    faults
}

#[test]
fn modules_use_only_what_their_row_lists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = rust_files(root, "src");
    let rows = table(&fs::read_to_string(root.join("src/lib.rs")).expect("src/lib.rs"));
    assert!(rows.len() > 5, "the table of src/lib.rs was not found");
    let paths = files.iter().map(|(path, _)| module_path(path.strip_prefix("src").expect("below src")));
    let modules = paths.filter_map(|path| path.into_iter().next()).collect();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let mut faults = wrong_table(&rows, &modules, &dependencies(&manifest));
    faults.extend(all_wrong_arrows(&files, &rows));
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"];
    let files = folders.iter().flat_map(|folder| rust_files(root, folder));
    let faults: Vec<String> = files.flat_map(|(path, text)| wrong_shape(&path, &text)).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[path = "layering/planted.rs"]
mod planted;
