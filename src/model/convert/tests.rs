//! What is kept on disk: names that are free, and files of processes that are gone.

use super::*;

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
