//! The parsers of foreign bytes, on arbitrary ones.

use crate::service::{
    lines::{Line, Splitter, split},
    parse_any,
    wire::{self, Limits},
};
use proptest::prelude::*;

const LIMITS: Limits = Limits { text: 1000, documents: 10, tokens: false };

/// What the splitter promises, written the simple way.
fn simple(bytes: &[u8], limit: usize) -> Vec<Line> {
    let mut pieces: Vec<_> = bytes.split(|&b| b == b'\n').collect();
    if pieces.last().is_some_and(|p| p.is_empty()) {
        pieces.pop();
    }
    let numbered = pieces.into_iter().zip(1..);
    let line = |(piece, n): (&[u8], u64)| match piece {
        _ if piece.len() > limit => Some(Line::TooLong(n)),
        _ if piece.iter().all(u8::is_ascii_whitespace) => None,
        _ => Some(Line::Text(n, piece.to_vec())),
    };
    numbered.filter_map(line).collect()
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_how_they_were_cut(
        chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab \r\n\n".to_vec()), 0..12), 0..12),
        limit in 0_usize..10,
    ) {
        let whole = chunks.concat();
        let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(split(&parts, limit), simple(&whole, limit));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[\\{\\}\\[\\]\",:\\\\a-z0-9]{0,80}") {
        for input in [bytes.as_slice(), text.as_bytes()] {
            parse_any(input);
        }
    }

    #[test]
    fn any_text_arrives_unchanged(text in any::<String>(), id in any::<String>()) {
        let body = serde_json::json!({"text": text, "id": id}).to_string();
        let document = wire::document(body.as_bytes(), &Limits { text: usize::MAX, ..LIMITS }).unwrap();
        prop_assert_eq!(document.text, text);
        prop_assert_eq!(document.id, Some(id));
    }
}

#[test]
fn a_long_line_is_not_kept() {
    let mut splitter = Splitter::new(10);
    for _ in 0..1000 {
        splitter.push(&[b'x'; 100]);
        assert_eq!(splitter.next(), None);
    }
    assert!(splitter.kept() <= 100, "{} bytes kept", splitter.kept());
    splitter.push(b"\nok\n");
    assert_eq!(splitter.next(), Some(Line::TooLong(1)));
    assert_eq!(splitter.next(), Some(Line::Text(2, b"ok".to_vec())));
}
