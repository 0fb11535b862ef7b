//! Statistics by hand, the fitted score on texts made for it, and numbers at the edge of f32.

use super::*;
use crate::{model::TokenScores, stats::auroc, stats::random::Random};
use proptest::prelude::*;

fn tokens(surprisal: &[f32], rank: &[u32], entropy: &[f32], variance: &[f32]) -> TokenScores {
    let (surprisal, rank, entropy, variance) = (surprisal.to_vec(), rank.to_vec(), entropy.to_vec(), variance.to_vec());
    TokenScores { surprisal, rank, entropy, variance, ..TokenScores::default() }
}

/// Statistics of a text that is one line.
fn of(tokens: TokenScores) -> Option<Statistics> {
    Statistics::of(&tokens, &tokens)
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "expected {expected}, found {found}");
}

#[test]
fn statistics_of_four_tokens_by_hand() {
    let s = of(tokens(&[1., 2., 3., 6.], &[1, 10, 11, 2000], &[2.; 4], &[1., 1., 1., 6.])).unwrap();
    let log_ranks = 10f64.ln() + 11f64.ln() + 2000f64.ln();
    near(s.mean_surprisal_nats, 3.);
    near(s.perplexity, 3f64.exp());
    near(s.mean_log_rank, log_ranks / 4.);
    near(s.lrr.unwrap(), 12. / log_ranks);
    near(s.mean_entropy_nats, 2.);
    near(s.discrepancy.unwrap(), (8. - 12.) / 3.);
    near(s.surprisal_std, 3.5f64.sqrt());
    near(s.surprisal_p10, 1.3);
    near(s.surprisal_p90, 5.1);
    near(s.surprisal_autocorrelation.unwrap(), 2. / 14.); // (-2)(-1) + (-1)(0) + (0)(3)
    assert_eq!(s.rank_fractions, RankFractions { top_10: 0.5, top_100: 0.25, top_1000: 0., rest: 0.25 });
}

#[test]
fn some_statistics_leave_line_breaks_out() {
    let all = tokens(&[50.; 9], &[1; 9], &[50.; 9], &[1.; 9]);
    let in_line = TokenScores {
        ratio_excess: vec![0.5, -0.25, 2., 0.75],
        ..tokens(&[1., 4., 3., 13.], &[1; 4], &[0.5, 1., 6., 5.], &[1., 1., 4., 9.])
    };
    let s = Statistics::of(&all, &in_line).unwrap();
    near(s.surprisal_step.unwrap(), (3. + 1. + 10.) / 3.);
    near(s.surprisal_excess, (1. + 2.) / 4.); // 4 - 1 - 2 sqrt 1, and 13 - 5 - 2 sqrt 9
    near(s.log_likelihood_ratio_excess.unwrap(), 3. / 4.);
    near(s.high_entropy_fraction, 0.25);
    near(s.mean_surprisal_nats, 50.);
    assert_eq!(Statistics::of(&all, &TokenScores::default()), None);
    assert_eq!(of(tokens(&[1.], &[1], &[1.], &[1.])).unwrap().surprisal_step, None);
}

#[test]
fn features_are_these_statistics() {
    let t = TokenScores { ratio_excess: vec![0.25; 4], ..tokens(&[1., 2., 3., 9.], &[1, 10, 11, 2000], &[2., 1., 2., 6.], &[1.; 4]) };
    let s = of(t).unwrap();
    let found = Feature::ALL.map(|feature| (feature, feature.of(&s, 4)));
    let log_rank = (10f64.ln() + 11f64.ln() + 2000f64.ln()) / 4.;
    let expected = [
        (Feature::MeanSurprisal, 3.75),
        (Feature::MeanLogRank, log_rank),
        (Feature::LogLrr, (3.8 / (log_rank + 0.05)).ln()),
        (Feature::MeanEntropy, 2.75),
        (Feature::Curvature, (11. - 15.) / 2. / 2.),
        (Feature::Autocorrelation, s.surprisal_autocorrelation.unwrap()),
        (Feature::SurprisalStep, 8. / 3.),
        (Feature::SurprisalExcess, 1. / 4.),
        (Feature::HighEntropy, 0.25),
        (Feature::LogLikelihoodRatioExcess, 0.25),
    ];
    for ((feature, found), (name, expected)) in found.into_iter().zip(expected) {
        assert!(feature == name && (found - expected).abs() < 1e-6, "{feature:?}: expected {name:?}, {expected}, found {found}");
    }
}

#[test]
fn rank_buckets_have_glt_rs_edges() {
    let s = of(tokens(&[1.; 6], &[10, 11, 100, 101, 1000, 1001], &[1.; 6], &[1.; 6])).unwrap();
    let sixth = 1. / 6.;
    assert_eq!(s.rank_fractions, RankFractions { top_10: sixth, top_100: 2. / 6., top_1000: 2. / 6., rest: sixth });
}

#[test]
fn undefined_statistics_are_null() {
    let s = of(tokens(&[0.; 3], &[1; 3], &[0.; 3], &[0.; 3])).unwrap();
    assert_eq!((s.lrr, s.discrepancy, s.surprisal_autocorrelation), (None, None, None));
    assert!(ScoreName::ALL.iter().all(|name| name.of(&s).is_none_or(f64::is_finite)));
    assert_eq!(ScoreModel::Plain(ScoreName::Discrepancy).score(&s, 3), 0.);
    assert_eq!(of(TokenScores::default()), None);
}

#[test]
fn a_model_that_overflowed_gives_no_statistics() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(of(tokens(&[1., bad], &[1, 2], &[1.; 2], &[1.; 2])), None);
        assert_eq!(of(tokens(&[1.; 2], &[1, 2], &[1., bad], &[1.; 2])), None);
        assert_eq!(of(tokens(&[1.; 2], &[1, 2], &[1.; 2], &[bad, 1.])), None);
        let branches =
            TokenScores { human_surprisal: vec![1., bad], machine_surprisal: vec![1.; 2], ..tokens(&[1.; 2], &[1, 2], &[1.; 2], &[1.; 2]) };
        assert_eq!(of(branches), None);
        assert_eq!(of(TokenScores { ratio_excess: vec![1., bad], ..tokens(&[1.; 2], &[1, 2], &[1.; 2], &[1.; 2]) }), None);
    }
}

#[test]
fn plain_scores_rise_when_text_gets_more_predictable() {
    let branched = |t: TokenScores, by_human: [f32; 3], by_machine: [f32; 3]| {
        let (human_surprisal, machine_surprisal) = (by_human.to_vec(), by_machine.to_vec());
        let ratio_excess = by_human.iter().zip(by_machine).map(|(human, machine)| human - machine - 0.5).collect();
        of(TokenScores { human_surprisal, machine_surprisal, ratio_excess, ..t }).unwrap()
    };
    let human = branched(tokens(&[1., 9., 5.], &[1, 5000, 90], &[4.; 3], &[4.; 3]), [1., 7., 5.], [1., 9., 6.]);
    let machine = branched(tokens(&[1., 1.5, 0.5], &[1, 2, 1], &[3.; 3], &[4.; 3]), [1.5, 2.5, 0.5], [1., 1., 0.5]);
    near(machine.log_likelihood_ratio.unwrap(), 2. / 3.);
    near(machine.log_likelihood_ratio_std.unwrap(), ((0.25 + 2.25) / 3. - 4. / 9f64).sqrt());
    for name in ScoreName::ALL {
        assert!(name.of(&machine) > name.of(&human), "{name:?}");
    }
}

/// Texts whose surprisal has this mean and spread; the same generator makes all lengths.
fn text(random: &mut Random, length: usize, mean: f64, spread: f64) -> Statistics {
    let surprisal: Vec<f32> = (0..length).map(|_| (mean + spread * random.normal()).abs() as f32).collect();
    let rank = surprisal.iter().map(|s| 1 + s.exp() as u32).collect();
    let entropy = surprisal.iter().map(|s| 2. + s / 4.).collect();
    of(TokenScores { variance: vec![4.; length], rank, entropy, surprisal, ..TokenScores::default() }).unwrap()
}

/// Human in the middle, machine on both sides of it: one statistic with one direction cannot tell them apart.
fn both_tails(seed: u64, count: usize) -> Vec<(Statistics, usize, bool)> {
    let mut random = Random(seed);
    let one = |i: usize| {
        let length = 16 + (random.bits() % 200) as usize;
        let own = 0.2 * random.normal();
        let mean = if i.is_multiple_of(2) {
            3.
        } else if i % 4 == 1 {
            2.
        } else {
            4.
        };
        (text(&mut random, length, mean + own, 1.5), length, i % 2 == 1)
    };
    (0..count).map(one).collect()
}

fn fit(texts: &[(Statistics, usize, bool)]) -> FittedScore {
    let row = |(statistics, tokens, machine): &(Statistics, usize, bool)| (statistics.to_owned(), *tokens, *machine);
    let rows: Vec<_> = texts.iter().map(row).collect();
    let rows: Vec<TrainingRow<'_>> = rows
        .iter()
        .map(|(statistics, tokens, machine)| TrainingRow { statistics, tokens: *tokens, machine: *machine, weight: 1. })
        .collect();
    FittedScore::fit(&rows, 1e-3).unwrap()
}

fn area(texts: &[(Statistics, usize, bool)], score: impl Fn(&Statistics, usize) -> f64) -> f64 {
    let of = |wanted: bool| texts.iter().filter(|t| t.2 == wanted).map(|t| score(&t.0, t.1)).collect::<Vec<_>>();
    auroc(&of(false), &of(true)).unwrap()
}

#[test]
fn the_fitted_score_uses_both_tails() {
    let score = fit(&both_tails(1, 1200));
    let fresh = both_tails(2, 800);
    let fitted = area(&fresh, |s, t| score.score(s, t));
    let plain = area(&fresh, |s, _| -s.mean_surprisal_nats);
    assert!(fitted > 0.9, "fitted {fitted}");
    let level = |t: &Term| Term { tail_weight: 0., ..t.clone() };
    let tails = |t: &Term| Term { weight: 0., length_weight: 0., ..t.clone() };
    let only = |of: &dyn Fn(&Term) -> Term| {
        let only = FittedScore { terms: score.terms.iter().map(of).collect(), ..score.clone() };
        area(&fresh, |s, t| only.score(s, t))
    };
    let (one_sided, tails) = (only(&level), only(&tails));
    assert!(tails > 0.95 && one_sided < fitted - 0.01, "the tails must carry it: {one_sided} without them, {tails} by them, {fitted} with");
    assert!((plain - 0.5).abs() < 0.1, "the likelihood must fail here, or the test shows nothing: {plain}");
}

/// People of a kind that the fit has not seen lie further out than any text of its own; that alone is no evidence.
#[test]
fn what_is_far_from_usual_adds_at_most_a_tails_weight() {
    let fitted = fit(&both_tails(1, 1200));
    let level = |t: &Term| Term { weight: 0., length_weight: 0., ..t.clone() };
    let tails = FittedScore { intercept: 0., terms: fitted.terms.iter().map(level).collect(), ..fitted.clone() };
    let weights: f64 = fitted.terms.iter().map(|t| t.tail_weight.abs()).sum();
    let far = |mean: f64| tails.score(&text(&mut Random(4), 200, mean, 1.5), 200);
    assert!((far(15.) - far(10.)).abs() < 0.1 * weights, "10 nats {}, 15 nats {}", far(10.), far(15.));
    assert!(far(15.).abs() <= weights, "{} against weights of {weights} in all", far(15.));
}

/// Fitted on long texts alone, a score does not go astray on short ones: what it knows of the shortest of the fit stands for them. Without this
/// the largest of these scores is 155.
#[test]
fn a_score_of_long_texts_is_moderate_on_short_ones() {
    let mut random = Random(9);
    let texts = |machine: bool, random: &mut Random| -> Vec<_> {
        let mean = if machine { 2.4 } else { 3. };
        (0..300).map(|i| (text(random, 130 + i, mean, 1.5), 130 + i, machine)).collect()
    };
    let score = fit(&[texts(false, &mut random), texts(true, &mut random)].concat());
    assert_eq!(score.shortest, 130);
    let largest = |tokens: usize, random: &mut Random| {
        let scores = (0..200).map(|_| score.score(&text(random, tokens, 3., 1.5), tokens).abs());
        scores.fold(0., f64::max)
    };
    let (long, short) = (largest(200, &mut random), largest(12, &mut random));
    println!("largest score of a human text: {long} of 200 tokens, {short} of 12");
    assert!(short < 4. * long, "{long} of 200 tokens, {short} of 12");
    let json = serde_json::to_value(&score).unwrap();
    assert!(json["shortest"] == 130 && serde_json::from_value::<FittedScore>(json).unwrap() == score);
}

/// Among human texts the standardised features have mean 0 and deviation 1 at every length.
#[test]
fn features_are_standardised_along_length() {
    let mut random = Random(5);
    let mut humans =
        |length: usize, count: usize| (0..count).map(|_| (text(&mut random, length, 3., 1.5), length, false)).collect::<Vec<_>>();
    let mut texts: Vec<_> = [10, 20, 40, 80, 160, 320].into_iter().flat_map(|length| humans(length, 150)).collect();
    let fresh = [10usize, 40, 320].map(|length| humans(length, 400));
    texts.extend(both_tails(6, 200).into_iter().filter(|t| t.2));
    let mut score = fit(&texts);
    let term = score.terms.iter().find(|t| t.feature == Feature::MeanSurprisal).unwrap().clone();
    score = FittedScore { intercept: 0., shortest: 8, terms: vec![Term { weight: 1., tail_weight: 0., length_weight: 0., ..term }] };
    for texts in fresh {
        let z: Vec<f64> = texts.iter().map(|(s, t, _)| score.score(s, *t)).collect();
        let (m, sd) = (crate::stats::mean(&z).unwrap(), crate::stats::standard_deviation(&z).unwrap());
        assert!(m.abs() < 0.2 && (sd - 1.).abs() < 0.2, "{} tokens: mean {m}, deviation {sd}", texts[0].1);
    }
}

#[test]
fn the_fit_is_deterministic_and_its_numbers_survive_json() {
    let texts = both_tails(3, 300);
    let score = fit(&texts);
    assert_eq!(score, fit(&texts));
    let back: ScoreModel = serde_json::from_str(&serde_json::to_string(&ScoreModel::Fitted(score.clone())).unwrap()).unwrap();
    assert_eq!(back, ScoreModel::Fitted(score));
}

/// Two kinds of text that differ in nothing but the branches' ratio.
fn by_ratio(seed: u64, count: usize) -> Vec<(Statistics, usize, bool)> {
    let mut random = Random(seed);
    let one = |i: usize| {
        let machine = i % 2 == 1;
        let ratio = if machine { 0.3 } else { -0.3 } + 0.2 * random.normal();
        (Statistics { log_likelihood_ratio_excess: Some(ratio), ..text(&mut random, 60, 3., 1.5) }, 60, machine)
    };
    (0..count).map(one).collect()
}

#[test]
fn the_branches_ratio_is_fitted_where_every_text_has_it_and_only_there() {
    let mut texts = by_ratio(4, 400);
    let score = fit(&texts);
    assert_eq!(score.terms.len(), Feature::ALL.len());
    assert!(area(&by_ratio(5, 400), |s, t| score.score(s, t)) > 0.95);
    texts[17].0.log_likelihood_ratio_excess = None;
    let score = fit(&texts);
    assert!(score.terms.iter().all(|t| t.feature != Feature::LogLikelihoodRatioExcess));
    assert_eq!(score.terms.len(), Feature::ALL.len() - 1);
}

#[test]
fn one_class_is_refused_and_equal_texts_do_not_break_the_fit() {
    let s = text(&mut Random(9), 30, 3., 1.);
    let row = |machine| TrainingRow { statistics: &s, tokens: 30, machine, weight: 1. };
    assert_eq!(FittedScore::fit(&[row(false); 5], 1e-3), Err(ScoreFitError::OneClass { human: 5, machine: 0 }));
    let same = FittedScore::fit(&[row(false), row(false), row(true), row(true)], 1e-3).unwrap();
    assert!(same.is_sound() && same.score(&s, 30).abs() < 1e-6, "texts that are all equal have odds 1");
}

proptest! {
    /// Whatever finite numbers a model gives, every statistic is a number and every score too.
    #[test]
    fn no_statistic_is_ever_nan(rows in prop::collection::vec((0f32..f32::MAX, any::<u32>(), 0f32..f32::MAX, 0f32..f32::MAX), 1..40)) {
        let t = TokenScores {
            surprisal: rows.iter().map(|r| r.0).collect(),
            rank: rows.iter().map(|r| r.1).collect(),
            entropy: rows.iter().map(|r| r.2).collect(),
            variance: rows.iter().map(|r| r.3).collect(),
            ..TokenScores::default()
        };
        let s = Statistics::of(&t, &t).unwrap();
        let json = serde_json::to_value(s).unwrap();
        for (name, value) in json.as_object().unwrap() {
            let may_be_null = ["lrr", "discrepancy", "surprisal_autocorrelation", "surprisal_step"].contains(&name.as_str());
            prop_assert!(!value.is_null() || may_be_null || name.starts_with("log_likelihood_ratio"), "{name} is null: not finite");
        }
        let f = s.rank_fractions;
        prop_assert!((f.top_10 + f.top_100 + f.top_1000 + f.rest - 1.).abs() < 1e-9);
        prop_assert!(Feature::ALL.iter().all(|feature| feature.of(&s, t.len()).is_finite()));
        let fitted = crate::calibration::Calibration::for_fake();
        prop_assert!(fitted.score_model().score(&s, t.len()).is_finite());
    }
}
