//! The options of `generate` from text to values. Every fault and every contradiction is told at once.

use super::{super::args::Generate, readable};
use crate::{
    adversary::{Beams, Decoding, Format, Output, Penalties, Plan, Sampling, Writing},
    cli::settings::{on_off, whole},
    config::Merge,
};

/// Most texts, and most tokens of a text.
const MOST: usize = 100_000_000;
const LONGEST: usize = 1 << 20;

/// What the user chose.
#[derive(Debug)]
pub(super) struct Choices {
    pub(super) texts: Option<u64>,
    pub(super) prompt_words: Option<usize>,
    pub(super) length: Option<usize>,
    pub(super) include_prefix: bool,
    pub(super) writing: Writing,
    pub(super) output: Output,
    pub(super) flood: Option<Plan>,
    pub(super) api_key: Option<String>,
}

/// How narrowly tokens are drawn, as far as it was said.
struct Draw {
    sampling: Sampling,
    /// Whether anything was said.
    said: bool,
}

impl Choices {
    /// Whether texts are drawn, so that one prompt gives many.
    pub(super) fn draws(&self) -> bool {
        matches!(self.writing.decoding, Decoding::Sample(_))
    }

    pub(super) fn take(args: &Generate, merge: &mut Merge) -> Self {
        let texts = merge.take("nsamples", |s| from(s, 1, MOST)).map(|n| n as u64);
        let prompt_words = merge.take("prompt-words", |s| from(s, 1, LONGEST));
        let length = merge.take("length", |s| from(s, 1, LONGEST));
        let include_prefix = merge.take("include-prefix", on_off).unwrap_or(true);
        let writing = writing(args, merge);
        let flood = merge.take("flood", |s| s.parse::<Plan>());
        let api_key = flood.as_ref().and_then(|_| merge.take("api-key", |s| Ok(s.to_owned())));
        contradictions(args, merge, (prompt_words.is_some(), length.is_some(), flood.is_some()));
        let output = output(args, merge);
        if flood.is_some() && (output.format != Format::Jsonl || texts.is_some()) {
            merge.fault("--flood writes rows, as many as its plan comes to: --as and --nsamples do not go with it");
        }
        let to_a_file = args.to.as_deref().is_some_and(|to| !is_service(to));
        if to_a_file && args.output.is_some() {
            merge.fault("--to FILE is where the posts go; --output is for what a service says of them");
        }
        Self { texts, prompt_words, length, include_prefix, writing, output, flood, api_key }
    }
}

fn writing(args: &Generate, merge: &mut Merge) -> Writing {
    let defaults = Writing::default();
    let draw = draw(merge);
    let beams = merge.take("beams", |s| from(s, 1, 64)).filter(|&n| n > 1);
    let length_penalty = merge.take("length-penalty", |s| number(s, "a number from -10 to 10", |x| x.abs() <= 10.));
    let decoding = match (args.greedy, beams) {
        (true, Some(_)) => {
            merge.fault("--greedy takes one token at a time and --beams keeps several; choose one");
            Decoding::Greedy
        }
        (true, None) => Decoding::Greedy,
        (false, Some(width)) => Decoding::Beam(Beams { width, length_penalty: length_penalty.unwrap_or(1.) as f32 }),
        (false, None) => Decoding::Sample(draw.sampling),
    };
    if draw.said && !matches!(decoding, Decoding::Sample(_)) {
        let how = if args.greedy { "--greedy" } else { "--beams" };
        merge.fault(format!("{how} draws nothing, so --temperature, --top-k, --top-p, --min-p and --typical-p do not go with it"));
    }
    if length_penalty.is_some() && !matches!(decoding, Decoding::Beam(_)) {
        merge.fault("--length-penalty is for --beams of 2 or more");
    }
    let penalties = Penalties {
        repetition: merge
            .take("repetition-penalty", |s| number(s, "a number from 0.01 to 100, such as 1.2", |x| (0.01..=100.).contains(&x)))
            .unwrap_or(1.) as f32,
        frequency: merge.take("frequency-penalty", |s| number(s, "a number from -100 to 100", |x| x.abs() <= 100.)).unwrap_or(0.) as f32,
        no_repeat_ngram: merge.take("no-repeat-ngram", |s| whole(s, LONGEST)).unwrap_or(0),
    };
    if args.stop.iter().any(String::is_empty) {
        merge.fault("--stop: expected some text, found none");
    }
    Writing {
        decoding,
        penalties,
        stop: args.stop.clone(),
        stop_at_end: !args.ignore_end,
        seed: merge.take("seed", seed).unwrap_or(defaults.seed),
        batch: merge.take("batch", |s| from(s, 1, 1024)).unwrap_or(defaults.batch),
    }
}

fn draw(merge: &mut Merge) -> Draw {
    let none = Sampling::default();
    let temperature = merge.take("temperature", temperature);
    let top_k = merge.take("top-k", |s| whole(s, 1 << 20));
    let share = |s: &str| number(s, "a share above 0, at most 1, such as 0.9", |x| x > 0. && x <= 1.);
    let top_p = merge.take("top-p", share);
    let typical_p = merge.take("typical-p", share);
    let min_p = merge.take("min-p", |s| number(s, "a share from 0 to 1, such as 0.05", |x| (0. ..=1.).contains(&x)));
    let said = temperature.is_some() || top_k.is_some() || top_p.is_some() || typical_p.is_some() || min_p.is_some();
    let sampling = Sampling {
        temperature: temperature.map_or(none.temperature, |t| t as f32),
        top_k: top_k.unwrap_or(none.top_k),
        top_p: top_p.unwrap_or(none.top_p),
        min_p: min_p.unwrap_or(none.min_p),
        typical_p: typical_p.unwrap_or(none.typical_p),
    };
    Draw { sampling, said }
}

fn output(args: &Generate, merge: &mut Merge) -> Output {
    let name = merge.take("as", |s| match s {
        "jsonl" | "text" | "files" => Ok(s.to_owned()),
        _ => Err(format!("`{s}` is none of jsonl, text and files")),
    });
    let delimiter = args.delimiter.clone().unwrap_or_else(|| "=".repeat(20));
    let format = match name.as_deref() {
        Some("text") => Format::Text { delimiter },
        Some("files") => Format::Files,
        _ => Format::Jsonl,
    };
    if args.delimiter.is_some() && !matches!(format, Format::Text { .. }) {
        merge.fault("--delimiter stands between texts of --as text");
    }
    if format == Format::Files && args.output.is_none() {
        merge.fault("--as files needs a folder; name it with --output");
    }
    if args.resume && args.force {
        merge.fault("--resume goes on with what is there and --force throws it away; choose one");
    }
    if args.resume && (args.output.is_none() || matches!(format, Format::Text { .. })) {
        merge.fault("--resume goes on with a file of rows or a folder of files; name it with --output");
    }
    Output { path: args.output.clone(), format, force: args.force, resume: args.resume }
}

fn contradictions(args: &Generate, merge: &mut Merge, (words, length, flood): (bool, bool, bool)) {
    let mut refuse = |wrong: bool, why: &str| {
        if wrong {
            merge.fault(why);
        }
    };
    let kinds = [args.prompt.is_some(), args.prompts.is_some(), words];
    refuse(kinds.iter().filter(|&&k| k).count() > 1, "--prompt, --prompts and --prompt-words each say what texts begin with; choose one");
    refuse(words && args.humans.is_none(), "--prompt-words takes the words of human texts; name their file with --humans");
    refuse(args.humans.is_some() && !words && !flood, "--humans is for --prompt-words or --flood");
    refuse(length && args.lengths.is_some(), "--length and --lengths both say how long texts are; choose one");
    refuse(flood && args.humans.is_none(), "--flood mixes human texts with the machine's; name their file with --humans");
    refuse(flood && args.resume, "--flood happens in time and cannot be resumed");
    refuse(!flood && args.to.is_some(), "--to is for --flood; elsewhere the output is named with --output");
    refuse(!flood && args.machines.is_some(), "--machines is for --flood");
    for path in [&args.prompts, &args.humans, &args.lengths, &args.machines].into_iter().flatten() {
        if let Err(fault) = readable(path) {
            merge.fault(fault);
        }
    }
}

/// Whether `--to` names a service, not a file.
pub(super) fn is_service(to: &str) -> bool {
    to.starts_with("http://") || to.starts_with("https://")
}

/// A whole number with a smallest and a largest value.
fn from(s: &str, least: usize, most: usize) -> Result<usize, String> {
    s.parse().ok().filter(|n| (least..=most).contains(n)).ok_or_else(|| format!("`{s}` is no whole number from {least} to {most}"))
}

fn seed(s: &str) -> Result<u64, String> {
    s.parse().map_err(|_| format!("`{s}` is no whole number from 0 to 2^64 - 1"))
}

fn number(s: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    s.parse().ok().filter(|x: &f64| x.is_finite() && fits(*x)).ok_or_else(|| format!("`{s}` is not {expected}"))
}

fn temperature(s: &str) -> Result<f64, String> {
    number(s, "a temperature: a number from 0.001 to 1000; for the most probable token every time use --greedy", |x| {
        (0.001..=1000.).contains(&x)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range_are_refused_with_what_was_expected() {
        assert_eq!(temperature("0.8"), Ok(0.8));
        for bad in ["-1", "0", "nan", "inf", "hot", ""] {
            assert!(temperature(bad).unwrap_err().contains("--greedy"), "{bad}");
        }
        assert_eq!(from("5", 1, 9), Ok(5));
        for bad in ["0", "10", "-1", "1.5", ""] {
            assert!(from(bad, 1, 9).unwrap_err().contains("from 1 to 9"), "{bad}");
        }
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        assert!(seed("-1").is_err());
    }
}
