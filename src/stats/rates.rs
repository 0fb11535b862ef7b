//! What a reference set says of p-values, as plain counts: the numbers that a stream's bets are made from.

/// One length bin of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinRates {
    /// Fewest tokens; it reaches up to the next bin's.
    pub from_tokens: usize,
    /// Human documents behind the p-values.
    pub human: usize,
    /// Whether those are the few texts of a profile, which p-values are bounded by and not counted among (`few_rate_upper_bound`).
    pub few_shot: bool,
    /// Machine documents.
    pub machine: usize,
    /// How many of the machine documents have a p-value at or below each level, levels ascending.
    pub detected: Vec<usize>,
}
