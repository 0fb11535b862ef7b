//! Per-token scores to document statistics, and those to one number, larger = more machine-like.

mod statistics;
pub use statistics::{RankFractions, Statistics};
