//! ONNX Runtime that is missing or no ONNX Runtime, and devices that are not there: one sentence, the command that mends it, exit code 2.

use crate::cli::{highwater, ran};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is told of a library at this path.
fn told(library: &Path) -> String {
    for by_variable in [false, true] {
        let mut command = highwater(&["model", "info"]);
        if by_variable {
            command.env("ORT_DYLIB_PATH", library)
        } else {
            command.arg("--onnxruntime").arg(library)
        };
        let run = ran(&mut command);
        assert_eq!((run.code, run.out.as_str()), (Some(2), ""), "{}", run.err);
        let start = format!("error: {} ", library.display());
        assert!(run.err.starts_with(&start) && run.err.contains("; run `make runtime`"), "{}", run.err);
        assert!(run.err.lines().count() == 1 && !run.err.contains("panicked"), "{}", run.err);
        if by_variable {
            return run.err;
        }
    }
    unreachable!()
}

/// The library for the CPU that `make runtime` fetched.
fn installed() -> PathBuf {
    let found = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime")).expect("`make runtime` has run");
    let library = |p: &Path| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime."));
    found.map(|e| e.unwrap().path()).find(|p| library(p)).unwrap()
}

#[test]
fn a_library_that_is_none_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert!(told(&folder.path().join("absent.so")).contains("absent.so is no file"));
    assert!(told(folder.path()).contains("is no file"));
    assert!(told(&at("empty.so", b"")).contains("is no library: 0 bytes long"));
    assert!(told(&at("text.so", "this is no library\n".repeat(50).as_bytes())).contains("cannot be loaded as ONNX Runtime"));
    let whole = fs::read(installed()).unwrap();
    assert!(told(&at("cut.so", &whole[..whole.len() / 3])).contains("is truncated"));
    assert!(told(&at("cut.so", &whole[..whole.len() - 1])).contains("is truncated"));
}

#[test]
#[cfg(target_os = "linux")]
fn another_shared_library_is_refused_in_one_sentence() {
    // every process has the C library mapped
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.split_whitespace().find(|p| p.contains("/libc.so") || p.contains("/libc-") || p.contains("/ld-musl")).unwrap();
    assert!(told(Path::new(libc)).contains("cannot be loaded as ONNX Runtime"));
}

#[test]
fn a_library_named_without_its_folder_is_the_one_in_this_folder() {
    let library = installed();
    let mut command = highwater(&["model", "info", "--device", "cpu", "--onnxruntime"]);
    let run = ran(command.arg(library.file_name().unwrap()).current_dir(library.parent().unwrap()));
    assert_eq!(run.code, Some(0), "{}", run.err);
}

#[test]
#[cfg(unix)]
fn a_machine_without_onnx_runtime_is_told_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("highwater");
    // copied by another process: a program cannot be started while a test beside this one has inherited its open file
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_highwater")).arg(&binary).status().unwrap().success());
    let mut command = Command::new(&binary);
    command.args(["model", "info"]).current_dir(folder.path()).env("XDG_CACHE_HOME", folder.path()).env_remove("ORT_DYLIB_PATH");
    let run = ran(&mut command);
    assert_eq!((run.code, run.out.as_str()), (Some(2), ""));
    assert!(run.err.starts_with("error: ONNX Runtime was not found; run `make runtime`"), "{}", run.err);
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_never_another_device() {
    for (args, code, parts) in [
        (&["--device", "cuda"][..], 2, &["is built for the CPU only", "make runtime-gpu", "--device cpu"][..]),
        (&["--device", "cuda:3", "--precision", "fp32"], 2, &["is built for the CPU only", "make runtime-gpu"]),
        (&["--device", "cuda", "--precision", "int8"], 2, &["int8 runs on the CPU only; on cuda choose fp16 or fp32"]),
        (&["--device", "cpu", "--precision", "fp16"], 2, &["fp16 runs on cuda only; on the CPU choose int8 or fp32"]),
        (&["--device", "tpu"], 1, &["`tpu` is no device"]),
        (&["--device", "cuda:x"], 1, &["`cuda:x` is no device"]),
    ] {
        // one for CUDA may stand in a folder below
        let run = ran(highwater(&[&["model", "info"], args].concat()).env("ORT_DYLIB_PATH", installed()));
        assert_eq!((run.code, run.out.as_str()), (Some(code), ""), "{args:?}: {}", run.err);
        assert!(parts.iter().all(|part| run.err.contains(part)) && !run.err.contains("panicked"), "{args:?}: {}", run.err);
    }
}
