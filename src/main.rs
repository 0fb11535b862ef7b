//! The `highwater` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_to_ourselves();
    highwater::cli::run(std::env::args_os())
}

/// ONNX Runtime's official library notes a device id and reports its use to its maker, unless this stands in the environment before it is
/// loaded; telling it later, through its interface, was seen to come too late.
fn keep_to_ourselves() {
    // SAFETY: the first thing that the process does; no other thread reads the environment yet.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
}
