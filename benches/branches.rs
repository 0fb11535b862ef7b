//! What two adapted branches cost: a random GPT-2 scored alone, and with branches of its last one, two and three layers.

use highwater::model::{self, BranchSource, Device, LoadOptions, ModelSource, Precision, Scorer};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Layers, width, heads, vocabulary, context: the shape that is trained for the binary.
const SHAPE: [usize; 5] = [8, 512, 8, 16_384, 1024];
/// Texts of one run, and tokens of each.
const TEXTS: [usize; 2] = [24, 140];
const ROUNDS: usize = 5;

#[allow(clippy::unwrap_used, clippy::print_stdout)]
fn main() {
    let folder = tempfile::tempdir().unwrap();
    write_base(folder.path());
    let (texts, tokens) = (texts(), (TEXTS[0] * TEXTS[1]) as f64);
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    for precision in [Precision::Int8, Precision::Fp32] {
        let load = |branches| {
            let source = ModelSource::Directory(folder.path().to_owned());
            model::load(&LoadOptions { source, branches, device: Device::Cpu, precision, cache: None, ..LoadOptions::default() }).unwrap()
        };
        let mut scorers: Vec<Box<dyn Scorer>> = vec![load(BranchSource::Own)];
        for upper in 1..=3 {
            let file = folder.path().join(format!("{upper}.safetensors"));
            write_branches(&file, SHAPE[0] - upper);
            scorers.push(load(BranchSource::File(file)));
        }
        // in turns, so that all see the same machine
        let mut best = [Duration::MAX; 4];
        for _ in 0..=ROUNDS {
            for (scorer, best) in scorers.iter_mut().zip(&mut best) {
                let start = Instant::now();
                scorer.score(&texts).unwrap();
                *best = start.elapsed().min(*best);
            }
        }
        println!("{precision}: {:.0} tokens/s without branches", tokens / best[0].as_secs_f64());
        for (upper, time) in best.iter().enumerate().skip(1) {
            println!("  branches of the last {upper}: {:.2} times that", time.as_secs_f64() / best[0].as_secs_f64());
        }
    }
}

fn texts() -> Vec<Vec<u32>> {
    let [count, tokens] = TEXTS;
    (0..count).map(|text| (0..tokens).map(|i| (text * 7919 + i * 104_729) as u32 % SHAPE[3] as u32).collect()).collect()
}

#[allow(clippy::unwrap_used)]
fn write_base(folder: &Path) {
    let [layers, width, heads, vocabulary, context] = SHAPE;
    let config = serde_json::json!({"model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": heads, "vocab_size": vocabulary, "n_positions": context});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity/plain/tokenizer.json");
    fs::copy(tokenizer, folder.join("tokenizer.json")).unwrap();
    let mut tensors = upper("", 0);
    tensors.push(("wte.weight".to_owned(), vec![vocabulary, width]));
    tensors.push(("wpe.weight".to_owned(), vec![context, width]));
    write(&folder.join("model.safetensors"), tensors, HashMap::new());
}

fn write_branches(path: &Path, first: usize) {
    let notes = [("format", "highwater-branches-1".to_owned()), ("first_layer", first.to_string())];
    let tensors = ["human.", "machine."].iter().flat_map(|prefix| upper(prefix, first)).collect();
    write(path, tensors, notes.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
}

/// Names and shapes of the layers from `first` on.
fn upper(prefix: &str, first: usize) -> Vec<(String, Vec<usize>)> {
    let c = SHAPE[1];
    let matrices = [("attn.c_attn", c, 3 * c), ("attn.c_proj", c, c), ("mlp.c_fc", c, 4 * c), ("mlp.c_proj", 4 * c, c)];
    let norms = (first..SHAPE[0]).flat_map(|l| [format!("h.{l}.ln_1"), format!("h.{l}.ln_2")]).chain(["ln_f".to_owned()]);
    let norms = norms.flat_map(|n| [(format!("{prefix}{n}.weight"), vec![c]), (format!("{prefix}{n}.bias"), vec![c])]);
    let layers = (first..SHAPE[0]).flat_map(|l| matrices.map(|(name, rows, columns)| (format!("{prefix}h.{l}.{name}"), rows, columns)));
    let layers = layers.flat_map(|(n, rows, columns)| [(format!("{n}.weight"), vec![rows, columns]), (format!("{n}.bias"), vec![columns])]);
    norms.chain(layers).collect()
}

/// Small numbers of both signs; speed does not depend on which.
#[allow(clippy::unwrap_used)]
fn write(path: &Path, tensors: Vec<(String, Vec<usize>)>, notes: HashMap<String, String>) {
    let bytes = |shape: &[usize]| -> Vec<u8> {
        (0..shape.iter().product::<usize>()).flat_map(|i| ((i * 7919 % 1009) as f32 / 1e4 - 0.05).to_le_bytes()).collect()
    };
    let data: Vec<_> = tensors.into_iter().map(|(name, shape)| (name, bytes(&shape), shape)).collect();
    let views = data.iter().map(|(name, bytes, shape)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, Some(notes), path).unwrap();
}
