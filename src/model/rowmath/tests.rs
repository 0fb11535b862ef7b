//! The loops against plain computations in f64, at every level of vector instructions.

use super::*;

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed;
    let mut next = || {
        s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((s >> 40) as f32 / (1u64 << 24) as f32) * 16. - 8.
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn exp_is_exact_to_a_few_units_in_the_last_place() {
    for exp in [exp::<PLAIN>, exp::<AVX2>] {
        let error = |x: f32| (f64::from(exp(x)) / f64::from(x).exp() - 1.).abs();
        let worst = (-8700..=8700).map(|i| error(i as f32 / 100.)).fold(0., f64::max);
        assert!(worst < 2.5e-7, "worst relative error {worst:e}");
        assert!(exp(f32::NAN).is_nan());
    }
}

#[test]
fn row_statistics_match_a_plain_f64_computation() {
    at_every_level(|level| {
        for (n, scale) in [(1, 1.), (7, 1.), (16, 0.5), (1000, 1.), (50_257, 0.7)] {
            let row = noise(n, n as u64);
            let target = n / 3;
            let l: Vec<f64> = row.iter().map(|&v| f64::from(v) * f64::from(scale)).collect();
            let top = l.iter().copied().fold(f64::MIN, f64::max);
            let z: f64 = l.iter().map(|v| (v - top).exp()).sum();
            let ln = |v: f64| v - top - z.ln();
            let h: f64 = -l.iter().map(|&v| ln(v).exp() * ln(v)).sum::<f64>();
            let second: f64 = l.iter().map(|&v| ln(v).exp() * ln(v).powi(2)).sum();
            let got = row_statistics(&row, target, scale);
            assert!((f64::from(got.surprisal) + ln(l[target])).abs() < 1e-5, "surprisal, n = {n}, level {level}");
            assert!((f64::from(got.entropy) - h).abs() < 1e-5, "entropy, n = {n}, level {level}");
            assert!((f64::from(got.variance) - (second - h * h)).abs() < 1e-4, "variance, n = {n}, level {level}");
            assert_eq!(row_surprisal(&row, target, scale), got.surprisal, "surprisal alone, n = {n}, level {level}");
            assert_eq!(got.rank as usize, 1 + row.iter().filter(|&&v| v > row[target]).count(), "rank, n = {n}, level {level}");
        }
    });
}

#[test]
fn an_excess_is_the_ratio_less_what_is_expected_of_it() {
    at_every_level(|level| {
        for (n, scale) in [(1, 1.), (7, 1.), (16, 0.5), (1000, 1.), (50_257, 0.7)] {
            let [base, less, more] = [1, 2, 3].map(|seed| noise(n, n as u64 + seed));
            let target = n / 3;
            let log_q = |row: &[f32], scale: f32| -> Vec<f64> {
                let l: Vec<f64> = row.iter().map(|&v| f64::from(v) * f64::from(scale)).collect();
                let z: f64 = l.iter().map(|v| v.exp()).sum();
                l.iter().map(|v| v - z.ln()).collect()
            };
            let ratio: Vec<f64> = log_q(&more, 0.25).iter().zip(log_q(&less, 0.5)).map(|(more, less)| more - less).collect();
            let expected: f64 = log_q(&base, scale).iter().zip(&ratio).map(|(q, ratio)| q.exp() * ratio).sum();
            let got = row_excess((&base, scale), [(&less, 0.5), (&more, 0.25)], target);
            assert!((f64::from(got) - (ratio[target] - expected)).abs() < 1e-5, "n = {n}, level {level}: {got}");
        }
    });
}

#[test]
fn a_certain_row_has_no_entropy_and_no_surprisal() {
    at_every_level(|level| {
        let mut row = vec![-200.; 100];
        row[3] = 200.;
        let certain = row_statistics(&row, 3, 1.);
        assert_eq!((certain.surprisal, certain.rank), (0., 1));
        assert!(certain.entropy < 1e-6 && certain.variance < 1e-6, "{certain:?}, level {level}");
        assert_eq!(row_statistics(&row, 4, 1.).rank, 2);
    });
}

#[test]
fn quantised_rows_come_back_within_half_a_step() {
    at_every_level(|level| {
        for n in [1, 5, 16, 100, 1024] {
            for (zero, least) in [(128, f32::MIN), (16, -0.17), (16, f32::MIN), (1, 0.), (254, f32::MIN)] {
                let row: Vec<f32> = noise(n, 3).into_iter().map(|v| v.max(least)).collect();
                let mut bytes = vec![0; n];
                let scale = quantize_row(&row, zero, &mut bytes);
                for (v, b) in row.iter().zip(&bytes) {
                    let back = (f32::from(*b) - f32::from(zero)) * scale;
                    assert!((v - back).abs() <= scale * 0.501, "{v} became {b} about {zero}, level {level}");
                }
                let ends = |b: &u8| [0, 1, 255].contains(b);
                let all_zero = row.iter().all(|v| *v == 0.);
                assert!(all_zero || bytes.iter().any(ends), "none of {n} numbers about {zero} is at an end, level {level}");
            }
        }
        let mut bytes = [7; 4];
        assert_eq!(quantize_row(&[0.; 4], 128, &mut bytes), 1e-11);
        assert_eq!(bytes, [128; 4]);
    });
}

#[test]
fn normalised_rows_match_a_plain_f64_computation() {
    at_every_level(|level| {
        for n in [1, 5, 16, 100, 768] {
            let (a, b, gamma, beta) = (noise(n, 1), noise(n, 2), noise(n, 3), noise(n, 4));
            let (mut sum, mut out) = (vec![0.; n], vec![0.; n]);
            add_normalise([&a, &b], Affine { gamma: &gamma, beta: &beta, epsilon: 0.01 }, &mut sum, &mut out);
            let s: Vec<f64> = a.iter().zip(&b).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            let mean = s.iter().sum::<f64>() / n as f64;
            let variance = s.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
            for i in 0..n {
                let want = (s[i] - mean) / (variance + 0.01).sqrt() * f64::from(gamma[i]) + f64::from(beta[i]);
                assert!(
                    (f64::from(out[i]) - want).abs() < 2e-5 && (f64::from(sum[i]) - s[i]).abs() < 1e-5,
                    "n = {n}, place {i}: {}, expected {want}, level {level}",
                    out[i]
                );
            }
        }
    });
}

#[test]
fn gelu_matches_its_definition_also_far_out() {
    at_every_level(|level| {
        let x: Vec<f32> = noise(200, 9).into_iter().chain([0., 40., -40., 1e4, -1e4]).collect();
        let (bias, mut out) = (vec![0.25; x.len()], vec![0.; x.len()]);
        scale_bias_gelu(&x, 0.5, &bias, &mut out);
        for (x, got) in x.iter().zip(&out) {
            let v = f64::from(*x) * 0.5 + 0.25;
            let u = (2. / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v.powi(3));
            let want = 0.5 * v * (1. + u.tanh());
            assert!((f64::from(*got) - want).abs() <= 1e-6 * want.abs().max(1.), "gelu({v}) = {got}, expected {want}, level {level}");
        }
    });
}

#[test]
fn what_is_no_number_stays_none() {
    at_every_level(|level| {
        let three = [1., f32::NAN, 2.];
        assert!(row_statistics(&three, 0, 1.).surprisal.is_nan() && row_surprisal(&three, 0, 1.).is_nan(), "level {level}");
        for bad in [f32::NAN, f32::INFINITY] {
            for (n, at) in [(16, 3), (40, 39), (5000, 2100)] {
                let mut row = noise(n, 5);
                row[at] = bad;
                let RowStatistics { surprisal, rank: _, entropy, variance } = row_statistics(&row, 0, 0.5);
                let well = noise(n, 6);
                let excesses = [[&row, &well, &well], [&well, &row, &well], [&well, &well, &row]];
                let excesses = excesses.map(|[base, less, more]| row_excess((base, 1.), [(less, 1.), (more, 1.)], 0));
                assert!(excesses.iter().all(|v| !v.is_finite()), "{bad} at {at} of {n}, level {level}: {excesses:?}");
                let found = [surprisal, entropy, variance, row_surprisal(&row, 0, 0.5)];
                assert!(found.iter().all(|v| v.is_nan()), "{bad} at {at} of {n}, level {level}: {found:?}");
                let scale = quantize_row(&row, 128, &mut vec![0; n]);
                assert!(scale.is_nan() == bad.is_nan() && !scale.is_finite(), "{bad} at {at} of {n}, level {level}: {scale}");
                let mut out = vec![0.; n];
                scale_bias_gelu(&row, 1., &vec![0.; n], &mut out);
                assert!(!out[at].is_finite(), "{bad} at {at} of {n}, level {level}");
            }
        }
    });
}

#[test]
fn a_row_whose_variance_overflows_is_not_normalised_to_the_bias() {
    at_every_level(|level| {
        let (mut x, ones, mut sum, mut out) = (noise(40, 6), vec![1.; 40], vec![0.; 40], vec![0.; 40]);
        x[7] = 1e30;
        add_normalise([&x, &ones], Affine { gamma: &ones, beta: &ones, epsilon: 1e-5 }, &mut sum, &mut out);
        assert!(out.iter().all(|v| v.is_nan()), "level {level}: {out:?}");
    });
}
