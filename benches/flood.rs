//! What the flood monitor costs on one core: documents counted a second, bytes a key, and the time to continue with a million keys.
//!
//! `cargo bench --bench flood`. Takes no model: assessments are made beforehand, as the service's worker holds them.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a measurement that cannot run must stop, and prints")]

use highwater::{
    flood::{Monitor, Reference, Saved, Settings},
    stats::{BinRates, Detected},
    text::{Document, StreamKey},
    verdict::Assessment,
};
use jiff::Timestamp;
use std::time::Instant;

const DOCUMENTS: usize = 1_000_000;
const KINDS: [&str; 3] = ["base-model", "early-chat", "late-chat"];

fn main() {
    // first: what another part has freed would be used again and not be counted
    memory();
    speed(1_000, "a thousand keys");
    speed(1_000_000, "a million keys");
}

fn monitor(max_keys: usize, track_changes: bool) -> Monitor {
    Monitor::new(Settings { max_keys, track_changes, ..Settings::default() }, reference()).expect("these settings can be meant")
}

/// Five length bins and three kinds, as many as a real calibration has or more.
fn reference() -> Reference {
    let machine = || Detected { texts: 500, at: vec![40, 60, 110, 150, 210, 270, 390] };
    let kinds = || KINDS.map(|kind| (kind.to_owned(), machine())).into();
    let bin = |from_tokens| BinRates { from_tokens, human: 2500, few_shot: false, machine: machine(), kinds: kinds() };
    Reference::new([8, 24, 48, 128, 256].map(bin).to_vec()).expect("these bins fit together")
}

fn assessment(i: usize) -> Assessment {
    // Multiples of the golden ratio are spread evenly: people's p-values.
    let p_value = |i: usize| (i as f64 * 0.618_033_988_749_894_9).fract();
    let kind_p_values = KINDS.iter().zip(1..).map(|(kind, n)| ((*kind).to_owned(), p_value(i + 17 * n))).collect();
    Assessment { kind_p_values, ..Assessment::evidence(10 + i * 7 % 400, Some(p_value(i)), p_value(i) <= 0.01) }
}

fn key(i: usize) -> StreamKey {
    StreamKey::new(format!("forum-{i}")).expect("a good key")
}

fn speed(keys: usize, name: &str) {
    let assessments: Vec<Assessment> = (0..1000).map(assessment).collect();
    let document = |i: usize| Document { id: Some(i.to_string()), streams: vec![key(i * 7919 % keys)], ..Document::new("a post") };
    let documents: Vec<Document> = (0..DOCUMENTS).map(document).collect();
    let run = |name: &str, act: &dyn Fn(&mut Monitor, &Document, &Assessment, Timestamp)| {
        let mut monitor = monitor(2_000_000, false);
        // Every key is there before the clock starts.
        documents.iter().enumerate().for_each(|(i, document)| {
            let document = Document { id: None, ..document.clone() };
            monitor.count(&document, &assessments[i * 31 % 1000], at(i));
        });
        let start = Instant::now();
        for (i, document) in documents.iter().enumerate() {
            act(&mut monitor, document, &assessments[i % 1000], at(DOCUMENTS + i));
        }
        println!("{name:<32} {:>10.0} documents/s", DOCUMENTS as f64 / start.elapsed().as_secs_f64());
    };
    run(&format!("count, {name}"), &|monitor, document, assessment, now| monitor.count(document, assessment, now));
    run(&format!("observe, {name}"), &|monitor, document, assessment, now| drop(monitor.observe(document, assessment, now)));
}

fn at(i: usize) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + i as i64 * 10).expect("within range")
}

/// Resident bytes of this process; 0 where the system does not say.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|s| s.split_whitespace().nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

fn memory() {
    let mut monitor = monitor(4_000_000, true);
    let before = resident();
    for i in 0..2_000_000 {
        let document = Document { streams: vec![key(i)], ..Document::default() };
        monitor.count(&document, &assessment(i), at(i));
        if i + 1 == 1_000_000 {
            let saved = monitor.drain_changes();
            println!("{:<32} {:>10.0}", "resident bytes a key, 1,000,000", (resident() - before) as f64 / 1e6);
            let start = Instant::now();
            let saved = Saved { monitor: saved.monitor, keys: saved.keys, seen: (saved.seen_from..).zip(saved.seen) };
            let settings = Settings { max_keys: 4_000_000, ..Settings::default() };
            let restored = Monitor::restore(settings, reference(), saved).expect("its own state");
            println!("{:<32} {:>10.2} s", "restoring 1,000,000 keys", start.elapsed().as_secs_f64());
            assert_eq!(restored.counters().keys, 1_000_001);
        }
        if i % 1000 == 0 && i > 1_000_000 {
            monitor.drain_changes();
        }
    }
    let each = (resident() - before) as f64 / 2e6;
    println!("{:<32} {each:>10.0}", "resident bytes a key, 2,000,000");
    println!("{:<32} {:>10.2} GB, by that", "10,000,000 keys", each * 1e7 / 1e9);
}
