//! The attention operator that keeps what came before: (qkv (N,3C), spans (S,2) int64, layer (1) int64, scale (1)) -> (N,C).

use super::cache::{Attention, Cache, Span};
use crate::model::ops::{self, inputs, missing};
use ort::{
    Error, Result,
    operator::{BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput},
    value::TensorElementType::{Float32, Int64},
};
use std::sync::{Arc, Mutex, PoisonError};

struct CachedAttention(Arc<Mutex<Cache>>);

/// Our operators, with an attention that reads and extends `cache`.
pub(super) fn domain(cache: &Arc<Mutex<Cache>>) -> Result<OperatorDomain> {
    ops::domain()?.add(CachedAttention(Arc::clone(cache)))
}

impl Operator for CachedAttention {
    type Kernel<'attr> = BoxedKernel<'attr>;

    fn name(&self) -> &str {
        "CachedAttention"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, Int64, Int64, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> Result<Self::Kernel<'attr>> {
        let cache = Arc::clone(&self.0);
        Ok(Box::new(move |context: &ComputeContext| attend(context, &cache)))
    }
}

fn attend(context: &ComputeContext, cache: &Mutex<Cache>) -> Result<()> {
    inputs! { context, 0 shape, qkv = f32; 1 _, spans = i64; 2 _, layer = i64; 3 _, scale = f32; }
    let (&[layer], &[scale], &[tokens, width]) = (layer, scale, &shape[..]) else {
        return Err(Error::new("expected (N,3C), one layer and one scale"));
    };
    let spans: Vec<Span> = spans.as_chunks::<2>().0.iter().map(|&[s, n]| Span { sequence: s as usize, tokens: n as usize }).collect();
    let work = Attention { layer: layer as usize, qkv, spans: &spans, scale };
    let mut out = context.output(0, vec![tokens, width / 3])?.ok_or_else(|| missing(0))?;
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.attend(&work, Some(context), out.try_extract_tensor_mut::<f32>()?.1)
}
