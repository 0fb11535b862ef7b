//! Weights to whole numbers with one scale for each output, symmetric about zero, that every processor multiplies to the same sums.
//!
//! Processors without VNNI add the products of two neighbouring inputs in 16 bits. The unsigned bytes that the weights meet go up to 255, so
//! two neighbouring weights of one sign may come to 128 and not more, or the sum is cut off. A scale by the largest such pair costs a fifth of
//! the resolution that one by the largest weight has; half the weights' range, which is usual, costs half.

/// What a pair may come to before rounding, which may add one.
const LARGEST_PAIR: f32 = 127.4;

/// A matrix (inputs, columns), row by row, to whole numbers of the same layout and a scale for each column.
pub(crate) fn columns(values: &[f32], columns: usize) -> (Vec<i8>, Vec<f32>) {
    let mut largest = vec![0f32; columns];
    for pair in values.chunks(2 * columns) {
        let (first, second) = pair.split_at(columns);
        for (i, m) in largest.iter_mut().enumerate() {
            *m = m.max(pair_sum(first[i], second.get(i).copied()));
        }
    }
    let scales: Vec<f32> = largest.into_iter().map(scale).collect();
    let inverse: Vec<f32> = scales.iter().map(|s| 1. / s).collect();
    let mut out = Vec::with_capacity(values.len());
    for row in values.chunks_exact(columns) {
        out.extend(row.iter().zip(&inverse).map(|(v, i)| round(v * i)));
    }
    (out, scales)
}

/// A matrix (outputs, width), row by row, to the whole numbers of its transpose (width, outputs) and a scale for each row.
pub(crate) fn rows_transposed(values: &[f32], width: usize) -> (Vec<i8>, Vec<f32>) {
    let rows = values.len() / width;
    let largest = |row: &[f32]| row.chunks(2).fold(0f32, |m, pair| m.max(pair_sum(pair[0], pair.get(1).copied())));
    let scales: Vec<f32> = values.chunks_exact(width).map(|row| scale(largest(row))).collect();
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

/// What two neighbours of one sign come to.
fn pair_sum(a: f32, b: Option<f32>) -> f32 {
    let b = b.unwrap_or_default();
    let above = a.max(0.) + b.max(0.);
    above.max(above - (a + b))
}

fn scale(largest: f32) -> f32 {
    // an all-zero output gets any scale; a subnormal one would have no finite inverse
    if largest < f32::MIN_POSITIVE * 256. { 1. } else { largest / LARGEST_PAIR }
}

/// The nearest whole number of one within an i8, ties to even: the sum rounds to it, and it stands in the low byte. `round_ties_even` is a call
/// on processors without SSE4.1, which the compiler has to expect, and a third of the time to a start.
fn round(x: f32) -> i8 {
    (x + 12_582_912.).to_bits() as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers about zero, a few of them large.
    fn noise(n: usize) -> Vec<f32> {
        (0..n as u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608. - 1.).powi(3)).collect()
    }

    #[test]
    fn numbers_come_back_within_half_a_step_and_neighbours_stay_within_what_bytes_can_meet() {
        for (inputs, outputs) in [(1, 1), (2, 3), (7, 5), (64, 66), (513, 70)] {
            let values = noise(inputs * outputs);
            let transposed: Vec<f32> =
                (0..outputs).flat_map(|c| (0..inputs).map(move |r| (r, c))).map(|(r, c)| values[r * outputs + c]).collect();
            let (whole, scales) = columns(&values, outputs);
            assert_eq!((&whole, &scales), (&rows_transposed(&transposed, inputs).0, &rows_transposed(&transposed, inputs).1));
            for (i, (&v, &w)) in values.iter().zip(&whole).enumerate() {
                let scale = scales[i % outputs];
                assert!((v - f32::from(w) * scale).abs() <= scale * 0.5001, "{v} became {w} times {scale}");
            }
            let mut largest = 0;
            for pair in whole.chunks(2 * outputs) {
                for c in 0..outputs {
                    let (a, b) = (i32::from(pair[c]), pair.get(outputs + c).map_or(0, |&b| i32::from(b)));
                    largest = largest.max(a.max(0) + b.max(0)).max(-(a.min(0) + b.min(0)));
                }
            }
            assert!((126..=128).contains(&largest), "{inputs} by {outputs}: {largest}");
        }
    }

    #[test]
    fn an_output_of_zeros_has_a_scale_that_can_be_inverted() {
        for tiny in [0., f32::MIN_POSITIVE] {
            let (whole, scales) = columns(&[tiny, 2., 0., 2.], 2);
            assert_eq!(whole, [0, 64, 0, 64]);
            assert_eq!(scales[0], 1.);
            assert_eq!(rows_transposed(&[tiny, 0., 2., 2.], 2), (whole, scales));
        }
    }
}
