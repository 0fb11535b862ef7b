//! Checkpoints whose numbers overflow, or do not start where numbers may: what is not finite is given out as such, text by text.

use super::*;
use crate::model::ModelSource;
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A number that a checkpoint may hold and that no product survives.
const HUGE: f32 = 3e38;

/// A copy of a checkpoint where a Hugging Face cache would keep it, so that fp32 reads it in place.
struct Copy(TempDir);

impl Copy {
    fn of(name: &str) -> Self {
        let copy = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(copy.folder()).unwrap();
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity").join(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.folder().join(entry.file_name())).unwrap();
        }
        copy
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("models--somebody--gpt2/snapshots/0123abcd")
    }

    /// A file's header and its tensors' bytes are changed, and written back.
    fn rewrite(&self, file: &str, change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) {
        let whole = fs::read(self.folder().join(file)).unwrap();
        let size = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
        let (mut header, mut data) = (whole[8..8 + size].to_vec(), whole[8 + size..].to_vec());
        change(&mut header, &mut data);
        fs::write(self.folder().join(file), [&(header.len() as u64).to_le_bytes(), &header[..], &data].concat()).unwrap();
    }

    /// Puts numbers into a tensor, from this place on.
    fn put(&self, file: &str, (tensor, at): (&str, usize), numbers: &[f32]) {
        self.rewrite(file, |header, data| {
            let header: serde_json::Value = serde_json::from_slice(header).unwrap();
            let from = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize + 4 * at;
            let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
            data[from..from + bytes.len()].copy_from_slice(&bytes);
        });
    }

    fn load(&self, precision: Precision) -> Gpt2 {
        let source = ModelSource::Directory(self.folder());
        load(&LoadOptions { source, precision, device: Device::Cpu, threads: 1, cache: None, ..LoadOptions::default() }).unwrap()
    }
}

fn text(n: u32) -> Vec<u32> {
    (0..n).map(|i| (i * 131 + n * 17) % 456).collect()
}

fn finite(numbers: &[f32]) -> bool {
    assert!(!numbers.is_empty());
    numbers.iter().all(|v| v.is_finite())
}

#[test]
fn a_header_of_odd_length_changes_no_score() {
    let (copy, text) = (Copy::of("gpt2_hub"), text(60));
    let scores = || copy.load(Precision::Fp32).score(&[&text]).unwrap();
    let first = scores();
    for _ in 0..4 {
        copy.rewrite("model.safetensors", |header, _| header.push(b' '));
        assert_eq!(scores(), first);
    }
}

#[test]
fn a_damaged_branch_gives_no_finite_evidence() {
    let text = text(64);
    // one of two numbers of unlike sign gets through the activation, whatever comes in
    let damages = [("machine.h.2.mlp.c_fc.weight", &[HUGE, -HUGE][..]), ("human.ln_f.weight", &[HUGE; 16][..])];
    for precision in [Precision::Fp32, Precision::Int8] {
        for (tensor, numbers) in damages {
            let copy = Copy::of("branches");
            copy.put("branches.safetensors", (tensor, 0), numbers);
            let scores = copy.load(precision).score(&[&text]).unwrap().remove(0);
            let human = tensor.starts_with("human");
            assert_eq!(finite(&scores.human_surprisal), !human, "{tensor} in {precision}: {:?}", scores.human_surprisal);
            assert_eq!(finite(&scores.machine_surprisal), human, "{tensor} in {precision}: {:?}", scores.machine_surprisal);
            assert!(!finite(&scores.ratio_excess), "{tensor} in {precision}: {:?}", scores.ratio_excess);
            assert!(finite(&scores.surprisal) && finite(&scores.entropy) && finite(&scores.variance), "{tensor} in {precision}");
        }
    }
}

#[test]
fn a_text_whose_numbers_are_not_finite_leaves_the_others_of_its_batch_theirs() {
    let copy = Copy::of("untied");
    // the embedding of one token
    copy.put("model.safetensors", ("wte.weight", 7 * 16), &[HUGE; 16]);
    let well: Vec<u32> = text(40).into_iter().filter(|&id| id != 7).collect();
    let mut ill = well.clone();
    ill[20] = 7;
    for precision in [Precision::Fp32, Precision::Int8] {
        let mut model = copy.load(precision);
        let alone = model.score(&[&well]).unwrap();
        let both = model.score(&[&ill, &well]).unwrap();
        let near = both[1].surprisal.iter().zip(&alone[0].surprisal).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(both[1].is_finite() && near, "{precision}: {:?}, alone {:?}", both[1].surprisal, alone[0].surprisal);
        assert!(!finite(&both[0].surprisal[21..]), "{precision}: {:?}", both[0].surprisal);
        // what comes before it, but for the block of queries that it shares
        assert!(finite(&both[0].surprisal[..18]), "{precision}: {:?}", both[0].surprisal);
    }
}
