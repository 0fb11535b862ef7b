//! Certified numbers, and the promises of p-values and of their bounds by simulation.

use super::random::Random;
use super::*;
use proptest::prelude::*;
use statrs::distribution::{Beta, ContinuousCDF};

fn uniform_sorted(random: &mut Random, n: usize) -> Vec<f32> {
    let mut scores: Vec<f32> = (0..n).map(|_| random.uniform() as f32).collect();
    scores.sort_unstable_by(f32::total_cmp);
    scores
}

#[test]
fn p_value_counts_reference_scores_at_or_above() {
    let sorted = [1., 2., 2., 3.];
    assert_eq!(p_value(&sorted, 9.), 1. / 5.);
    assert_eq!(p_value(&sorted, 3.), 2. / 5.);
    assert_eq!(p_value(&sorted, 2.), 4. / 5., "ties count against the score");
    assert_eq!(p_value(&sorted, 0.), 1.);
    assert_eq!(p_value(&[], 0.), 1.);
    assert_eq!(p_value_low(&sorted, 2.), 4. / 5.);
    assert_eq!(p_value_low(&sorted, 0.), 1. / 5.);
}

/// Certified by the binomial identity P(Beta(k, n + 1 - k) <= x) = P(Binomial(n, x) >= k), summed in exact arithmetic elsewhere.
#[test]
fn rate_upper_bound_gives_certified_numbers() {
    for (n, expected) in [(200, 0.077_210_975_017), (500, 0.066_843_284_081)] {
        let found = rate_upper_bound(n, 0.05, 0.95);
        assert!((found - expected).abs() < 1e-9, "n={n}: expected {expected}, found {found}");
    }
    for (n, published) in [(200, 0.0773), (500, 0.0667), (2000, 0.0582), (10000, 0.0536)] {
        let found = rate_upper_bound(n, 0.05, 0.95);
        assert!((found - published).abs() < 1.5e-4, "n={n}: published {published}, found {found:.5}");
    }
}

/// The quantile is an iterative approximation in statrs: its own distribution function must agree wherever a calibration may ask.
#[test]
fn rate_upper_bound_is_the_beta_quantile_everywhere() {
    for n in [19usize, 36, 100, 199, 1000, 1999, 4999, 50_000] {
        for level in [0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9] {
            let k = (level * (n + 1) as f64 + 1e-9).floor();
            let found = rate_upper_bound(n, level, 0.95);
            if k == 0. {
                assert_eq!(found, 0.);
                continue;
            }
            let reached = Beta::new(k, n as f64 + 1. - k).unwrap().cdf(found);
            assert!((reached - 0.95).abs() < 1e-6, "n={n} level={level}: {found} is the {reached} quantile");
        }
    }
}

#[test]
fn rate_upper_bound_counts_p_values_as_they_are_divided() {
    // 0.29 * 100 is 28.999999999999996 in f64, but 29 / 100 <= 0.29.
    assert_eq!(rate_upper_bound(99, 0.29, 0.95), rate_upper_bound(99, 0.295, 0.95));
    assert_eq!(rate_upper_bound(9, 0.05, 0.95), 0., "no p-value can be that small");
    assert_eq!(rate_upper_bound(9, 1., 0.95), 1.);
    assert_eq!(rate_upper_bound(0, 0.5, 0.95), 0.);
}

/// The marginal promise: over calibration sets, P(p <= q) <= q.
#[test]
fn p_values_are_valid_over_calibration_sets() {
    let mut random = Random(1);
    let sets = 8_000;
    for (n, q) in [(99, 0.01), (99, 0.05), (37, 0.1), (200, 0.5)] {
        let hits = (0..sets).filter(|_| {
            let sorted = uniform_sorted(&mut random, n);
            p_value(&sorted, random.uniform() as f32) <= q
        });
        let rate = hits.count() as f64 / f64::from(sets);
        let error = (q * (1. - q) / f64::from(sets)).sqrt();
        assert!(rate <= q + 3. * error, "n={n} q={q}: rate {rate}");
    }
}

/// The conditional promise: given the set, the true rate exceeds the bound in at most 5% of sets. The level itself fails that.
#[test]
fn true_rate_given_the_set_is_bounded() {
    let mut random = Random(2);
    let (sets, n, q) = (2000, 500, 0.05);
    let k = (q * f64::from(n + 1)) as usize;
    // With uniform scores, {p <= q} is {score > the k-th largest}: its true rate is known exactly.
    let rates: Vec<f64> = (0..sets).map(|_| 1. - f64::from(uniform_sorted(&mut random, n as usize)[n as usize - k])).collect();
    let exceeding = |bound: f64| rates.iter().filter(|&&rate| rate > bound).count() as f64 / f64::from(sets);
    let error = (0.05 * 0.95 / f64::from(sets)).sqrt();
    assert!(exceeding(rate_upper_bound(n as usize, q, 0.95)) <= 0.05 + 3. * error);
    assert!(exceeding(q) > 0.3, "the planted fault (the level in place of its bound) must be seen");
}

#[test]
fn descriptive_numbers_of_known_lists() {
    let values = [1., 2., 3., 4.];
    assert_eq!(mean(&values), Some(2.5));
    assert_eq!(standard_deviation(&values), Some(1.25f64.sqrt()));
    assert_eq!(quantile(&values, 0.5), Some(2.5));
    assert_eq!(quantile(&values, 0.), Some(1.));
    assert_eq!(quantile(&values, 1.), Some(4.));
    assert!((quantile(&values, 0.1).unwrap() - 1.3).abs() < 1e-12);
    assert_eq!(autocorrelation(&values), Some(0.25)); // (0.75 - 0.25 + 0.75) / 5
    assert_eq!(autocorrelation(&[2., 2., 2.]), None);
    assert_eq!((mean(&[]), standard_deviation(&[]), quantile(&[], 0.5), autocorrelation(&[])), (None, None, None, None));
    assert_eq!(standard_deviation(&[7.]), Some(0.));
}

#[test]
fn auroc_and_tpr_of_known_lists() {
    assert_eq!(auroc(&[1., 2.], &[3., 4.]), Some(1.));
    assert_eq!(auroc(&[1., 2.], &[2., 3.]), Some(0.875), "a tie is half a win");
    assert_eq!(auroc(&[1.], &[1.]), Some(0.5));
    assert_eq!(auroc(&[], &[1.]), None);
    assert_eq!(auroc(&[f64::NAN], &[1.]), None);
    let human: Vec<f64> = (0..100).map(f64::from).collect();
    assert_eq!(tpr_at_fpr(&human, &[98., 98.5, 99., 100.], 0.01), Some(0.75), "above 98 lies one human score of 100");
    assert_eq!(tpr_at_fpr(&human, &[98., 99.5], 0.), Some(0.5));
    assert_eq!(tpr_at_fpr(&[5.; 10], &[5., 6.], 0.5), Some(0.5), "ties are never split");
    assert_eq!(tpr_at_fpr(&human, &[1.], 1.), Some(1.));
    assert_eq!(tpr_at_fpr(&human, &[], 0.1), None);
}

#[test]
fn least_squares_finds_a_line() {
    let values = [1., 0., 1., 1., 1., 2., 1., 9.];
    let rows = Rows { values: &values, width: 2, weights: &[1., 2., 1., 0.] };
    let b = least_squares(rows, &[1., 3., 5., 1000.], 0.).unwrap();
    assert!((b[0] - 1.).abs() < 1e-12 && (b[1] - 2.).abs() < 1e-12, "{b:?}: a row of weight 0 must not count");
    let singular = Rows { values: &[1., 1., 1., 1.], width: 2, weights: &[1., 1.] };
    assert_eq!(least_squares(singular, &[1., 1.], 0.), None);
}

/// Certified by hand: with one 0/1 column the estimate is the log odds of each group.
#[test]
fn logistic_gives_log_odds() {
    let values = [1., 0., 1., 0., 1., 1., 1., 1.];
    let labels = [true, false, true, false];
    let weights = [1., 3., 8., 2.];
    let b = logistic(Rows { values: &values, width: 2, weights: &weights }, &labels, 0.).unwrap();
    assert!((b[0] - (1f64 / 3.).ln()).abs() < 1e-6, "{b:?}");
    assert!((b[0] + b[1] - 4f64.ln()).abs() < 1e-6, "{b:?}");
}

#[test]
fn logistic_recovers_its_own_model_and_survives_separation() {
    let mut random = Random(3);
    let truth = [-0.5, 1.5, -1.];
    let values: Vec<f64> = (0..6000).flat_map(|_| [1., random.normal(), random.normal()]).collect();
    let labels: Vec<bool> = values
        .chunks(3)
        .map(|x| {
            let odds: f64 = x.iter().zip(truth).map(|(x, b)| x * b).sum();
            random.uniform() < 1. / (1. + (-odds).exp())
        })
        .collect();
    let weights = vec![1.; labels.len()];
    let b = logistic(Rows { values: &values, width: 3, weights: &weights }, &labels, 1e-6).unwrap();
    assert!(b.iter().zip(truth).all(|(b, t)| (b - t).abs() < 0.15), "{b:?}");

    let values = [1., -1e6, 1., -2., 1., 2., 1., 1e6];
    let b = logistic(Rows { values: &values, width: 2, weights: &[1.; 4] }, &[false, false, true, true], 1e-3).unwrap();
    assert!(b.iter().all(|b| b.is_finite()) && b[1] > 0., "{b:?}");
    assert_eq!(logistic(Rows { values: &values, width: 2, weights: &[0.; 4] }, &[false; 4], 1e-3), None);
}

/// With two cells the mean is a beta variable between the gains: the quantile is known.
#[test]
fn the_bound_of_a_mean_over_two_cells_is_the_quantile_of_a_beta() {
    for (n, level) in [(50, 0.02), (99, 0.01), (300, 0.01), (300, 0.5), (5000, 0.05)] {
        for confidence in [0.9, 0.95, 0.9875, 0.999] {
            let shapes = reference_shapes(n, &[level], false);
            let found = mean_upper_bound(&shapes, &[7., 0.5], confidence);
            let exact = 0.5 + 6.5 * rate_upper_bound(n, level, confidence);
            assert!(found >= exact * (1. - 1e-3) && found < exact * 1.02, "{n} {level} {confidence}: {found}, exact {exact}");
        }
    }
    assert_eq!(reference_shapes(300, &[0.01, 0.05, 0.2, 0.5], false), [3., 12., 45., 90., 151.]);
    assert_eq!(reference_shapes(30, &[0.01, 0.05, 0.2, 0.5], false), [0., 1., 5., 9., 16.]);
    assert_eq!(reference_shapes(30, &[0.01, 0.05, 0.2, 0.5], true), [1., 0., 5., 9., 16.]);
    assert_eq!(mean_upper_bound(&[0., 1., 9.], &[50., 1., 1.], 0.95), 1., "a cell that never comes, and nothing to bet on");
}

/// The part of drawn means that are above the bound is what it may be, from cells of a single reference score on.
#[test]
fn the_bound_of_a_mean_is_broken_as_often_as_it_may_be() {
    const DRAWS: usize = 100_000;
    let mut random = Random(17);
    let gamma = |random: &mut Random, shape: f64| -> f64 { (0..shape as usize).map(|_| -random.uniform().ln()).sum() };
    for (shapes, gains) in [
        ([3., 12., 45., 90., 151.], [30., 5., 1.5, 0.6, 0.3]),
        ([1., 1., 8., 15., 26.], [50., 10., 2., 0.5, 0.1]),
        ([1., 0., 5., 9., 16.], [50., 50., 2., 0.5, 0.02]),
        ([20., 1., 1., 200., 1.], [1.2, 1.2, 1.1, 1., 0.9]),
    ] {
        let means: Vec<f64> = (0..DRAWS)
            .map(|_| {
                let drawn = shapes.map(|shape| gamma(&mut random, shape));
                drawn.iter().zip(gains).map(|(p, g)| p * g).sum::<f64>() / drawn.iter().sum::<f64>()
            })
            .collect();
        for error in [0.05, 0.0125] {
            let bound = mean_upper_bound(&shapes, &gains, 1. - error);
            let above = means.iter().filter(|&&mean| mean > bound).count() as f64 / DRAWS as f64;
            let noise = 3. * (error / DRAWS as f64).sqrt();
            assert!(above < error + noise && above > 0.9 * error - noise, "{shapes:?} {error}: above in {above}");
        }
    }
}

proptest! {
    /// The two tails cover every reference score, and ties twice.
    #[test]
    fn tails_add_up(mut scores in prop::collection::vec(-3i8..3, 0..40), score in -3i8..3) {
        scores.sort_unstable();
        let sorted: Vec<f32> = scores.iter().map(|&s| f32::from(s)).collect();
        let ties = scores.iter().filter(|&&s| s == score).count() as f64;
        let n = scores.len() as f64;
        let sum = p_value(&sorted, f32::from(score)) + p_value_low(&sorted, f32::from(score));
        prop_assert!((sum - (n + 2. + ties) / (n + 1.)).abs() < 1e-12);
    }
}
