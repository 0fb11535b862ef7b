//! Server-sent events, piece by piece: bytes in, the data of whole events out. Memory is bounded by the longest event.

/// Reads a stream of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    after_return: bool,
    limit: usize,
}

/// An event is longer than what is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    /// Takes events of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Takes the next bytes and hands over the data of each event that is whole.
    pub(super) fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), TooLong> {
        for &byte in bytes {
            let second_of_a_pair = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_of_a_pair => {}
                b'\n' | b'\r' => self.end_line(each),
                _ if self.held() >= self.limit => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, Vec::len)
    }

    fn end_line(&mut self, each: &mut dyn FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if let Some(data) = self.data.take() {
                each(&data);
            }
        } else if let Some(value) = value_of(&line, b"data") {
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                none => *none = Some(value.to_vec()),
            }
        }
    }

    /// The stream has ended: some servers leave out the last empty line.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.end_line(each);
        self.end_line(each);
    }
}

/// The value of a line `name: value`; comments and other fields have none.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut out = Vec::new();
        let mut each = |data: &[u8]| out.push(String::from_utf8_lossy(data).into_owned());
        let mut events = Events::new(100);
        for piece in pieces {
            events.push(piece, &mut each).unwrap();
        }
        events.finish(&mut each);
        out
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("data: a\n\ndata:b\n\n", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\rdata: c", &["a", "b", "c"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            (": comment\nevent: x\nid: 1\ndata: a\nretry: 3\n\n", &["a"]),
            ("data\n\ndata:\n\n", &["", ""]),
            ("dat: a\n\ndatabase: b\n\n\n\n", &[]),
            ("data:  two spaces\n\n", &[" two spaces"]),
        ];
        for (stream, expected) in cases {
            assert_eq!(events(&[stream.as_bytes()]), expected, "{stream:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        for stream in ["data: ".to_owned() + &"x".repeat(200), "data: x\n".repeat(200)] {
            assert_eq!(Events::new(100).push(stream.as_bytes(), &mut |_| ()), Err(TooLong));
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(stream in "(data: [a-z]{0,3}(\r|\n|\r\n){1,2}|:x\n|\r\n|é){0,12}", cut in 0_usize..60) {
            let bytes = stream.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(events(&[&bytes[..cut], &bytes[cut..]]), events(&[bytes]));
        }
    }
}
