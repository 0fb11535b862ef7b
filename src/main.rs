//! The `highwater` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    highwater::cli::run(std::env::args_os())
}
