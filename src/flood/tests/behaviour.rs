//! Counting, alarms and limits of the monitor.

use super::*;

fn monitor(settings: Settings) -> Monitor {
    Monitor::new(settings, reference(2000, 500, 0.3)).unwrap()
}

/// Posts of a stream in turn, with the p-values of `p`.
fn post(monitor: &mut Monitor, stream: &str, p: Option<f64>, second: i64) -> StreamStatus {
    monitor.observe(&document(&[stream], None), &assessment(100, p), at(second)).remove(0)
}

#[test]
fn every_key_and_the_whole_stream_are_counted() {
    let mut monitor = monitor(Settings::default());
    let statuses = monitor.observe(&document(&["forum-7", "author-9"], None), &assessment(100, Some(0.001)), at(0));
    assert_eq!(
        statuses.iter().map(|s| (s.key.as_str(), s.documents, s.flagged)).collect::<Vec<_>>(),
        [("forum-7", 1, 1), ("author-9", 1, 1)]
    );
    monitor.count(&document(&["forum-7", "forum-7"], None), &assessment(100, None), at(60));
    monitor.count(&document(&[], None), &assessment(100, Some(0.5)), at(60));
    assert_eq!(monitor.status(&key("forum-7")).unwrap().documents, 2, "a key given twice counts once");
    assert_eq!(whole(&monitor).documents, 3);
    let names: Vec<String> = monitor.streams(None, None, 2).into_iter().map(|s| s.key.as_str().to_owned()).collect();
    assert_eq!(names, ["*", "author-9"]);
    assert_eq!(monitor.streams(None, Some(&key("author-9")), 9).len(), 1);
    assert_eq!((monitor.streams(Some(State::Quiet), None, 9).len(), monitor.streams(Some(State::Flood), None, 9).len()), (3, 0));
    assert!(StreamKey::new("*").is_err(), "no sender can use the whole stream's key");
    let json = serde_json::to_value(&statuses[0]).unwrap();
    assert_eq!((json["key"].as_str(), json["state"].as_str(), json["share"]["low"].as_f64()), (Some("forum-7"), Some("quiet"), Some(0.)));
    assert!(json["log_e"].is_number() && json["log_sr"].is_number());
}

#[test]
fn a_document_without_a_p_value_counts_for_volume_only() {
    let mut monitor = monitor(Settings::default());
    let first = post(&mut monitor, "a", Some(0.5), 0);
    let next = post(&mut monitor, "a", None, 60);
    assert_eq!((next.documents, next.log_e, next.log_sr, next.share), (2, first.log_e, first.log_sr, first.share));
    assert_eq!(next.rate.per_minute, 1.);
    let short = monitor.observe(&document(&["b"], None), &assessment(9, Some(0.001)), at(0)).remove(0);
    assert!(short.log_e > 0., "a short post with a p-value is evidence");
    for p in [f64::NAN, -1., 2., f64::INFINITY] {
        assert_eq!(post(&mut monitor, "c", Some(p), 0).log_sr, 0., "{p} is no p-value");
    }
    let shorter = monitor.observe(&document(&["d"], None), &assessment(7, Some(0.001)), at(0)).remove(0);
    assert_eq!(shorter.log_sr, 0., "no bin is that short");
}

#[test]
fn a_repeated_id_counts_once_in_each_key() {
    let mut monitor = monitor(Settings { dedup_window: 10, ..Settings::default() });
    let mut send = |streams: &[&str], id: &str| {
        monitor.count(&document(streams, Some(id)), &assessment(100, Some(0.5)), at(0));
        let documents = |name: StreamKey| monitor.status(&name).map_or(0, |s| s.documents);
        (documents(key("a")), documents(key("b")), documents(StreamKey::whole()), monitor.counters().repeated)
    };
    assert_eq!(send(&["a"], "1"), (1, 0, 1, 0));
    assert_eq!(send(&["a"], "1"), (1, 0, 1, 1));
    assert_eq!(send(&["b"], "1"), (1, 1, 2, 1), "ids are those of a key");
    assert_eq!(send(&["a", "b"], "2"), (2, 2, 3, 1));
    assert_eq!(send(&[], "1"), (2, 2, 4, 1));
    assert_eq!(send(&["d"], ""), (2, 2, 5, 1));
    assert_eq!(send(&["d"], ""), (2, 2, 6, 1), "an empty one names nothing");
    for i in 0..10 {
        send(&["c"], &format!("x{i}"));
    }
    assert_eq!(send(&["a"], "1").0, 3, "beyond the window it is new again");
}

#[test]
fn a_flood_is_raised_once_and_cleared_when_it_ends() {
    let mut monitor = monitor(Settings::default());
    let mut random = Random(41);
    let mut second = 0;
    let mut send = |monitor: &mut Monitor, flood: bool| {
        second += 60;
        let p = if flood { random.uniform().powf(3.3) } else { random.uniform() };
        let post = Document { id: Some(second.to_string()), ..document(&["forum"], None) };
        monitor.observe(&post, &assessment(100, Some(p)), at(second)).remove(0)
    };
    (0..300).for_each(|_| drop(send(&mut monitor, false)));
    assert_eq!(monitor.drain_alarms(), []);
    let during: Vec<StreamStatus> = (0..200).map(|_| send(&mut monitor, true)).collect();
    assert_eq!(during.last().map(|s| s.state), Some(State::Flood));
    let raised = monitor.drain_alarms();
    assert_eq!(
        raised.iter().map(|a| (a.event, a.key.as_str())).collect::<Vec<_>>(),
        [(AlarmEvent::Raised, "forum"), (AlarmEvent::Raised, "*")]
    );
    let alarm = &raised[0];
    let machine_per_minute = alarm.severity.machine_per_minute.unwrap();
    assert!((machine_per_minute - alarm.severity.share).abs() < 0.1, "one a minute: {alarm:?}");
    assert!(alarm.since > at(300 * 60 - 600) && alarm.since < alarm.at && !alarm.examples.is_empty(), "{alarm:?}");
    assert_eq!(during.last().unwrap().kind, Some(AlarmKind::TemplateFlood), "the test posts one text: {:?}", during.last());
    let first = during.iter().find(|s| s.state == State::Flood).unwrap().share;
    assert_eq!((first.low, first.estimate, first.high), (0., alarm.severity.share, 1.), "right after the alarm");
    let share = during.last().unwrap().share;
    assert!(share.estimate > 0.8 && share.low > 0.2, "counted since the alarm, and few of these texts are found: {share:?}");
    assert_eq!(monitor.counters().flooded, 2);
    assert_eq!(monitor.floods(0.05, 0), []);
    assert_eq!(monitor.floods(0.05, 9).iter().map(|s| s.key.as_str().to_owned()).collect::<Vec<_>>(), ["forum"]);
    let after: Vec<StreamStatus> = (0..500).map(|_| send(&mut monitor, false)).collect();
    assert_eq!(after.last().map(|s| (s.state, s.kind)), Some((State::Quiet, None)));
    let cleared = monitor.drain_alarms();
    assert_eq!(cleared.iter().map(|a| (a.sequence, a.event)).collect::<Vec<_>>(), [(3, AlarmEvent::Cleared), (4, AlarmEvent::Cleared)]);
    assert_eq!(cleared[0].since, alarm.at);
    assert_eq!((monitor.counters().flooded, monitor.floods(0.05, 9).len()), (0, 0));
}

/// Streams with much evidence are the ones that are kept: how many there were decides what is rare among them.
#[test]
fn forgotten_streams_count_among_those_that_are_compared() {
    let mut monitor = monitor(Settings { max_keys: 16, dedup_window: 0, ..Settings::default() });
    let mut send = |name: &str, p: f64| {
        monitor.observe(&document(&[name], None), &assessment(100, Some(p)), at(0));
        monitor.floods(0.05, 9).len()
    };
    assert_eq!((0..15).map(|i| send(&format!("k{i}"), 0.6)).last(), Some(0));
    let sent = (1..100).find(|_| send("forum", 0.001) == 1);
    assert!(sent.is_some(), "a flood among sixteen streams");
    assert_eq!((0..10_000).map(|i| send(&format!("author {i}"), 0.6)).last(), Some(0), "and among ten thousand nothing unheard of");
    assert!(monitor.status(&key("forum")).is_some_and(|forum| forum.log_e > 5.), "it is not forgotten");
}

/// A text with these p-values by the kinds' scores, and one of the pooled score that says nothing.
fn of_kinds(p: [f64; 3]) -> Assessment {
    let kind_p_values = KINDS.iter().map(|kind| (*kind).to_owned()).zip(p).collect();
    Assessment { kind_p_values, ..assessment(100, Some(0.6)) }
}

#[test]
fn a_flood_that_one_kinds_score_finds_lasts_as_long_as_that_score_finds_it() {
    let kinds = DrawnKinds::new(&mut Random(3), 2000, 500, [0.5, 0.3, 0.3, 0.3]);
    let mut monitor = Monitor::new(settings(1000.), kinds.reference()).unwrap();
    let mut alarms = |p: [f64; 3], from: i64, to: i64| {
        (from..to).for_each(|t| feed_text(&mut monitor, &of_kinds(p), t));
        let share = |alarm: &Alarm| (alarm.severity.share * 10.).round() as u8;
        monitor.drain_alarms().into_iter().map(|alarm| (alarm.event, share(&alarm), alarm.found_by)).collect::<Vec<_>>()
    };
    assert_eq!(alarms([0.6; 3], 0, 50), [], "people");
    let base = || Some(KINDS[1].to_owned());
    assert_eq!(alarms([0.6, 0.005, 0.6], 50, 60), [(AlarmEvent::Raised, 10, base())], "and by that score nearly all is machine text");
    assert_eq!(alarms([0.6, 0.005, 0.6], 60, 400), [], "it goes on, whatever the other scores say");
    let cleared = alarms([0.005, 0.6, 0.6], 400, 480);
    assert_eq!(cleared.first(), Some(&(AlarmEvent::Cleared, 10, base())), "what was found is over");
}

#[test]
fn what_a_calibration_does_not_know_is_no_evidence() {
    let kinds = DrawnKinds::new(&mut Random(3), 2000, 500, [0.5, 0.3, 0.3, 0.3]);
    let unknown = |p: f64| Assessment { kind_p_values: BTreeMap::from([("unheard-of".to_owned(), p)]), ..assessment(100, Some(0.6)) };
    let evidence = |text: &Assessment| {
        let mut monitor = Monitor::new(settings(1000.), kinds.reference()).unwrap();
        feed_text(&mut monitor, text, 1);
        whole(&monitor).log_e
    };
    let pooled = evidence(&assessment(100, Some(0.6)));
    assert_eq!(pooled, evidence(&unknown(0.0001)));
    assert_eq!(pooled, evidence(&of_kinds([f64::NAN, -1., 2.])));
    assert!(pooled < evidence(&of_kinds([0.6, 0.6, 0.001])));
}

/// A kind without texts of a length has no bets there: time alone is no evidence.
#[test]
fn a_kind_that_is_not_known_at_a_length_raises_no_alarm_there() {
    let mut bins = reference(2000, 500, 0.5).bins().to_vec();
    bins[0].kinds = BTreeMap::from([("absent".to_owned(), Detected { texts: 0, at: vec![0; LEVELS.len()] })]);
    let mut monitor = Monitor::new(settings(10_000.), Reference::new(bins).unwrap()).unwrap();
    (0..50_000).for_each(|t| feed(&mut monitor, 0.6, t));
    assert_eq!(monitor.drain_alarms(), []);
    assert!(whole(&monitor).log_sr < 10_f64.ln(), "{}", whole(&monitor).log_sr);
}

/// Where documents are read from a file, when they were read says nothing of how often they were posted.
#[test]
fn without_times_there_is_no_rate() {
    let mut monitor = monitor(Settings { live: false, ..Settings::default() });
    for i in 0..100 {
        feed(&mut monitor, 0.001, i);
    }
    let alarm = monitor.drain_alarms().remove(0);
    assert_eq!((alarm.severity.machine_per_minute, whole(&monitor).rate.per_minute), (None, 0.));
    assert!(alarm.severity.share > 0.5, "{alarm:?}");
}

#[test]
fn late_and_future_times_are_told_and_change_no_evidence() {
    let mut monitor = monitor(Settings::default());
    let mut send = |time: i64, now: i64| {
        let post = Document { time: Some(at(time)), ..document(&["a"], None) };
        monitor.observe(&post, &assessment(100, Some(0.001)), at(now)).remove(0)
    };
    let first = send(1000, 2000);
    assert_eq!((first.late, first.since), (0, at(1000)));
    assert_eq!(send(950, 2000).late, 0, "within a minute");
    let late = send(500, 2000);
    assert_eq!((late.late, late.documents), (1, 3));
    assert_eq!(send(9000, 2000).late, 2, "from the future");
    let far = send(i64::from(i32::MAX), 2001);
    assert!(far.log_e > first.log_e && far.rate.per_minute.is_finite(), "{far:?}");
}

#[test]
fn a_surge_is_told_and_raises_no_alarm() {
    let mut monitor = monitor(Settings::default());
    let mut random = Random(42);
    let mut clock = 0.;
    let mut last = None;
    for i in 0..400 {
        clock -= random.uniform().ln() * if i < 300 { 600. } else { 5. };
        last = Some(post(&mut monitor, "a", Some(random.uniform()), clock as i64));
        if i == 299 {
            assert!(last.as_ref().is_some_and(|s| s.rate.log_surge < 1e4f64.ln()), "{last:?}");
        }
    }
    let last = last.unwrap();
    assert!(last.rate.log_surge > 1e4f64.ln() && last.rate.per_minute > 4., "{last:?}");
    assert_eq!(monitor.drain_alarms(), []);
}

#[test]
fn the_least_informative_key_is_forgotten_and_never_one_in_a_flood() {
    let mut monitor = monitor(Settings { max_keys: 20, arl: 100., ..Settings::default() });
    for i in 0..50 {
        post(&mut monitor, "flooded", Some(0.001), i);
        post(&mut monitor, "old", Some(0.9), i);
    }
    for i in 0..500 {
        post(&mut monitor, &format!("new-{i}"), Some(0.9), 100 + i);
    }
    let counters = monitor.counters();
    assert_eq!((counters.keys, counters.evicted), (20, 500 + 3 - 20));
    assert!(monitor.status(&key("flooded")).is_some() && monitor.status(&key("old")).is_some());
    assert!(monitor.status(&key("new-499")).is_some() && monitor.status(&key("new-0")).is_none());
    for i in 0..20 {
        for j in 0..10 {
            post(&mut monitor, &format!("flood-{i}"), Some(0.001), 1000 + i * 10 + j);
        }
    }
    assert_eq!(monitor.counters().keys, 20);
    let refused = post(&mut monitor, "late-comer", Some(0.001), 5000);
    assert_eq!(refused.documents, 0, "all others are in a flood");
    assert!(monitor.counters().refused > 0);
}

#[test]
fn a_mismatch_is_told_apart_from_a_flood() {
    let told = |p: &dyn Fn(f64) -> f64, trusted: &[&str]| {
        let trusted = trusted.iter().map(|name| key(name)).collect();
        let mut monitor = monitor(Settings { arl: 1e14, trusted, ..Settings::default() });
        let mut random = Random(43);
        (0..1500).fold(false, |told, i| told | post(&mut monitor, "a", Some(p(random.uniform())), i).calibration_mismatch)
    };
    assert!(!told(&|u| u, &[]) && !told(&|u| u, &["a"]), "uniform");
    assert!(!told(&|u| u.powf(3.), &[]), "a flood of machine texts");
    assert!(!told(&|u| if u < 0.3 { (u / 0.3).powf(2.) } else { (u - 0.3) / 0.7 }, &[]), "a flood of 30%");
    assert!(told(&|u| u.powf(0.5), &[]), "humans who score lower than the reference's");
    assert!(told(&|u| 0.15 + 0.5 * u, &[]), "a hump in the middle");
    assert!(told(&|u| u.powf(1.5), &["a"]), "a trusted stream with too many small p-values");
}

#[test]
fn evidence_stays_finite_for_ever() {
    let mut monitor = monitor(Settings { arl: 1e15, clear_arl: 1e15, ..Settings::default() });
    for (p, n) in [(0.0005, 3000), (1., 20_000), (0.0005, 3000)] {
        for i in 0..n {
            monitor.count(&document(&["a"], None), &assessment(100, Some(p)), at(i));
        }
        let status = monitor.status(&key("a")).unwrap();
        let json = serde_json::to_value(&status).unwrap();
        assert!(status.log_e.is_finite() && status.log_sr.is_finite() && json["log_e"].is_number(), "{status:?}");
    }
    let stream = monitor.table.get_mut(1);
    (stream.documents, stream.scored, stream.flagged, stream.late) = (u64::MAX - 1, u64::MAX - 1, u32::MAX - 1, u32::MAX - 1);
    for i in 0..5 {
        post(&mut monitor, "a", Some(0.001), -i * 1000);
    }
    let status = monitor.status(&key("a")).unwrap();
    assert!(status.log_e.is_finite() && status.documents == u64::MAX, "{status:?}");
}

#[test]
fn settings_and_references_that_cannot_be_meant_are_refused() {
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        Monitor::new(settings, reference(200, 0, 1.)).map(|_| ()).map_err(|e| e.name)
    };
    assert_eq!(with(&|_| ()), Ok(()));
    assert_eq!(with(&|s| s.arl = 1.), Err("arl"));
    assert_eq!(with(&|s| s.arl = f64::NAN), Err("arl"));
    assert_eq!(with(&|s| s.base_share = 0.95), Err("base_share"));
    assert_eq!(with(&|s| s.clear_share = Some(0.)), Err("clear_share"));
    assert_eq!(with(&|s| s.alpha = 0.), Err("alpha"));
    assert_eq!(with(&|s| s.max_keys = 2), Err("max_keys"));
    let bin = |from_tokens, human, detected: [usize; 7]| BinRates {
        from_tokens,
        human,
        few_shot: false,
        machine: Detected { texts: 10, at: detected.to_vec() },
        kinds: BTreeMap::new(),
    };
    assert_eq!(Reference::new(Vec::new()), Err(ReferenceError::Empty));
    assert_eq!(Reference::new(vec![bin(8, 0, [0; 7])]), Err(ReferenceError::Bin(0)));
    assert_eq!(Reference::new(vec![bin(8, 9, [0; 7]), bin(8, 9, [0; 7])]), Err(ReferenceError::Bin(1)));
    assert_eq!(Reference::new(vec![bin(8, 9, [1, 2, 3, 4, 5, 6, 11])]), Err(ReferenceError::Bin(0)));
    assert_eq!(Reference::new((0..13).map(|i| bin(8 + i, 9, [0; 7])).collect()), Err(ReferenceError::TooMany(13)));
}
