//! What is kept on disk: names that are free, files of processes that are gone, and data that is what it was; and which checkpoint's own
//! file is taken as it is.

use super::{
    cache::{ABANDONED, create_part, sweep},
    *,
};
use crate::model::{BranchSource, ModelSource, checkpoint::Checkpoint};
use std::{
    fs::File,
    time::{Duration, SystemTime},
};

/// Where a Hugging Face cache keeps a repository's files.
const SNAPSHOT: &str = "models--somebody--gpt2/snapshots/0123abcd";
const WEIGHTS: &str = "model.safetensors";

/// Copies a checkpoint to a folder and opens it there.
fn copied(name: &str, to: &Path) -> Checkpoint {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parity").join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    opened(to)
}

fn opened(folder: &Path) -> Checkpoint {
    Checkpoint::open(&ModelSource::Directory(folder.to_owned()), &BranchSource::Own).unwrap()
}

fn job<'a>(checkpoint: &'a Checkpoint, storage: Storage, cache: Option<&'a Path>) -> Job<'a> {
    let (config, weights, branches) = (&checkpoint.config, &checkpoint.weights, checkpoint.branches.as_ref());
    Job { config, weights, branches, storage, hash: &checkpoint.hash, cache }
}

/// The file that the graph would read; none where it is in memory.
fn file(job: &Job<'_>) -> Option<PathBuf> {
    match prepare(job).unwrap().file {
        WeightFile::Disk(path) => Some(path),
        WeightFile::Memory(_) => None,
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn half_files_are_removed_once_nobody_can_be_writing_them() {
    let cache = tempfile::tempdir().unwrap();
    for name in ["a.1.0.part", "b.2.0.part", "whole.safetensors"] {
        fs::write(cache.path().join(name), name).unwrap();
    }
    let now = SystemTime::now();
    let busy = File::options().append(true).open(cache.path().join("b.2.0.part")).unwrap();
    busy.set_modified(now + ABANDONED).unwrap();
    sweep(cache.path(), now);
    assert_eq!(names(cache.path()), ["a.1.0.part", "b.2.0.part", "whole.safetensors"]);
    sweep(cache.path(), now + ABANDONED + Duration::from_secs(60));
    assert_eq!(names(cache.path()), ["b.2.0.part", "whole.safetensors"]);
    sweep(&cache.path().join("absent"), now);
}

/// Two containers with one cache have the same process ids.
#[test]
fn a_half_file_of_the_same_process_id_is_neither_in_the_way_nor_touched() {
    let cache = tempfile::tempdir().unwrap();
    let (first, _file) = create_part(cache.path(), "hash").unwrap();
    fs::write(&first, "of another process").unwrap();
    let (second, _file) = create_part(cache.path(), "hash").unwrap();
    assert_ne!(first, second);
    assert_eq!(fs::read(&first).unwrap(), b"of another process");
}

#[test]
fn numbers_too_large_for_half_precision_are_refused_by_name() {
    let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([1f32, -70_000.].iter().flat_map(|v| v.to_le_bytes()));
    let weights = Weights::from_bytes(bytes, "w.safetensors").unwrap();
    let target = |dtype| Target { branch: false, name: "w".into(), dtype, shape: vec![2], source: "w".into(), make: Make::Same };
    assert_eq!(checked(&target(DType::F32), &weights).unwrap(), [1., -70_000.]);
    let told = checked(&target(DType::F16), &weights).unwrap_err().to_string();
    assert_eq!(told, "w.safetensors: tensor `w` holds -70000, expected numbers that fp16 can hold");
}

#[test]
fn a_file_of_a_hugging_face_cache_is_read_in_place_and_any_other_is_copied() {
    let home = tempfile::tempdir().unwrap();
    let (snapshot, own, cache) = (home.path().join(SNAPSHOT), home.path().join("own"), home.path().join("converted"));
    let of_the_hub = copied("plain", &snapshot);
    let in_place = Some(fs::canonicalize(snapshot.join(WEIGHTS)).unwrap());
    assert_eq!(file(&job(&of_the_hub, Storage::F32, Some(&cache))), in_place);
    assert!(!cache.exists());
    // the user may write into this one while a service has it mapped
    let own = copied("plain", &own);
    let kept = file(&job(&own, Storage::F32, Some(&cache))).unwrap();
    assert_eq!(kept.parent().unwrap(), fs::canonicalize(&cache).unwrap());
    assert_eq!(file(&job(&own, Storage::F32, None)), None);
}

#[test]
fn numbers_that_do_not_start_at_a_multiple_of_their_size_are_not_read_in_place() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(SNAPSHOT).join(WEIGHTS);
    drop(copied("gpt2_hub", path.parent().unwrap()));
    let whole = fs::read(&path).unwrap();
    let size = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    for spaces in 0..=4 {
        let length = ((size + spaces) as u64).to_le_bytes();
        fs::write(&path, [&length, &whole[8..8 + size], &b" ".repeat(spaces), &whole[8 + size..]].concat()).unwrap();
        let checkpoint = opened(path.parent().unwrap());
        let aligned = spaces % 4 == 0;
        assert_eq!(file(&job(&checkpoint, Storage::F32, None)).is_some(), aligned, "{spaces} spaces");
    }
}

#[test]
fn a_kept_file_whose_data_changed_is_made_again() {
    let (home, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let checkpoint = copied("branches", home.path());
    for storage in [Storage::F32, Storage::I8] {
        let job = job(&checkpoint, storage, Some(cache.path()));
        let path = file(&job).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in [whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert_eq!(file(&job), Some(path.clone()));
            assert_eq!(fs::read(&path).unwrap(), whole, "{}, byte {at}", storage.name());
        }
    }
    assert_eq!(names(cache.path()).len(), 2);
}

/// The hash is of what was opened, so what is converted must be too.
#[test]
fn a_checkpoint_that_is_written_to_while_it_is_converted_is_refused_and_not_kept() {
    let (home, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(copied("branches", home.path()));
    for name in [WEIGHTS, "branches.safetensors"] {
        let checkpoint = opened(home.path());
        let path = home.path().join(name);
        let whole = fs::read(&path).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        for cache in [Some(cache.path()), None] {
            let told = prepare(&job(&checkpoint, Storage::F32, cache)).err().unwrap().to_string();
            assert!(told.contains(name) && told.contains("changed while it was read; run again"), "{told}");
        }
        fs::write(&path, whole).unwrap();
    }
    assert!(names(cache.path()).is_empty());
}

/// ONNX Runtime is given paths as UTF-8: any other would lead nowhere.
#[test]
#[cfg(target_os = "linux")]
fn a_path_that_is_not_utf_8_is_never_given_to_onnx_runtime() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let home = tempfile::tempdir().unwrap();
    let odd = home.path().join(OsStr::from_bytes(b"caf\xe9"));
    let checkpoint = copied("plain", &odd.join(SNAPSHOT));
    assert_eq!(file(&job(&checkpoint, Storage::F32, None)), None);
    assert_eq!(file(&job(&checkpoint, Storage::F32, Some(&odd.join("converted")))), None);
    let cache = home.path().join("converted");
    assert!(file(&job(&checkpoint, Storage::F32, Some(&cache))).is_some());
}
