//! Any bytes as JSONL: every row is a document or an error row, and nothing panics.
#![no_main]

use highwater::batch::{Compression, InputFormat, read_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_all(bytes, InputFormat::Jsonl, Compression::None);
});
