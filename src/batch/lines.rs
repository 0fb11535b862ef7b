//! Bytes to lines of bounded length. A longer line is reported and skipped, so that no input can fill the memory.

use super::compression::Bytes;
use std::io::{self, BufRead};

/// Lines of a stream, without their line ends.
pub(super) struct Lines {
    input: Bytes,
    limit: usize,
    buffer: Vec<u8>,
    number: u64,
}

/// One line.
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    TooLong,
}

impl Lines {
    pub(super) fn new(input: Bytes, limit: usize) -> Self {
        Self { input, limit, buffer: Vec::new(), number: 0 }
    }

    /// Number of the line that `next` gave last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The longest line, bytes.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The line that `next` gave last, where it was whole.
    pub(super) fn last(&self) -> &[u8] {
        &self.buffer
    }

    /// Whether the next line can be had without waiting for input.
    pub(super) fn ready(&self) -> bool {
        self.input.buffer().contains(&b'\n')
    }

    /// The next line; the last one may lack its line end. What precedes an error without a line end is dropped: it may be half a line.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        // One giant line must not hold its memory for the rest of the file.
        self.buffer.shrink_to(1 << 20);
        let (mut any, mut too_long) = (false, false);
        loop {
            let bytes = match self.input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if bytes.is_empty() {
                break;
            }
            any = true;
            let end = bytes.iter().position(|&b| b == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            too_long |= self.buffer.len() + part.len() > self.limit;
            if !too_long {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if too_long {
            return Ok(Some(Line::TooLong));
        }
        let line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        Ok(Some(Line::Whole(line)))
    }
}
