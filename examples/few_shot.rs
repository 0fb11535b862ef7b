//! How many texts of a community a profile takes: false-positive rates over many draws of the few texts, with the community left out
//! of the calibration that the profile leans on. Prints a Markdown table.
//!
//!     highwater score eval/*.jsonl -q -o scored.jsonl
//!     cargo run --release --example few_shot -- scored.jsonl eval/*.jsonl

#![allow(clippy::print_stdout, reason = "the table is what it is for")]

use highwater::{
    calibration::{Calibration, FitOptions, Sample},
    score::Statistics,
    text,
};
use jiff::Timestamp;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    error::Error,
    fs,
    path::Path,
};

const COMMUNITIES: [&str; 3] = ["human_nonnative_jfleg", "human_tweets_tweeteval", "human_news_comments_ucc"];
const SIZES: [usize; 6] = [20, 30, 50, 100, 200, 300];
const DRAWS: u64 = 200;

#[derive(Deserialize)]
struct Scored {
    id: String,
    tokens: usize,
    p_value: Option<f64>,
    statistics: Option<Statistics>,
    calibration: String,
    model: String,
}

#[derive(Deserialize)]
struct Labelled {
    id: String,
    text: String,
    label: String,
    pair: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let scored = arguments.next().ok_or("give the scored file, then the labelled ones")?;
    let scored: Vec<Scored> = fs::read_to_string(scored)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (name, hash) = scored.first().and_then(|s| s.model.split_once('@')).ok_or("the scored file is empty")?;
    let options = FitOptions::new(scored[0].calibration.as_str(), name, hash, Timestamp::UNIX_EPOCH);
    let by_id: HashMap<&str, &Scored> = scored.iter().map(|s| (s.id.as_str(), s)).collect();
    let mut samples = Vec::new();
    for file in arguments {
        samples.extend(read(Path::new(&file), &by_id)?);
    }
    println!("| community | texts | p <= 1% | 95% of draws | p <= 5% | 95% of draws | conformal alone: 1% | 5% | machine found at 1% |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for community in COMMUNITIES {
        let (own, rest): (Vec<Sample>, Vec<Sample>) = samples.iter().cloned().partition(|s| s.family == community);
        let mut seen = HashSet::new();
        let own: Vec<Sample> = own.into_iter().filter(|s| seen.insert(s.group)).collect();
        let rest: Vec<Sample> = rest.into_iter().filter(|s| !seen.contains(&s.group)).collect();
        let (base, _) = Calibration::fit(&rest, &options)?;
        let machine: Vec<Sample> = rest.into_iter().filter(|s| s.machine).collect();
        let [one, five] = [0.01, 0.05].map(|level| percent(rate(&base, &own, level)));
        println!("| {community} | none | {one} | | {five} | | | | {} |", percent(rate(&base, &machine, 0.01)));
        for size in SIZES {
            line(&base, &own, &machine, size)?;
        }
    }
    Ok(())
}

/// One row: the mean rates over the draws, and the rate that 95 of 100 draws do not exceed.
fn line(base: &Calibration, own: &[Sample], machine: &[Sample], size: usize) -> Result<(), Box<dyn Error>> {
    let mut columns: [Vec<f64>; 5] = Default::default();
    for draw in 0..DRAWS {
        let mut order: Vec<usize> = (0..own.len()).collect();
        order.sort_by_key(|&i| mixed(draw * 1_000_003 + i as u64));
        let few: Vec<Sample> = order[..size].iter().map(|&i| own[i].clone()).collect();
        let fresh: Vec<Sample> = order[size..].iter().map(|&i| own[i].clone()).collect();
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

/// The rows of a file that a calibration takes: scored, long enough, in a language that the model knows.
fn read(file: &Path, scored: &HashMap<&str, &Scored>) -> Result<Vec<Sample>, Box<dyn Error>> {
    let family = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut pairs = HashMap::new();
    let mut samples = Vec::new();
    for line in fs::read_to_string(file)?.lines() {
        let row: Labelled = serde_json::from_str(line)?;
        let own = text::group(&row.text);
        let group = row.pair.map_or(own, |pair| *pairs.entry(pair).or_insert(own));
        let scored = scored.get(row.id.as_str()).ok_or_else(|| format!("{} is not in the scored file", row.id))?;
        if let Some(statistics) = scored.statistics.filter(|_| scored.p_value.is_some()) {
            let (tokens, family, machine) = (scored.tokens, family.clone(), row.label == "machine");
            samples.push(Sample { statistics, tokens, machine, group, family, domain: None, generator: None });
        }
    }
    Ok(samples)
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
