//! Arbitrary bytes as a checkpoint's files: they are refused or converted, they never panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // what is refused is refused by an error: looked for is what is not
    let _ = highwater::model::parse_checkpoint(bytes);
});
