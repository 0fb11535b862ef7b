//! What the monitor knows of the calibration: plain numbers per length bin.

use crate::stats::BinRates;

/// Levels q at which p-values are counted.
pub const LEVELS: [f64; 4] = [0.01, 0.05, 0.2, 0.5];

/// Per length bin: how many human documents the p-values come from, and how often machine texts have small ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    bins: Vec<BinRates>,
}

impl Reference {
    /// Takes bins in ascending order of length, at least 1 and at most 12, with counts at [`LEVELS`]:
    /// `Reference::new(calibration.bin_rates(&flood::LEVELS))`.
    ///
    /// # Errors
    /// No bins (there is no calibration), too many, not ascending, or counts that do not fit together.
    pub fn new(bins: Vec<BinRates>) -> Result<Self, ReferenceError>;
}
