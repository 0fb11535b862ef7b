//! Kinds over whole calibrations: what their scores are for, what their p-values promise, and what becomes of them in profiles and files.

use super::*;
use crate::{
    calibration::{Calibration, FitReport, LeftOut},
    model::TokenScores,
    score::Statistics,
    stats::random::Random,
};
use jiff::Timestamp;

/// A text of 60 tokens of a data set: `even` machines write with little surprisal, `odd` ones with much, people in between.
fn sample(random: &mut Random, group: u64, machine: bool, family: &str) -> Sample {
    let mean = if !machine {
        3.
    } else if family.starts_with("even") {
        2.4
    } else {
        3.6
    } + 0.35 * random.normal();
    let surprisal: Vec<f32> = (0..60).map(|_| (mean + random.normal()).abs() as f32).collect();
    let rank = surprisal.iter().map(|s| 1 + s.exp() as u32).collect();
    let tokens = TokenScores { rank, entropy: vec![2.5; 60], variance: vec![4.; 60], surprisal, ..TokenScores::default() };
    Sample {
        statistics: Statistics::of(&tokens, &tokens).unwrap(),
        tokens: 60,
        machine,
        group,
        family: family.into(),
        domain: None,
        generator: None,
        attack: None,
        words: 60,
        line_breaks: 0,
    }
}

const FAMILIES: [&str; 4] = ["even-1", "even-2", "odd-1", "odd-2"];

fn samples(seed: u64, count: u64) -> Vec<Sample> {
    let mut random = Random(seed);
    (0..count).map(|i| sample(&mut random, seed * 1_000_000 + i / 2, i % 2 == 1, FAMILIES[i as usize % 8 / 2])).collect()
}

fn options() -> FitOptions {
    let kind = |name: &str, families: [&str; 2]| KindOf { name: name.into(), families: families.map(Into::into).into() };
    let kinds = vec![kind("odd", ["odd-1", "odd-2"]), kind("even", ["even-1", "even-2"])];
    FitOptions { kinds, bin_size: 100, ..FitOptions::new("test", "fake", "0000000000000000", Timestamp::UNIX_EPOCH) }
}

/// Share of texts with p <= `level` by the score of a kind.
fn rate<'a>(calibration: &Calibration, kind: &str, samples: impl IntoIterator<Item = &'a Sample>, level: f64) -> f64 {
    let p: Vec<f64> = samples.into_iter().map(|s| calibration.read(&s.statistics, s.tokens).kinds[kind]).collect();
    p.iter().filter(|p| **p <= level).count() as f64 / p.len() as f64
}

fn people(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(|s| !s.machine)
}

#[test]
fn a_kinds_score_finds_its_kind_and_not_the_other() {
    let (calibration, report) = Calibration::fit(&samples(1, 2000), &options()).unwrap();
    assert_eq!(calibration.kinds().iter().map(|k| k.name.as_str()).collect::<Vec<_>>(), ["even", "odd"], "by name");
    let fresh = samples(2, 1600);
    for (own, other) in [("even", "odd"), ("odd", "even")] {
        let of = |kind: &'static str| fresh.iter().filter(move |s| s.machine && s.family.starts_with(kind));
        let (found, missed) = (rate(&calibration, own, of(own), 0.05), rate(&calibration, own, of(other), 0.05));
        let pooled = of(own).filter(|s| calibration.read(&s.statistics, 60).p_value <= Some(0.05)).count() as f64 / 400.;
        assert!(found > 0.35 && missed < 0.05 && found > pooled + 0.05, "{own}: found {found}, of {other} {missed}, pooled {pooled}");
    }
    // the same without the data set, on texts of the fit itself
    let of = |kind: &str, LeftOut { kinds, .. }: &LeftOut| kinds[kind];
    let odd = samples(1, 2000).into_iter().zip(&report.left_out).filter(|(s, _)| s.machine && s.family == "odd-1");
    let p: Vec<f64> = odd.map(|(_, left_out)| of("odd", left_out.as_ref().unwrap())).collect();
    assert!(p.iter().filter(|p| **p <= 0.05).count() * 10 > p.len() * 4, "found by the other data set of its kind");
}

/// Texts apart: the verdict's score is as if they were not there, and the kinds' as if they were like the others.
#[test]
fn a_data_set_apart_is_for_its_kind_alone() {
    let all = samples(1, 1600);
    let options = || FitOptions { apart: vec!["odd-2".into()], ..options() };
    let (calibration, report) = Calibration::fit(&all, &options()).unwrap();
    let fewer: Vec<Sample> = all.iter().filter(|s| !(s.machine && s.family == "odd-2")).cloned().collect();
    let (without, without_report) = Calibration::fit(&fewer, &options()).unwrap();
    let (full, _) = Calibration::fit(&all, &FitOptions { apart: Vec::new(), ..options() }).unwrap();
    assert_eq!((&calibration.score, calibration.bins()), (&without.score, without.bins()));
    assert!(calibration.score != full.score && calibration.kinds() == full.kinds() && without.kinds() != full.kinds());
    let left_out = |report: &FitReport, samples: &[Sample]| {
        let of = samples.iter().zip(&report.left_out).filter(|(s, _)| s.family == "odd-1");
        of.map(|(_, left_out)| left_out.as_ref().unwrap().p_value).collect::<Vec<_>>()
    };
    assert_eq!(left_out(&report, &all), left_out(&without_report, &fewer), "left out in the same way");
}

/// A kind of nothing but texts apart is silent until a profile knows the people.
#[test]
fn a_kind_that_is_all_apart_is_read_in_profiles_only() {
    let options = FitOptions { apart: vec!["odd-1".into(), "odd-2".into()], ..options() };
    let all = samples(1, 2000);
    let (base, report) = Calibration::fit(&all, &options).unwrap();
    let read = |calibration: &Calibration| calibration.read(&all[0].statistics, 60).kinds.into_keys().collect::<Vec<_>>();
    let bets = |calibration: &Calibration| calibration.bin_rates(&[0.05])[0].kinds.keys().cloned().collect::<Vec<_>>();
    let silent = vec!["even".to_owned()];
    assert_eq!((read(&base), bets(&base)), (silent.clone(), silent.clone()));
    assert_eq!(report.left_out[0].as_ref().unwrap().kinds.keys().cloned().collect::<Vec<_>>(), silent);
    let profile = base.profile(&people(&samples(4, 700)).cloned().collect::<Vec<_>>(), "own", Timestamp::UNIX_EPOCH).unwrap();
    let loud = vec!["even".to_owned(), "odd".to_owned()];
    assert_eq!((read(&profile), bets(&profile)), (loud.clone(), loud));
    for calibration in [base, profile] {
        assert!(Calibration::parse(&serde_json::to_vec(&calibration).unwrap(), "k.json").unwrap() == calibration);
    }
}

/// Over forty calibrations of 44 people each, fresh human texts have p <= 0.1 at most 4 times in 45 on average, three standard errors aside:
/// .0066 for the reference sets and .0064 for the fresh texts. By scores that have seen the reference texts it is 0.12 here.
#[test]
fn fresh_human_texts_keep_the_rate_by_every_kinds_score() {
    let fresh = samples(99, 4000);
    for kind in ["even", "odd"] {
        let rates = (0..40).map(|seed| {
            let (calibration, _) = Calibration::fit(&samples(100 + seed, 88), &options()).unwrap();
            rate(&calibration, kind, people(&fresh), 0.1)
        });
        let mean = rates.sum::<f64>() / 40.;
        println!("{kind}: mean rate {mean}");
        assert!(mean <= 4. / 45. + 3. * 0.0092, "{kind}: mean rate {mean}");
    }
}

/// A kind that is there in long texts alone says nothing of short ones.
#[test]
fn a_kind_is_silent_at_lengths_that_it_does_not_know() {
    let mut all = samples(1, 1600);
    all.iter_mut().filter(|s| s.group % 2 == 0).for_each(|s| s.tokens = 20);
    all.retain(|s| !(s.machine && s.tokens == 20 && s.family.starts_with("odd")));
    let (calibration, _) = Calibration::fit(&all, &options()).unwrap();
    let names = |tokens| calibration.read(&all[0].statistics, tokens).kinds.into_keys().collect::<Vec<_>>();
    assert_eq!((names(20), names(60), names(5)), (vec!["even".to_owned()], vec!["even".to_owned(), "odd".to_owned()], Vec::new()));
}

#[test]
fn a_profile_reads_kinds_against_the_community_too() {
    let (base, _) = Calibration::fit(&samples(3, 4000), &options()).unwrap();
    let community = |seed| samples(seed, 1400).into_iter().filter(|s| s.machine && s.family.starts_with("odd"));
    let community = |seed| community(seed).map(|s| Sample { machine: false, ..s }).collect::<Vec<_>>();
    for few in [60, 350] {
        let profile = base.profile(&community(4)[..few], "own", Timestamp::UNIX_EPOCH).unwrap();
        let (before, after) = (rate(&base, "odd", &community(5), 0.05), rate(&profile, "odd", &community(5), 0.05));
        assert!(before > 0.4 && after < 0.1, "{few} texts: before {before}, after {after}");
        assert_eq!(
            profile.kinds().iter().map(|k| (&k.name, k.bins().len())).collect::<Vec<_>>(),
            [(&"even".to_owned(), profile.bins().len()), (&"odd".to_owned(), profile.bins().len()),]
        );
        let levels = [0.05, 0.5];
        let rates = profile.bin_rates(&levels);
        assert!(rates.iter().all(|bin| bin.few_shot == (few == 60) && bin.kinds.len() == 2 && bin.kinds["even"].texts > 20), "{rates:?}");
        assert!(Calibration::parse(&serde_json::to_vec(&profile).unwrap(), "profile").unwrap() == profile);
    }
}

#[test]
fn a_kind_of_too_few_texts_and_damaged_kinds_are_refused() {
    let mut thin = options();
    thin.kinds[1].families = vec!["even-3".into()];
    let error = Calibration::fit(&samples(1, 400), &thin).unwrap_err();
    assert_eq!(error, FitError::SmallKind { name: "even".into(), found: 0 });
    let (calibration, _) = Calibration::fit(&samples(1, 400), &options()).unwrap();
    let good = serde_json::to_value(&calibration).unwrap();
    assert!(Calibration::parse(good.to_string().as_bytes(), "k.json").unwrap() == calibration);
    let damage = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = good.clone();
        change(&mut value);
        Calibration::parse(value.to_string().as_bytes(), "k.json").unwrap_err().to_string()
    };
    for (told, expected) in [
        (damage(&|v| v["kinds"].as_array_mut().unwrap().reverse()), "its kinds are [\"odd\", \"even\"]"),
        (damage(&|v| v["kinds"][1] = v["kinds"][0].clone()), "at most 4 different ones"),
        (damage(&|v| v["kinds"][0]["bins"][0]["from_tokens"] = 9.into()), "the bins of its kind \"even\" do not start at"),
        (damage(&|v| v["kinds"][0]["bins"] = serde_json::json!([])), "the bins of its kind \"even\""),
        (damage(&|v| v["kinds"][1]["bins"][0]["human"] = serde_json::json!([2., 1.])), "not finite and ascending"),
        (damage(&|v| v["kinds"][1]["score"]["fitted"]["terms"][0]["weight"] = 1e12.into()), "out of range"),
        (damage(&|v| v["kinds"][1]["mood"] = 1.into()), "unknown field `mood`"),
    ] {
        assert!(told.contains(expected), "expected “{expected}” in: {told}");
    }
}
