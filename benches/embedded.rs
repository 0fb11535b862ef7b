//! The embedded model on posts of 100 words: posts and tokens per second in batches, and one post alone.

use highwater::{
    calibration::Calibration,
    detector::{Detector, Options},
    model::{self, Device, LoadOptions, Precision},
    text::Document,
};
use std::{sync::Arc, time::Instant};

/// English prose to cut posts from: it is in the repository and no model saw it in training.
const PROSE: &str = concat!(include_str!("../README.md"), include_str!("../models/README.md"));
const ROUNDS: usize = 5;

#[allow(clippy::unwrap_used, clippy::print_stdout)]
fn main() {
    let words: Vec<&str> = PROSE.split_whitespace().collect();
    let posts: Vec<Document> = (0..400).map(|i| Document::new(post(&words, i))).collect();
    for precision in [Precision::Int8, Precision::Fp32] {
        let start = Instant::now();
        let scorer = model::load(&LoadOptions { device: Device::Cpu, precision, ..LoadOptions::default() }).unwrap();
        let calibration = Calibration::parse(model::EMBEDDED_CALIBRATION, "embedded").unwrap();
        let mut detector = Detector::new(scorer, Arc::new(calibration), Options::default()).unwrap();
        let load = start.elapsed().as_secs_f64();
        let tokens: usize = detector.assess(&posts).unwrap().iter().map(|a| a.tokens).sum();
        let batch = median(|| drop(detector.assess(&posts).unwrap()));
        let mut at = 0;
        let one = median(|| {
            for _ in 0..50 {
                at = (at + 1) % posts.len();
                drop(detector.assess(&posts[at..=at]).unwrap());
            }
        }) / 50.;
        println!(
            "{} {precision}: {:.0} posts/s, {:.0} tokens/s in batches; one post alone {:.2} ms; loaded in {load:.2} s",
            detector.model().name,
            posts.len() as f64 / batch,
            tokens as f64 / batch,
            one * 1e3
        );
    }
}

/// 100 words from some place in the prose.
fn post(words: &[&str], i: usize) -> String {
    words.iter().cycle().skip(i * 61 % words.len()).take(100).copied().collect::<Vec<_>>().join(" ")
}

/// Median seconds over the rounds.
fn median(mut work: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}
