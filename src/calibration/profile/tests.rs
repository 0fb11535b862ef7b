//! The promises of few-shot profiles, over many seeded draws of the few texts.

use super::*;
use crate::{model::TokenScores, score::Statistics};

/// A human text of this score under [`Calibration::for_fake`]'s score model, 3 - mean surprisal.
fn text(score: f64, tokens: usize, group: u64) -> Sample {
    let tokens_of =
        TokenScores { surprisal: vec![1.; 8], rank: vec![2; 8], entropy: vec![1.; 8], variance: vec![1.; 8], ..TokenScores::default() };
    let statistics = Statistics { mean_surprisal_nats: 3. - score, ..Statistics::of(&tokens_of, &tokens_of).unwrap() };
    Sample {
        statistics,
        tokens,
        machine: false,
        group,
        family: "forum".into(),
        domain: None,
        generator: None,
        attack: None,
        words: tokens,
        line_breaks: 0,
    }
}

/// A skewed shape with a long upper tail, mean about 0.
fn shape(random: &mut Random) -> f64 {
    let wild = random.uniform() < 0.1;
    0.8 * random.normal() - 0.25 * (random.uniform().ln() + 1.) + if wild { 0.6 * random.normal() } else { 0. }
}

/// How human scores lie at short and at long lengths, in the base: place and width.
const LENGTHS: [(usize, f64, f64); 2] = [(20, -1., 1.), (80, 0.5, 2.)];

/// Human scores in each of its bins.
const BASE: usize = 5000;

fn base(random: &mut Random) -> Calibration {
    let mut bin = |(from, place, width): (usize, f64, f64)| {
        let scores = (0..BASE).map(|_| (place + width * shape(random)) as f32).collect();
        Bin::new(from, scores, Vec::new(), None)
    };
    let bins = vec![bin((8, LENGTHS[0].1, LENGTHS[0].2)), bin((48, LENGTHS[1].1, LENGTHS[1].2))];
    Calibration { bins, kinds: Vec::new(), ..Calibration::for_fake() }
}

/// Texts of a community that lies higher than the base and is wider, alike at both lengths.
fn community(random: &mut Random, count: u64) -> Vec<Sample> {
    let one = |group| {
        let (tokens, place, width) = LENGTHS[random.below(2)];
        text(place + width * (0.9 + 1.4 * shape(random)), tokens, group)
    };
    (0..count).map(one).collect()
}

/// Both promises: the mean rate over the draws of the few texts is at most the level, and at most one draw in twenty has a rate above its
/// bound.
#[test]
fn the_false_positive_rate_holds_over_the_draws_of_the_few_texts() {
    const RUNS: usize = 250;
    const FRESH: u64 = 12_000;
    const LEVELS: [f64; 3] = [0.01, 0.05, 0.2];
    let mut random = Random(2024);
    let base = base(&mut random);
    let fresh = community(&mut random, FRESH);
    for few in [20, 100] {
        let mut rates: [Vec<f64>; 3] = Default::default();
        let mut above = [0; 3];
        for run in 0..RUNS as u64 {
            let texts = community(&mut Random(run * 1_000_003 + few), few);
            let profile = base.profile(&texts, "forum", Timestamp::UNIX_EPOCH).unwrap();
            let p: Vec<f64> = fresh.iter().filter_map(|s| profile.read(&s.statistics, s.tokens).p_value).collect();
            for (i, level) in LEVELS.into_iter().enumerate() {
                let rate = p.iter().filter(|&&p| p <= level).count() as f64 / FRESH as f64;
                above[i] += usize::from(rate > profile.rate_upper_bound(20, level).unwrap());
                rates[i].push(rate);
            }
        }
        for (i, level) in LEVELS.into_iter().enumerate() {
            let (mean, sd) = (stats::mean(&rates[i]).unwrap(), stats::standard_deviation(&rates[i]).unwrap());
            // of the mean over the runs, of the fresh texts, and of the base's own scores
            let error = (sd * sd / RUNS as f64 + level / FRESH as f64 + level / (2 * BASE) as f64).sqrt();
            assert!(mean <= level + 3. * error, "{few} texts at {level}: mean rate {mean}, error {error}");
            // 3 standard errors above 5% of the runs
            assert!(above[i] <= 22, "{few} texts at {level}: {} of {RUNS} above their bound", above[i]);
        }
    }
}

/// What the few texts show outright, no shape may deny.
#[test]
fn a_profile_keeps_what_its_texts_show() {
    let mut random = Random(7);
    let base = base(&mut random);
    let mut texts = community(&mut random, 60);
    let scores = |texts: &[Sample]| texts.iter().map(|s| 3. - s.statistics.mean_surprisal_nats).collect::<Vec<_>>();
    // three of sixty score out of all proportion
    for sample in &mut texts[..3] {
        *sample = text(40., 80, sample.group);
    }
    let profile = base.profile(&texts, "forum", Timestamp::UNIX_EPOCH).unwrap();
    let p = profile.read(&texts[0].statistics, 80).p_value.unwrap();
    assert!(p >= 4. / 61., "{p}, though 3 of 60 score as high: {:?}", scores(&texts[..3]));
    assert_eq!(profile.bins()[0].documents(), 60);
    assert_eq!(profile.bins().len(), base.bins().len());
    assert!(profile.rate_upper_bound(20, 0.01).unwrap() > 0.04, "sixty texts cannot promise 1%");
    let rates = profile.bin_rates(&[0.01]);
    assert!(rates.iter().all(|r| r.few_shot && r.human == 60), "streams bet with the few texts, not with the draws: {rates:?}");
    assert!(Calibration::parse(&serde_json::to_vec(&profile).unwrap(), "profile").unwrap() == profile);
    assert_eq!(base.profile(&texts, "forum", Timestamp::UNIX_EPOCH).unwrap(), profile, "the draws repeat");
}

#[test]
fn many_texts_are_a_reference_by_themselves_and_no_shape_means_none_is_lent() {
    let mut random = Random(8);
    let base = base(&mut random);
    let many = base.profile(&community(&mut random, 2 * SUFFICIENT as u64), "forum", Timestamp::UNIX_EPOCH).unwrap();
    assert!(many.bins().iter().all(|b| b.few.is_empty() && b.documents() == b.human().len()));
    let few = community(&mut random, 60);
    let twice = base.profile(&few, "a", Timestamp::UNIX_EPOCH).unwrap().profile(&few, "b", Timestamp::UNIX_EPOCH).unwrap();
    assert!(twice.bins().iter().all(|b| b.few.is_empty()), "a few-shot profile has no texts to lend a shape from");
    assert_eq!(twice.bins().iter().map(Bin::documents).sum::<usize>(), 60);
}

/// As many as a calibration keeps: a profile of a large forum must be small enough to be read back.
#[test]
fn a_profile_of_very_many_texts_keeps_some_of_them_whatever_they_score() {
    let texts: Vec<Sample> = (0..7000).map(|i| text(i as f64 / 7000., 80, i)).collect();
    let profile = Calibration::for_fake().profile(&texts, "forum", Timestamp::UNIX_EPOCH).unwrap();
    let kinds = profile.kinds.iter().flat_map(Kind::bins);
    assert!(profile.bins().iter().chain(kinds).all(|bin| bin.human().len() == 5000));
    let mean = profile.bins()[0].human().iter().sum::<f32>() / 5000.;
    assert!((mean - 0.5).abs() < 0.01, "they are not chosen by their score: {mean}");
}
