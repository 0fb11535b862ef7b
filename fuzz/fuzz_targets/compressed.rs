//! Any bytes as a gzip or Zstandard file of lines: whole lines or an error, and nothing panics.
#![no_main]

use highwater::batch::{Compression, InputFormat, read_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let _ = read_all(bytes, InputFormat::Lines, compression);
    }
});
