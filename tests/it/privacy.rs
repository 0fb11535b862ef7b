//! What a run must not leave behind or send: ONNX Runtime's own reporting stays off.

use crate::cli::{highwater, ran};

#[test]
fn the_runtime_notes_nothing_about_this_machine() {
    let home = tempfile::tempdir().unwrap();
    let run = ran(highwater(&["model", "info"]).env("HOME", home.path()).env_remove("XDG_CACHE_HOME").env_remove("ORT_DISABLE_TELEMETRY"));
    assert_eq!(run.code, Some(0), "{}", run.err);
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(left.is_empty(), "the run left {left:?}");
}
