//! The graphs of the flavours against each other on the CPU, so that what runs on CUDA is checked where there is none.

use super::*;
use crate::model::{BranchSource, ModelSource};
use std::path::PathBuf;

/// Worst difference allowed, nats; nats squared for the variance.
const TOLERANCE: f32 = 1e-4;

/// The same for half precision and the statistics in nats; 0.018 was seen.
const HALF: f32 = 0.03;

fn checkpoint(name: &str) -> (LoadOptions, Checkpoint) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity").join(name);
    let options = LoadOptions { source: ModelSource::Directory(folder), threads: 1, cache: None, ..LoadOptions::default() };
    let checkpoint = Checkpoint::open(&options.source, &BranchSource::Own).unwrap();
    (options, checkpoint)
}

fn on_the_cpu(name: &str, flavour: Flavour) -> Result<Gpt2, ModelError> {
    let (options, checkpoint) = checkpoint(name);
    let (environment, choice) = (runtime::environment(None, false)?.1, Choice::on_the_cpu(flavour));
    let (sessions, info) = start(&environment, &checkpoint, &choice, &options)?;
    Ok(Gpt2::new(checkpoint, sessions, info, &options))
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0., f32::max)
}

/// Texts of several lengths, one longer than two windows.
fn texts() -> Vec<Vec<u32>> {
    [1, 2, 17, 64, 65, 150].iter().map(|&n| (0..n).map(|i| (i * 131 + n * 17) % 456).collect()).collect()
}

#[test]
fn the_graph_of_plain_operators_equals_the_one_with_our_own() {
    let texts = texts();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    for name in
        ["plain", "untied", "gelu_inner", "relu", "silu", "tanh", "quick_gelu", "unscaled", "inverse_layer", "padded_vocab", "branches"]
    {
        let plain = on_the_cpu(name, Flavour::Plain).unwrap().score(&texts).unwrap();
        let own = on_the_cpu(name, Flavour::CpuF32).unwrap().score(&texts).unwrap();
        for (plain, own) in plain.iter().zip(&own) {
            let (s, h) = (worst(&plain.surprisal, &own.surprisal), worst(&plain.entropy, &own.entropy));
            let (v, p) = (worst(&plain.variance, &own.variance), worst(&plain.pooled, &own.pooled));
            assert!(s < TOLERANCE && h < TOLERANCE && v < 10. * TOLERANCE, "{name}: surprisal {s:e}, entropy {h:e}, variance {v:e}");
            let of_branches =
                worst(&plain.human_surprisal, &own.human_surprisal).max(worst(&plain.machine_surprisal, &own.machine_surprisal));
            let branches = of_branches.max(worst(&plain.ratio_excess, &own.ratio_excess));
            assert!(branches < TOLERANCE && own.human_surprisal.is_empty() == (name != "branches"), "{name}: branches {branches:e}");
            assert!(
                p < TOLERANCE && !plain.pooled.is_empty() && plain.pooled.len() == own.pooled.len(),
                "{name}: pooled {p:e} of {} numbers",
                plain.pooled.len()
            );
            // another order of summation may swap two tokens that are equally likely
            assert!(plain.rank.iter().zip(&own.rank).all(|(a, b)| a.abs_diff(*b) <= 1), "{name}: {:?}\n{:?}", plain.rank, own.rank);
        }
    }
}

/// ONNX Runtime widens what the CPU has no half-precision kernel for, so this checks the graph and the rounded weights, not CUDA's kernels.
#[test]
fn the_graph_in_half_precision_is_near_the_one_in_single_precision() {
    let texts = texts();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    for name in
        ["plain", "untied", "fp16", "bf16", "gelu_inner", "relu", "silu", "tanh", "quick_gelu", "unscaled", "inverse_layer", "branches"]
    {
        let half = on_the_cpu(name, Flavour::Half).unwrap().score(&texts).unwrap();
        let own = on_the_cpu(name, Flavour::CpuF32).unwrap().score(&texts).unwrap();
        for (half, own) in half.iter().zip(&own) {
            let (s, h) = (worst(&half.surprisal, &own.surprisal), worst(&half.entropy, &own.entropy));
            assert!(s < HALF && h < HALF, "{name}: surprisal {s:e}, entropy {h:e}");
            let p = worst(&half.pooled, &own.pooled);
            assert!(p < HALF, "{name}: pooled {p:e}");
            let of_branches =
                worst(&half.human_surprisal, &own.human_surprisal).max(worst(&half.machine_surprisal, &own.machine_surprisal));
            let branches = of_branches.max(worst(&half.ratio_excess, &own.ratio_excess));
            assert!(branches < HALF, "{name}: branches {branches:e}");
        }
    }
}
