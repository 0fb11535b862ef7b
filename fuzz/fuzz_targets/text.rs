//! Any bytes as a document: reading, normalising and the way back keep their promises.
#![no_main]

use highwater::text::{Document, normalize, unsupported_language, words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let document = Document::from_bytes(bytes);
    let normalized = normalize(&document.text, true);
    assert_eq!(normalize(&normalized.text, true).text, normalized.text);
    let mut last = 0..0;
    for (at, c) in normalized.text.char_indices() {
        let original = normalized.original(at..at + c.len_utf8());
        assert!(document.text.get(original.clone()).is_some_and(|from| !from.is_empty()));
        assert!(original.start >= last.start && original.end >= last.end);
        last = original;
    }
    let _ = (words(&normalized.text), unsupported_language(&normalized.text));
});
