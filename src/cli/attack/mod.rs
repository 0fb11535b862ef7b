//! `highwater attack`: texts in files to attacked copies in a file.
//!
//! Reads rows as `score` does, a chunk at a time; a bad row becomes an error row in its place. Must not overwrite a file unasked.

mod evade;
mod names;
mod output;
mod rows;

use super::{
    Outcome, Refused,
    args::{self, Common},
    chatty, join,
    progress::Bar,
    settings::{Rows, Setup, layers},
    tell_if_typed,
};
use crate::{
    adversary::attack::{Attack, Chain, Proposer, Quality, Rate, words_kept},
    batch::{self, Documents, Input, Job, Progress, Read, Watch},
    config::Merge,
    model::{self, BranchSource, LoadOptions, Scorer},
};
use clap::ArgMatches;
pub(super) use names::Names;
use output::Sink;
use rows::{Base, Inputs};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Texts, and bytes of them, that are attacked together; fewer where a model works on them, so that a stop is not waited for.
const CHUNK: usize = 64;
const CHUNK_BY_MODEL: usize = 16;
const CHUNK_BYTES: usize = 256 << 10;

pub(super) fn run(args: &args::Attack, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let (setup, rows) = (Setup::take(&mut merge), Rows::take(&mut merge));
    let evade = args.kinds.evade();
    check(args, evade, &mut merge);
    let rate = args.rate.as_deref().map_or(Some(Rate::Usual), |text| rate(text).map_err(|fault| merge.fault(&fault)).ok());
    let seed = merge.take("seed", |s| s.parse().map_err(|_| format!("`{s}` is no whole number from 0 to 2^64 - 1"))).unwrap_or(0);
    let searched = evade::settings(&args.evade, seed, &mut merge);
    merge.finish()?;
    let job = job(args, rows);
    if job.inputs.contains(&Input::Stdin) {
        tell_if_typed()?;
    }
    let documents = batch::documents(&job)?;
    let inputs = Inputs { several: job.inputs.len() > 1, fields: job.fields };
    let sink = Sink::open(args.output.as_deref(), &args.inputs, args.force)?;
    let (bar, progress) = (Bar::start(chatty())?, Progress::default());
    let mut run = Run { documents, inputs, sink, bar, progress, number: 0, refused: 0, pairs: args.pairs };
    let told = if evade {
        evade::run(&mut run, &setup, &searched, args.evade.json.as_deref())?
    } else {
        let chains = chains(&args.kinds.attacks(), args.each, rate.unwrap_or_default(), seed)?;
        attack(&mut run, &setup, &chains)?
    };
    run.end(&told, &args.inputs)
}

/// Options that do not go together.
fn check(args: &args::Attack, evade: bool, merge: &mut Merge) {
    if evade && !args.kinds.attacks().is_empty() {
        merge.fault("`evade` stands alone; the edits that it tries are named with --moves");
    }
    if evade && args.rate.is_some() {
        merge.fault("--rate is for attacks; `evade` takes --budget, --max-edits and --max-surprisal");
    }
    if evade && args.each {
        merge.fault("--each is for several attacks; `evade` is one");
    }
    let own = &args.evade;
    let searching = own.budget.is_some() || own.max_edits.is_some() || own.max_surprisal.is_some() || own.method.is_some();
    if !evade && (searching || own.moves.is_some() || own.json.is_some()) {
        merge.fault("--budget, --max-edits, --max-surprisal, --method, --moves and --json are for `highwater attack evade`");
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    let share = || text.parse().ok().filter(|share| (0. ..=1.).contains(share)).map(Rate::Share);
    match text {
        "raid" => Ok(Rate::Raid),
        _ => share().ok_or_else(|| format!("--rate: `{text}` is no share from 0 to 1, and not `raid`")),
    }
}

fn chains(attacks: &[Attack], each: bool, rate: Rate, seed: u64) -> Result<Vec<Chain>, Refused> {
    let parts: Vec<&[Attack]> = if each { attacks.chunks(1).collect() } else { vec![attacks] };
    let chain = |part: &[Attack]| Chain::new(part, rate, seed).ok_or_else(|| Refused("at most 16 attacks are made on one text".to_owned()));
    parts.into_iter().map(chain).collect()
}

fn job(args: &args::Attack, rows: Rows) -> Job {
    let inputs = if args.inputs.is_empty() { vec![PathBuf::from("-")] } else { args.inputs.clone() };
    let inputs = inputs.into_iter().map(|p| if p == Path::new("-") { Input::Stdin } else { Input::Path(p) });
    Job { inputs: inputs.collect(), input_format: rows.input_format, fields: rows.fields, ..Job::default() }
}

/// Rows on their way from the inputs to the output.
struct Run {
    documents: Documents,
    inputs: Inputs,
    sink: Sink,
    bar: Bar,
    progress: Progress,
    /// The number of the next text, from 0.
    number: u64,
    refused: u64,
    pairs: bool,
}

impl Run {
    /// The next texts; none at the end, or where the run was stopped.
    fn chunk(&mut self, by_model: bool) -> anyhow::Result<Vec<Read>> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        let most = if by_model { CHUNK_BY_MODEL } else { CHUNK };
        while chunk.len() < most && bytes < CHUNK_BYTES && !self.bar.cancelled() {
            let Some(read) = self.documents.next() else { break };
            let read = read?;
            bytes += read.content.as_ref().map_or(0, |document| document.text.len());
            chunk.push(read);
        }
        Ok(chunk)
    }

    /// A chunk's texts with their numbers; rows without one are left out here, and told in their place by `write`.
    fn texts<'r>(&mut self, chunk: &'r [Read]) -> Vec<(u64, &'r str)> {
        let texts = chunk.iter().filter_map(|read| read.content.as_ref().ok());
        let numbered = (self.number..).zip(texts.map(|document| document.text.as_str())).collect::<Vec<_>>();
        self.number += numbered.len() as u64;
        numbered
    }

    /// Writes a chunk: for each text its rows, for each row without a text an error row.
    fn write(&mut self, chunk: Vec<Read>, mut rows_of: impl FnMut(&Base) -> Vec<serde_json::Value>) -> anyhow::Result<()> {
        let mut number = self.number - chunk.iter().filter(|read| read.content.is_ok()).count() as u64;
        for read in chunk {
            self.progress.documents += 1;
            let base = match Base::of(read, number, &self.inputs) {
                Ok(base) => base,
                Err(row) => {
                    self.refused += 1;
                    self.sink.write(&row)?;
                    continue;
                }
            };
            number += 1;
            if self.pairs {
                self.sink.write(&base.original())?;
            }
            rows_of(&base).iter().try_for_each(|row| self.sink.write(row))?;
        }
        self.sink.flush()?;
        (self.progress.bytes_read, self.progress.total_bytes) = self.documents.bytes();
        self.bar.progress(&self.progress);
        Ok(())
    }

    fn end(self, told: &str, inputs: &[PathBuf]) -> anyhow::Result<Outcome> {
        self.bar.end();
        let stopped = self.bar.cancelled();
        if self.progress.documents == 0 && !stopped {
            let names: Vec<_> = inputs.iter().map(|path| path.display().to_string()).collect();
            let place = if names.is_empty() { "standard input".to_owned() } else { names.join(", ") };
            return Err(Refused(format!("there is no text in {place}")).into());
        }
        let refused = match self.refused {
            0 => String::new(),
            1 => "; 1 row was refused".to_owned(),
            n => format!("; {n} rows were refused"),
        };
        let kept = self.sink.end(stopped)?;
        if chatty() {
            writeln!(io::stderr(), "{told}{refused}{kept}")?;
        }
        Ok(match self.refused {
            _ if stopped => Outcome::Stopped,
            0 => Outcome::Done,
            _ => Outcome::Refused,
        })
    }
}

/// A language model in its two halves.
struct Model {
    proposer: Proposer,
    scorer: Box<dyn Scorer>,
    name: String,
}

impl Model {
    fn load(setup: &Setup) -> anyhow::Result<Self> {
        let options = LoadOptions { branches: BranchSource::None, ..setup.load.clone() };
        let scorer = model::load(&options)?;
        let name = format!("{}@{}", scorer.info().name, scorer.info().hash);
        Ok(Self { proposer: Proposer::new(model::load_generator(&options)?)?, scorer, name })
    }
}

/// Attacks everything; gives what was done in one line.
fn attack(run: &mut Run, setup: &Setup, chains: &[Chain]) -> anyhow::Result<String> {
    let mut model = if chains.iter().any(Chain::needs_model) { Some(Model::load(setup)?) } else { None };
    let mut changed = vec![0; chains.len()];
    loop {
        let chunk = run.chunk(model.is_some())?;
        if chunk.is_empty() {
            break;
        }
        let texts = run.texts(&chunk);
        let mut made = Vec::with_capacity(chains.len());
        for chain in chains {
            let mut rewriter = model.as_mut().map(|m| m.proposer.with(m.scorer.as_mut()));
            let variants = chain.run(&texts, rewriter.as_mut())?;
            let pairs: Vec<(&str, &str)> = texts.iter().zip(&variants).map(|((_, text), v)| (*text, v.text.as_str())).collect();
            let plain = |(before, after): &(&str, &str)| Quality {
                surprisal_before: None,
                surprisal_after: None,
                words_kept: words_kept(before, after),
            };
            let quality = match &mut rewriter {
                Some(rewriter) if chain.needs_model() => rewriter.quality(&pairs)?,
                _ => pairs.iter().map(plain).collect(),
            };
            made.push(variants.into_iter().zip(quality).collect::<Vec<_>>().into_iter());
        }
        let name = model.as_ref().map(|m| m.name.as_str());
        run.write(chunk, |base| {
            let mut rows = Vec::new();
            for ((chain, made), changed) in chains.iter().zip(&mut made).zip(&mut changed) {
                if let Some((variant, quality)) = made.next() {
                    *changed += variant.edits.iter().sum::<usize>();
                    rows.push(base.attacked(chain, &variant, (&quality, name)));
                }
            }
            rows
        })?;
    }
    let places: Vec<_> = chains.iter().zip(&changed).map(|(chain, n)| format!("{} changed {n} places", chain.name())).collect();
    Ok(format!("{} texts: {}", run.number, places.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_shares_or_raid_s() {
        assert_eq!([rate("0"), rate("1"), rate("0.25")], [0., 1., 0.25].map(|share| Ok(Rate::Share(share))));
        assert_eq!(rate("raid"), Ok(Rate::Raid));
        for bad in ["-0.1", "1.01", "nan", "inf", "half", ""] {
            assert!(rate(bad).is_err_and(|fault| fault.contains("--rate")), "{bad}");
        }
    }
}
