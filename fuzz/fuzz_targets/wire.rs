//! Arbitrary bytes to the parsers of HTTP bodies and stream lines: they refuse, they never panic, and cutting never changes the lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| highwater::service::parse_any(bytes));
