//! Near-duplicates, campaigns and the kinds of alarms.

use super::super::{
    sameness::{Background, Sight, Sketch, Watch},
    stream::Window,
};
use super::*;

#[test]
fn sketches_estimate_how_much_two_texts_share() {
    let words: Vec<String> =
        (0..200).map(|i| format!("word{}", char::from(b'a' + (i % 26) as u8).to_string().repeat(1 + i / 26))).collect();
    let text = |from: usize, to: usize| words[from..to].join(" ");
    let similar = |a: &str, b: &str| Sketch::of(a).similarity(&Sketch::of(b));
    assert_eq!(similar(&text(0, 100), &text(0, 100)), 1.);
    assert!(similar(&text(0, 100), &text(100, 200)) < 0.2);
    let half = similar(&text(0, 120), &text(30, 150));
    assert!((half - 0.6).abs() < 0.25, "Jaccard index 0.59, estimated {half}");
    assert_eq!(similar("Buy 12 watches NOW!", "buy 99 watches, now"), 1., "case, punctuation and digits do not count");
    assert_eq!((similar("", ""), similar("a", "a"), similar("a b", "c d")), (0., 1., 0.));
}

#[test]
fn a_window_that_counts_on_keeps_its_shares() {
    let mut window = Window::default();
    (0..400_000).for_each(|i| window.add(1, if i % 4 == 0 { 0 } else { LEVELS.len() }));
    let share = f64::from(window.cells[0]) / f64::from(window.len());
    assert!((share - 0.25).abs() < 0.01 && window.len().abs_diff(window.bins[1].into()) < 9, "{window:?}");
}

fn sight<'a>(text: &'a str, id: &'a str, hidden: &'a [f32]) -> Sight<'a> {
    Sight { text, id: Some(id), hidden }
}

/// A hidden state: a common part, a subject, and noise.
fn hidden(random: &mut Random, subject: f64) -> Vec<f32> {
    (0..64).map(|i| (3. + if i < 8 { subject } else { 0. } + random.normal()) as f32).collect()
}

#[test]
fn kinds_are_told_apart() {
    let mut random = Random(31);
    let mut background = Background::default();
    for _ in 0..2000 {
        background.see(&hidden(&mut random, 0.));
    }
    let kind = |texts: &dyn Fn(usize) -> String, subject: f64, random: &mut Random| {
        let mut watch = Watch::new(0);
        for i in 0..30 {
            watch.suspect(sight(&texts(i), &i.to_string(), &hidden(random, subject)), &background);
        }
        assert_eq!(watch.latest(), Some(watch.kind(&background)), "compared at the 16th, the same at the 30th");
        (watch.kind(&background), watch.examples(), watch.near_duplicate_share().unwrap())
    };
    let unique = |i: usize| {
        (0..20)
            .map(|j| format!("w{}", char::from(b'a' + ((i * 7 + j * j) % 26) as u8).to_string().repeat(1 + i % 9)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let template = |i: usize| format!("Hello {i}, we have a very good offer for you today, answer soon and win a prize of {i} dollars");
    let (found, examples, near) = kind(&template, 0., &mut random);
    assert_eq!((found, near), (AlarmKind::TemplateFlood, 1.));
    assert_eq!(examples, ["22", "23", "24", "25", "26", "27", "28", "29"]);
    assert_eq!(kind(&unique, 4., &mut random).0, AlarmKind::Campaign);
    assert_eq!(kind(&unique, 0., &mut random).0, AlarmKind::BroadRise);
}

#[test]
fn hostile_hidden_states_and_ids_are_left_out() {
    let mut background = Background::default();
    for i in 0..64 {
        background.see(&[f32::NAN, f32::INFINITY, i as f32][..1 + i % 3]);
    }
    let mut watch = Watch::new(0);
    let long = "x".repeat(10_000);
    for _ in 0..100 {
        watch.suspect(sight("", &long, &[f32::NAN; 3]), &background);
    }
    assert_eq!((watch.kind(&background), watch.examples()), (AlarmKind::BroadRise, Vec::new()));
}

/// Twenty streams are watched, most of them in a flood; one that becomes more suspicious than another is watched in its place.
#[test]
fn the_most_suspicious_streams_are_watched() {
    let settings = Settings { max_watched: 20, ..Settings::default() };
    let mut monitor = Monitor::new(settings, reference(2000, 500, 0.3)).unwrap();
    let mut sequence = 0;
    let mut until = |monitor: &mut Monitor, name: &str, log_sr: f64| {
        for _ in 0..200 {
            sequence += 1;
            let post = document(&[name], Some(&sequence.to_string()));
            let status = monitor.observe(&post, &assessment(60, Some(0.02)), at(sequence)).remove(0);
            if status.state == State::Flood || status.log_sr >= log_sr {
                return status.state;
            }
        }
        panic!("{name} is not suspicious after 200 documents")
    };
    for n in 0..17 {
        assert_eq!(until(&mut monitor, &format!("flooded-{n}"), f64::INFINITY), State::Flood);
    }
    for n in 0..6 {
        assert_eq!(until(&mut monitor, &format!("suspicious-{n}"), f64::ln(150.)), State::Quiet);
    }
    monitor.drain_alarms();
    assert_eq!(until(&mut monitor, "loud", f64::INFINITY), State::Flood);
    let alarms = monitor.drain_alarms();
    let examples = alarms.iter().find(|alarm| alarm.key == key("loud")).map(|alarm| alarm.examples.len());
    assert!(examples.is_some_and(|n| n > 1), "{examples:?}");
    assert_eq!(monitor.watches.len(), 20);
}
