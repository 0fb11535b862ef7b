//! How many texts of a community a profile takes: false-positive rates over many draws of the few texts, with the community left out
//! of the calibration that the profile leans on. Prints a Markdown table from what `highwater calibrate --scored` wrote:
//! `few_shot scored.jsonl`.
//!
//! `few_shot scored.jsonl calibration.json FOLDER` also leaves, for every data set of enough people, what `highwater simulate` runs on:
//! a calibration without the set, profiles of 300 and of two thirds of its people on top of that, and the set's other texts as each reads them
//! (`simulate --calibration FOLDER/NAME.json --human FOLDER/NAME.jsonl --machine FOLDER/NAME.jsonl`). It prints how often such profiles raise an
//! alarm on posts that they have not seen, each read once: streams that draw from a few posts again and again take these for all that people write.

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use highwater::{
    calibration::{Calibration, FitOptions, Kind, Sample},
    flood::{AlarmEvent, LEVELS, Monitor, Reference, Settings},
    score::Statistics,
    text::Document,
    verdict::Assessment,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::{BTreeSet, HashSet},
    error::Error,
    fmt::Write,
    fs,
    path::Path,
};

const COMMUNITIES: [&str; 3] = ["human_nonnative_jfleg", "human_tweets_tweeteval", "human_news_comments_ucc"];
const SIZES: [usize; 6] = [20, 30, 50, 100, 200, 300];
const DRAWS: u64 = 200;
/// Human documents of a data set from which floods are simulated.
const ENOUGH: usize = 500;

/// A row of `calibrate --scored`.
#[derive(Deserialize)]
struct Scored {
    family: String,
    label: String,
    group: u64,
    tokens: usize,
    words: usize,
    /// Null for a text that is too short for one.
    p_value: Option<f64>,
    statistics: Statistics,
}

impl From<Scored> for Sample {
    fn from(row: Scored) -> Self {
        let Scored { family, label, group, tokens, words, statistics, .. } = row;
        Self {
            statistics,
            tokens,
            words,
            machine: label == "machine",
            group,
            family,
            domain: None,
            generator: None,
            attack: None,
            line_breaks: 0,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let scored = arguments.next().ok_or("give the file that `highwater calibrate --scored` wrote")?;
    let made = arguments.next().map(|path| Calibration::load(Path::new(&path))).transpose()?;
    let folder = arguments.next();
    let rows = fs::read_to_string(scored)?;
    let rows: Vec<Scored> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let samples: Vec<Sample> = rows.into_iter().filter(|row| row.p_value.is_some()).map(Sample::from).collect();
    let (model, hash) = made.as_ref().map_or(("", ""), |made| (&made.model_name, made.model_hash()));
    let apart: Vec<String> = made.iter().flat_map(|made| &made.sources).filter(|s| s.apart).map(|s| s.name.clone()).collect();
    let options = FitOptions { apart, ..FitOptions::new("left out", model, hash, Timestamp::UNIX_EPOCH) };
    let met = |s: &Sample| !s.machine || !options.apart.contains(&s.family);
    let machines = |samples: Vec<Sample>| samples.into_iter().filter(|s| s.machine && met(s)).collect::<Vec<_>>();
    println!("| community | texts | p <= 1% | 95% of draws | p <= 5% | 95% of draws | conformal alone: 1% | 5% | machine found at 1% |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for community in COMMUNITIES {
        let (own, rest) = parted(&samples, community, met);
        let (base, _) = Calibration::fit(&rest, &options)?;
        let machine = machines(rest);
        let [one, five] = [0.01, 0.05].map(|level| percent(rate(&base, &own, level)));
        println!("| {community} | none | {one} | | {five} | | | | {} |", percent(rate(&base, &machine, 0.01)));
        for size in SIZES {
            line(&base, &own, &machine, size)?;
        }
    }
    if let Some(folder) = folder {
        // streams look at kinds of machine text as well, single texts do not
        let kinds = made.iter().flat_map(Calibration::kinds).map(Kind::of).collect();
        let options = FitOptions { kinds, ..options.clone() };
        let families: BTreeSet<&str> = samples.iter().map(|s| s.family.as_str()).collect();
        println!("\n| community | profile | posts after it | streams in alarm | promised: at most |");
        println!("|---|---:|---:|---:|---:|");
        for family in families {
            let (own, rest) = parted(&samples, family, met);
            let (machine, human): (Vec<Sample>, Vec<Sample>) = own.into_iter().partition(|s| s.machine);
            if human.len() >= ENOUGH {
                let (base, _) = Calibration::fit(&rest, &options)?;
                let machine = if machine.is_empty() { machines(rest) } else { machine };
                floods(&base, &human, &machine, &format!("{folder}/{family}"))?;
            }
        }
    }
    Ok(())
}

/// Leaves what floods are simulated from, and tells how often profiles raise a false alarm.
fn floods(base: &Calibration, human: &[Sample], machine: &[Sample], path: &str) -> Result<(), Box<dyn Error>> {
    leave(base, &draw(human, 300, 0).1, machine, &format!("{path}-none"))?;
    for (size, name) in [(300, "300"), (human.len() * 2 / 3, "two-thirds")] {
        let (few, fresh) = draw(human, size, 0);
        let profile = base.profile(&few, "profile", Timestamp::UNIX_EPOCH)?;
        leave(&profile, &fresh, machine, &format!("{path}-{name}"))?;
        let (family, posts, alarms) = (&human[0].family, fresh.len(), alarms(base, human, size)?);
        println!("| {family} | {size} | {posts} | {alarms} of {DRAWS} | {} |", percent(promised(posts)));
    }
    Ok(())
}

/// The texts of a data set that people may meet, each human document once, and the others' without its documents.
fn parted(samples: &[Sample], family: &str, met: impl Fn(&Sample) -> bool) -> (Vec<Sample>, Vec<Sample>) {
    let (own, rest): (Vec<Sample>, Vec<Sample>) = samples.iter().cloned().partition(|s| s.family == family);
    let mut seen = HashSet::new();
    let own: Vec<Sample> = own.into_iter().filter(|s| met(s) && (seen.insert(s.group) || s.machine)).collect();
    let rest = rest.into_iter().filter(|s| !seen.contains(&s.group)).collect();
    (own, rest)
}

/// One row: the mean rates over the draws, and the rate that 95 of 100 draws do not exceed.
fn line(base: &Calibration, own: &[Sample], machine: &[Sample], size: usize) -> Result<(), Box<dyn Error>> {
    let mut columns: [Vec<f64>; 5] = Default::default();
    for number in 0..DRAWS {
        let (few, fresh) = draw(own, size, number);
        let profile = base.profile(&few, "profile", Timestamp::UNIX_EPOCH)?;
        let alone = conformal(base, &few, &fresh);
        let found = [rate(&profile, &fresh, 0.01), rate(&profile, &fresh, 0.05), alone[0], alone[1], rate(&profile, machine, 0.01)];
        columns.iter_mut().zip(found).for_each(|(column, found)| column.push(found));
    }
    let mean = |column: &[f64]| percent(column.iter().sum::<f64>() / column.len() as f64);
    let upper = |column: &[f64]| {
        let mut sorted = column.to_vec();
        sorted.sort_by(f64::total_cmp);
        percent(sorted[sorted.len() * 95 / 100])
    };
    let [one, five, alone_one, alone_five, found] = &columns;
    let (one, five) = (format!("{} | {}", mean(one), upper(one)), format!("{} | {}", mean(five), upper(five)));
    println!("| | {size} | {one} | {five} | {} | {} | {} |", mean(alone_one), mean(alone_five), mean(found));
    Ok(())
}

/// The few texts of a draw, and the others.
fn draw(own: &[Sample], size: usize, number: u64) -> (Vec<Sample>, Vec<Sample>) {
    let mut order: Vec<usize> = (0..own.len()).collect();
    order.sort_by_key(|&i| mixed(number * 1_000_003 + i as u64));
    let pick = |places: &[usize]| places.iter().map(|&i| own[i].clone()).collect();
    (pick(&order[..size]), pick(&order[size..]))
}

/// A calibration, and how it reads these people's and machines' texts.
fn leave(calibration: &Calibration, human: &[Sample], machine: &[Sample], path: &str) -> Result<(), Box<dyn Error>> {
    calibration.save(Path::new(&format!("{path}.json")))?;
    let mut rows = String::new();
    for sample in human.iter().chain(machine) {
        let reading = calibration.read(&sample.statistics, sample.tokens);
        let label = if sample.machine { "machine" } else { "human" };
        let row = json!({"label": label, "family": sample.family, "tokens": sample.tokens, "p_value": reading.p_value, "kind_p_values": reading.kinds});
        writeln!(rows, "{row}")?;
    }
    Ok(fs::write(format!("{path}.jsonl"), rows)?)
}

/// In how many of the draws a profile raises an alarm on the people's other posts, in the order of the draw.
fn alarms(base: &Calibration, human: &[Sample], size: usize) -> Result<usize, Box<dyn Error>> {
    let mut alarms = 0;
    for number in 0..DRAWS {
        let (few, fresh) = draw(human, size, number);
        let profile = base.profile(&few, "profile", Timestamp::UNIX_EPOCH)?;
        let mut monitor = Monitor::new(Settings::default(), Reference::new(profile.bin_rates(&LEVELS))?)?;
        for sample in &fresh {
            let reading = profile.read(&sample.statistics, sample.tokens);
            let assessment = Assessment { kind_p_values: reading.kinds, ..Assessment::evidence(sample.tokens, reading.p_value, false) };
            monitor.count(&Document::default(), &assessment, Timestamp::UNIX_EPOCH);
        }
        alarms += usize::from(monitor.drain_alarms().iter().any(|alarm| alarm.event == AlarmEvent::Raised));
    }
    Ok(alarms)
}

/// Share of streams of so many documents that may be in alarm: the average run length holds with the confidence of the settings, and an e-SR
/// detector reaches its threshold within `documents` with probability `documents` / run length at most.
fn promised(documents: usize) -> f64 {
    let Settings { arl, confidence, .. } = Settings::default();
    1. - confidence * (1. - documents as f64 / arl)
}

/// The rates at 1% and 5% where the few texts are all that there is.
fn conformal(base: &Calibration, few: &[Sample], fresh: &[Sample]) -> [f64; 2] {
    let score = |s: &Sample| base.score_model().score(&s.statistics, s.tokens) as f32;
    let mut reference: Vec<f32> = few.iter().map(score).collect();
    reference.sort_by(f32::total_cmp);
    let p: Vec<f64> = fresh.iter().map(|s| highwater::stats::p_value(&reference, score(s))).collect();
    [0.01, 0.05].map(|level| p.iter().filter(|&&p| p <= level).count() as f64 / p.len() as f64)
}

fn rate(calibration: &Calibration, samples: &[Sample], level: f64) -> f64 {
    let flagged = |s: &&Sample| calibration.read(&s.statistics, s.tokens).p_value.is_some_and(|p| p <= level);
    samples.iter().filter(flagged).count() as f64 / samples.len() as f64
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100. * share)
}

/// SplitMix64 (Steele, Lea & Flood 2014): the draws repeat exactly.
fn mixed(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
