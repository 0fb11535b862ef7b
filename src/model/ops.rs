//! Our own operators inside ONNX Runtime's graph (CPU only): the statistics head and the two ends of an int8 product.
//!
//! Each one takes plain row-major tensors and works row by row on the calling thread.

use super::rowmath;
use ort::{
    Error, Result,
    operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput},
    value::{PrimitiveTensorElementType, TensorElementType},
};

/// The operators' domain in a graph.
pub(crate) const DOMAIN: &str = "highwater";

/// (logits (N,V), targets (N) int64, scale (N,1)) -> (N,4): surprisal, rank, entropy, variance of logits times scale.
const STATISTICS: &str = "RowStatistics";
/// x (..,C) -> bytes (..,C) about 128, largest magnitude (..,1).
const QUANTIZE: &str = "QuantizeRows";
/// (y (..,C), scale (..,1), bias (C)) -> y * scale + bias.
const SCALE_BIAS: &str = "ScaleBias";
/// As `ScaleBias`, then GELU in its tanh form.
const SCALE_BIAS_GELU: &str = "ScaleBiasGelu";

/// All of them, to be given to a session.
pub(crate) fn domain() -> Result<OperatorDomain> {
    use TensorElementType::{Float32, Int64, Uint8};
    let own = |name, inputs, outputs, kernel| Own { name, inputs, outputs, kernel };
    OperatorDomain::new(DOMAIN)?
        .add(own(STATISTICS, &[Float32, Int64, Float32], &[Float32], statistics))?
        .add(own(QUANTIZE, &[Float32], &[Uint8, Float32], quantize))?
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

fn missing(index: usize) -> Error {
    Error::new(format!("input or output {index} is missing"))
}

/// Asks for output `index` of this shape and fills it.
fn fill<T: PrimitiveTensorElementType>(context: &ComputeContext, index: usize, shape: &[i64], work: impl FnOnce(&mut [T])) -> Result<()> {
    let mut value = context.output(index, shape.to_vec())?.ok_or_else(|| missing(index))?;
    work(value.try_extract_tensor_mut::<T>()?.1);
    Ok(())
}

fn last(shape: &[i64]) -> usize {
    shape.last().map_or(1, |&d| d as usize)
}

fn statistics(context: &ComputeContext) -> Result<()> {
    inputs! { context, 0 shape, logits = f32; 1 _, targets = i64; 2 _, scales = f32; }
    let vocabulary = last(shape);
    if targets.iter().any(|&t| t < 0 || t as usize >= vocabulary)
        || scales.len() != targets.len()
        || logits.len() != targets.len() * vocabulary
    {
        return Err(Error::new("logits, targets and scales do not fit together"));
    }
    fill(context, 0, &[targets.len() as i64, 4], |out: &mut [f32]| {
        for (i, row) in logits.chunks_exact(vocabulary).enumerate() {
            let s = rowmath::row_statistics(row, targets[i] as usize, scales[i]);
            out[4 * i..4 * i + 4].copy_from_slice(&[s.surprisal, s.rank as f32, s.entropy, s.variance]);
        }
    })
}

fn quantize(context: &ComputeContext) -> Result<()> {
    inputs! { context, 0 shape, x = f32; }
    let width = last(shape);
    let mut tops = Vec::with_capacity(x.len() / width.max(1));
    fill(context, 0, shape, |bytes: &mut [u8]| {
        tops.extend(x.chunks_exact(width).zip(bytes.chunks_exact_mut(width)).map(|(row, out)| rowmath::quantize_row(row, out)));
    })?;
    let mut scales = shape.to_vec();
    if let Some(last) = scales.last_mut() {
        *last = 1;
    }
    fill(context, 1, &scales, |out: &mut [f32]| out.copy_from_slice(&tops))
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
