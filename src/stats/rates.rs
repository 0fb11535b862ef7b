//! What a reference set says of p-values, as plain counts: the numbers that a stream's bets are made from.

use std::collections::BTreeMap;

/// Most kinds of machine text that have a score of their own.
pub const MOST_KINDS: usize = 4;

/// One length bin of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinRates {
    /// Fewest tokens; it reaches up to the next bin's.
    pub from_tokens: usize,
    /// Human documents behind the p-values.
    pub human: usize,
    /// Whether those are the few texts of a profile, which p-values are bounded by and not counted among (`few_rate_upper_bound`).
    pub few_shot: bool,
    /// Machine documents by the score that gives the verdict.
    pub machine: Detected,
    /// Machine documents of each kind, by the score of that kind; by the kind's name.
    pub kinds: BTreeMap<String, Detected>,
}

/// How often machine documents have small p-values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detected {
    /// Machine documents.
    pub texts: usize,
    /// How many of them have a p-value at or below each level, levels ascending.
    pub at: Vec<usize>,
}
