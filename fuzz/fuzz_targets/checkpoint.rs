//! Arbitrary bytes as a checkpoint's files: they are refused or converted, they never panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| highwater::model::parse_checkpoint(bytes));
