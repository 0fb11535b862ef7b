//! What a window of p-values says: the share of machine text, and whether the calibration fits this stream at all.

use super::{
    bets::Bets,
    reference::{PerCounted, WINDOW_CELLS, WindowBounds},
    status::Share,
    stream::Window,
};
use crate::stats;

/// The level, of those by which windows count, whose rate the share's interval is read from.
const SHARE_LEVEL: usize = 1;
/// Error of the warning of a mismatch, over the life of a window.
const MISMATCH_ALPHA: f64 = 0.001;

/// Share of machine text in a window (STATISTICS 4): the interval of the rate of small p-values, the lower end read between the rate of human
/// documents and 1, the upper end between those of human and of machine documents. Half of `alpha` goes to the rate and half to the bounds.
///
/// The lower end holds however often the machine texts are found: each document with a small p-value beyond people's is one. The upper end speaks
/// of machine texts that are found as often as those of the reference, or more often; of ones that are never found there may be any number.
/// Where lengths differ in how well machine texts are found, the share is taken to be the same at all lengths.
pub(super) fn share(window: &Window, bets: &Bets, alpha: f64) -> Share {
    let n = u64::from(window.len());
    if n == 0 {
        return Share { low: 0., estimate: 0., high: 1. };
    }
    let bounds = WindowBounds::averaged(&bets.share_bounds, &window.bins);
    let (rate_low, rate_high) = stats::mean_bounds(hits(window, SHARE_LEVEL), n, alpha / 2.);
    let between = |rate: f64, human: f64, machine: f64| ((rate - human) / (machine - human)).clamp(0., 1.);
    let [human_high, human_low, machine_low] = [bounds.human_high, bounds.human_low, bounds.machine_low].map(|levels| levels[SHARE_LEVEL]);
    let low = if human_high < 1. { between(rate_low, human_high, 1.) } else { 0. };
    let high = if machine_low > human_low { between(rate_high, human_low, machine_low) } else { 1. };
    Share { low, estimate: estimate(window, &bounds).clamp(low, high.max(low)), high: high.max(low) }
}

/// Maximum-likelihood share.
fn estimate(window: &Window, bounds: &WindowBounds) -> f64 {
    let counts = window.cells.map(u64::from);
    stats::mixture_share(&counts, &cells(&bounds.human), &cells(&bounds.machine))
}

/// Probabilities of a window's cells from P(p <= level).
fn cells(levels: &PerCounted) -> [f64; WINDOW_CELLS] {
    let mut cells = stats::cells(levels);
    std::array::from_fn(|_| cells.next().unwrap_or(0.))
}

/// Maximum-likelihood share of a window of p-values by the score of this view.
pub(super) fn window_estimate(window: &Window, bets: &Bets, view: u8) -> f64 {
    estimate(window, &WindowBounds::averaged(bets.bounds(view), &window.bins))
}

/// Whether the p-values are not uniform in a way that no flood explains.
///
/// Machine texts that can be found at all make p-values the more frequent the smaller they are: whatever the generator and whatever its
/// share, the density of p falls. So a density that rises from one cell to a later one, beyond the error of the reference, is no flood but
/// humans who do not write like the reference's: a hump in the middle, or a heap at 1. Given that p lies in cell i or j > i, a falling
/// density puts it into j with probability at most width_j / (width_i + width_j), which `stats::mean_lower_bound` tests at all times.
/// An excess of *small* p-values cannot be told from a flood by p-values alone; only for a stream that the operator trusts is any
/// departure a mismatch.
pub(super) fn mismatch(window: &Window, bets: &Bets, trusted: bool) -> bool {
    let bounds = WindowBounds::averaged(bets.bounds(0), &window.bins);
    if trusted { departs(window, &bounds) } else { rises(window, &bounds) }
}

fn departs(window: &Window, bounds: &WindowBounds) -> bool {
    let n = u64::from(window.len());
    let (highest, lowest) = (bounds.human_high, bounds.human_low);
    (0..lowest.len()).any(|j| {
        let (low, high) = stats::mean_bounds(hits(window, j), n, MISMATCH_ALPHA / lowest.len() as f64);
        low > highest[j] || high < lowest[j]
    })
}

fn rises(window: &Window, bounds: &WindowBounds) -> bool {
    let (high, low) = (bounds.human_high, bounds.human_low);
    let pairs = (0..WINDOW_CELLS).flat_map(|i| (i + 1..WINDOW_CELLS).map(move |j| (i, j)));
    let end = |ends: &PerCounted, j: usize| ends.get(j).copied().unwrap_or(1.);
    let start = |ends: &PerCounted, j: usize| j.checked_sub(1).map_or(0., |before| ends[before]);
    let alpha = MISMATCH_ALPHA / (WINDOW_CELLS * (WINDOW_CELLS - 1) / 2) as f64;
    let mut rising = pairs.filter(|&(i, j)| {
        let narrowest = (end(&low, i) - start(&high, i)).max(0.);
        let widest = end(&high, j) - start(&low, j);
        let (before, after) = (u64::from(window.cells[i]), u64::from(window.cells[j]));
        stats::mean_lower_bound(after, before + after, alpha) > widest / (narrowest + widest)
    });
    rising.next().is_some()
}

/// Documents with p at or below the level.
fn hits(window: &Window, level: usize) -> u64 {
    window.cells[..=level].iter().map(|&c| u64::from(c)).sum()
}
