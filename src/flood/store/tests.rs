//! The state file: what comes back, and what is refused.

use super::*;
use crate::{
    calibration::Calibration,
    detector::{Detector, Options},
    flood::LEVELS,
    model::Fake,
    text::Document,
};
use jiff::Timestamp;
use tempfile::TempDir;

/// Predictable to the fake: a small p-value.
const MACHINE: &str = "the quick brown fox jumps over lazy dogs";
/// Too few words to be taken for a text in capitals.
const HUMAN: &str = "THE-QUICK-BROWN FOX JUMPS-OVER LAZY-DOGS";

fn settings() -> Settings {
    Settings { arl: 50., track_changes: true, dedup_window: 100, ..Settings::default() }
}

fn reference() -> Reference {
    Reference::new(Calibration::for_fake().bin_rates(&LEVELS)).unwrap()
}

fn about() -> About {
    About { model: "fake@0".into(), calibration: "fake".into() }
}

fn open(path: &Path) -> Result<Opened, StoreError> {
    Store::open(path, &about(), settings(), reference())
}

fn document(text: &str, key: &str, id: usize) -> Document {
    Document { id: Some(id.to_string()), streams: vec![StreamKey::new(key).unwrap()], ..Document::new(text) }
}

/// Observes documents and writes them as one batch; gives the alarms.
fn batch(opened: &mut Opened, documents: &[Document], rows: u64) -> Result<Vec<Alarm>, StoreError> {
    let mut detector = Detector::new(Box::new(Fake::default()), Calibration::for_fake().into(), Options::default()).unwrap();
    let assessments = detector.assess(documents).unwrap();
    documents.iter().zip(&assessments).for_each(|(d, a)| opened.monitor.count(d, a, Timestamp::UNIX_EPOCH));
    let alarms = opened.monitor.drain_alarms();
    let write = Write { changes: opened.monitor.drain_changes(), alarms: alarms.clone(), rows: Some(rows) };
    opened.store.commit(&write).map(|()| alarms)
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    (folder, path)
}

#[test]
fn everything_comes_back_and_goes_on_as_if_nothing_had_happened() {
    let (_folder, path) = folder();
    let mut whole = open(&folder().1).unwrap();
    let mut alarms = Vec::new();
    for step in 0..40 {
        // Opened anew for each batch: nothing may live in memory only.
        let mut opened = open(&path).unwrap();
        assert_eq!((opened.rows, &opened.alarms), (step as u64, &alarms));
        let text = if step < 10 { HUMAN } else { MACHINE };
        let documents = [document(text, "a", step), document(HUMAN, "b", step), document(text, "a", step)];
        alarms.extend(batch(&mut opened, &documents, step as u64 + 1).unwrap());
        batch(&mut whole, &documents, 0).unwrap();
    }
    assert!(!alarms.is_empty() && alarms.iter().enumerate().all(|(i, a)| a.sequence == i as u64 + 1), "{alarms:?}");
    let opened = open(&path).unwrap();
    for key in ["a", "b", "*"].map(|key| stored_key(key).unwrap()) {
        let (one, other) = (opened.monitor.status(&key).unwrap(), whole.monitor.status(&key).unwrap());
        assert_eq!((one.documents, one.log_e, one.state), (other.documents, other.log_e, other.state), "{key:?}");
    }
    assert_eq!(opened.monitor.status(&stored_key("a").unwrap()).unwrap().documents, 40, "each id counts once");
    assert_eq!(opened.monitor.counters(), whole.monitor.counters());
}

/// Rows of the window go as a whole, so the first that is left begins with entries that no longer count.
#[test]
fn the_newest_ids_count_once_after_any_number_of_restarts() {
    let (_folder, path) = folder();
    let mut sent = 0;
    for sizes in [[vec![10; 15], vec![1; 5]].concat(), vec![1; 12], vec![1; 5]] {
        let mut opened = open(&path).unwrap();
        for size in sizes {
            let documents: Vec<Document> = (sent..sent + size).map(|i| document(HUMAN, "a", i)).collect();
            batch(&mut opened, &documents, 0).unwrap();
            sent += size;
        }
    }
    let mut opened = open(&path).unwrap();
    let again: Vec<Document> = (sent - settings().dedup_window..sent).map(|i| document(HUMAN, "a", i)).collect();
    batch(&mut opened, &again, 0).unwrap();
    assert_eq!(opened.monitor.status(&stored_key("a").unwrap()).unwrap().documents, sent as u64);
}

#[test]
fn a_file_that_was_moved_away_is_not_begun_anew() {
    let (folder, path) = folder();
    let mut opened = open(&path).unwrap();
    batch(&mut opened, &[document(HUMAN, "a", 1)], 1).unwrap();
    let aside = folder.path().join("aside");
    // as after a write that failed
    opened.store.database = None;
    std::fs::rename(&path, &aside).unwrap();
    for make in [false, true] {
        if make {
            std::fs::File::create(&path).unwrap();
        }
        let error = batch(&mut opened, &[document(HUMAN, "a", 2)], 2).unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }) && path.exists() == make, "{error}");
    }
    std::fs::rename(&aside, &path).unwrap();
    batch(&mut opened, &[document(HUMAN, "a", 3)], 3).unwrap();
    drop(opened);
    assert_eq!(open(&path).unwrap().rows, 3);
}

#[test]
fn the_window_against_repetition_is_kept_no_longer_than_it_counts() {
    let (_folder, path) = folder();
    let mut opened = open(&path).unwrap();
    for id in 0..300 {
        batch(&mut opened, &[document(HUMAN, "a", id)], 0).unwrap();
    }
    let rows = opened.store.attempt(|d| Ok(d.begin_read()?.open_table(SEEN)?.range::<u64>(..)?.count())).unwrap();
    assert!((50..=101).contains(&rows), "{rows}");
    drop(opened);
    let mut opened = open(&path).unwrap();
    let before = opened.monitor.counters().repeated;
    batch(&mut opened, &[document(HUMAN, "a", 299), document(HUMAN, "a", 0)], 0).unwrap();
    assert_eq!(opened.monitor.counters().repeated - before, 1, "the newest is still known, the oldest is not");
}

#[test]
fn evidence_of_another_model_calibration_or_setting_is_refused_with_a_choice() {
    let (_folder, path) = folder();
    batch(&mut open(&path).unwrap(), &[document(HUMAN, "a", 0)], 0).unwrap();
    let model = About { model: "other@1".into(), ..about() };
    let calibration = About { calibration: "other".into(), ..about() };
    let share = Settings { base_share: 0.2, ..settings() };
    for (about, settings, says) in [
        (model, settings(), "the model was fake@0 and is now other@1"),
        (calibration, settings(), "the calibration"),
        (about(), share, "base share"),
    ] {
        let error = Store::open(&path, &about, settings, reference()).err().unwrap();
        assert!(matches!(error, StoreError::Other { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(says) && message.contains("state.redb") && message.contains("name a new file"), "{message}");
    }
    assert_eq!(open(&path).unwrap().monitor.counters().documents, 1, "it is left as it was");
}

#[test]
fn a_second_process_is_refused() {
    let (_folder, path) = folder();
    let _first = open(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    let (_folder, path) = folder();
    for content in [b"precious notes".to_vec(), vec![0; 100_000], b"SQLite format 3\0".repeat(1000)] {
        std::fs::write(&path, &content).unwrap();
        let error = open(&path).err().unwrap().to_string();
        assert!(error.contains("state.redb") && !error.contains('\n'), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    std::fs::remove_file(&path).unwrap();
    let database = Database::create(&path).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
    txn.commit().unwrap();
    drop(database);
    assert!(matches!(open(&path).err().unwrap(), StoreError::Foreign { .. }));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(open(path.parent().unwrap()).err().unwrap(), StoreError::Failed { .. }), "a directory");
}

#[test]
fn damage_anywhere_is_told_in_one_sentence_or_changes_nothing() {
    let (_folder, path) = folder();
    let mut opened = open(&path).unwrap();
    for step in 0..30 {
        batch(&mut opened, &[document(MACHINE, &format!("key {step}"), step), document(MACHINE, "a", step)], 7).unwrap();
    }
    drop(opened);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        std::fs::write(&path, &bytes).unwrap();
        match open(&path) {
            Ok(opened) => assert_eq!((opened.monitor.counters().documents, opened.rows), (60, 7), "byte {at}"),
            Err(error) => {
                refused += 1;
                let message = error.to_string();
                assert!(message.contains("state.redb") && !message.contains('\n'), "{message}");
            }
        }
    }
    for length in [1, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(open(&path).is_err(), "cut to {length}");
    }
    assert!(refused > 5, "only {refused} of 97 damaged files were refused");
}

#[test]
fn a_write_that_failed_is_in_the_file_after_the_next() {
    let (_folder, path) = folder();
    let mut opened = open(&path).unwrap();
    batch(&mut opened, &[document(HUMAN, "a", 0)], 1).unwrap();
    // As after an error of the disk: the database is closed.
    let error = opened.store.attempt::<()>(|_| Err(Fault("no space left".into()))).err().unwrap();
    assert!(error.to_string().contains("no space left") && opened.store.database.is_none());
    batch(&mut opened, &[document(HUMAN, "a", 1)], 2).unwrap();
    drop(opened);
    let opened = open(&path).unwrap();
    assert_eq!((opened.rows, opened.monitor.counters().documents), (2, 2));
}

#[test]
fn receivers_go_on_where_they_were_and_new_ones_begin_with_the_next_alarm() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(store.receivers(&names(&["a"]), 3).unwrap(), [3]);
    store.delivered("a", 5).unwrap();
    assert_eq!(store.receivers(&names(&["a", "b"]), 9).unwrap(), [5, 9]);
    assert_eq!(store.receivers(&names(&["b"]), 12).unwrap(), [9]);
    assert_eq!(store.receivers(&names(&["a", "b"]), 12).unwrap(), [12, 9], "one that was left out is forgotten");
}

#[test]
fn feedback_is_numbered_paged_and_bounded() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    for i in 1..=4 {
        assert_eq!(store.add_feedback(format!("{{\"n\":{i}}}").as_bytes()).unwrap(), i);
    }
    assert_eq!(store.feedback(1, 2).unwrap(), [(2, b"{\"n\":2}".to_vec()), (3, b"{\"n\":3}".to_vec())]);
    store.transact(|txn| Ok(txn.open_table(FEEDBACK)?.insert(FEEDBACK_KEPT + 2, &b"{}"[..]).map(drop)?)).unwrap();
    store.add_feedback(b"{}").unwrap();
    assert_eq!(store.feedback(0, 100).unwrap().iter().map(|(n, _)| *n).collect::<Vec<_>>(), [4, FEEDBACK_KEPT + 2, FEEDBACK_KEPT + 3]);
}

#[test]
fn feedback_comes_in_pages_of_bounded_bytes_and_all_of_it_comes() {
    let (_folder, path) = folder();
    let mut store = open(&path).unwrap().store;
    for bytes in [FEEDBACK_BYTES / 2, FEEDBACK_BYTES / 2, 2 * FEEDBACK_BYTES, 1, 1] {
        store.add_feedback(&vec![b'x'; bytes]).unwrap();
    }
    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let numbers: Vec<_> = store.feedback(after, 100).unwrap().iter().map(|(n, _)| *n).collect();
        let Some(last) = numbers.last() else { break };
        after = *last;
        pages.push(numbers);
    }
    assert_eq!(pages, [vec![1, 2], vec![3], vec![4, 5]]);
}

/// Whoever is killed while the file is made leaves nothing under its name, and what another process was faster to make is kept.
#[test]
fn a_new_file_is_whole_or_not_there() {
    let (folder, path) = folder();
    let half = folder.path().join(format!("state.redb.{}.new", std::process::id()));
    std::fs::write(&half, vec![0; 5000]).unwrap();
    drop(open(&path).unwrap());
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["state.redb"], "what was left by one of this number is used up");
    let new = folder.path().join("new");
    std::fs::write(&new, "later").unwrap();
    let before = std::fs::read(&path).unwrap();
    make::place(&new, &path).unwrap();
    assert!(std::fs::read(&path).unwrap() == before);
    assert!(matches!(open(&folder.path().join("absent").join("s")).err().unwrap(), StoreError::Failed { .. }));
    std::fs::write(&path, "").unwrap();
    drop(open(&path).expect("an empty file is as good as none"));
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = folder();
    drop(open(&path).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
