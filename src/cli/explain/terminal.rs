//! An explained text for the terminal: coloured by rank, or with brackets where there is no colour. Hostile characters are spelt out.

use super::{
    Explained,
    spans::{Bucket, Span},
};
use crate::text::harmless;
use anstyle::{AnsiColor, Style};
use std::fmt::{self, Write};

/// Writes the text, its legend, the statistics and the verdict.
pub(super) fn render(explained: &Explained<'_>, colour: bool) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for span in merged(&explained.spans) {
        write_span(&mut out, &span, colour)?;
    }
    out.push_str(if out.ends_with('\n') { "\n" } else { "\n\n" });
    writeln!(out, "Rank of each token among the model's guesses:")?;
    for (bucket, (count, share)) in Bucket::ALL.into_iter().zip(explained.counts()) {
        let mut sample = String::new();
        write_piece(&mut sample, "like this", bucket, colour)?;
        writeln!(out, "  {:<9} {count:>6} {:>5.1}%   {sample}", bucket.ranks(), 100. * share)?;
    }
    out.push('\n');
    for fact in &explained.facts {
        writeln!(out, "  {:<20} {:>10}   {}", fact.name, fact.value, fact.meaning)?;
    }
    writeln!(out, "\n{}", harmless(&explained.verdict))?;
    Ok(out)
}

/// A run of tokens of one bucket, or text that no token covers.
struct Run {
    text: String,
    bucket: Option<Bucket>,
}

/// Neighbours of one bucket become one run: fewer escapes, and brackets around phrases.
fn merged(spans: &[Span<'_>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for span in spans {
        let bucket = span.score.map(|s| Bucket::of(s.rank));
        match runs.last_mut() {
            Some(run) if run.bucket == bucket => run.text.push_str(span.text),
            _ => runs.push(Run { text: span.text.to_owned(), bucket }),
        }
    }
    runs
}

/// Line by line, with the white space around left bare, so that no mark stands alone and no colour runs over the edge.
fn write_span(out: &mut String, run: &Run, colour: bool) -> fmt::Result {
    for line in run.text.split_inclusive('\n') {
        let shown = harmless(line);
        match run.bucket {
            Some(bucket) if !shown.trim().is_empty() => {
                let core = shown.trim();
                let start = shown.len() - shown.trim_start().len();
                out.push_str(&shown[..start]);
                write_piece(out, core, bucket, colour)?;
                out.push_str(&shown[start + core.len()..]);
            }
            _ => out.push_str(&shown),
        }
    }
    Ok(())
}

fn write_piece(out: &mut String, text: &str, bucket: Bucket, colour: bool) -> fmt::Result {
    if colour {
        let style = style(bucket);
        return write!(out, "{style}{text}{style:#}");
    }
    match bucket {
        Bucket::Top10 => out.write_str(text),
        Bucket::Top100 => write!(out, "({text})"),
        Bucket::Top1000 => write!(out, "[{text}]"),
        Bucket::Rest => write!(out, "{{{text}}}"),
    }
}

/// Green, yellow, red, purple as in GLTR; underline and bold tell the rare ones apart without them.
fn style(bucket: Bucket) -> Style {
    match bucket {
        Bucket::Top10 => AnsiColor::Green.on_default(),
        Bucket::Top100 => AnsiColor::Yellow.on_default(),
        Bucket::Top1000 => AnsiColor::Red.on_default().underline(),
        Bucket::Rest => AnsiColor::Magenta.on_default().bold().underline(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::explain::tests::explained;

    #[test]
    fn without_colour_brackets_show_the_ranks() {
        let out = render(&explained("the cat sat oddly", &[(0, 3, 1), (3, 7, 50), (7, 11, 500), (11, 17, 5000)]), false).unwrap();
        assert!(out.starts_with("the (cat) [sat] {oddly}\n\n"), "{out}");
        assert!(!out.contains('\u{1b}'));
    }

    #[test]
    fn with_colour_every_line_ends_plain() {
        let out = render(&explained("the cat\nsat", &[(0, 3, 1), (3, 7, 50), (7, 8, 50), (8, 11, 50)]), true).unwrap();
        let first = out.lines().next().unwrap();
        assert!(first.contains("\u{1b}[33mcat\u{1b}[0m") && first.ends_with("\u{1b}[0m"), "{first:?}");
    }

    #[test]
    fn escapes_in_the_text_are_spelt_out() {
        let out = render(&explained("a\u{1b}[2J\u{202e}b\r", &[(0, 2, 1)]), false).unwrap();
        assert!(out.starts_with("a<U+001B>[2J<U+202E>b<U+000D>\n"), "{out}");
    }
}
