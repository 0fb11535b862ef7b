//! Bets, detectors, confidence sequences and e-BH: known numbers, and their promises over many seeded streams.

use super::random::Random;
use super::*;
use proptest::prelude::*;

/// First time that a mixture of fixed bets on one level crosses, in a stream of `x` with this null mean; `most` where it never does.
fn crossing(m0: f64, log_threshold: f64, most: u64, mut x: impl FnMut(u64) -> bool) -> u64 {
    // Geometric in the stake lambda m0, as STATISTICS 4 has it.
    let stakes = [0.5, 0.25, 0.125, 0.0625, 0.03125];
    let bets = stakes.map(|stake| (1. + stake / m0 * (1. - m0), 1. - stake));
    let mut log_r = [f64::NEG_INFINITY; 5];
    for t in 1..=most {
        let hit = x(t);
        for (log_r, bet) in log_r.iter_mut().zip(bets) {
            *log_r = e_sr(*log_r, if hit { bet.0 } else { bet.1 }.ln());
        }
        let mixed = log_r.iter().copied().fold(f64::NEG_INFINITY, log_add) - 5f64.ln();
        if mixed >= log_threshold {
            return t;
        }
    }
    most
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// STATISTICS 4's table of median delays, by the same method: e-SR, one level, fixed bets mixed, null mean q.
#[test]
fn delays_are_those_of_the_published_table() {
    let table = [
        (0.05, 0.29, 0., [(1.0, 24), (0.5, 68), (0.3, 138)]),
        (0.05, 0.69, 0., [(1.0, 7), (0.5, 16), (0.3, 32)]),
        (0.01, 0.48, 0., [(1.0, 6), (0.5, 14), (0.3, 26)]),
    ];
    let mut random = Random(11);
    for (q, found, base, rows) in table {
        for (share, published) in rows {
            let rate = (1. - share) * q + share * found;
            let m0 = (1. - base) * q + base * found;
            let delays = (0..1000).map(|_| crossing(m0, 1e4f64.ln(), 5000, |_| random.uniform() < rate)).collect();
            let found_delay = median(delays);
            println!("q={q} beta={found} share={share}: published {published}, found {found_delay}");
            let apart = (found_delay as f64 - f64::from(published)).abs();
            assert!(apart <= 2. + 0.15 * f64::from(published), "q={q} share={share}: published {published}, found {found_delay}");
        }
    }
}

#[test]
fn factors_of_one_level_are_the_betting_increment() {
    let (m0, gains) = (0.05, [4., 0.5]);
    let found = factors(&gains, &[m0]);
    let lambda = (gains[0] - gains[1]) / (gains[1] + (gains[0] - gains[1]) * m0);
    assert!((found[0] - (1. + lambda * (1. - m0))).abs() < 1e-12);
    assert!((found[1] - (1. - lambda * m0)).abs() < 1e-12);
    assert_eq!(factors(&[1., 1., 1.], &[0.1, 0.3]), [1., 1., 1.]);
}

#[test]
fn gains_are_likelihood_ratios_made_monotone_and_held() {
    assert_eq!(likelihood_gains(&[0.3, 0.8], &[0.1, 0.6], true), [0.3 / 0.1, (0.8 - 0.3) / (0.6 - 0.1), (1. - 0.8) / (1. - 0.6)]);
    let falling = likelihood_gains(&[0.05, 0.9], &[0.1, 0.6], true);
    assert_eq!(falling[0], falling[1], "a dip before a peak is levelled up");
    let rising = likelihood_gains(&[0.1, 0.2], &[0.2, 0.3], false);
    assert!(rising.is_sorted(), "{rising:?}");
    assert_eq!(likelihood_gains(&[1.], &[1e-9], true)[0], 50.);
    assert_eq!(likelihood_gains(&[0.], &[0.], true), [1., 1.]);
    assert_eq!([0.01, 0.0100001, 0.5, 0.50001, 1.].map(|p| cell(&[0.01, 0.05, 0.2, 0.5], p)), [0, 1, 3, 4, 4]);
}

proptest! {
    /// The mean of the factors is at most 1 for every distribution on the right side of the bounds, and 1 on the boundary.
    #[test]
    fn factors_have_mean_at_most_one(bounds in prop::collection::vec(0.001..0.999f64, 4), tops in prop::collection::vec(0.0..1.0f64, 4),
                                     shrink in 0.0..1.0f64) {
        let sorted = |mut list: Vec<f64>| { list.sort_by(f64::total_cmp); list };
        let (bounds, tops) = (sorted(bounds), sorted(tops));
        for falling in [true, false] {
            let factors = factors(&likelihood_gains(&tops, &bounds, falling), &bounds);
            let mean = |truth: &[f64]| cells(truth).zip(&factors).map(|(p, f)| p * f).sum::<f64>();
            prop_assert!((mean(&bounds) - 1.).abs() < 1e-9);
            let inside: Vec<f64> = bounds.iter().map(|b| if falling { b * shrink } else { 1. - (1. - b) * shrink }).collect();
            prop_assert!(mean(&inside) <= 1. + 1e-9);
        }
    }

    /// After a document the stakes placed and the rest add up to 1.
    #[test]
    fn onset_weights_add_up(t in 1u64..3000) {
        let placed: f64 = (1..=t).map(onset_weight).sum();
        prop_assert!((placed + onset_rest(t) - 1.).abs() < 1e-9);
    }
}

/// E[time to the first alarm] >= A, on 2,000 null streams at the very bound; the mean of what was seen until `most` is a lower bound of it.
#[test]
fn average_run_length_is_at_least_what_is_promised() {
    let (a, most, mut random) = (200., 4000, Random(12));
    let times = (0..2000).map(|_| crossing(0.05, f64::ln(a), most, |_| random.uniform() < 0.05));
    let mean = times.sum::<u64>() as f64 / 2000.;
    assert!(mean >= a, "mean time to alarm {mean}, promised {a}");
}

#[test]
fn a_bet_that_learns_gains_on_the_alternative_and_not_on_the_null() {
    let mut random = Random(13);
    let mut run = |rate: f64, n: usize| {
        let (mut agrapa, mut ons, mut logs) = (Agrapa::default(), Ons::default(), [0f64; 2]);
        for _ in 0..n {
            let x = f64::from(u8::from(random.uniform() < rate));
            logs[0] += agrapa.observe(x, 0.05).ln();
            logs[1] += ons.observe(x, 0.05).ln();
        }
        logs
    };
    let flood = run(0.3, 200);
    assert!(flood.iter().all(|&log| log > 10.), "{flood:?}");
    let streams: Vec<[f64; 2]> = (0..4000).map(|_| run(0.05, 50)).collect();
    for i in 0..2 {
        let values: Vec<f64> = streams.iter().map(|logs| logs[i].exp()).collect();
        let (mean, sd) = (mean(&values).unwrap(), standard_deviation(&values).unwrap());
        assert!(mean <= 1. + 3. * sd / 4000f64.sqrt(), "bet {i}: mean e-value {mean}");
    }
}

#[test]
fn detectors_never_overflow() {
    for log_r in [f64::NEG_INFINITY, -1e9, 0., 700., 1e9, 1e300] {
        for log_factor in [-1e9, -0.5, 0., 3.9] {
            let (r, c) = (e_sr(log_r, log_factor), e_cusum(log_r, log_factor));
            assert!(r.is_finite() && c.is_finite() && c <= r, "{log_r} {log_factor}: {r} {c}");
        }
    }
    assert_eq!(e_sr(f64::NEG_INFINITY, 2f64.ln()), 2f64.ln(), "R = L (1 + 0)");
    assert!((e_sr(3f64.ln(), 2f64.ln()) - 8f64.ln()).abs() < 1e-12, "R = 2 (1 + 3)");
    assert_eq!(log_add(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
    assert!(onset_weight(u64::MAX) > 0. && onset_rest(u64::MAX) > 0. && onset_weight(1_000_000_000) < 1e-18);
}

/// Clopper & Pearson's bounds, certified by the binomial tail: P(Binomial(20, 0.0866) >= 5) = 0.025 and P(Binomial(20, 0.4910) <= 5) = 0.025.
#[test]
fn proportions_are_bounded() {
    let (low, high) = proportion_interval(5, 20, 0.95);
    assert!((low - 0.0866).abs() < 1e-4 && (high - 0.4910).abs() < 1e-4, "{low} {high}");
    assert_eq!(proportion_interval(0, 0, 0.95), (0., 1.));
    let (none, all) = (proportion_interval(0, 10, 0.9), proportion_interval(10, 10, 0.9));
    assert!(none.0 == 0. && (none.1 - (1. - 0.05f64.powf(0.1))).abs() < 1e-9, "{none:?}");
    assert!(all.1 == 1. && (all.0 - 0.05f64.powf(0.1)).abs() < 1e-9, "{all:?}");
    assert!(rate_lower_bound(2000, 0.05, 0.95) < 0.05 && rate_lower_bound(2000, 0.05, 0.95) > 0.04);
    assert_eq!(
        (rate_lower_bound(9, 0.05, 0.95), rate_lower_bound(9, 1., 0.95), mean_rate(9, 0.05), mean_rate(99, 0.05)),
        (0., 1., 0., 0.05)
    );
}

/// Garwood's table: 0 gives 3.00 (one-sided 95%), 1 gives 0.0253 to 5.572, 10 gives 4.795 to 18.39.
#[test]
fn counts_are_bounded() {
    for (count, low, high) in [(0, 0., 2.9957), (1, 0.0253, 5.572), (10, 4.795, 18.39)] {
        let found = poisson_bounds(count, 0.95);
        assert!((found.0 - low).abs() < 1e-3 && (found.1 - high).abs() < 1e-2, "{count}: {found:?}");
    }
}

/// The bound is right at all times together, also where the mean moves: 2,000 streams of 1,500 each.
#[test]
fn confidence_sequence_covers_a_moving_mean() {
    let (alpha, mut random) = (0.1, Random(14));
    let mut missed = 0;
    for stream in 0..2000 {
        let (mut hits, mut sum, mut outside) = (0, 0., false);
        for n in 1..=1500u64 {
            let mean = match stream % 3 {
                0 => 0.05,
                1 => {
                    if n % 200 < 100 {
                        0.02
                    } else {
                        0.3
                    }
                }
                // A mean that answers the past: a hit makes the next likely.
                _ => {
                    if hits % 2 == 1 {
                        0.5
                    } else {
                        0.03
                    }
                }
            };
            sum += mean;
            hits += u64::from(random.uniform() < mean);
            let (low, high) = mean_bounds(hits, n, alpha);
            outside |= !(low..=high).contains(&(sum / n as f64));
        }
        missed += u64::from(outside);
    }
    let rate = missed as f64 / 2000.;
    assert!(rate <= alpha, "{rate} of the streams left their interval");
    let (low, high) = mean_bounds(500, 10_000, 0.05);
    assert!(high - low < 0.022, "{low} {high}: wider than a useful interval");
    assert_eq!((mean_lower_bound(0, 10, 0.05), mean_bounds(0, 0, 0.05)), (0., (0., 1.)));
    let extremes = mean_bounds(1 << 40, 1 << 41, 1e-12);
    assert!(extremes.0 > 0.4 && extremes.0 <= 0.5 && extremes.1 < 0.6, "{extremes:?}");
}

#[test]
fn mixture_share_is_the_likeliest() {
    let (first, second) = ([0.1, 0.9], [0.6, 0.4]);
    assert!((mixture_share(&[35, 65], &first, &second) - 0.5).abs() < 1e-5, "0.35 lies half-way");
    assert_eq!(mixture_share(&[5, 95], &first, &second), 0.);
    assert_eq!(mixture_share(&[70, 30], &first, &second), 1.);
    assert_eq!((mixture_share(&[0, 0], &first, &second), mixture_share(&[3, 3], &first, &first)), (0., 0.));
    assert_eq!(mixture_share(&[3, 0], &[0., 1.], &[1., 0.]), 1.);
    assert!((mixture_share(&[1 << 50, 3 << 50], &[0., 1.], &[1., 0.]) - 0.25).abs() < 1e-5);
}

#[test]
fn e_bh_rejects_as_published_and_keeps_its_rate() {
    let logs = |values: &[f64]| values.iter().map(|e: &f64| e.ln()).collect::<Vec<_>>();
    // K / (k alpha) with K = 4, alpha = 0.1: 40, 20, 13.3, 10.
    assert_eq!(e_bh(&logs(&[25., 1., 21., 0.5]), 4, 0.1), [0, 2]);
    assert_eq!(e_bh(&logs(&[39., 1., 2., 0.5]), 4, 0.1), Vec::<usize>::new());
    assert_eq!(e_bh(&logs(&[11., 12., 13., 10.]), 4, 0.1), [2, 1, 0, 3]);
    assert_eq!(e_bh(&[f64::INFINITY, f64::NAN], 2, 0.1), [0]);
    assert_eq!(e_bh(&[], 0, 0.1), Vec::<usize>::new());

    // Half of 40 hypotheses true, and the e-values of the true ones all the same: the worst dependence.
    let (mut random, mut false_share) = (Random(15), 0.);
    for _ in 0..4000 {
        let shared = if random.uniform() < 0.05 { 20f64.ln() } else { f64::NEG_INFINITY };
        let log_e: Vec<f64> = (0..40).map(|i| if i < 20 { shared } else { (random.uniform() * 200.).ln() }).collect();
        let rejected = e_bh(&log_e, 40, 0.1);
        let wrong = rejected.iter().filter(|&&i| i < 20).count();
        false_share += wrong as f64 / rejected.len().max(1) as f64;
    }
    assert!(false_share / 4000. <= 0.1, "false-discovery rate {}", false_share / 4000.);
}
