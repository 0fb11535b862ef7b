//! The decoding graphs against the scorer, against one another, and against themselves in other portions and other company.

use super::*;
use crate::model::{BranchSource, Device, LoadOptions, ModelSource, Precision, Scorer, TokenScores, graph::Flavour, rowmath, runtime};
use std::path::PathBuf;

/// Nats between graphs that sum in another order.
const TOLERANCE: f32 = 1e-4;
/// The same for half precision.
const HALF: f32 = 0.03;

const EVERY_FORM: [&str; 10] =
    ["plain", "untied", "gelu_inner", "relu", "silu", "tanh", "quick_gelu", "unscaled", "inverse_layer", "padded_vocab"];

fn options(name: &str) -> LoadOptions {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity").join(name);
    LoadOptions { source: ModelSource::Directory(folder), threads: 2, cache: None, ..LoadOptions::default() }
}

fn on_the_cpu(name: &str, flavour: Flavour) -> Gpt2Generator {
    let options = options(name);
    let checkpoint = Checkpoint::open(&options.source, &BranchSource::Own).unwrap();
    let environment = runtime::environment(None, false).unwrap().1;
    let (engine, info) = start(&environment, &checkpoint, &Choice::on_the_cpu(flavour), &options).unwrap();
    Gpt2Generator::new(checkpoint, engine, info)
}

fn scorer(name: &str, precision: Precision) -> Box<dyn Scorer> {
    crate::model::load(&LoadOptions { device: Device::Cpu, precision, ..options(name) }).unwrap()
}

fn text(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * 131 + n as u32 * 17) % 456).collect()
}

/// The logits after each token of end-of-text and `text`, given in these portions (the last portion is repeated); one row a portion.
fn in_portions(generator: &mut Gpt2Generator, text: &[u32], portions: &[usize]) -> Vec<Vec<f32>> {
    generator.forget(0);
    let all: Vec<u32> = std::iter::once(generator.end_of_text()).chain(text.iter().copied()).collect();
    let (mut at, mut out) = (0, Vec::new());
    while at < all.len() {
        let n = portions[out.len().min(portions.len() - 1)].min(all.len() - at);
        let mut logits = Vec::new();
        generator.extend(&[Step { sequence: 0, tokens: &all[at..at + n] }], &mut logits).unwrap();
        assert_eq!(logits.len(), generator.info().vocabulary);
        out.push(logits);
        at += n;
    }
    out
}

/// What the generator's logits say of the text that they were followed by.
fn statistics(rows: &[Vec<f32>], text: &[u32]) -> TokenScores {
    let mut out = TokenScores::default();
    for (row, &token) in rows.iter().zip(text) {
        let s = rowmath::row_statistics(row, token as usize, 1.);
        out.surprisal.push(s.surprisal);
        out.entropy.push(s.entropy);
    }
    out
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0., f32::max)
}

#[test]
fn every_flavour_agrees_with_the_scorer_on_every_form_of_checkpoint() {
    let text = text(40);
    for name in EVERY_FORM {
        for (flavour, precision, tolerance) in [
            (Flavour::CpuF32, Precision::Fp32, TOLERANCE),
            (Flavour::Plain, Precision::Fp32, TOLERANCE),
            (Flavour::CpuI8, Precision::Int8, TOLERANCE),
            (Flavour::Half, Precision::Fp32, HALF),
        ] {
            let rows = in_portions(&mut on_the_cpu(name, flavour), &text, &[1]);
            let (ours, theirs) = (statistics(&rows, &text), scorer(name, precision).score(&[&text]).unwrap().remove(0));
            let (s, h) = (worst(&ours.surprisal, &theirs.surprisal), worst(&ours.entropy, &theirs.entropy));
            assert!(s < tolerance && h < tolerance, "{name}, {flavour:?}: surprisal {s:e}, entropy {h:e}");
        }
    }
}

#[test]
fn with_the_cache_equals_without_it() {
    for name in ["plain", "untied", "gelu_inner"] {
        for (flavour, tolerance) in [(Flavour::CpuF32, 0.), (Flavour::CpuI8, 0.), (Flavour::Plain, TOLERANCE)] {
            let mut generator = on_the_cpu(name, flavour);
            let text = text(63);
            let step_by_step = in_portions(&mut generator, &text, &[1]);
            for n in [1, 2, 9, 40, 64] {
                let anew = in_portions(&mut generator, &text[..n - 1], &[n]);
                let off = worst(&anew[0], &step_by_step[n - 1]);
                assert!(off <= tolerance, "{name}, {flavour:?}, {n} tokens: {off:e}");
            }
            let mixed = in_portions(&mut generator, &text, &[30, 1, 1, 20, 12]);
            let off = worst(mixed.last().unwrap(), step_by_step.last().unwrap());
            assert!(off <= tolerance, "{name}, {flavour:?}, in portions: {off:e}");
        }
    }
}

#[test]
fn a_batch_equals_its_sequences_alone_whoever_comes_and_goes() {
    for (flavour, tolerance) in [(Flavour::CpuF32, 0.), (Flavour::CpuI8, 0.), (Flavour::Plain, TOLERANCE)] {
        let mut generator = on_the_cpu("plain", flavour);
        let texts: Vec<Vec<u32>> = [7, 30, 1, 12, 19].map(text).into();
        let alone: Vec<Vec<Vec<f32>>> = texts.iter().map(|t| in_portions(&mut generator, t, &[3, 1])).collect();
        generator.forget(0);
        let eot = generator.end_of_text();
        let all: Vec<Vec<u32>> = texts.iter().map(|t| std::iter::once(eot).chain(t.iter().copied()).collect()).collect();
        let vocabulary = generator.info().vocabulary;
        let mut done = [0; 5];
        // sequence i begins in round i, and the one before it is left out every third round
        for round in 0..45 {
            let due = |i: usize| i <= round && (round + i) % 3 != 1 && done[i] < all[i].len();
            let steps: Vec<(usize, usize)> =
                (0..5).filter(|&i| due(i)).map(|i| (i, if done[i] == 0 { 3.min(all[i].len()) } else { 1 })).collect();
            let steps: Vec<Step<'_>> =
                steps.iter().map(|&(i, n)| Step { sequence: i + 2, tokens: &all[i][done[i]..done[i] + n] }).collect();
            let mut logits = Vec::new();
            generator.extend(&steps, &mut logits).unwrap();
            for (step, row) in steps.iter().zip(logits.chunks_exact(vocabulary)) {
                let i = step.sequence - 2;
                done[i] += step.tokens.len();
                assert_eq!(generator.length(step.sequence), done[i]);
                let off = worst(row, &alone[i][done[i].saturating_sub(3)]);
                assert!(off <= tolerance, "{flavour:?}, sequence {i}, token {}: {off:e}", done[i]);
            }
        }
        assert_eq!(done.as_slice(), all.iter().map(Vec::len).collect::<Vec<_>>());
    }
}

#[test]
fn copies_go_their_own_ways() {
    for (flavour, tolerance) in [(Flavour::CpuF32, 0.), (Flavour::CpuI8, 0.), (Flavour::Plain, TOLERANCE)] {
        let mut generator = on_the_cpu("plain", flavour);
        let after = |generator: &mut Gpt2Generator, sequence: usize, tokens: &[u32]| {
            let mut logits = Vec::new();
            generator.extend(&[Step { sequence, tokens }], &mut logits).unwrap();
            logits
        };
        let (first, second) = (after(&mut generator, 0, &[1, 2, 3, 4]), after(&mut generator, 1, &[9, 8]));
        generator.copy(&[(0, 1), (1, 0), (0, 2)]).unwrap();
        assert_eq!([0, 1, 2, 3].map(|s| generator.length(s)), [2, 4, 4, 0]);
        let (a, b) = (after(&mut generator, 1, &[5]), after(&mut generator, 2, &[5]));
        assert!(worst(&a, &b) <= tolerance);
        generator.forget(1);
        assert!(worst(&after(&mut generator, 1, &[1, 2, 3, 4]), &first) <= tolerance);
        assert!(worst(&after(&mut generator, 1, &[5]), &a) <= tolerance);
        generator.forget(0);
        assert!(worst(&after(&mut generator, 0, &[9, 8]), &second) <= tolerance);
    }
}

/// The plain graph reads its sequences anew after two contexts of columns; the context here is 64.
#[test]
fn sequences_outlive_the_columns_of_the_plain_graph() {
    let mut generator = on_the_cpu("plain", Flavour::Plain);
    let mut logits = Vec::new();
    generator.extend(&[Step { sequence: 0, tokens: &text(20) }], &mut logits).unwrap();
    for _ in 0..5 {
        generator.forget(1);
        generator.extend(&[Step { sequence: 1, tokens: &text(60) }], &mut logits).unwrap();
    }
    generator.extend(&[Step { sequence: 0, tokens: &[5] }], &mut logits).unwrap();
    let kept = logits.clone();
    let all: Vec<u32> = text(20).into_iter().chain([5]).collect();
    generator.extend(&[Step { sequence: 2, tokens: &all }], &mut logits).unwrap();
    assert!(worst(&kept, &logits) < TOLERANCE);
}

#[test]
fn wrong_steps_are_refused_and_leave_the_rest_alone() {
    let mut generator = on_the_cpu("plain", Flavour::CpuF32);
    let mut logits = Vec::new();
    let mut told = |generator: &mut Gpt2Generator, steps: &[Step<'_>]| generator.extend(steps, &mut logits).unwrap_err().to_string();
    let step = |sequence, tokens| Step { sequence, tokens };
    assert!(told(&mut generator, &[step(0, &[1; 65])]).contains("65 tokens, more than the context of 64"));
    assert!(told(&mut generator, &[step(0, &[999])]).contains("token id 999"));
    assert!(told(&mut generator, &[step(0, &[])]).contains("expected tokens"));
    assert!(told(&mut generator, &[step(0, &[1]), step(0, &[1])]).contains("once"));
    assert!(told(&mut generator, &[step(MOST_SEQUENCES, &[1])]).contains("at most"));
    assert_eq!(generator.length(0), 0);
    generator.extend(&[], &mut logits).unwrap();
}

/// Logits after tokens that continue a sequence.
fn after(generator: &mut Gpt2Generator, sequence: usize, tokens: &[u32]) -> Vec<f32> {
    let mut logits = Vec::new();
    generator.extend(&[Step { sequence, tokens }], &mut logits).unwrap();
    logits
}

/// What a run that stopped after the first layer leaves of a sequence in our own cache: keys and values of one token.
fn leave_behind(generator: &Gpt2Generator, sequence: usize, value: f32) {
    let Engine::Own { cache, .. } = &generator.engine else { return };
    let (width, spans) = (24, [cache::Span { sequence, tokens: 1 }]);
    let work = cache::Attention { layer: 0, qkv: &vec![value; 3 * width], spans: &spans, scale: 1. };
    cache.lock().unwrap().attend(&work, None, &mut vec![0.; width]).unwrap();
}

#[test]
fn the_plain_graph_begins_anew_after_a_failed_run() {
    let mut generator = on_the_cpu("plain", Flavour::Plain);
    let fresh = after(&mut on_the_cpu("plain", Flavour::Plain), 1, &[4, 5, 6]);
    let Engine::Plain(plain) = &mut generator.engine else { panic!("expected the plain graph") };
    let mut logits = Vec::new();
    plain.extend(&[Step { sequence: 0, tokens: &[1, 2] }], &mut logits).unwrap();
    // no vocabulary of 457 has it
    let steps = [Step { sequence: 0, tokens: &[3] }, Step { sequence: 1, tokens: &[9999] }];
    plain.extend(&steps, &mut logits).unwrap_err();
    logits.clear();
    plain.extend(&[Step { sequence: 1, tokens: &[4, 5, 6] }], &mut logits).unwrap();
    assert!(worst(&logits, &fresh) <= TOLERANCE);
}

#[test]
fn a_failed_run_leaves_no_sequence_behind() {
    for (flavour, tolerance) in [(Flavour::CpuF32, 0.), (Flavour::CpuI8, 0.), (Flavour::Plain, TOLERANCE)] {
        let fresh = after(&mut on_the_cpu("plain", flavour), 3, &[4, 5, 6]);
        let mut generator = on_the_cpu("plain", flavour);
        after(&mut generator, 0, &[1, 2]);
        leave_behind(&generator, 3, 0.5);
        // so that the graph is the one that refuses the token
        generator.info.vocabulary = 10_000;
        generator.extend(&[Step { sequence: 3, tokens: &[9999] }], &mut Vec::new()).unwrap_err();
        assert_eq!([0, 3].map(|s| generator.length(s)), [0, 0], "{flavour:?}");
        let off = worst(&after(&mut generator, 3, &[4, 5, 6]), &fresh);
        assert!(off <= tolerance, "{flavour:?}: {off:e}");
    }
}

#[test]
fn numbers_that_are_not_finite_leave_no_sequence_behind() {
    let fresh = after(&mut on_the_cpu("plain", Flavour::CpuF32), 0, &[4, 5, 6]);
    let mut generator = on_the_cpu("plain", Flavour::CpuF32);
    leave_behind(&generator, 0, f32::NAN);
    let told = generator.extend(&[Step { sequence: 0, tokens: &[4, 5, 6] }], &mut Vec::new()).unwrap_err().to_string();
    assert!(told.contains("not finite"), "{told}");
    assert_eq!(generator.length(0), 0);
    assert_eq!(after(&mut generator, 0, &[4, 5, 6]), fresh);
}

#[test]
fn tokens_become_the_text_that_they_were_made_from() {
    for name in ["plain", "vocab_merges"] {
        let generator = on_the_cpu(name, Flavour::CpuF32);
        for text in ["", "Größe,  naïve café\n\n 👩\u{200d}🚀 and the rest", " <|endoftext|> in a text"] {
            let ids = generator.tokenize(text).unwrap().ids;
            assert_eq!(generator.detokenize(&ids).unwrap(), text, "{name}");
        }
        let ids = [&[generator.end_of_text()][..], &generator.tokenize("é").unwrap().ids[..1]].concat();
        assert_eq!(generator.detokenize(&ids).unwrap(), "\u{FFFD}", "{name}");
    }
}
