//! Any bytes as the answer of a server, whole or as events: it refuses, it never panics, and cutting never changes the text.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| highwater::adversary::api::parse_any(bytes));
