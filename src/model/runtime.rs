//! Finds and loads the ONNX Runtime library, once a process.

use super::ModelError;
use ort::environment::Environment;
use std::{
    env,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// The release that the graphs were measured with.
pub(crate) const VERSION: &str = "1.31.1";

/// The command that gets the library.
const MEND: &str = "run `make runtime` in Highwater's source directory; elsewhere put its .runtime/libonnxruntime* beside the program, or name the \
                    library with --onnxruntime or ORT_DYLIB_PATH";

/// The one that gets a library built for CUDA, which lies in a folder of its own beside the other.
const MEND_GPU: &str = "run `make runtime-gpu` in Highwater's source directory, or choose --device cpu";

/// That folder.
const GPU: &str = "gpu";

static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The process's ONNX Runtime; loads the library at the first call. With `gpu`, a library built for CUDA is preferred.
pub(crate) fn environment(named: Option<&Path>, gpu: bool) -> Result<(PathBuf, Environment), ModelError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, environment)) = &*loaded {
        return Ok((path.clone(), environment.clone()));
    }
    // the system's loader looks for a name without a folder everywhere but here
    let found = find(named, gpu)?;
    let path = std::path::absolute(&found).unwrap_or(found);
    let fault = |message: String| fault(&path, message);
    whole(&path).map_err(fault)?;
    let builder = ort::init_from(&path).map_err(|e| fault(format!("cannot be loaded as ONNX Runtime {VERSION}: {e}")))?;
    let environment = builder.with_name("highwater").with_telemetry(false).build().map_err(|e| fault(format!("does not start: {e}")))?;
    *loaded = Some((path.clone(), environment.clone()));
    Ok((path, environment))
}

/// The loaded library's own word on its version.
pub(crate) fn version(library: &Path) -> String {
    ort::util::probe(library).map_or_else(|| "ONNX Runtime".to_owned(), |minor| format!("ONNX Runtime 1.{minor}"))
}

/// Whether this ONNX Runtime came with a CUDA provider.
pub(crate) fn built_for_cuda(library: &Path) -> bool {
    library.with_file_name("libonnxruntime_providers_cuda.so").is_file()
}

/// Loads the CUDA libraries that lie beside ONNX Runtime, so that its provider finds them without any search path; the driver first, as
/// a machine without one is the usual case.
pub(crate) fn load_cuda(library: &Path) -> Result<(), ModelError> {
    let fault = |message: String, mend| ModelError::Runtime { path: Some(library.to_owned()), message, mend };
    if !built_for_cuda(library) {
        return Err(fault("is built for the CPU only".to_owned(), MEND_GPU));
    }
    let load = |path: PathBuf| ort::util::preload_dylib(&path).map_err(|e| e.to_string());
    let no_driver = |e| fault(format!("finds no NVIDIA driver on this machine ({e})"), "install one, or choose --device cpu");
    load("libcuda.so.1".into()).map_err(no_driver)?;
    let libraries = ort::ep::cuda::CUDA_DYLIBS.iter().map(|name| library.with_file_name(name)).filter(|path| path.is_file());
    libraries.into_iter().try_for_each(load).map_err(|e| fault(format!("cannot load CUDA: {e}"), "run `make runtime-gpu` again"))
}

/// What is wrong with a library, and the command that gets one in its place.
fn fault(path: &Path, message: String) -> ModelError {
    let gpu = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == GPU);
    ModelError::Runtime { path: Some(path.to_owned()), message, mend: if gpu { MEND_GPU } else { MEND } }
}

/// The search order of CONTRACT: named, environment, beside the executable, `.runtime/` upwards, the user's cache.
fn find(named: Option<&Path>, gpu: bool) -> Result<PathBuf, ModelError> {
    let variable = env::var_os("ORT_DYLIB_PATH").filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = named.map(Path::to_owned).or(variable) {
        return if path.is_file() { Ok(path) } else { Err(fault(&path, "is no file".into())) };
    }
    let executable = env::current_exe().ok().and_then(|p| Some(p.canonicalize().ok()?.parent()?.to_owned()));
    let here = env::current_dir().ok();
    let cache = super::cache_directory();
    // the program's own first: in a directory above this one somebody else may have put a library
    let upwards = [executable.as_deref(), here.as_deref()].into_iter().flatten().flat_map(Path::ancestors).map(|d| d.join(".runtime"));
    search(executable.iter().cloned().chain(upwards).chain(cache.map(|c| c.join("runtime"))), gpu)
}

/// The first whole library in these folders. A damaged one that nobody named is told and passed over, since a good one may lie beside it;
/// where there is none, its fault is the answer.
fn search(places: impl Iterator<Item = PathBuf>, gpu: bool) -> Result<PathBuf, ModelError> {
    let mut damaged: Option<ModelError> = None;
    for place in places {
        let gpu_place = gpu.then(|| place.join(GPU));
        for directory in gpu_place.into_iter().chain([place]) {
            let Some(found) = names().map(|n| directory.join(n)).find(|p| p.is_file()) else { continue };
            let Err(message) = whole(&found) else { return Ok(found) };
            let error = fault(&found, message);
            tracing::warn!("looking for another ONNX Runtime: {error}");
            damaged.get_or_insert(error);
        }
    }
    Err(damaged.unwrap_or_else(|| ModelError::Runtime { path: None, message: "ONNX Runtime was not found".into(), mend: MEND }))
}

fn names() -> impl Iterator<Item = String> {
    let names = if cfg!(target_os = "macos") {
        [format!("libonnxruntime.{VERSION}.dylib"), "libonnxruntime.dylib".to_owned()]
    } else if cfg!(windows) {
        [format!("onnxruntime-{VERSION}.dll"), "onnxruntime.dll".to_owned()]
    } else {
        [format!("libonnxruntime.so.{VERSION}"), "libonnxruntime.so".to_owned()]
    };
    names.into_iter()
}

/// Refuses a truncated 64-bit ELF library, which the loader would map and then die on: its section table stands at the end.
fn whole(path: &Path) -> Result<(), String> {
    let mut head = [0; 64];
    let mut file = File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let length = file.metadata().map_err(|e| format!("cannot be read: {e}"))?.len();
    if file.read_exact(&mut head).is_err() {
        return Err(format!("is no library: {length} bytes long"));
    }
    if head[..5] == *b"\x7fELF\x02" {
        let number = |at: usize, n: usize| head[at..at + n].iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b));
        let end = number(0x28, 8).saturating_add(number(0x3a, 2) * number(0x3c, 2));
        if end > length {
            return Err(format!("is truncated: {length} bytes, expected at least {end}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_missing_a_short_and_a_truncated_library_are_refused_in_one_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let message = find(Some(&dir.path().join("none.so")), false).unwrap_err().to_string();
        assert!(message.contains("none.so is no file") && message.contains("make runtime"), "{message}");

        let short = dir.path().join("short.so");
        fs::write(&short, b"\x7fELF\x02").unwrap();
        assert!(whole(&short).unwrap_err().contains("5 bytes"));

        let good = fs::read(find(None, false).unwrap()).unwrap();
        let cut = dir.path().join("cut.so");
        fs::write(&cut, &good[..good.len() / 2]).unwrap();
        assert!(whole(&cut).unwrap_err().contains("truncated"));
        fs::write(&cut, &good).unwrap();
        whole(&cut).unwrap();
    }

    #[test]
    fn a_damaged_library_that_nobody_named_is_passed_over_for_a_good_one() {
        let place = tempfile::tempdir().unwrap();
        let name = names().next().unwrap();
        let (cuda, cpu) = (place.path().join(GPU).join(&name), place.path().join(&name));
        let found = |gpu| search([place.path().to_owned()].into_iter(), gpu);
        fs::create_dir(place.path().join(GPU)).unwrap();
        fs::write(&cuda, b"\x7fELF\x02").unwrap();
        // nothing else there: the fault, and the command that mends this one
        let message = found(true).unwrap_err().to_string();
        assert!(message.contains("is no library: 5 bytes long; run `make runtime-gpu`"), "{message}");
        let message = found(false).unwrap_err().to_string();
        assert!(message.starts_with("ONNX Runtime was not found; run `make runtime` "), "{message}");
        fs::write(&cpu, [0; 64]).unwrap();
        assert_eq!(found(true).unwrap(), cpu);
        fs::write(&cuda, [0; 64]).unwrap();
        assert_eq!(found(true).unwrap(), cuda);
        assert_eq!(found(false).unwrap(), cpu);
    }
}
