//! Weights to whole numbers with one scale for each output, symmetric about zero.

/// Bits of a whole number. Processors without VNNI add two products of a byte pair in 16 bits, which 8-bit weights overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bits {
    Eight,
    Seven,
}

impl Bits {
    /// What this processor multiplies without overflow.
    pub(crate) fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        if !(std::is_x86_feature_detected!("avx512vnni") || std::is_x86_feature_detected!("avxvnni")) {
            return Self::Seven;
        }
        Self::Eight
    }

    fn largest(self) -> f32 {
        match self {
            Self::Eight => 127.,
            Self::Seven => 63.,
        }
    }
}

/// A matrix (inputs, columns), row by row, to whole numbers of the same layout and a scale for each column.
pub(crate) fn columns(values: &[f32], columns: usize, bits: Bits) -> (Vec<i8>, Vec<f32>) {
    let mut largest = vec![0f32; columns];
    for row in values.chunks_exact(columns) {
        for (m, v) in largest.iter_mut().zip(row) {
            *m = m.max(v.abs());
        }
    }
    let scales: Vec<f32> = largest.iter().map(|&m| scale(m, bits)).collect();
    let inverse: Vec<f32> = scales.iter().map(|s| 1. / s).collect();
    let mut out = Vec::with_capacity(values.len());
    for row in values.chunks_exact(columns) {
        out.extend(row.iter().zip(&inverse).map(|(v, i)| round(v * i)));
    }
    (out, scales)
}

/// A matrix (outputs, width), row by row, to the whole numbers of its transpose (width, outputs) and a scale for each row.
pub(crate) fn rows_transposed(values: &[f32], width: usize, bits: Bits) -> (Vec<i8>, Vec<f32>) {
    let rows = values.len() / width;
    let largest = |row: &[f32]| row.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scales: Vec<f32> = values.chunks_exact(width).map(|row| scale(largest(row), bits)).collect();
    let mut out = vec![0; values.len()];
    // in blocks of rows, so that the scattered writes stay within a few cache lines
    for (block, part) in values.chunks(64 * width).enumerate() {
        for column in 0..width {
            for (i, row) in part.chunks_exact(width).enumerate() {
                let r = block * 64 + i;
                out[column * rows + r] = round(row[column] / scales[r]);
            }
        }
    }
    (out, scales)
}

fn scale(largest: f32, bits: Bits) -> f32 {
    // an all-zero output gets any scale; a subnormal one would have no finite inverse
    if largest < f32::MIN_POSITIVE * 256. { 1. } else { largest / bits.largest() }
}

fn round(x: f32) -> i8 {
    x.round_ties_even() as i8
}
