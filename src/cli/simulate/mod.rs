//! `highwater simulate`: many seeded streams of a user's own texts, to see how soon a flood is found and how often there is none.

mod page;
mod read;
mod streams;
mod tell;

use super::{
    Outcome, Refused,
    args::Common,
    calibrate, chatty,
    evaluate::write,
    join,
    progress::Bar,
    settings::{Setup, Watching, layers},
};
use crate::{
    batch::Watch,
    flood::{LEVELS, Reference, Settings},
};
use clap::{ArgMatches, Args, ValueHint};
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// See how the flood alarm works on your own texts
///
/// Draws posts from the texts of the files again and again: one long stream by people alone, and many streams into which a flood of machine
/// posts comes at a known place. Tells how often there was a false alarm, how many documents it takes on average until one, and after how many
/// documents a flood is found. This is how --arl and --base-share of `serve` are chosen. The files hold JSONL rows with a `text`, or the
/// answers of `highwater score`, which need not be scored again. Where rows have a `label`, --human and --machine take their own.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  highwater simulate --human ours.jsonl --machine generated.jsonl --share 0.3 --onset 500 --length 2000 --runs 200"
)]
pub(super) struct Simulate {
    /// Files with texts by people
    #[arg(long, required = true, num_args = 1.., value_name = "FILE", env = "HIGHWATER_HUMAN", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    human: Vec<PathBuf>,
    /// Files with texts by machines
    #[arg(long, required = true, num_args = 1.., value_name = "FILE", env = "HIGHWATER_MACHINE", hide_env = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    machine: Vec<PathBuf>,
    /// Share of machine texts in the flood
    #[arg(long, default_value_t = 0.3, value_parser = share, value_name = "SHARE", env = "HIGHWATER_SHARE", hide_env = true)]
    share: f64,
    /// Documents before the flood
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(..=1_000_000), value_name = "N")]
    #[arg(env = "HIGHWATER_ONSET", hide_env = true)]
    onset: u32,
    /// Documents of a stream
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), value_name = "N")]
    #[arg(env = "HIGHWATER_LENGTH", hide_env = true)]
    length: u32,
    /// Streams with a flood; the one by people alone is as long as all of them
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    #[arg(env = "HIGHWATER_RUNS", hide_env = true)]
    runs: u32,
    /// The same seed draws the same streams
    #[arg(long, default_value_t = 1, value_name = "N", env = "HIGHWATER_SEED", hide_env = true)]
    seed: u64,
    /// Documents between two false alarms, on average at least [default: 10000]
    #[arg(long, value_name = "N", env = "HIGHWATER_ARL", hide_env = true)]
    arl: Option<String>,
    /// Share of machine texts that is tolerated [default: 0]
    #[arg(long, value_name = "SHARE", env = "HIGHWATER_BASE_SHARE", hide_env = true)]
    base_share: Option<String>,
    /// Write the numbers as JSON
    #[arg(long, value_name = "FILE", env = "HIGHWATER_JSON", hide_env = true, value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
    /// Write a page with plots
    #[arg(long, value_name = "FILE", env = "HIGHWATER_REPORT", hide_env = true, value_hint = ValueHint::FilePath)]
    report: Option<PathBuf>,
}

pub(super) fn run(args: &Simulate, common: &Common, matches: &ArgMatches) -> anyhow::Result<Outcome> {
    let mut merge = layers(matches, common)?;
    let (setup, watching) = (Setup::take(&mut merge), Watching::take(&mut merge));
    merge.finish()?;
    if args.onset >= args.length {
        return Err(Refused(format!("--onset {} leaves no flood in a stream of --length {}", args.onset, args.length)).into());
    }
    let outputs = args.json.iter().chain(&args.report);
    calibrate::bytes(args.human.iter().chain(&args.machine), outputs)?;
    let refused = |error: &dyn std::fmt::Display| Refused(error.to_string());
    let mut detector = join::detector(&setup)?;
    let calibration = detector.calibration().clone();
    let reference = Reference::new(calibration.bin_rates(&LEVELS)).map_err(|error| refused(&error))?;
    let settings = Settings { max_keys: 16, dedup_window: 0, seed: 0, ..watching.settings };
    let plan = streams::Plan {
        settings,
        reference,
        share: args.share,
        onset: args.onset as usize,
        length: args.length as usize,
        runs: args.runs as usize,
        seed: args.seed,
    };
    // Settings that cannot be meant are told before any text is scored.
    plan.monitor().map_err(|error| refused(&error))?;
    let bar = Bar::start(chatty())?;
    let mut reading = read::Reading::new(&mut detector, &bar);
    let (human, machine) = (reading.files(&args.human, false)?, reading.files(&args.machine, true)?);
    bar.end();
    if bar.cancelled() {
        return Ok(Outcome::Stopped);
    }
    let Some(found) = plan.run(&human, &machine, &|| bar.stopped()).map_err(|error| refused(&error))? else { return Ok(Outcome::Stopped) };
    let facts = tell::Facts { found: &found, plan: &plan, calibration: &calibration.name, human: human.len(), machine: machine.len() };
    if let Some(path) = &args.json {
        write(path, |out| Ok(serde_json::to_writer_pretty(out, &facts.json())?))?;
    }
    if let Some(path) = &args.report {
        let html = facts.page()?;
        write(path, |out| Ok(out.write_all(html.as_bytes())?))?;
    }
    io::stdout().write_all(facts.text().as_bytes())?;
    Ok(Outcome::Done)
}

fn share(s: &str) -> Result<f64, String> {
    let inside = |share: &f64| *share > 0. && *share <= 1.;
    s.parse().ok().filter(inside).ok_or_else(|| format!("`{s}` is no share above 0 and up to 1, such as 0.3"))
}
