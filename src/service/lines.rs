//! Bytes in chunks to lines, however they were cut: constant memory, and a line that is too long is skipped without being kept.

/// One line, or that one was too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// Number (1-based, every line counts) and content without its line feed.
    Text(u64, Vec<u8>),
    /// Number of a line that was longer than the limit.
    TooLong(u64),
}

/// Cuts lines out of chunks.
#[derive(Debug)]
pub(crate) struct Splitter {
    buffer: Vec<u8>,
    /// Start of the first line not yet given out.
    start: usize,
    /// Bytes before this one hold no line feed.
    searched: usize,
    limit: usize,
    number: u64,
    skipping: bool,
}

impl Splitter {
    /// For lines of at most this many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, limit, number: 0, skipping: false }
    }

    /// Takes a chunk. Call [`Self::next`] until it gives `None` before the next one.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.buffer.extend_from_slice(chunk);
    }

    /// The next complete line; blank ones are counted and passed over.
    pub(crate) fn next(&mut self) -> Option<Line> {
        while let Some(found) = self.buffer[self.searched..].iter().position(|&b| b == b'\n') {
            let end = self.searched + found;
            let line = self.cut(end);
            self.start = end + 1;
            self.searched = self.start;
            if line.is_some() {
                return line;
            }
        }
        self.searched = self.buffer.len();
        if self.buffer.len() - self.start > self.limit {
            self.skipping = true;
        }
        if self.skipping {
            self.buffer.clear();
            (self.start, self.searched) = (0, 0);
        }
        None
    }

    /// The last line, where it had no line feed.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        let rest = self.skipping || self.start < self.buffer.len();
        let line = if rest { self.cut(self.buffer.len()) } else { None };
        (self.start, self.searched) = (self.buffer.len(), self.buffer.len());
        line
    }

    /// Number of the line that comes next.
    pub(crate) fn number(&self) -> u64 {
        self.number + 1
    }

    fn cut(&mut self, end: usize) -> Option<Line> {
        self.number += 1;
        let line = &self.buffer[self.start..end];
        if std::mem::take(&mut self.skipping) || line.len() > self.limit {
            return Some(Line::TooLong(self.number));
        }
        let blank = line.iter().all(u8::is_ascii_whitespace);
        (!blank).then(|| Line::Text(self.number, line.to_vec()))
    }
}

/// All lines of some chunks.
pub(crate) fn split(chunks: &[&[u8]], limit: usize) -> Vec<Line> {
    let mut splitter = Splitter::new(limit);
    let mut lines = Vec::new();
    for chunk in chunks {
        splitter.push(chunk);
        lines.extend(std::iter::from_fn(|| splitter.next()));
    }
    lines.extend(splitter.finish());
    lines
}

#[cfg(test)]
impl Splitter {
    pub(crate) fn kept(&self) -> usize {
        self.buffer.capacity()
    }
}
