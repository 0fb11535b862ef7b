//! What durability costs: seconds to go on with a million streams, after a clean end and after a kill, and milliseconds per durable batch.
//! `cargo bench --bench state [STREAMS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use highwater::{
    calibration::Calibration,
    detector::{Detector, Options},
    flood::{About, LEVELS, Opened, Reference, Settings, Store, Write},
    model::Fake,
    text::{Document, StreamKey},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};

fn open(path: &Path) -> Opened {
    let settings = Settings { track_changes: true, ..Settings::default() };
    let reference = Reference::new(Calibration::for_fake().bin_rates(&LEVELS)).unwrap();
    Store::open(path, &About { model: "fake".into(), calibration: "fake".into() }, settings, reference).unwrap()
}

/// Observes one document in each of these streams and writes them as one batch; gives how long the write took.
fn batch(opened: &mut Opened, streams: std::ops::Range<usize>, run: usize) -> Duration {
    let mut detector = Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), Options::default()).unwrap();
    let assessment = detector.assess(&[Document::new("the quick brown fox jumps over lazy dogs")]).unwrap().remove(0);
    for stream in streams {
        let key = StreamKey::new(format!("forum-{stream:08}/author")).unwrap();
        let document = Document { id: Some(format!("{run}-{stream}")), streams: vec![key], ..Document::new("the quick brown fox") };
        opened.monitor.count(&document, &assessment, jiff::Timestamp::UNIX_EPOCH);
    }
    let write = Write { changes: opened.monitor.drain_changes(), alarms: opened.monitor.drain_alarms(), rows: None };
    let start = Instant::now();
    opened.store.commit(&write).unwrap();
    start.elapsed()
}

fn main() {
    let streams = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir_in(".").unwrap();
    let (path, killed) = (folder.path().join("state"), folder.path().join("killed"));
    let mut opened = open(&path);
    for from in (0..streams).step_by(50_000) {
        batch(&mut opened, from..(from + 50_000).min(streams), 0);
    }
    for documents in [1, 30, 300] {
        let mut times: Vec<_> = (0..50).map(|i| batch(&mut opened, i * documents * 7..i * documents * 7 + documents, documents)).collect();
        times.sort();
        println!("{documents:>4} documents a batch: {:.2} ms the median write, {:.2} ms the slowest of 50", ms(times[25]), ms(times[49]));
    }
    // A copy of a file that is open is what a kill leaves.
    std::fs::copy(&path, &killed).unwrap();
    drop(opened);
    for (how, path) in [("a clean end", &path), ("a kill", &killed)] {
        let start = Instant::now();
        let opened = open(path);
        let keys = opened.monitor.counters().keys;
        println!("{keys} streams after {how}: {:.2} s, {} MB", start.elapsed().as_secs_f64(), path.metadata().unwrap().len() >> 20);
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.
}
