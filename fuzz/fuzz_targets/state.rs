//! Arbitrary bytes as saved state of the flood monitor: they are refused or restored, they never panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| highwater::flood::parse_any(bytes));
