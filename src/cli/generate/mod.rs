//! `highwater generate`: prompts to a corpus of machine text, or human and machine texts to a timed flood.

mod choices;
mod flood;
mod served;

use super::{
    Outcome, Refused,
    args::{Common, Generate},
    calibrate::not_plain,
    chatty,
    progress::{Bar, written},
    settings::{Setup, layers},
};
use crate::{
    adversary::{self, AdversaryError, Format, Length, Order, Prompt, Summary},
    batch::BatchError,
    model::{self, Generator},
};
use choices::Choices;
use clap::ArgMatches;
use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Tokens to write where nobody said how many.
const LENGTH: usize = 256;

pub(super) fn run(args: &Generate, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let setup = Setup::take(&mut merge);
    let choices = Choices::take(args, &mut merge);
    let server = served::take(args, &choices, &mut merge);
    merge.finish()?;
    if let Some(server) = server {
        return served::run(args, &choices, server);
    }
    if choices.flood.is_some() {
        return flood::run(args, &choices, &setup);
    }
    let prompts = prompts(args, &choices)?;
    let texts = choices.texts.unwrap_or(prompts.len().max(1) as u64);
    if !choices.draws() && texts > prompts.len().max(1) as u64 {
        let told = format!("{texts} texts from {} would repeat: --greedy and --beams write the same again", count(prompts.len()));
        return Err(Refused(told).into());
    }
    let mut generator = model::load_generator(&setup.load)?;
    let order = order(args, &choices, prompts, &*generator)?;
    let order = Order { texts, ..order };
    let bar = Bar::start(chatty())?;
    let result = adversary::run(&order, &choices.output, &mut *generator, &bar);
    let seconds = bar.end();
    let summary = result.map_err(|error| ended(error, &choices.output))?;
    if chatty() {
        writeln!(io::stderr(), "{}", tell(&summary, &choices.output, seconds))?;
    }
    Ok(if summary.cancelled { Outcome::Stopped } else { Outcome::Done })
}

fn count(prompts: usize) -> String {
    if prompts < 2 { "one prompt".to_owned() } else { format!("{prompts} prompts") }
}

/// What texts begin with.
fn prompts(args: &Generate, choices: &Choices) -> anyhow::Result<Vec<Prompt>> {
    if let Some(path) = &args.prompts {
        return Ok(adversary::prompts(path)?);
    }
    if let (Some(path), Some(words)) = (&args.humans, choices.prompt_words) {
        return Ok(adversary::first_words(path, adversary::humans(path)?, words)?);
    }
    Ok(args.prompt.iter().map(|text| Prompt { text: text.clone(), ..Prompt::default() }).collect())
}

/// The order that these options make, of one text.
fn order(args: &Generate, choices: &Choices, prompts: Vec<Prompt>, generator: &dyn Generator) -> anyhow::Result<Order> {
    let length = match (choices.length, &args.lengths) {
        (Some(most), _) => Length::UpTo(most),
        (None, Some(path)) => Length::Drawn(lengths(path, generator)?),
        (None, None) if choices.prompt_words.is_some() => Length::LikeHuman,
        (None, None) => Length::UpTo(LENGTH),
    };
    let writing = choices.writing.clone();
    Ok(Order { writing, prompts, texts: 1, length, include_prefix: choices.include_prefix, domain: args.domain.clone() })
}

/// Tokens of each text of a file.
fn lengths(path: &Path, generator: &dyn Generator) -> anyhow::Result<Vec<usize>> {
    let texts = adversary::texts(path)?;
    Ok(texts.iter().map(|text| generator.tokenize(text).map(|t| t.ids.len())).collect::<Result<_, _>>()?)
}

/// The same error, unless a run was to go on that has ended: its output need not be thrown away.
fn ended(error: AdversaryError, output: &adversary::Output) -> anyhow::Error {
    let Some(whole) = output.path.as_deref().filter(|_| output.resume) else { return error.into() };
    // a folder that a stopped run left is gone on with, whatever is in it
    let is_left = output.format != Format::Files && whole.with_added_extension("part").exists();
    let is_there = matches!(&error, AdversaryError::Exists { path, .. } if path.starts_with(whole));
    if is_left || !is_there {
        return error.into();
    }
    Refused(BatchError::NothingToResume { path: whole.to_owned() }.to_string()).into()
}

/// One line at the end, for people.
fn tell(summary: &Summary, output: &adversary::Output, seconds: f64) -> String {
    let line = format!("{} ({} tokens in {seconds:.2} s)", written(&summary.progress, seconds), summary.progress.tokens);
    match (&output.path, &output.format) {
        _ if !summary.cancelled => line,
        (Some(_), Format::Jsonl | Format::Files) => {
            format!("{line}\nstopped; the texts so far are whole: run the same command with --resume to go on")
        }
        _ => {
            format!("{line}\nstopped; the texts so far are whole. With --output FILE and rows or files a stopped run can go on by --resume")
        }
    }
}

/// Fails where a file that will be read later cannot be, or would be taken for something else.
fn readable(path: &Path) -> Result<(), String> {
    let told = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(told)?;
    if file.metadata().map_err(told)?.is_dir() {
        return Err(format!("{} is a folder, expected a file", path.display()));
    }
    not_plain(path, "plain JSONL or one text a line").map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table's first column is no part of a prompt.
    #[test]
    fn texts_that_are_packed_or_in_a_table_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let told = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            readable(&path)
        };
        assert_eq!(told("posts.txt", b"id,text\n1,a post\n"), Ok(()));
        let table = told("posts.csv", b"id,text\n1,a post\n").unwrap_err();
        assert!(table.ends_with("posts.csv is CSV; write its rows as JSONL first: plain JSONL or one text a line is read here"), "{table}");
        assert!(told("posts.jsonl.gz", b"\x1f\x8b\x08\0").unwrap_err().contains("posts.jsonl.gz is gzip; unpack it first"));
    }

    #[test]
    fn a_corpus_that_is_whole_leaves_nothing_to_resume() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, part) = (folder.path().join("out.jsonl"), folder.path().join("out.jsonl.part"));
        let told = |format: Format, resume: bool, there: &Path| {
            let output = adversary::Output { path: Some(whole.clone()), format, force: false, resume };
            ended(AdversaryError::Exists { path: there.to_owned(), what: "is what it was" }, &output)
        };
        for (format, there) in [(Format::Jsonl, whole.clone()), (Format::Files, whole.join("00000.txt"))] {
            let error = told(format.clone(), true, &there);
            assert!(error.is::<Refused>() && error.to_string().contains("out.jsonl is there, and no run was stopped"), "{error}");
            assert!(told(format, false, &there).to_string().ends_with("is what it was"));
        }
        assert!(told(Format::Jsonl, true, &part).to_string().ends_with("is what it was"), "another run is writing it");
        std::fs::write(&part, "").unwrap();
        assert!(told(Format::Jsonl, true, &whole).to_string().ends_with("is what it was"), "a stopped run is there");
    }
}
