//! Converted weights are kept once, whole, and never needed; the Hugging Face cache is read as it is: links.

use super::Copy;
use crate::cli::{Ran, highwater, ran, with_input};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// `highwater score` on one text, with its caches below `home`.
fn score(model: &Path, home: &Path) -> Command {
    let mut command = highwater(&["score", "--format", "lines", "--device", "cpu", "--threads", "1", "--model"]);
    command.arg(model).env("XDG_CACHE_HOME", home).env_remove("HF_HOME").env_remove("HF_HUB_CACHE");
    command
}

const TEXT: &[u8] = b"the people said that they wanted the same thing again\n";

fn scored(run: &Ran) -> f64 {
    assert_eq!(run.code, Some(0), "{}", run.err);
    let row: serde_json::Value = serde_json::from_str(run.out.trim_end()).unwrap();
    row["statistics"]["mean_surprisal_nats"].as_f64().unwrap()
}

fn kept(home: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(home.join("highwater/converted")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn processes_that_convert_at_once_leave_one_whole_file() {
    let (copy, home) = (Copy::of("plain"), tempfile::tempdir().unwrap());
    let input = home.path().join("in.txt");
    fs::write(&input, TEXT).unwrap();
    let one = || score(copy.0.path(), home.path()).arg(&input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..6).map(|_| one()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !err.contains("cannot be kept"), "{err}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("mean_surprisal_nats"));
    }
    let kept = kept(home.path());
    assert!(kept.len() == 1 && kept[0].extension().is_some_and(|e| e == "safetensors"), "{kept:?}");
}

#[test]
fn a_half_file_is_made_again_and_what_a_killed_process_left_is_in_no_ones_way() {
    let (copy, home) = (Copy::of("plain"), tempfile::tempdir().unwrap());
    let run = || with_input(&mut score(copy.0.path(), home.path()), TEXT);
    let first = scored(&run());
    let file = kept(home.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    // a second run uses the file as it is
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(scored(&run()), first);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);

    let part = file.with_file_name("0123456789abcdef.1.0.part");
    fs::write(&part, &whole[..whole.len() / 2]).unwrap();
    let (mut other, mut flipped) = (whole.clone(), whole.clone());
    other[20] ^= 1;
    // one bit of the data, of which the header says nothing but its digest
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&whole[..whole.len() / 2], &whole[..9], b"", &other, &flipped] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(scored(&run()), first);
        assert_eq!(fs::read(&file).unwrap(), whole);
    }
    assert!(part.exists(), "it may belong to a process that still writes");
    assert_eq!(kept(home.path()).len(), 2);
}

#[test]
fn a_cache_that_cannot_be_written_is_told_and_not_needed() {
    let (copy, home) = (Copy::of("plain"), tempfile::tempdir().unwrap());
    let first = scored(&with_input(&mut score(copy.0.path(), home.path()), TEXT));
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    for below in [&file, Path::new("/dev/null")] {
        let run = with_input(&mut score(copy.0.path(), below), TEXT);
        assert_eq!(scored(&run), first);
        assert!(run.err.contains("converted weights cannot be kept there") && run.err.contains("converting in memory"), "{}", run.err);
    }
}

/// A limit on the size of files stands in for a full disk: both fail in the middle of a write.
#[test]
#[cfg(unix)]
fn a_full_disk_leaves_nothing_behind_and_the_texts_are_scored() {
    let (copy, home) = (Copy::of("plain"), tempfile::tempdir().unwrap());
    let plain = score(copy.0.path(), home.path());
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    limited.env("XDG_CACHE_HOME", home.path());
    let run = with_input(&mut limited, TEXT);
    scored(&run);
    assert!(run.err.contains("converted weights cannot be kept there") && run.err.contains("converting in memory"), "{}", run.err);
    assert!(kept(home.path()).is_empty(), "{:?}", kept(home.path()));
}

/// A repository in a made-up Hugging Face cache: files are links into `blobs`.
#[cfg(unix)]
fn hub(home: &Path, id: &str) -> PathBuf {
    let repository = home.join(format!("hub/models--{}", id.replace('/', "--")));
    let snapshot = repository.join("snapshots/0123abcd");
    for folder in [&snapshot, &repository.join("blobs"), &repository.join("refs")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(repository.join("refs/main"), "0123abcd").unwrap();
    let copy = Copy::of("plain");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(copy.path(name), repository.join("blobs").join(format!("{name}-hash"))).unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{name}-hash"), snapshot.join(name)).unwrap();
    }
    repository
}

#[test]
#[cfg(unix)]
fn a_repository_in_the_hugging_face_cache_loads_by_its_id() {
    let home = tempfile::tempdir().unwrap();
    let repository = hub(home.path(), "somebody/gpt2-tiny");
    let run = |id: &str, precision: &str| {
        let mut command = score(Path::new(id), home.path());
        with_input(command.args(["--precision", precision]).env("HF_HOME", home.path()), TEXT)
    };
    let copy = Copy::of("plain");
    // a directory of the user's own is copied, as it may be written into
    let elsewhere = tempfile::tempdir().unwrap();
    let direct = scored(&with_input(score(copy.0.path(), elsewhere.path()).args(["--precision", "fp32"]), TEXT));
    assert_eq!(kept(elsewhere.path()).len(), 1);
    assert_eq!(scored(&run("somebody/gpt2-tiny", "fp32")), direct);
    assert!(kept(home.path()).is_empty(), "fp32 weights are read where they lie");
    assert!((scored(&run("somebody/gpt2-tiny", "int8")) - direct).abs() < 0.05);
    assert_eq!(kept(home.path()).len(), 1);

    let absent = run("somebody/else", "fp32");
    assert_eq!(absent.code, Some(2));
    assert!(absent.err.contains("is not in the local Hugging Face cache; get it with `hf download somebody/else`"), "{}", absent.err);
    for commit in ["", "../..", "0123abcd/../0123abcd", "dead"] {
        fs::write(repository.join("refs/main"), commit).unwrap();
        assert!(run("somebody/gpt2-tiny", "fp32").err.contains("is not in the local Hugging Face cache"), "{commit}");
    }
}

#[test]
fn a_model_that_is_no_directory_and_no_id_is_refused() {
    let (home, copy) = (tempfile::tempdir().unwrap(), Copy::of("plain"));
    let file = copy.path("model.safetensors");
    for (model, part) in [
        ("..x/..", "is no directory"),
        ("../../no-such-folder", "is no directory"),
        ("a/b/c", "is no directory"),
        ("a\\b", "is no directory"),
        ("\u{1b}[2J", "is no directory"),
        ("", "this one is empty"),
        (file.to_str().unwrap(), "is a file; give the directory that holds it"),
    ] {
        let run = ran(&mut score(Path::new(model), home.path()));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{model}: {}", run.err);
        assert!(run.err.contains(part), "{model}: {}", run.err);
    }
    // an id cannot leave the cache: a slash is no slash in a folder's name there
    let run = ran(score(Path::new("a/.."), home.path()).env("HF_HOME", home.path()));
    assert!(run.code == Some(2) && run.err.contains("models--a--..)"), "{}", run.err);
}
