//! Per-token numbers against `transformers` (tests/data/make_parity.py wrote the expected ones), and the model layer's own promises.

use highwater::model::{self, Device, LoadOptions, ModelSource, Precision, Scorer, TokenScores};
use proptest::prelude::*;
use serde::Deserialize;
use std::{fs, path::PathBuf};

/// Worst difference allowed in single precision, nats (nats squared for the variance).
const FP32: f64 = 1e-4;
/// The same for a text's mean surprisal in int8.
const INT8_MEAN: f64 = 0.05;

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    ids: Vec<u32>,
    surprisal: Vec<f64>,
    rank: Vec<u32>,
    entropy: Vec<f64>,
    variance: Vec<f64>,
    /// Mean of the final hidden states.
    pooled: Vec<f64>,
    #[serde(default)]
    human_surprisal: Vec<f64>,
    #[serde(default)]
    machine_surprisal: Vec<f64>,
    #[serde(default)]
    ratio_excess: Vec<f64>,
    /// (place, lowest, highest) where another logit lies so near that the rank may differ.
    near_ties: Vec<(usize, u32, u32)>,
}

fn parity() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity")
}

fn checkpoints() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(parity()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("expected.json").exists()).collect();
    all.sort();
    assert!(all.len() >= 10, "only {} checkpoints in {}", all.len(), parity().display());
    all
}

fn load(source: ModelSource, precision: Precision) -> Box<dyn Scorer> {
    model::load(&LoadOptions { source, device: Device::Cpu, precision, threads: 2, cache: None, ..LoadOptions::default() }).unwrap()
}

fn cases(checkpoint: &std::path::Path) -> Vec<Case> {
    serde_json::from_slice::<Expected>(&fs::read(checkpoint.join("expected.json")).unwrap()).unwrap().cases
}

fn score(scorer: &mut dyn Scorer, texts: &[&[u32]]) -> Vec<TokenScores> {
    scorer.score(texts).unwrap()
}

fn worst(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(g, e)| (f64::from(*g) - e).abs()).fold(0., f64::max)
}

#[test]
fn fp32_matches_transformers_on_every_kind_of_checkpoint() {
    for path in checkpoints() {
        let mut scorer = load(ModelSource::Directory(path.clone()), Precision::Fp32);
        for case in cases(&path) {
            let place = format!("{} / {}", path.file_name().unwrap().display(), case.name);
            let tokens = scorer.tokenize(&case.text).unwrap();
            assert_eq!(tokens.ids, case.ids, "{place}: ids");
            let got = score(&mut *scorer, &[&tokens.ids]).remove(0);
            let (s, h, v) =
                (worst(&got.surprisal, &case.surprisal), worst(&got.entropy, &case.entropy), worst(&got.variance, &case.variance));
            let p = worst(&got.pooled, &case.pooled);
            println!("{place}: worst difference in surprisal {s:.1e}, entropy {h:.1e}, variance {v:.1e}, pooled {p:.1e}");
            assert!(s < FP32 && h < FP32 && v < 10. * FP32, "{place}: surprisal {s:e}, entropy {h:e}, variance {v:e}");
            assert!(p < FP32, "{place}: pooled {p:e}");
            let (h, m) = (worst(&got.human_surprisal, &case.human_surprisal), worst(&got.machine_surprisal, &case.machine_surprisal));
            let e = worst(&got.ratio_excess, &case.ratio_excess);
            assert!(h < FP32 && m < FP32, "{place}: surprisal by the human branch {h:e}, by the machine branch {m:e}");
            assert!(e < FP32, "{place}: excess of the branches' ratio {e:e}");
            for (i, (&got, &expected)) in got.rank.iter().zip(&case.rank).enumerate() {
                let tie = case.near_ties.iter().any(|&(at, low, high)| at == i && (low..=high).contains(&got));
                assert!(got == expected || tie, "{place}: rank of token {i} is {got}, expected {expected}");
            }
        }
    }
}

#[test]
fn int8_stays_near_fp32() {
    for path in checkpoints() {
        let mut scorer = load(ModelSource::Directory(path.clone()), Precision::Int8);
        for case in cases(&path).into_iter().filter(|c| c.ids.len() >= 20) {
            let got = score(&mut *scorer, &[&case.ids]).remove(0);
            let n = case.ids.len() as f64;
            for (got, expected) in [
                (&got.surprisal, &case.surprisal),
                (&got.human_surprisal, &case.human_surprisal),
                (&got.machine_surprisal, &case.machine_surprisal),
                (&got.ratio_excess, &case.ratio_excess),
            ] {
                let difference = (got.iter().map(|&s| f64::from(s)).sum::<f64>() - expected.iter().sum::<f64>()) / n;
                assert!(difference.abs() < INT8_MEAN, "{} / {}: mean off by {difference}", path.display(), case.name);
            }
        }
    }
}

#[test]
fn a_batch_of_n_equals_n_singles() {
    for (precision, name) in [Precision::Int8, Precision::Fp32].into_iter().flat_map(|p| [(p, "plain"), (p, "branches")]) {
        let mut scorer = load(ModelSource::Directory(parity().join(name)), precision);
        let cases = cases(&parity().join(name));
        let lists: Vec<&[u32]> = cases.iter().map(|c| c.ids.as_slice()).chain([&[][..]]).collect();
        let together = score(&mut *scorer, &lists);
        for (ids, batch) in lists.iter().zip(&together) {
            let alone = score(&mut *scorer, &[ids]).remove(0);
            assert_eq!(&alone.rank, &batch.rank);
            let of_a_branch = if name == "branches" { ids.len() } else { 0 };
            let by_branches = |s: &TokenScores| [s.human_surprisal.len(), s.machine_surprisal.len(), s.ratio_excess.len()];
            assert_eq!(by_branches(batch), [of_a_branch; 3]);
            let all = |s: &TokenScores| {
                [&s.surprisal, &s.variance, &s.human_surprisal, &s.machine_surprisal, &s.ratio_excess].map(Vec::as_slice).concat()
            };
            for (a, b) in all(&alone).iter().zip(&all(batch)) {
                assert!((a - b).abs() < 1e-5, "{precision}: {a} alone, {b} in a batch");
            }
            assert_eq!(alone.pooled.len(), if ids.is_empty() { 0 } else { scorer.info().width });
            assert_eq!(alone.pooled.len(), batch.pooled.len());
            for (a, b) in alone.pooled.iter().zip(&batch.pooled) {
                assert!((a - b).abs() < 1e-5, "{precision}: pooled {a} alone, {b} in a batch");
            }
        }
    }
}

/// Sums in another order may differ by this much, nats.
const REORDERED: f32 = 1e-5;

proptest! {
    // the lists are up to three contexts long, so that windows are batched as well
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_lists_are_scored_together_as_alone_and_every_token_once(
        lists in prop::collection::vec(prop::collection::vec(0u32..457, 0..200), 0..9),
        batch_tokens in 0usize..400,
        threads in 1usize..4,
    ) {
        for precision in [Precision::Int8, Precision::Fp32] {
            let source = ModelSource::Directory(parity().join("plain"));
            let options = LoadOptions { source, device: Device::Cpu, precision, threads, batch_tokens, cache: None, ..LoadOptions::default() };
            let mut scorer = model::load(&options).unwrap();
            let texts: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
            let together = score(&mut *scorer, &texts);
            prop_assert_eq!(together.len(), texts.len());
            for (ids, batch) in texts.iter().zip(&together) {
                let alone = score(&mut *scorer, &[ids]).remove(0);
                let lengths = [batch.surprisal.len(), batch.rank.len(), batch.entropy.len(), batch.variance.len()];
                prop_assert_eq!(lengths, [ids.len(); 4]);
                // every token got its numbers: ranks count from 1
                prop_assert!(batch.rank.iter().all(|r| (1..=457).contains(r)));
                let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < REORDERED * a.abs().max(1.));
                prop_assert!(near(&alone.surprisal, &batch.surprisal), "{:?}\n{:?}", alone.surprisal, batch.surprisal);
                prop_assert!(near(&alone.entropy, &batch.entropy) && near(&alone.variance, &batch.variance));
                prop_assert!(alone.pooled.len() == batch.pooled.len() && near(&alone.pooled, &batch.pooled));
                prop_assert!(alone.rank.iter().zip(&batch.rank).all(|(a, b)| a.abs_diff(*b) <= 1));
            }
        }
    }
}

#[test]
fn the_embedded_model_prefers_english_to_noise() {
    let mut scorer = load(ModelSource::Embedded, Precision::Auto);
    let mut mean = |text: &str| {
        let ids = scorer.tokenize(text).unwrap().ids;
        let scores = score(&mut *scorer, &[&ids]).remove(0);
        scores.surprisal.iter().sum::<f32>() / text.len() as f32
    };
    let english = mean("The people of the town came to the meeting and said that they wanted a new school.");
    let noise = mean("wq3 Zzkv8 ]}x pld0 QQj~ rrt7 vv_k mmxz 8d8f jkj; pqo bbn wee tyy xc9 ooi");
    assert!(english + 0.5 < noise, "nats per byte: English {english}, noise {noise}");
}

#[test]
fn special_tokens_written_in_a_text_are_plain_text() {
    let scorer = load(ModelSource::Embedded, Precision::Auto);
    let ids = scorer.tokenize("a <|endoftext|> b").unwrap().ids;
    assert!(ids.len() > 4, "{ids:?}");
}
