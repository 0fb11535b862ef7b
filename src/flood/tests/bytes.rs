//! State as bytes: what is restored goes on as if nothing had happened, and anything else is refused.

use super::*;
use proptest::prelude::*;

type Keys = Vec<(StreamKey, Vec<u8>)>;

fn saved_of(changes: Changes) -> Saved<Keys, Vec<(u64, u64)>> {
    Saved { monitor: changes.monitor, keys: changes.keys, seen: (changes.seen_from..).zip(changes.seen).collect() }
}

fn durable() -> Settings {
    Settings { track_changes: true, max_keys: 64, dedup_window: 100, seed: 7, ..Settings::default() }
}

fn run(monitor: &mut Monitor, random: &mut Random, from: i64) -> Vec<StreamStatus> {
    let mut last = Vec::new();
    for t in from..from + 300 {
        let post = document(&["forum", ["a", "b", "c"][t as usize % 3]], Some(&t.to_string()));
        let p = if t % 3 == 0 { random.uniform() * 0.02 } else { random.uniform() };
        last = monitor.observe(&post, &assessment(100, Some(p)), at(t * 10));
    }
    last
}

#[test]
fn a_restored_monitor_goes_on_as_if_nothing_had_happened() {
    let mut one = Monitor::new(durable(), reference(500, 300, 0.4)).unwrap();
    run(&mut one, &mut Random(1), 0);
    let changes = one.drain_changes();
    assert_eq!((changes.keys.len(), changes.seen.len(), changes.seen_from, changes.seen_keep_from), (5, 100, 500, 500));
    assert!(changes.keys.iter().all(|(_, bytes)| bytes.len() <= 256));
    let other_seed = Settings { seed: 8, ..durable() };
    let mut two = Monitor::restore(other_seed, reference(500, 300, 0.4), saved_of(changes)).unwrap();
    assert_eq!(one.counters(), two.counters());
    assert_eq!(run(&mut one, &mut Random(2), 299), run(&mut two, &mut Random(2), 299), "299 is a repetition in both");
    let numbers = |monitor: &mut Monitor| monitor.drain_alarms().iter().map(|alarm| (alarm.sequence, alarm.event)).collect::<Vec<_>>();
    let (before, after) = (numbers(&mut one), numbers(&mut two));
    assert!(before.ends_with(&after) && before.len() > after.len(), "{before:?} {after:?}");
    assert_eq!(one.drain_changes(), two.drain_changes());
    assert_eq!(one.drain_changes().keys, [], "nothing changed since");
}

#[test]
fn state_of_another_reference_or_base_share_is_refused() {
    let mut one = Monitor::new(durable(), reference(500, 300, 0.4)).unwrap();
    run(&mut one, &mut Random(1), 0);
    let changes = one.drain_changes();
    let again = |settings, reference| Monitor::restore(settings, reference, saved_of(changes.clone()));
    assert!(matches!(again(durable(), reference(501, 300, 0.4)), Err(RestoreError::Other { .. })));
    assert!(matches!(again(Settings { base_share: 0.1, ..durable() }, reference(500, 300, 0.4)), Err(RestoreError::Other { .. })));
    let mut bins = reference(500, 300, 0.4).bins().to_vec();
    bins[0].kinds = BTreeMap::from([("base".to_owned(), bins[0].machine.clone())]);
    assert!(matches!(again(durable(), Reference::new(bins).unwrap()), Err(RestoreError::Other { .. })));
    assert!(again(Settings { arl: 1e6, ..durable() }, reference(500, 300, 0.4)).is_ok(), "thresholds may change");
    let mut newer = changes.clone();
    newer.monitor[0] += 1;
    let newer = Monitor::restore(durable(), reference(500, 300, 0.4), saved_of(newer));
    assert!(matches!(newer, Err(RestoreError::Version { .. })), "{newer:?}");
    let mut twice = changes.clone();
    twice.keys.push(twice.keys[1].clone());
    assert!(matches!(Monitor::restore(durable(), reference(500, 300, 0.4), saved_of(twice)), Err(RestoreError::Twice(_))));
    let nothing = Saved { monitor: changes.monitor, keys: Vec::new(), seen: Vec::new() };
    assert_eq!(Monitor::restore(durable(), reference(500, 300, 0.4), nothing).unwrap().counters().keys, 1);
}

#[test]
fn evicted_keys_are_told_and_never_also_changed() {
    let set = Settings { max_keys: 16, ..durable() };
    let mut monitor = Monitor::new(set, reference(500, 300, 0.4)).unwrap();
    let mut known = std::collections::BTreeSet::new();
    for t in 0..200 {
        let name = format!("k{}", (t * 7) % 40);
        monitor.count(&document(&[&name], None), &assessment(100, Some(0.5)), at(t));
        if t % 9 == 0 {
            let changes = monitor.drain_changes();
            changes.evicted.iter().for_each(|key| assert!(known.remove(key), "{key:?} was never stored"));
            assert!(changes.keys.iter().all(|(key, _)| !changes.evicted.contains(key)));
            known.extend(changes.keys.into_iter().map(|(key, _)| key));
        }
    }
    let changes = monitor.drain_changes();
    changes.evicted.iter().for_each(|key| assert!(known.remove(key), "{key:?} was never stored"));
    known.extend(changes.keys.into_iter().map(|(key, _)| key));
    let kept: Vec<StreamKey> = monitor.streams(None, None, 100).into_iter().map(|status| status.key).collect();
    assert_eq!(known.into_iter().collect::<Vec<_>>(), kept, "the store and the monitor hold the same keys");
    assert!(monitor.counters().evicted > 0);
}

proptest! {
    /// One byte of a good state changed, or any bytes at all: state or an error, and no panic while it is used.
    #[test]
    fn damaged_bytes_are_refused_or_harmless(place in 0usize..196, value in any::<u8>(), any in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_any(&any);
        let mut one = Monitor::new(durable(), reference(500, 300, 0.4)).unwrap();
        run(&mut one, &mut Random(1), 0);
        let mut changes = one.drain_changes();
        let bytes = &mut changes.keys[2].1;
        let place = place % bytes.len();
        bytes[place] = value;
        parse_any(bytes);
        if let Ok(mut restored) = Monitor::restore(durable(), reference(500, 300, 0.4), saved_of(changes)) {
            run(&mut restored, &mut Random(3), 1000);
            restored.drain_changes();
        }
    }
}
