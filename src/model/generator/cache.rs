//! Keys and values of every token so far, by layer, sequence and head, and attention over them.
//!
//! Takes queries, keys and values of new tokens; appends the keys and values, and mixes the values that each query sees. A token's
//! numbers depend on its own sequence alone: not on its neighbours in the batch, and not on how many tokens came with it.

use crate::model::{
    attention::{COLUMNS, ROWS, product, softmax},
    rowmath::vectorised,
};
use ort::operator::ComputeContext;
use std::sync::Mutex;

/// Multiplications below which handing work to other threads costs more than it saves.
const WORTH_SHARING: usize = 1 << 20;

/// The sequences' keys and values.
#[derive(Debug)]
pub(super) struct Cache {
    /// By layer, sequence, head.
    layers: Vec<Vec<Vec<Head>>>,
    heads: usize,
    width: usize,
}

/// Keys and values of one head of one layer of one sequence.
#[derive(Debug, Clone, Default)]
struct Head {
    /// Scaled, in blocks of `COLUMNS` tokens: (blocks, width, `COLUMNS`).
    keys: Vec<f32>,
    /// (tokens, width padded to `COLUMNS`).
    values: Vec<f32>,
}

/// Tokens of one sequence among the new tokens: how many, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) sequence: usize,
    pub(super) tokens: usize,
}

/// What one head of one sequence has to do.
pub(crate) struct Job<'a> {
    head: &'a mut Head,
    /// The sequence's new rows (tokens, 3C).
    qkv: &'a [f32],
    /// Where the results go: this head's part of each row.
    out: Vec<&'a mut [f32]>,
    shape: Shape,
}

/// Where a head lies in a row, and how keys are scaled.
#[derive(Clone, Copy)]
struct Shape {
    /// C: the width of all heads.
    row: usize,
    /// Where the head's numbers start in C.
    start: usize,
    /// Width of the head.
    width: usize,
    scale: f32,
}

impl Cache {
    pub(super) fn new(layers: usize, heads: usize, width: usize) -> Self {
        Self { layers: vec![Vec::new(); layers], heads, width }
    }

    /// Empties a sequence.
    pub(super) fn forget(&mut self, sequence: usize) {
        for layer in &mut self.layers {
            if let Some(heads) = layer.get_mut(sequence) {
                heads.clear();
            }
        }
    }

    /// Empties every sequence.
    pub(super) fn clear(&mut self) {
        self.layers.iter_mut().for_each(Vec::clear);
    }

    /// Makes each `to` what its `from` was before: (from, to).
    pub(super) fn copy(&mut self, moves: &[(usize, usize)]) {
        for layer in &mut self.layers {
            let copies: Vec<_> = moves.iter().map(|&(from, _)| layer.get(from).cloned().unwrap_or_default()).collect();
            for (&(_, to), copy) in moves.iter().zip(copies) {
                if layer.len() <= to {
                    layer.resize_with(to + 1, Vec::new);
                }
                layer[to] = copy;
            }
        }
    }

    /// Attention of one layer: `qkv` (N,3C), the tokens of the spans one after the other -> `out` (N,C).
    pub(super) fn attend(&mut self, work: &Attention<'_>, context: Option<&ComputeContext>, out: &mut [f32]) -> ort::Result<()> {
        let (heads, width) = (self.heads, self.width);
        let row = heads * width;
        let misfit = || ort::Error::new("queries, spans and layer do not fit together");
        let layer = self.layers.get_mut(work.layer).ok_or_else(misfit)?;
        let total: usize = work.spans.iter().map(|s| s.tokens).sum();
        if work.qkv.len() != 3 * row * total || out.len() != row * total {
            return Err(misfit());
        }
        let last = work.spans.iter().map(|s| s.sequence + 1).max().unwrap_or(0);
        if layer.len() < last {
            layer.resize_with(last, Vec::new);
        }
        let mut places = vec![None; layer.len()];
        let (mut jobs, mut cost) = (Vec::new(), 0);
        let mut parts = Vec::with_capacity(work.spans.len());
        let (mut qkv, mut out) = (work.qkv, out);
        for (i, span) in work.spans.iter().enumerate() {
            let (rows, rest) = qkv.split_at(span.tokens * 3 * row);
            let (to, after) = out.split_at_mut(span.tokens * row);
            (qkv, out) = (rest, after);
            parts.push(Some((rows, to)));
            // a sequence twice would need an order
            if places[span.sequence].replace(i).is_some() {
                return Err(ort::Error::new("a sequence stands twice in one run"));
            }
        }
        for (sequence, place) in layer.iter_mut().zip(places) {
            let Some((rows, to)) = place.and_then(|i| parts[i].take()) else { continue };
            sequence.resize_with(heads, Head::default);
            let tokens = to.len() / row;
            let mut shares: Vec<Vec<&mut [f32]>> = (0..heads).map(|_| Vec::with_capacity(tokens)).collect();
            for (i, part) in to.chunks_exact_mut(width).enumerate() {
                shares[i % heads].push(part);
            }
            for (h, (head, out)) in sequence.iter_mut().zip(shares).enumerate() {
                cost += tokens * 2 * (head.values.len() + tokens * width);
                let shape = Shape { row, start: h * width, width, scale: work.scale };
                jobs.push(Mutex::new(Job { head, qkv: rows, out, shape }));
            }
        }
        let run = |i: usize| {
            let mut scratch = Vec::new();
            let mut job = jobs[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            attend_one(&mut job, &mut scratch);
        };
        match context {
            Some(context) if cost > WORTH_SHARING => context.par_for(jobs.len(), 0, run),
            _ => {
                (0..jobs.len()).for_each(run);
                Ok(())
            }
        }
    }
}

/// One layer's attention over new tokens.
pub(super) struct Attention<'a> {
    pub(super) layer: usize,
    /// (N,3C).
    pub(super) qkv: &'a [f32],
    pub(super) spans: &'a [Span],
    pub(super) scale: f32,
}

vectorised! {
    /// Appends a head's new keys and values and attends to all of them.
    fn attend_one(job: &mut Job<'_>, scratch: &mut Vec<f32>) = attend_one_body
}

#[inline(always)]
fn attend_one_body<const LEVEL: u8>(job: &mut Job<'_>, scratch: &mut Vec<f32>) {
    let Job { head, qkv, out, shape } = job;
    let wide = shape.width.next_multiple_of(COLUMNS);
    let past = head.values.len() / wide;
    head.append(qkv, *shape);
    let mut first = 0;
    while first < out.len() {
        // one query at a time is what decoding needs, blocks are for prompts
        let rows = if out.len() - first >= ROWS { ROWS } else { 1 };
        if rows == 1 {
            block::<LEVEL, 1>(head, qkv, (*shape, past + first, scratch), &mut out[first..=first]);
        } else {
            block::<LEVEL, ROWS>(head, qkv, (*shape, past + first, scratch), &mut out[first..first + ROWS]);
        }
        first += rows;
    }
}

/// R queries that stand at `at`, `at` + 1, … over the keys up to their own places.
#[inline(always)]
fn block<const LEVEL: u8, const R: usize>(
    head: &Head,
    qkv: &[f32],
    (shape, at, weights): (Shape, usize, &mut Vec<f32>),
    out: &mut [&mut [f32]],
) {
    let (d, wide) = (shape.width, shape.width.next_multiple_of(COLUMNS));
    let past = head.values.len() / wide - qkv.len() / (3 * shape.row);
    let limit = at + R;
    let padded = limit.next_multiple_of(COLUMNS);
    weights.resize(R * padded, 0.);
    let queries: [&[f32]; R] = std::array::from_fn(|r| &qkv[(at - past + r) * 3 * shape.row + shape.start..][..d]);
    for (i, keys) in head.keys.chunks_exact(d * COLUMNS).take(padded / COLUMNS).enumerate() {
        let found = product::<LEVEL, R>(queries, keys, COLUMNS);
        for (r, row) in found.iter().enumerate() {
            weights[r * padded + i * COLUMNS..][..COLUMNS].copy_from_slice(row);
        }
    }
    let mut inverse = [0.; R];
    for (r, inverse) in inverse.iter_mut().enumerate() {
        *inverse = softmax::<LEVEL>(&mut weights[r * padded..][..limit], at + r + 1);
    }
    let shares: [&[f32]; R] = std::array::from_fn(|r| &weights[r * padded..][..limit]);
    for column in (0..d).step_by(COLUMNS) {
        let mixed = product::<LEVEL, R>(shares, &head.values[column..], wide);
        let n = COLUMNS.min(d - column);
        for (r, out) in out.iter_mut().enumerate() {
            for (o, v) in out[column..column + n].iter_mut().zip(&mixed[r]) {
                *o = v * inverse[r];
            }
        }
    }
}

impl Head {
    /// Appends the keys and values of rows (tokens, 3C).
    #[inline(always)]
    fn append(&mut self, qkv: &[f32], shape: Shape) {
        let (d, wide) = (shape.width, shape.width.next_multiple_of(COLUMNS));
        for row in qkv.chunks_exact(3 * shape.row) {
            let at = self.values.len() / wide;
            if at.is_multiple_of(COLUMNS) {
                self.keys.resize(self.keys.len() + d * COLUMNS, 0.);
            }
            let start = at / COLUMNS * d * COLUMNS;
            let key = &row[shape.row + shape.start..][..d];
            for (to, k) in self.keys[start..].iter_mut().skip(at % COLUMNS).step_by(COLUMNS).zip(key) {
                *to = k * shape.scale;
            }
            self.values.extend_from_slice(&row[2 * shape.row + shape.start..][..d]);
            self.values.resize((at + 1) * wide, 0.);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::attention::{self, Heads, Scratch};

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 % 1009) as f32 / 1009. - 0.5) * 4.).collect()
    }

    /// Attention of one layer over `qkv`, its tokens given in these portions.
    fn in_portions(qkv: &[f32], heads: Heads, portions: &[usize]) -> Vec<f32> {
        let c = heads.count * heads.width;
        let mut cache = Cache::new(1, heads.count, heads.width);
        let mut out = Vec::new();
        let mut at = 0;
        for &tokens in portions {
            let mut part = vec![0.; tokens * c];
            let work = Attention {
                layer: 0,
                qkv: &qkv[at * 3 * c..][..tokens * 3 * c],
                spans: &[Span { sequence: 0, tokens }],
                scale: heads.scale,
            };
            cache.attend(&work, None, &mut part).unwrap();
            out.extend(part);
            at += tokens;
        }
        out
    }

    #[test]
    fn a_token_at_a_time_equals_all_at_once_to_the_bit() {
        for (length, count, width) in [(1, 1, 8), (7, 3, 16), (65, 2, 80), (131, 1, 64)] {
            let heads = Heads { count, width, scale: 0.3 };
            let qkv = noise(length * 3 * count * width);
            let once = in_portions(&qkv, heads, &[length]);
            assert_eq!(once, in_portions(&qkv, heads, &vec![1; length]), "T = {length}");
            if length > 9 {
                assert_eq!(once, in_portions(&qkv, heads, &[4, length - 9, 2, 3]), "T = {length}");
            }
            let mut scorer = vec![0.; length * count * width];
            attention::attend(&qkv, heads, &mut Scratch::default(), &mut scorer);
            assert_eq!(once, scorer, "T = {length}: as the scoring graph's attention");
        }
    }

    #[test]
    fn sequences_do_not_touch_one_another_and_can_be_copied() {
        // without the library even an error cannot be made
        crate::model::runtime::environment(None, false).unwrap();
        let heads = Heads { count: 2, width: 8, scale: 0.5 };
        let c = 16;
        let qkv = noise(9 * 3 * c);
        let rows = |from: usize, n: usize| &qkv[from * 3 * c..][..n * 3 * c];
        let alone = in_portions(rows(0, 5), heads, &[5]);
        let mut cache = Cache::new(1, 2, 8);
        let attend = |cache: &mut Cache, qkv: &[f32], spans: &[Span]| {
            let mut out = vec![0.; qkv.len() / 3];
            cache.attend(&Attention { layer: 0, qkv, spans, scale: 0.5 }, None, &mut out).unwrap();
            out
        };
        let span = |sequence, tokens| Span { sequence, tokens };
        let mixed = [rows(5, 2), rows(0, 3), rows(7, 1)].concat();
        let both = attend(&mut cache, &mixed, &[span(4, 2), span(1, 3), span(0, 1)]);
        assert_eq!(both[2 * c..5 * c], alone[..3 * c]);
        cache.copy(&[(1, 0), (0, 1)]);
        let rest = attend(&mut cache, rows(3, 2), &[span(0, 2)]);
        assert_eq!(rest, alone[3 * c..]);
        cache.forget(0);
        assert_eq!(attend(&mut cache, rows(0, 5), &[span(0, 5)]), alone);
        let twice = Attention { layer: 0, qkv: rows(0, 2), spans: &[span(0, 1), span(0, 1)], scale: 1. };
        assert!(cache.attend(&twice, None, &mut vec![0.; 2 * c]).is_err());
    }
}
