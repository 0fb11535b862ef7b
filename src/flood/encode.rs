//! Streams and the monitor as bytes, little-endian, with a version in front; anything else is refused.
//!
//! Must not trust a byte: state is read from files that others may write.

use super::{
    SettingsError,
    bets::{BETS, KEPT, VIEWS},
    lists::Counters,
    reference::{MAX_BINS, Reference, WINDOW_CELLS},
    stream::{Flags, MOST, Stream, WINDOW, Window},
    table::hash64,
};
use crate::text::StreamKey;

/// First byte of both; a change of either layout, of the bets or of their order takes a new one.
const VERSION: u8 = 5;

/// Why saved state cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RestoreError {
    /// Not written by this version.
    #[error("the saved state is of version {found}, this program writes {VERSION}; start with a new state file")]
    Version {
        /// Its version.
        found: u8,
    },
    /// Damaged.
    #[error("the saved state of {what} is damaged: {fault}; start with a new state file")]
    Bytes {
        /// Which part.
        what: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Made with another calibration, base share, confidence or clearing share.
    #[error(
        "the saved state belongs to another calibration or base share ({found:016x}, expected {expected:016x}); use those, or start with a new state file"
    )]
    Other {
        /// Fingerprint of the reference and settings in use.
        expected: u64,
        /// Fingerprint of those that the state was made with.
        found: u64,
    },
    /// One key twice.
    #[error("the saved state holds the stream {0:?} twice")]
    Twice(StreamKey),
    /// A setting that cannot be meant.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// State of the monitor itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MonitorBytes {
    pub(super) fingerprint: u64,
    pub(super) seed: u64,
    pub(super) sequence: u64,
    pub(super) seen_first: u64,
    pub(super) counters: Counters,
}

impl MonitorBytes {
    pub(super) fn encode(&self) -> Vec<u8> {
        let c = self.counters;
        let numbers = [self.fingerprint, self.seed, self.sequence, self.seen_first, c.documents, c.repeated, c.late, c.evicted];
        let numbers = numbers.into_iter().chain([c.refused, c.raised, c.cleared]);
        [VERSION].into_iter().chain(numbers.flat_map(u64::to_le_bytes)).collect()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RestoreError> {
        let mut reader = Reader { rest: bytes };
        if let Some(&found) = bytes.first().filter(|found| **found != VERSION) {
            return Err(RestoreError::Version { found });
        }
        let parsed = (|| {
            reader.version()?;
            let [fingerprint, seed, sequence, seen_first] = reader.many(u64::from_le_bytes)?;
            let [documents, repeated, late, evicted, refused, raised, cleared] = reader.many(u64::from_le_bytes)?;
            reader.end()?;
            // Numbers that go on must have room to.
            if sequence > u64::MAX / 2 || seen_first > u64::MAX / 2 {
                return Err("a running number is out of range");
            }
            let counters = Counters { documents, repeated, late, evicted, refused, raised, cleared, ..Counters::default() };
            Ok(Self { fingerprint, seed, sequence, seen_first, counters })
        })();
        parsed.map_err(|fault| RestoreError::Bytes { what: "the monitor".into(), fault })
    }
}

/// A stream as bytes, without its name.
pub(super) fn stream(s: &Stream) -> Vec<u8> {
    let flags = [s.flags.flood, s.flags.mismatch].iter().rev().fold(0u8, |bits, &flag| bits << 1 | u8::from(flag));
    let mut out = vec![VERSION, flags, s.found_by];
    out.extend(s.clearings.to_le_bytes());
    out.extend([s.late, s.flagged].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([s.documents, s.scored].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([s.newest, s.since].iter().flat_map(|n| n.to_le_bytes()));
    let numbers = [s.back, s.surge, s.gap_lately, s.gap_usually];
    out.extend(numbers.iter().chain(&s.sr).chain(&s.wealth).flat_map(|x| x.to_le_bytes()));
    for window in [&s.older, &s.younger] {
        out.extend(window.cells.iter().chain(&window.bins).flat_map(|n| n.to_le_bytes()));
    }
    out
}

/// A stream from its bytes, with every number checked against what can be with this reference.
pub(super) fn parse_stream(name: StreamKey, bytes: &[u8], reference: &Reference) -> Result<Stream, RestoreError> {
    fields(&name, bytes, (reference.bins().len(), reference.views()))
        .map_err(|fault| RestoreError::Bytes { what: format!("the stream {:?}", name.as_str()), fault })
}

fn fields(name: &StreamKey, bytes: &[u8], (bins, views): (usize, usize)) -> Result<Stream, &'static str> {
    let mut reader = Reader { rest: bytes };
    reader.version()?;
    let [flags, found_by] = reader.take()?;
    let clearings = u16::from_le_bytes(reader.take()?);
    let [late, flagged] = reader.many(u32::from_le_bytes)?;
    let [documents, scored] = reader.many(u64::from_le_bytes)?;
    let [newest, since] = reader.many(i64::from_le_bytes)?;
    let [back, surge, gap_lately, gap_usually] = reader.many(f32::from_le_bytes)?;
    let sr = reader.many::<4, f32, BETS>(f32::from_le_bytes)?;
    let wealth = reader.many::<4, f32, KEPT>(f32::from_le_bytes)?;
    let [older, younger] = [reader.window(bins)?, reader.window(bins)?];
    reader.end()?;
    if flags > 3 || usize::from(found_by) >= views {
        return Err("an unknown flag is set");
    }
    if [newest, since].iter().any(|&t| jiff::Timestamp::from_microsecond(t).is_err()) {
        return Err("a time is out of range");
    }
    if sr.iter().chain(&wealth).any(|x| !(0. ..=MOST).contains(x)) || [back, surge].iter().any(|x| x.is_nan() || *x == f32::INFINITY) {
        return Err("a piece of evidence is out of range");
    }
    if [gap_lately, gap_usually].iter().any(|gap| !(*gap >= 0. && gap.is_finite())) {
        return Err("a gap between arrivals is out of range");
    }
    if scored > documents || [late, flagged].iter().any(|&n| u64::from(n) > documents) {
        return Err("a count is larger than that of all documents");
    }
    let flags = Flags { flood: flags & 1 > 0, mismatch: flags & 2 > 0, ..Flags::default() };
    let name = name.clone();
    Ok(Stream {
        name,
        sr,
        wealth,
        back,
        surge,
        gap_lately,
        gap_usually,
        documents,
        flagged,
        scored,
        newest,
        since,
        late,
        clearings,
        flags,
        found_by,
        older,
        younger,
    })
}

/// Hash of the reference and of the settings that saved evidence rests on.
pub(super) fn fingerprint(reference: &Reference, settings: &[f64]) -> u64 {
    let mut bytes = vec![VERSION];
    bytes.extend(settings.iter().flat_map(|x| x.to_bits().to_le_bytes()));
    for bin in reference.bins() {
        let counts = [bin.from_tokens, bin.human, usize::from(bin.few_shot), bin.kinds.len()];
        let found = [&bin.machine].into_iter().chain(bin.kinds.values()).flat_map(|found| std::iter::once(&found.texts).chain(&found.at));
        let counts = counts.iter().chain(found);
        bytes.extend(counts.flat_map(|&n| (n as u64).to_le_bytes()));
    }
    hash64(0, &bytes)
}

/// Bytes that are taken from the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (first, rest) = self.rest.split_first_chunk().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn many<const N: usize, T: Copy + Default, const COUNT: usize>(
        &mut self,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<[T; COUNT], &'static str> {
        let mut all = [T::default(); COUNT];
        for one in &mut all {
            *one = read(self.take()?);
        }
        Ok(all)
    }

    fn version(&mut self) -> Result<(), &'static str> {
        let [version] = self.take()?;
        if version == VERSION { Ok(()) } else { Err("its version is unknown") }
    }

    fn window(&mut self, bins: usize) -> Result<Window, &'static str> {
        let window = Window {
            cells: self.many::<2, u16, WINDOW_CELLS>(u16::from_le_bytes)?,
            bins: self.many::<2, u16, MAX_BINS>(u16::from_le_bytes)?,
        };
        let (used, unused) = window.bins.split_at(bins.min(MAX_BINS));
        let in_bins: u32 = used.iter().map(|&n| u32::from(n)).sum();
        if window.len() > 2 * WINDOW || in_bins != window.len() || unused.iter().any(|&n| n > 0) {
            return Err("the counts of a window contradict one another");
        }
        Ok(window)
    }

    fn end(&self) -> Result<(), &'static str> {
        if self.rest.is_empty() { Ok(()) } else { Err("it is too long") }
    }
}

/// For fuzzing: any bytes are state or an error, and what is taken as state is written back as the same bytes.
#[doc(hidden)]
pub fn parse_any(bytes: &[u8]) {
    if let Ok(monitor) = MonitorBytes::parse(bytes) {
        assert_eq!(monitor.encode(), bytes);
    }
    if let Ok(parsed) = fields(&StreamKey::whole(), bytes, (MAX_BINS, VIEWS)) {
        assert_eq!(stream(&parsed), bytes);
    }
}
