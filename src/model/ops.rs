//! Our own operators inside ONNX Runtime's graph (CPU only): attention, normalisation, the two ends of an int8 product, and the
//! statistics head. Each one is here because the runtime's own was measured to be a multiple slower.
//!
//! Each one takes plain row-major tensors and works row by row on the calling thread.

use super::{
    attention::{self, Heads, Scratch},
    rowmath::{self, Affine},
};
use ort::{
    Error, Result,
    operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput},
    value::{PrimitiveTensorElementType, TensorElementType},
};

/// The operators' domain in a graph.
pub(crate) const DOMAIN: &str = "highwater";

/// (logits (J M,V), targets (M) int64, scale (J M,1) or (1)) -> (M,4), or (M,7) of J = 3, of logits times scale, which J models after one
/// another gave for the same M tokens: surprisal, rank, entropy, variance by the first one, then surprisal by each of the others and what
/// the token has of their log-likelihood ratio more than the first one expects.
const STATISTICS: &str = "RowStatistics";
/// (x (..,C), the byte that stands for zero (1)) -> bytes (..,C), scale (..,1).
const QUANTIZE: &str = "QuantizeRows";
/// (y (..,C), scale (..,1), bias (C)) -> y * scale + bias.
const SCALE_BIAS: &str = "ScaleBias";
/// (qkv (B,T,3C), number of heads (1) int64, scale (1)) -> (B,T,C): causal attention of each text.
const ATTENTION: &str = "CausalAttention";
/// (x (..,C), residual (..,C), gamma (C), beta (C), epsilon (1)) -> normalised sum (..,C), sum (..,C).
const ADD_NORMALISE: &str = "AddNormalise";
/// As `ScaleBias`, then GELU in its tanh form.
const SCALE_BIAS_GELU: &str = "ScaleBiasGelu";

/// All of them, to be given to a session.
pub(crate) fn domain() -> Result<OperatorDomain> {
    use TensorElementType::{Float32, Int64, Uint8};
    let own = |name, inputs, outputs, kernel| Own { name, inputs, outputs, kernel };
    OperatorDomain::new(DOMAIN)?
        .add(own(STATISTICS, &[Float32, Int64, Float32], &[Float32], statistics))?
        .add(own(ATTENTION, &[Float32, Int64, Float32], &[Float32], attend))?
        .add(own(ADD_NORMALISE, &[Float32; 5], &[Float32, Float32], add_normalise))?
        .add(own(QUANTIZE, &[Float32, Uint8], &[Uint8, Float32], quantize))?
        .add(own(SCALE_BIAS, &[Float32, Float32, Float32], &[Float32], |c| scale(c, rowmath::scale_bias)))?
        .add(own(SCALE_BIAS_GELU, &[Float32, Float32, Float32], &[Float32], |c| scale(c, rowmath::scale_bias_gelu)))
}

struct Own {
    name: &'static str,
    inputs: &'static [TensorElementType],
    outputs: &'static [TensorElementType],
    kernel: fn(&ComputeContext) -> Result<()>,
}

impl Operator for Own {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &str {
        self.name
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.inputs.iter().map(|&t| OperatorInput::required(t))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        self.outputs.iter().map(|&t| OperatorOutput::required(t))
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> Result<Self::Kernel<'attr>> {
        Ok(Box::new(self.kernel))
    }
}

/// Runs `work` on inputs 0, 1, 2 … as slices; the macro names each one and its element type.
macro_rules! inputs {
    ($context:ident, $($index:literal $shape:pat, $data:pat = $type:ty;)*) => {
        $(
            let value = $context.input($index)?.ok_or_else(|| missing($index))?;
            let ($shape, $data) = value.try_extract_tensor::<$type>()?;
        )*
    };
}

pub(super) use inputs;

pub(super) fn missing(index: usize) -> Error {
    Error::new(format!("input or output {index} is missing"))
}

/// Asks for output `index` of this shape and fills it.
pub(super) fn fill<T: PrimitiveTensorElementType>(
    context: &ComputeContext,
    index: usize,
    shape: &[i64],
    work: impl FnOnce(&mut [T]),
) -> Result<()> {
    let mut value = context.output(index, shape.to_vec())?.ok_or_else(|| missing(index))?;
    work(value.try_extract_tensor_mut::<T>()?.1);
    Ok(())
}

pub(super) fn last(shape: &[i64]) -> usize {
    shape.last().map_or(1, |&d| d as usize)
}

/// Columns of the statistics head's results for one model, or for one and its two branches.
pub(super) fn columns(models: usize) -> usize {
    if models == 1 { 4 } else { 7 }
}

fn statistics(context: &ComputeContext) -> Result<()> {
    inputs! { context, 0 shape, logits = f32; 1 _, targets = i64; 2 _, scales = f32; }
    let (vocabulary, tokens) = (last(shape), targets.len());
    let models = logits.len() / (tokens * vocabulary).max(1);
    if targets.iter().any(|&t| t < 0 || t as usize >= vocabulary)
        || ![1, 3].contains(&models)
        || logits.len() != models * tokens * vocabulary
        || ![1, models * tokens].contains(&scales.len())
    {
        return Err(Error::new("logits, targets and scales do not fit together"));
    }
    let columns = columns(models);
    let row = |model: usize, token: usize| {
        let i = model * tokens + token;
        (&logits[i * vocabulary..][..vocabulary], scales[i % scales.len()])
    };
    fill(context, 0, &[tokens as i64, columns as i64], |out: &mut [f32]| {
        for (token, out) in out.chunks_exact_mut(columns).enumerate() {
            let (target, base) = (targets[token] as usize, row(0, token));
            let s = rowmath::row_statistics(base.0, target, base.1);
            out[..4].copy_from_slice(&[s.surprisal, s.rank as f32, s.entropy, s.variance]);
            if let [human, machine, excess] = &mut out[4..] {
                let by = [row(1, token), row(2, token)];
                [*human, *machine] = by.map(|(row, scale)| rowmath::row_surprisal(row, target, scale));
                *excess = rowmath::row_excess(base, by, target);
            }
        }
    })
}

fn attend(context: &ComputeContext) -> Result<()> {
    inputs! { context, 0 shape, qkv = f32; 1 _, count = i64; 2 _, scale = f32; }
    let width = last(shape) / 3;
    let (&[count], &[scale], &[batch, length, _]) = (count, scale, &shape[..]) else {
        return Err(Error::new("expected (B,T,3C), one number of heads and one scale"));
    };
    if count < 1 || width * 3 != last(shape) || !width.is_multiple_of(count as usize) {
        return Err(Error::new("the width is no multiple of three times the heads"));
    }
    let heads = Heads { count: count as usize, width: width / count as usize, scale };
    fill(context, 0, &[batch, length, width as i64], |out: &mut [f32]| {
        let rows = length as usize * width;
        let mut scratch = Scratch::default();
        for (text, out) in qkv.chunks_exact(3 * rows).zip(out.chunks_exact_mut(rows)) {
            attention::attend(text, heads, &mut scratch, out);
        }
    })
}

fn add_normalise(context: &ComputeContext) -> Result<()> {
    inputs! { context, 0 shape, x = f32; 1 _, residual = f32; 2 _, gamma = f32; 3 _, beta = f32; 4 _, epsilon = f32; }
    let (width, &[epsilon]) = (last(shape), epsilon) else { return Err(Error::new("expected one epsilon")) };
    if gamma.len() != width || beta.len() != width || residual.len() != x.len() {
        return Err(Error::new("values, residual, gamma and beta do not fit together"));
    }
    let mut sums = context.output(1, shape.to_vec())?.ok_or_else(|| missing(1))?;
    let sums = sums.try_extract_tensor_mut::<f32>()?.1;
    fill(context, 0, shape, |out: &mut [f32]| {
        let rows = x.chunks_exact(width).zip(residual.chunks_exact(width)).zip(sums.chunks_exact_mut(width));
        for (((x, residual), sum), out) in rows.zip(out.chunks_exact_mut(width)) {
            rowmath::add_normalise([x, residual], Affine { gamma, beta, epsilon }, sum, out);
        }
    })
}

fn quantize(context: &ComputeContext) -> Result<()> {
    inputs! { context, 0 shape, x = f32; 1 _, zero = u8; }
    let (width, &[zero]) = (last(shape), zero) else { return Err(Error::new("expected one byte for zero")) };
    let mut scales = Vec::with_capacity(x.len() / width.max(1));
    fill(context, 0, shape, |bytes: &mut [u8]| {
        let rows = x.chunks_exact(width).zip(bytes.chunks_exact_mut(width));
        scales.extend(rows.map(|(row, out)| rowmath::quantize_row(row, zero, out)));
    })?;
    let mut shape = shape.to_vec();
    if let Some(last) = shape.last_mut() {
        *last = 1;
    }
    fill(context, 1, &shape, |out: &mut [f32]| out.copy_from_slice(&scales))
}

fn scale(context: &ComputeContext, work: fn(&[f32], f32, &[f32], &mut [f32])) -> Result<()> {
    inputs! { context, 0 shape, y = f32; 1 _, scales = f32; 2 _, bias = f32; }
    let width = last(shape);
    if bias.len() != width || scales.len() * width != y.len() {
        return Err(Error::new("values, scales and bias do not fit together"));
    }
    fill(context, 0, shape, |out: &mut [f32]| {
        for ((row, out), &scale) in y.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(scales) {
            work(row, scale, bias, out);
        }
    })
}
