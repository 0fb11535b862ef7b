//! The inner loops over rows of numbers, compiled for each level of vector instructions and chosen at run time.
//!
//! Plain arithmetic on fixed-size blocks that the compiler turns into vector code; no intrinsics, no allocation.

/// Numbers worked on side by side: one AVX-512 register.
const LANES: usize = 16;

/// Levels of vector instructions that a loop is compiled for.
pub(super) const PLAIN: u8 = 0;
/// 256-bit vectors with fused multiply and add.
pub(super) const AVX2: u8 = 1;
/// 512-bit vectors.
pub(super) const AVX512: u8 = 2;

/// What one row of logits says of one token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RowStatistics {
    /// Nats.
    pub(crate) surprisal: f32,
    /// 1-based.
    pub(crate) rank: u32,
    /// Nats.
    pub(crate) entropy: f32,
    /// Nats squared.
    pub(crate) variance: f32,
}

/// The widest level that this processor has; in a test of levels, the one whose turn it is.
#[cfg(any(test, target_arch = "x86_64"))]
#[inline]
pub(super) fn level() -> u8 {
    #[cfg(test)]
    if let Some(level) = FORCED.get() {
        return level;
    }
    #[cfg(target_arch = "x86_64")]
    {
        use std::is_x86_feature_detected as has;
        let medium = has!("avx2") && has!("fma");
        if medium && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
            return AVX512;
        }
        if medium {
            return AVX2;
        }
    }
    PLAIN
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<u8>> = const { std::cell::Cell::new(None) };
}

/// Runs `test` once for each level that this processor has, and on this thread with the loops of that level.
#[cfg(test)]
pub(super) fn at_every_level(test: impl Fn(u8)) {
    for level in PLAIN..=level() {
        FORCED.set(Some(level));
        test(level);
        FORCED.set(None);
    }
}

/// Defines `$name`, which runs `$body::<LEVEL>` compiled for the widest vectors that this processor has.
macro_rules! vectorised {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? = $body:ident) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn wide($($arg: $type),*) $(-> $result)? {
                    $body::<{ $crate::model::rowmath::AVX512 }>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn medium($($arg: $type),*) $(-> $result)? {
                    $body::<{ $crate::model::rowmath::AVX2 }>($($arg),*)
                }
                match $crate::model::rowmath::level() {
                    // SAFETY: the processor was asked for each feature that `wide` is compiled with.
                    #[allow(unsafe_code)]
                    $crate::model::rowmath::AVX512 => return unsafe { wide($($arg),*) },
                    // SAFETY: as above, for `medium`.
                    #[allow(unsafe_code)]
                    $crate::model::rowmath::AVX2 => return unsafe { medium($($arg),*) },
                    _ => {}
                }
            }
            $body::<{ $crate::model::rowmath::PLAIN }>($($arg),*)
        }
    };
}

vectorised! {
    /// Surprisal, rank, entropy and variance of `target` in a row of logits times `scale` (positive), in two passes over the row:
    /// with m the largest logit and d = l - m, Z = sum e^d, A = sum e^d d, B = sum e^d d^2, the entropy is ln Z - A/Z and the
    /// variance of the surprisal B/Z - (A/Z)^2. Sums run in f32 over blocks and in f64 over the row.
    fn row_statistics(logits: &[f32], target: usize, scale: f32) -> RowStatistics = row_statistics_body
}

vectorised! {
    /// The surprisal that `row_statistics` gives, to the last bit, at less than half of its cost.
    fn row_surprisal(logits: &[f32], target: usize, scale: f32) -> f32 = row_surprisal_body
}

vectorised! {
    /// What `target` has of `by[1]` less `by[0]`, two other rows of logits with their scales, more than the row of logits expects:
    /// x(target) - sum q x, q being the softmax of logits times scale. As both are logits, x is a log-likelihood ratio but for a constant,
    /// which cancels.
    fn row_excess(logits: (&[f32], f32), by: [(&[f32], f32); 2], target: usize) -> f32 = row_excess_body
}

vectorised! {
    /// One row to unsigned bytes, of which `zero` (1 to 254) stands for zero, and the row's scale: `row ~ (bytes - zero) * scale`. The scale
    /// is NaN where a number of the row is, so that all that is made of the row is NaN.
    fn quantize_row(row: &[f32], zero: u8, bytes: &mut [u8]) -> f32 = quantize_row_body
}

vectorised! {
    /// `out = y * scale + bias`.
    fn scale_bias(y: &[f32], scale: f32, bias: &[f32], out: &mut [f32]) = scale_bias_body
}

vectorised! {
    /// `out = gelu(y * scale + bias)` with the tanh form that GPT-2 uses.
    fn scale_bias_gelu(y: &[f32], scale: f32, bias: &[f32], out: &mut [f32]) = scale_bias_gelu_body
}

pub(crate) use vectorised;

vectorised! {
    /// `sum = x + residual`, and `out` that sum less its mean, over its standard deviation, times `gamma` plus `beta`.
    fn add_normalise(x: [&[f32]; 2], affine: Affine<'_>, sum: &mut [f32], out: &mut [f32]) = add_normalise_body
}

/// What a layer normalisation does after scaling to unit variance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// a * b + c, in one rounding where the processor has the instruction.
#[inline(always)]
pub(super) fn fma<const LEVEL: u8>(a: f32, b: f32, c: f32) -> f32 {
    if LEVEL > PLAIN || cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}

/// The larger of two numbers; NaN where `x` is: `f32::max` would make a number of it, and a number is evidence.
#[inline(always)]
pub(super) fn at_least(x: f32, least: f32) -> f32 {
    if x < least { least } else { x }
}

/// A number that is not negative but by rounding; NaN stays NaN.
#[inline(always)]
fn not_negative(x: f64) -> f32 {
    (if x < 0. { 0. } else { x }) as f32
}

/// e^x for x in [-87, 87], NaN for NaN, relative error below 2.5e-7: 2^n times a polynomial of degree 6 on [-ln 2 / 2, ln 2 / 2] (Cody and Waite).
#[inline(always)]
pub(super) fn exp<const LEVEL: u8>(x: f32) -> f32 {
    // adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits
    const ROUND: f32 = 12_582_912.;
    let shifted = fma::<LEVEL>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<LEVEL>(n, -0.693_359_4, x);
    let r = fma::<LEVEL>(n, 2.121_944_4e-4, r);
    let mut p = 1.388_889e-3;
    for c in [8.333_334e-3, 4.166_666_8e-2, 0.166_666_67, 0.5, 1., 1.] {
        p = fma::<LEVEL>(p, r, c);
    }
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32).wrapping_add(127) << 23;
    p * f32::from_bits(exponent as u32)
}

/// The largest number of a row; NaN is passed over.
#[inline(always)]
pub(super) fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = if block[i] > lanes[i] { block[i] } else { lanes[i] };
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max)
}

/// The larger of the largest number over `above` and the magnitude of the least one over `below`; NaN where a number is. Without their
/// signs, numbers are in the order of their bits, NaN last.
#[inline(always)]
fn largest_step(row: &[f32], above: f32, below: f32) -> f32 {
    let (above, below) = (1. / above, -1. / below);
    let bits = |v: f32| (v * above).max(v * below).abs().to_bits() as i32;
    let mut lanes = [0i32; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = bits(block[i]).max(lanes[i]);
        }
    }
    f32::from_bits(lanes.into_iter().chain(rest.iter().map(|&v| bits(v))).fold(0, i32::max) as u32)
}

#[inline(always)]
fn row_statistics_body<const LEVEL: u8>(logits: &[f32], target: usize, scale: f32) -> RowStatistics {
    let top = largest(logits);
    let at = logits[target];
    let (mut z, mut a, mut b) = (0f64, 0f64, 0f64);
    let mut above = 0u32;
    for block in logits.chunks(LANES * 128) {
        let (mut zs, mut az, mut bs, mut counts) = ([0f32; LANES], [0f32; LANES], [0f32; LANES], [0u32; LANES]);
        let (whole, rest) = block.as_chunks::<LANES>();
        for part in whole {
            for i in 0..LANES {
                let d = at_least((part[i] - top) * scale, -87.);
                let e = exp::<LEVEL>(d);
                let ed = e * d;
                zs[i] += e;
                az[i] += ed;
                bs[i] = fma::<LEVEL>(ed, d, bs[i]);
                counts[i] += u32::from(part[i] > at);
            }
        }
        for &l in rest {
            let d = at_least((l - top) * scale, -87.);
            let e = exp::<LEVEL>(d);
            zs[0] += e;
            az[0] += e * d;
            bs[0] += e * d * d;
            counts[0] += u32::from(l > at);
        }
        z += zs.iter().map(|&v| f64::from(v)).sum::<f64>();
        a += az.iter().map(|&v| f64::from(v)).sum::<f64>();
        b += bs.iter().map(|&v| f64::from(v)).sum::<f64>();
        above += counts.iter().sum::<u32>();
    }
    let mean = a / z;
    let surprisal = z.ln() - f64::from(at - top) * f64::from(scale);
    RowStatistics {
        surprisal: not_negative(surprisal),
        rank: 1 + above,
        entropy: not_negative(z.ln() - mean),
        variance: not_negative(b / z - mean * mean),
    }
}

#[inline(always)]
fn row_surprisal_body<const LEVEL: u8>(logits: &[f32], target: usize, scale: f32) -> f32 {
    let top = largest(logits);
    let mut z = 0f64;
    for block in logits.chunks(LANES * 128) {
        let mut zs = [0f32; LANES];
        let (whole, rest) = block.as_chunks::<LANES>();
        for part in whole {
            for i in 0..LANES {
                zs[i] += exp::<LEVEL>(at_least((part[i] - top) * scale, -87.));
            }
        }
        for &l in rest {
            zs[0] += exp::<LEVEL>(at_least((l - top) * scale, -87.));
        }
        z += zs.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    not_negative(z.ln() - f64::from(logits[target] - top) * f64::from(scale))
}

#[inline(always)]
fn row_excess_body<const LEVEL: u8>((logits, scale): (&[f32], f32), by: [(&[f32], f32); 2], target: usize) -> f32 {
    let top = largest(logits);
    let [(less, less_scale), (more, more_scale)] = by;
    let at = fma::<LEVEL>(more[target], more_scale, -(less[target] * less_scale));
    let (mut z, mut a) = (0f64, 0f64);
    for start in (0..logits.len()).step_by(LANES * 128) {
        let block = start..logits.len().min(start + LANES * 128);
        let (whole, rest) = logits[block.clone()].as_chunks::<LANES>();
        let (whole_less, rest_less) = less[block.clone()].as_chunks::<LANES>();
        let (whole_more, rest_more) = more[block].as_chunks::<LANES>();
        let (mut zs, mut az) = ([0f32; LANES], [0f32; LANES]);
        let mut add = |lane: usize, [logit, less, more]: [f32; 3]| {
            let e = exp::<LEVEL>(at_least((logit - top) * scale, -87.));
            let x = fma::<LEVEL>(more, more_scale, -(less * less_scale)) - at;
            zs[lane] += e;
            az[lane] = fma::<LEVEL>(e, x, az[lane]);
        };
        for part in 0..whole.len() {
            for i in 0..LANES {
                add(i, [whole[part][i], whole_less[part][i], whole_more[part][i]]);
            }
        }
        for i in 0..rest.len() {
            add(i, [rest[i], rest_less[i], rest_more[i]]);
        }
        z += zs.iter().map(|&v| f64::from(v)).sum::<f64>();
        a += az.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    (-a / z) as f32
}

#[inline(always)]
fn quantize_row_body<const LEVEL: u8>(row: &[f32], zero: u8, bytes: &mut [u8]) -> f32 {
    let zero = f32::from(zero);
    // bytes cannot say that a number is not finite: the row's scale does
    let scale = at_least(largest_step(row, 255. - zero, zero), 1e-11);
    let inverse = 1. / scale;
    for (byte, &v) in bytes.iter_mut().zip(row) {
        // the sum rounds to a whole number, which stands in the low byte
        *byte = fma::<LEVEL>(v, inverse, 12_582_912. + zero).to_bits() as u8;
    }
    scale
}

#[inline(always)]
fn scale_bias_body<const LEVEL: u8>(y: &[f32], scale: f32, bias: &[f32], out: &mut [f32]) {
    for ((o, &v), &b) in out.iter_mut().zip(y).zip(bias) {
        *o = fma::<LEVEL>(v, scale, b);
    }
}

#[inline(always)]
fn scale_bias_gelu_body<const LEVEL: u8>(y: &[f32], scale: f32, bias: &[f32], out: &mut [f32]) {
    // x/2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3)
    const C1: f32 = -1.595_769;
    const C3: f32 = -0.071_354_814;
    for ((o, &v), &b) in out.iter_mut().zip(y).zip(bias) {
        let x = fma::<LEVEL>(v, scale, b);
        let t = x * fma::<LEVEL>(C3, x * x, C1);
        let t = if t < 87. { t } else { 87. };
        let t = if t > -87. { t } else { -87. };
        *o = x / (1. + exp::<LEVEL>(t));
    }
}

#[inline(always)]
fn add_normalise_body<const LEVEL: u8>(x: [&[f32]; 2], affine: Affine<'_>, sum: &mut [f32], out: &mut [f32]) {
    for ((s, &a), &b) in sum.iter_mut().zip(x[0]).zip(x[1]) {
        *s = a + b;
    }
    let n = sum.len() as f32;
    let mean = total(sum, |v| v) / n;
    let variance = total(sum, |v| (v - mean) * (v - mean)) / n;
    let inverse = 1. / (variance + affine.epsilon).sqrt();
    // a variance that overflows would leave `beta` alone, which looks like any other row
    let inverse = if inverse > 0. { inverse } else { f32::NAN };
    for (((o, &v), &g), &b) in out.iter_mut().zip(&*sum).zip(affine.gamma).zip(affine.beta) {
        *o = fma::<LEVEL>((v - mean) * inverse, g, b);
    }
}

/// The sum of `of` over a row, in lanes.
#[inline(always)]
fn total(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            lanes[i] += of(block[i]);
        }
    }
    lanes.into_iter().chain(rest.iter().map(|&v| of(v))).sum()
}

#[cfg(test)]
mod tests;
