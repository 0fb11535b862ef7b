//! Causal self-attention, one text at a time: each query meets only the keys up to its own place, so half of the plain product is
//! never computed. (T, 3C) queries, keys and values side by side -> (T, C). Exact softmax, no mask, no allocation but the scratch space.

#[cfg(target_arch = "x86_64")]
use super::rowmath::{AVX2, AVX512};
use super::rowmath::{at_least, exp, fma, largest, vectorised};

/// Rows and columns of the block of results that is kept in registers.
pub(super) const ROWS: usize = 6;
/// As `ROWS`.
pub(super) const COLUMNS: usize = 64;

/// The shape of one text's attention.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Heads.
    pub(crate) count: usize,
    /// Width of one head.
    pub(crate) width: usize,
    /// What the products of queries and keys are multiplied by.
    pub(crate) scale: f32,
}

/// Space for one head's keys, values and weights.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Keys, scaled and transposed: (width, T padded to `COLUMNS`).
    keys: Vec<f32>,
    /// Values: (T, width padded to `COLUMNS`).
    values: Vec<f32>,
    /// Weights of `ROWS` queries: (`ROWS`, T padded).
    weights: Vec<f32>,
}

vectorised! {
    /// Attention of one text: `qkv` (T, 3 C) -> `out` (T, C), C = count * width.
    fn attend(qkv: &[f32], heads: Heads, scratch: &mut Scratch, out: &mut [f32]) = attend_body
}

#[inline(always)]
fn attend_body<const LEVEL: u8>(qkv: &[f32], heads: Heads, scratch: &mut Scratch, out: &mut [f32]) {
    let (d, c) = (heads.width, heads.count * heads.width);
    let length = out.len() / c;
    let (padded, wide) = (length.next_multiple_of(COLUMNS), d.next_multiple_of(COLUMNS));
    scratch.keys.resize(d * padded, 0.);
    scratch.values.resize(length * wide, 0.);
    scratch.weights.resize(ROWS * padded, 0.);
    let Scratch { keys, values, weights } = scratch;
    for head in 0..heads.count {
        pack(qkv, head, heads, (keys, values));
        for first in (0..length).step_by(ROWS) {
            let rows = ROWS.min(length - first);
            let limit = first + rows;
            // a last short block computes its last row again instead of a smaller block
            let queries: [&[f32]; ROWS] = std::array::from_fn(|r| {
                let from = (first + r.min(rows - 1)) * 3 * c + head * d;
                &qkv[from..from + d]
            });
            for column in (0..limit).step_by(COLUMNS) {
                let block = product::<LEVEL, ROWS>(queries, &keys[column..], padded);
                for (r, row) in block.iter().enumerate() {
                    weights[r * padded + column..][..COLUMNS].copy_from_slice(row);
                }
            }
            let mut inverse = [0.; ROWS];
            for r in 0..rows {
                inverse[r] = softmax::<LEVEL>(&mut weights[r * padded..][..limit], first + r + 1);
            }
            let shares: [&[f32]; ROWS] = std::array::from_fn(|r| &weights[r.min(rows - 1) * padded..][..limit]);
            for column in (0..d).step_by(COLUMNS) {
                let block = product::<LEVEL, ROWS>(shares, &values[column..], wide);
                let n = COLUMNS.min(d - column);
                for r in 0..rows {
                    let to = &mut out[(first + r) * c + head * d + column..][..n];
                    for (o, v) in to.iter_mut().zip(&block[r]) {
                        *o = v * inverse[r];
                    }
                }
            }
        }
    }
}

/// Copies one head's keys (transposed and scaled) and values to where they are read in order.
#[inline(always)]
fn pack(qkv: &[f32], head: usize, heads: Heads, (keys, values): (&mut [f32], &mut [f32])) {
    let (d, c) = (heads.width, heads.count * heads.width);
    let (padded, wide) = (keys.len() / d, d.next_multiple_of(COLUMNS));
    for (block, rows) in qkv.chunks(16 * 3 * c).enumerate() {
        for k in 0..d {
            for (t, row) in rows.chunks_exact(3 * c).enumerate() {
                keys[k * padded + block * 16 + t] = row[c + head * d + k] * heads.scale;
            }
        }
    }
    for (row, to) in qkv.chunks_exact(3 * c).zip(values.chunks_exact_mut(wide)) {
        to[..d].copy_from_slice(&row[2 * c + head * d..][..d]);
    }
}

/// The block of results that is kept in registers.
type Block<const R: usize> = [[f32; COLUMNS]; R];

/// R rows a (each of length K) times b (K rows, `stride` apart, of which the first `COLUMNS` numbers count). Each sum runs over k in
/// order, so a row's results do not depend on R.
#[inline(always)]
pub(super) fn product<const LEVEL: u8, const R: usize>(a: [&[f32]; R], b: &[f32], stride: usize) -> Block<R> {
    #[cfg(target_arch = "x86_64")]
    match LEVEL {
        // SAFETY: this level is only chosen where the processor has AVX-512.
        #[allow(unsafe_code)]
        AVX512 => return unsafe { product_512(a, b, stride) },
        // SAFETY: as above, for AVX2 and FMA.
        #[allow(unsafe_code)]
        AVX2 => return unsafe { product_256(a, b, stride) },
        _ => {}
    }
    let mut sums = [[0.; COLUMNS]; R];
    for k in 0..a[0].len() {
        let row = &b[k * stride..][..COLUMNS];
        for r in 0..R {
            for c in 0..COLUMNS {
                sums[r][c] = fma::<LEVEL>(a[r][k], row[c], sums[r][c]);
            }
        }
    }
    sums
}

/// Defines `product` with all sums in registers, which the compiler does not find by itself: of as many columns at a time as there are
/// registers for, in vectors of `$lanes` numbers. Without iterators and closures: these have no vectors of their own, and what they call is not
/// inlined into them.
#[cfg(target_arch = "x86_64")]
macro_rules! product_in_registers {
    ($name:ident, $features:literal, $lanes:literal x $vectors:literal, [$zero:ident, $load:ident, $all:ident, $fma:ident, $store:ident]) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn $name<const R: usize>(a: [&[f32]; R], b: &[f32], stride: usize) -> Block<R> {
            use std::arch::x86_64::{$all, $fma, $load, $store, $zero};
            let length = a[0].len();
            assert!(length > 0 && a.iter().all(|r| r.len() == length) && b.len() >= (length - 1) * stride + COLUMNS);
            let mut out = [[0.; COLUMNS]; R];
            for first in (0..COLUMNS).step_by($lanes * $vectors) {
                let mut sums = [[$zero(); $vectors]; R];
                for k in 0..length {
                    let mut row = [$zero(); $vectors];
                    for v in 0..$vectors {
                        // SAFETY: first + $lanes * $vectors <= COLUMNS, and k * stride + COLUMNS <= b.len(), as asserted.
                        #[allow(unsafe_code)]
                        unsafe {
                            row[v] = $load(b.as_ptr().add(k * stride + first + $lanes * v));
                        }
                    }
                    for r in 0..R {
                        // SAFETY: k < length = every a[r].len(), as asserted.
                        #[allow(unsafe_code)]
                        let x = $all(unsafe { *a[r].get_unchecked(k) });
                        for v in 0..$vectors {
                            sums[r][v] = $fma(x, row[v], sums[r][v]);
                        }
                    }
                }
                for r in 0..R {
                    for v in 0..$vectors {
                        let to = &mut out[r][first + $lanes * v..][..$lanes];
                        // SAFETY: `to` is one vector long.
                        #[allow(unsafe_code)]
                        unsafe {
                            $store(to.as_mut_ptr(), sums[r][v]);
                        }
                    }
                }
            }
            out
        }
    };
}

#[cfg(target_arch = "x86_64")]
product_in_registers!(product_512, "avx512f", 16 x 4, [_mm512_setzero_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps]);
#[cfg(target_arch = "x86_64")]
product_in_registers!(product_256, "avx2,fma", 8 x 2, [_mm256_setzero_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps]);

/// Exponentials of the first `n` numbers less their largest; zeros after them. Gives one over their sum: NaN where a number is.
#[inline(always)]
pub(super) fn softmax<const LEVEL: u8>(row: &mut [f32], n: usize) -> f32 {
    let (seen, rest) = row.split_at_mut(n);
    rest.fill(0.);
    let top = largest(seen);
    let mut lanes = [0f32; 16];
    let (blocks, tail) = seen.as_chunks_mut::<16>();
    for block in blocks {
        for i in 0..16 {
            let e = exp::<LEVEL>(at_least(block[i] - top, -87.));
            block[i] = e;
            lanes[i] += e;
        }
    }
    let mut sum: f32 = lanes.iter().sum();
    for v in tail {
        *v = exp::<LEVEL>(at_least(*v - top, -87.));
        sum += *v;
    }
    1. / sum
}

#[cfg(test)]
mod tests {
    use super::super::rowmath::at_every_level;
    use super::*;

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 1009) as f32 / 1009. - 0.5) * 4.).collect()
    }

    #[test]
    fn attention_matches_its_definition() {
        for (length, count, width) in [(1, 1, 8), (5, 2, 8), (6, 1, 64), (7, 3, 16), (64, 2, 64), (65, 2, 80), (131, 1, 64)] {
            let c = count * width;
            let qkv = noise(length * 3 * c);
            let heads = Heads { count, width, scale: 0.3 };
            at_every_level(|level| {
                let mut out = vec![0.; length * c];
                attend(&qkv, heads, &mut Scratch::default(), &mut out);
                for t in 0..length {
                    for h in 0..count {
                        let at = |row: usize, part: usize, k: usize| f64::from(qkv[row * 3 * c + part * c + h * width + k]);
                        let weight = |j: usize| (0.3 * (0..width).map(|k| at(t, 0, k) * at(j, 1, k)).sum::<f64>()).exp();
                        let total: f64 = (0..=t).map(weight).sum();
                        for k in 0..width {
                            let want = (0..=t).map(|j| weight(j) * at(j, 2, k)).sum::<f64>() / total;
                            let got = f64::from(out[t * c + h * width + k]);
                            assert!((got - want).abs() < 5e-5, "T = {length}, head {h}, place {t}, level {level}: {got}, expected {want}");
                        }
                    }
                }
            });
        }
    }

    #[test]
    fn a_key_that_is_no_number_leaves_none_to_who_attends_to_it() {
        let (length, heads) = (70, Heads { count: 1, width: 16, scale: 0.3 });
        let mut qkv = noise(length * 48);
        // one number of the key at place 40
        qkv[40 * 48 + 16] = f32::NAN;
        at_every_level(|level| {
            let mut out = vec![0.; length * 16];
            attend(&qkv, heads, &mut Scratch::default(), &mut out);
            let finite = |places: &[f32]| places.iter().all(|v| v.is_finite());
            assert!(finite(&out[..40 * 16]), "level {level}: what comes before is not touched");
            assert!(out[40 * 16..].iter().all(|v| v.is_nan()), "level {level}");
        });
    }
}
