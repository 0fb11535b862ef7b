//! What a reference set says of p-values, as plain counts: the numbers that a stream's bets are made from.

/// One length bin of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinRates {
    /// Fewest tokens; it reaches up to the next bin's.
    pub from_tokens: usize,
    /// Human documents that p-values are counted among.
    pub human: usize,
    /// Whether p-values are only bounded by those documents, from below: p >= k / (human + 1), k of them scoring as high.
    pub few_shot: bool,
    /// Machine documents.
    pub machine: usize,
    /// How many of the machine documents have a p-value at or below each level, levels ascending.
    pub detected: Vec<usize>,
}
