//! The state of one stream, in about 220 bytes, and what one document does to it.
//!
//! Evidence is kept as plain f32 numbers, not logarithms: a detector starts again when it crosses, so that it never leaves their range, and
//! an update costs two operations. What would pass [`MOST`] stays there, which only makes evidence smaller.

use super::{
    State,
    bets::{BETS, Bets, Factors, KEPT, Kept, Place},
    reference::{MAX_BINS, WINDOW_CELLS, window_cell},
};
use crate::{stats, text::StreamKey};
use jiff::Timestamp;

/// The largest value of a piece of evidence: 10^30, or 69 in logarithms.
pub(super) const MOST: f32 = 1e30;
/// Documents after which the younger of two windows begins; the older holds this many to twice as many.
pub(super) const WINDOW: u32 = 1024;
/// Gaps between arrivals that make up "lately" and "usually".
const LATELY: f32 = 16.;
const USUALLY: f32 = 256.;
/// Gaps that a history takes before a surge can be told.
const HISTORY: u64 = 32;
/// Arrivals are Poisson at no more than this many times the usual rate, says the null; a surge has more again by [`SURGE`].
const TOLERATED: f64 = 2.;
const SURGE: f64 = 4.;
/// A document may be this much older than the newest one without being late, microseconds.
const SLACK: i64 = 60_000_000;

/// Counts over the latest documents: p-values by cell, documents by length bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) cells: [u16; WINDOW_CELLS],
    pub(super) bins: [u16; MAX_BINS],
}

impl Window {
    pub(super) fn len(&self) -> u32 {
        self.cells.iter().map(|&c| u32::from(c)).sum()
    }

    /// Counts a p-value of this cell in this length bin. A stream begins a new window at twice [`WINDOW`]; a watch counts on without an end,
    /// and where a number is full, all are halved.
    pub(super) fn add(&mut self, bin: usize, cell: usize) {
        let cell = window_cell(cell);
        if self.bins[bin] == u16::MAX || self.cells[cell] == u16::MAX {
            self.cells.iter_mut().chain(&mut self.bins).for_each(|n| *n /= 2);
        }
        self.bins[bin] += 1;
        self.cells[cell] += 1;
    }
}

/// One stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stream {
    pub(super) name: StreamKey,
    /// e-SR values, one for each bet; their mean is compared with the average run length.
    pub(super) sr: Factors,
    /// e-process: what was staked on each onset so far, times its factors, one for each bet that it goes by.
    pub(super) wealth: Kept,
    /// Logarithm of the e-SR against "the flood goes on"; minus infinity while quiet.
    pub(super) back: f32,
    /// Logarithm of the e-SR against "arrivals as usual".
    pub(super) surge: f32,
    /// Mean gap between arrivals lately and usually, seconds.
    pub(super) gap_lately: f32,
    pub(super) gap_usually: f32,
    pub(super) documents: u64,
    pub(super) flagged: u32,
    /// Documents with a p-value since the last clearing: what onsets are counted by.
    pub(super) scored: u64,
    /// Newest time seen, microseconds since 1970.
    pub(super) newest: i64,
    /// Since when the state holds, microseconds since 1970.
    pub(super) since: i64,
    pub(super) late: u32,
    pub(super) clearings: u16,
    pub(super) flags: Flags,
    /// The view whose bets found the flood.
    pub(super) found_by: u8,
    pub(super) older: Window,
    pub(super) younger: Window,
}

/// Yes-or-no facts of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) flood: bool,
    /// Changed since the changes were last drained.
    pub(super) changed: bool,
    /// Looked at closely.
    pub(super) watched: bool,
    pub(super) trusted: bool,
    pub(super) mismatch: bool,
}

/// When a document was posted and arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) now: i64,
    /// The time to count it at.
    pub(super) at: i64,
    /// `at` is when it was posted, not only when it was read.
    pub(super) known: bool,
    /// It claims to come from the future.
    pub(super) future: bool,
}

impl Times {
    pub(super) fn new(time: Option<Timestamp>, now: Timestamp, live: bool) -> Self {
        let known = live || time.is_some();
        let now = now.as_microsecond();
        let at = time.map_or(now, Timestamp::as_microsecond);
        let future = at > now.saturating_add(SLACK);
        Self { now, at: if future { now } else { at }, known, future }
    }
}

impl Stream {
    pub(super) fn new(name: StreamKey) -> Self {
        Self {
            name,
            sr: [0.; BETS],
            wealth: [0.; KEPT],
            back: f32::NEG_INFINITY,
            surge: f32::NEG_INFINITY,
            gap_lately: 0.,
            gap_usually: 0.,
            documents: 0,
            flagged: 0,
            scored: 0,
            newest: 0,
            since: 0,
            late: 0,
            clearings: 0,
            flags: Flags::default(),
            found_by: 0,
            older: Window::default(),
            younger: Window::default(),
        }
    }

    /// Counts an arrival; true where it is late.
    pub(super) fn arrive(&mut self, times: Times, flagged: bool) -> bool {
        if self.documents == 0 {
            (self.newest, self.since) = (times.at, times.at);
        }
        let late = times.future || times.at < self.newest.saturating_sub(SLACK);
        if self.documents > 0 && !late && times.known {
            let gap = times.at.saturating_sub(self.newest).max(0) as f32 / 1e6;
            self.gap(gap);
        }
        self.newest = self.newest.max(times.at);
        self.late = self.late.saturating_add(u32::from(late));
        self.documents = self.documents.saturating_add(1);
        self.flagged = self.flagged.saturating_add(u32::from(flagged));
        late
    }

    /// A surge is a bet on short gaps: for exponential gaps of rate at most r the factor c exp(-(c - 1) r gap) has mean at most 1. The
    /// promise is for Poisson arrivals and a history that is right; it is told, and raises no alarm.
    fn gap(&mut self, gap: f32) {
        let seen = self.documents;
        if seen > HISTORY && self.gap_usually > 0. {
            let rate = TOLERATED / f64::from(self.gap_usually);
            let log_factor = SURGE.ln() - (SURGE - 1.) * rate * f64::from(gap);
            self.surge = stats::e_sr(f64::from(self.surge), log_factor) as f32;
        }
        let mean = |old: f32, over: f32| old + (gap - old) / (seen as f32).min(over);
        self.gap_lately = mean(self.gap_lately, LATELY);
        self.gap_usually = mean(self.gap_usually, USUALLY);
    }

    /// Counts the evidence of one document, and gives the detector in force: the one that clears where it is in a
    /// flood, else the one that raises. `factors` are those of the place.
    pub(super) fn weigh(&mut self, place: Place, factors: &Factors, bets: &Bets) -> f64 {
        self.scored = self.scored.saturating_add(1);
        self.turn_windows(place);
        let stake = stats::onset_weight(self.scored) as f32;
        let kept = bets.kept(factors);
        for (bet, wealth) in self.wealth.iter_mut().enumerate() {
            *wealth = (kept[bet] * (*wealth + stake)).min(MOST);
        }
        if self.flags.flood {
            self.back = stats::e_sr(f64::from(self.back), bets.back(place, self.found_by)) as f32;
            return f64::from(self.back).exp();
        }
        // a bet that looks at nothing begins no test: the many tests of value 1 would add up to an alarm with no evidence in it
        for (bet, sr) in self.sr.iter_mut().enumerate() {
            *sr = if factors[bet] == 1. { *sr } else { (factors[bet] * (1. + *sr)).min(MOST) };
        }
        mean(&self.sr)
    }

    fn turn_windows(&mut self, place: Place) {
        if self.older.len() >= 2 * WINDOW {
            self.older = std::mem::take(&mut self.younger);
            self.flags.mismatch = false;
        }
        if self.older.len() >= WINDOW {
            self.younger.add(place.bin, place.cell());
        }
        self.older.add(place.bin, place.cell());
    }

    /// Goes into a flood: the detector begins again at 0 (`stats::e_sr`), and shares are counted anew.
    pub(super) fn raise(&mut self, times: Times, bets: &Bets) {
        self.found_by = bets.loudest(&self.sr);
        self.flags.flood = true;
        self.begin_again(times);
    }

    /// Comes out of it. The e-process begins again too; what it may then reach is made smaller, see [`Stream::log_e`].
    pub(super) fn clear(&mut self, times: Times) {
        self.flags.flood = false;
        self.begin_again(times);
        self.wealth = [0.; KEPT];
        self.scored = 0;
        self.clearings = self.clearings.saturating_add(1);
    }

    fn begin_again(&mut self, times: Times) {
        self.since = times.at;
        self.sr = [0.; BETS];
        self.back = f32::NEG_INFINITY;
        (self.older, self.younger) = (Window::default(), Window::default());
        self.flags.mismatch = false;
    }

    pub(super) fn state(&self) -> State {
        if self.flags.flood { State::Flood } else { State::Quiet }
    }

    /// Logarithm of the mixture of the e-SR values; minus infinity before the first p-value.
    pub(super) fn log_sr(&self) -> f64 {
        mean(&self.sr).ln()
    }

    /// Logarithm of an e-value against "never more than the base share since the last clearing".
    ///
    /// It mixes tests that begin before each document, with weights that add up to 1 (`stats::onset_weight`); STATISTICS 4 has only the one
    /// that begins with the first, and would need as long to find a late flood as the quiet time before it. Each mixture is a
    /// non-negative supermartingale from 1 under the null, as each test is. The value after j clearings counts
    /// 0.9, 0.1/2, 0.1/6, 0.1/12, … times: these add up to 1, so that what is reported at any one time has mean at most 1.
    pub(super) fn log_e(&self) -> f64 {
        let j = f64::from(self.clearings);
        let turn = if self.clearings == 0 { 0.9 } else { 0.1 / (j * (j + 1.)) };
        (turn * (mean(&self.wealth) + stats::onset_rest(self.scored))).ln()
    }

    /// The e-SR of the bets on large shares alone. Those on small shares remember for long and rise slowly with time alone: that
    /// they are high does not say since when.
    pub(super) fn fast_sr(&self, bets: &Bets) -> f64 {
        bets.fast(&self.sr)
    }

    /// The view that tells which documents look like the flood's.
    pub(super) fn view(&self, bets: &Bets) -> u8 {
        if self.flags.flood { self.found_by } else { bets.loudest(&self.sr) }
    }

    /// How much is lost if it is forgotten; nothing in a flood is forgotten.
    pub(super) fn information(&self) -> f64 {
        self.log_sr().max(0.) + (self.documents as f64).ln_1p()
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

/// 256 bytes for each quiet key are promised: this with a name of up to 24 bytes, and its place in the table.
const _: () = assert!(size_of::<Stream>() <= 224);
