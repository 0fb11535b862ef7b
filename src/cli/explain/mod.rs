//! `highwater explain`: one text with its evidence, for the terminal or as a web page.

mod facts;
mod html;
mod spans;
mod terminal;

use super::{
    Outcome, Refused,
    args::{Common, Explain},
    chatty, join,
    settings::{Setup, layers},
    tell_if_typed,
};
use crate::{
    batch::same_file,
    text::{Document, harmless},
    verdict::Assessment,
};
use anstream::{AutoStream, ColorChoice};
use anyhow::Context;
use clap::ArgMatches;
use facts::Fact;
use spans::{Bucket, Span};
use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

/// The longest text that is explained, bytes: nobody reads more of it.
const LONGEST: u64 = 10 << 20;

pub(super) fn run(args: &Explain, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let setup = Setup::take(&mut merge);
    merge.finish()?;
    let input = args.input.as_deref().filter(|path| *path != Path::new("-"));
    if let Some(page) = args.html.as_deref().filter(|page| input.is_some_and(|text| same_file(text, page))) {
        return Err(Refused(format!("--html {} is the text itself, which would be lost; name another file", page.display())).into());
    }
    if input.is_none() {
        tell_if_typed()?;
    }
    let document = read(input)?;
    let mut detector = join::detector(&setup)?;
    let assessments = detector.assess(std::slice::from_ref(&document))?;
    let assessment = assessments.first().context("the detector gave no answer")?;
    let explained = Explained::new(&document, assessment, setup.detector.policy.fpr);
    match &args.html {
        Some(path) => {
            let title = input.map_or_else(|| "standard input".to_owned(), |p| p.display().to_string());
            std::fs::write(path, html::render(&explained, &title)?).with_context(|| format!("cannot write {}", path.display()))?;
            if chatty() {
                writeln!(io::stderr(), "{}\nThe page is {}", harmless(&explained.verdict), harmless(&path.display().to_string()))?;
            }
        }
        None => {
            let choice = AutoStream::choice(&io::stdout());
            let page = terminal::render(&explained, choice != ColorChoice::Never)?;
            let mut out = AutoStream::new(io::stdout().lock(), choice);
            out.write_all(page.as_bytes())?;
            out.flush()?;
        }
    }
    Ok(Outcome::Done)
}

/// Reads the text; bytes that are no UTF-8 become U+FFFD and are counted.
fn read(path: Option<&Path>) -> anyhow::Result<Document> {
    let mut bytes = Vec::new();
    let name = path.map_or_else(|| "standard input".to_owned(), |p| p.display().to_string());
    let read = match path {
        Some(path) => File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)),
        None => io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes),
    };
    read.map_err(|error| Refused(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Refused(format!("{name} is longer than {LONGEST} bytes; `highwater score` takes longer texts")).into());
    }
    Ok(Document { with_tokens: true, ..Document::from_bytes(&bytes) })
}

/// What is shown of one text.
struct Explained<'a> {
    spans: Vec<Span<'a>>,
    facts: Vec<Fact>,
    /// The verdict in plain words.
    verdict: String,
}

impl<'a> Explained<'a> {
    fn new(document: &'a Document, assessment: &Assessment, fpr: f64) -> Self {
        let tokens = assessment.token_scores.as_deref().unwrap_or_default();
        Self {
            spans: spans::cut(&document.text, tokens),
            facts: facts::facts(assessment, document.invalid_utf8),
            verdict: facts::verdict(assessment, fpr),
        }
    }

    /// Spans in each bucket, and their share.
    fn counts(&self) -> [(usize, f64); 4] {
        let ranked: Vec<_> = self.spans.iter().filter_map(|s| s.score).map(|s| Bucket::of(s.rank)).collect();
        Bucket::ALL.map(|bucket| {
            let count = ranked.iter().filter(|b| **b == bucket).count();
            (count, count as f64 / ranked.len().max(1) as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::TokenScore;

    /// A text with tokens of (start, end, rank), without facts.
    pub(super) fn explained<'a>(text: &'a str, tokens: &[(usize, usize, u32)]) -> Explained<'a> {
        let token = |&(start, end, rank)| TokenScore { text: String::new(), start, end, surprisal_nats: 1., rank, entropy_nats: 2. };
        let tokens: Vec<_> = tokens.iter().map(token).collect();
        Explained { spans: spans::cut(text, &tokens), facts: Vec::new(), verdict: "No verdict.".into() }
    }

    #[test]
    fn counts_are_of_scored_stretches() {
        let counts = explained("ab cd", &[(0, 1, 1), (1, 2, 1), (3, 4, 50), (4, 5, 5000)]).counts();
        assert_eq!(counts, [(2, 0.5), (1, 0.25), (0, 0.), (1, 0.25)]);
    }
}
