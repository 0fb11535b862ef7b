//! Agreement with the plain ROC numbers, and what the intervals cover.

use super::*;
use crate::stats::{auroc, tpr_at_fpr};
use proptest::prelude::*;

fn rows(human: &[f64], machine: &[f64]) -> Vec<Ranked> {
    let one = |machine: bool| move |&score: &f64| (score, machine);
    let all = human.iter().map(one(false)).chain(machine.iter().map(one(true)));
    all.enumerate().map(|(cluster, (score, machine))| Ranked { score, machine, cluster, weight: 1. }).collect()
}

const PLAIN: Resampling = Resampling { clusters: 0, samples: 0, seed: 1, confidence: 0.95 };

proptest! {
    /// Scores of few values, so that ties are many.
    #[test]
    fn the_numbers_are_those_of_the_plain_functions(
        human in prop::collection::vec(0u8..30, 1..200), machine in prop::collection::vec(0u8..30, 1..200)
    ) {
        let wide = |scores: &[u8]| scores.iter().map(|&s| f64::from(s)).collect::<Vec<_>>();
        let (human, machine) = (wide(&human), wide(&machine));
        let found = measured(&[Ranking::new(rows(&human, &machine))], PLAIN)[0];
        prop_assert!((found.auroc.unwrap().value - auroc(&human, &machine).unwrap()).abs() < 1e-12);
        for (found, fpr) in [(found.tpr_at_fpr_01, 0.01), (found.tpr_at_fpr_05, 0.05)] {
            prop_assert_eq!(found.unwrap().value, tpr_at_fpr(&human, &machine, fpr).unwrap());
        }
    }
}

#[test]
fn a_curve_runs_from_corner_to_corner() {
    let found = Ranking::new(rows(&[1., 2., 2.], &[2., 3.])).curve();
    assert_eq!(found, [(0., 0.), (0., 0.5), (2. / 3., 1.), (1., 1.)]);
    assert!(Ranking::new(rows(&[1.], &[])).curve().is_empty());
    assert_eq!(measured(&[Ranking::new(rows(&[], &[1., f64::NAN]))], PLAIN)[0], Measures::default());
}

#[test]
fn a_weight_counts_like_as_many_rows() {
    let mut weighted = rows(&[1., 3.], &[2., 4.]);
    weighted[1].weight = 3.;
    let repeated = rows(&[1., 3., 3., 3.], &[2., 4.]);
    let found = measured(&[Ranking::new(weighted), Ranking::new(repeated)], PLAIN);
    assert_eq!(found[0], found[1]);
}

/// Every document stands in its set eight times, as a human document does that has a machine counterpart by each generator: intervals by
/// row would take eight times the data that there is. Drawn as if rows were documents, 45% of the intervals cover; so 95% must be near.
#[test]
fn intervals_by_cluster_cover_the_truth() {
    // P(machine > human) for normal scores one standard deviation apart.
    let truth = 0.760_25;
    let covered = (0..200u64)
        .filter(|&seed| {
            let mut random = Random(seed * 7919);
            let mut rows = Vec::new();
            for cluster in 0..80 {
                let (machine, score) = (cluster % 2 == 1, random.normal() + (cluster % 2) as f64);
                rows.extend((0..8).map(|_| Ranked { score, machine, cluster, weight: 1. }));
            }
            let resampling = Resampling { clusters: 80, samples: 200, seed, confidence: 0.95 };
            let found = measured(&[Ranking::new(rows)], resampling)[0].auroc.unwrap();
            found.low <= truth && truth <= found.high
        })
        .count();
    // Percentile intervals of 40 against 40 cover a little less than they say; 3 standard errors of 200 runs are .046.
    assert!((178..=200).contains(&covered), "{covered} of 200");
}

#[test]
fn the_same_seed_gives_the_same_interval() {
    let mut random = Random(5);
    let scores: Vec<f64> = (0..60).map(|_| random.normal()).collect();
    let ranking = || Ranking::new(rows(&scores[..30], &scores[30..]));
    let with = |seed| measured(&[ranking()], Resampling { clusters: 60, samples: 50, seed, confidence: 0.9 })[0];
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}
