//! This machine's matrix-product peak through ONNX Runtime, which the benchmarks hold the scorer against.

use super::{
    ModelError,
    onnx::{DType, External, Graph, Op},
    runtime,
};
use ort::{environment::Environment, session::Session, value::Tensor};
use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Rows, inputs and outputs of the product: 512 tokens through the widest layer of GPT-2 small.
const SHAPE: [usize; 3] = [512, 768, 3072];
/// Name of the weights' file inside the graph.
const FILE: &str = "weights";

/// Operations (two for each multiplication and addition) per second of one matrix product, repeated on `threads` threads for `time`:
/// in single precision, or with `int8` the product of bytes that the int8 graphs are made of.
#[doc(hidden)]
pub fn gemm_peak(int8: bool, threads: usize, time: Duration) -> Result<f64, ModelError> {
    let run = || -> ort::Result<f64> {
        let environment = runtime::environment(None, false).map_err(|e| ort::Error::new(e.to_string()))?.1;
        let mut sessions = (0..threads).map(|_| session(&environment, int8)).collect::<ort::Result<Vec<_>>>()?;
        thread::scope(|scope| {
            let threads: Vec<_> = sessions.iter_mut().map(|s| scope.spawn(move || rate(s, time))).collect();
            threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum()
        })
    };
    run().map_err(|e| ModelError::Run(e.to_string()))
}

/// A session that does nothing but the product.
fn session(environment: &Environment, int8: bool) -> ort::Result<Session> {
    let [_, inputs, outputs] = SHAPE;
    let mut g = Graph::new("peak");
    let element = if int8 { DType::I8 } else { DType::F32 };
    let length = (inputs * outputs * element.size()) as u64;
    let weight = g.external("weight", &External { dtype: element, shape: vec![inputs, outputs], offset: 0, length }, FILE);
    let y = if int8 {
        let bytes = g.input("x", DType::F32, &["N", &inputs.to_string()]);
        let (one, zero) = (g.scalar(1.), g.byte(128));
        let quantised = g.node(Op::own("QuantizeRows"), &[&bytes, &zero], 2);
        g.op(Op::contrib("MatMulIntegerToFloat"), &[&quantised[0], &weight, &one, &one, &zero])
    } else {
        let x = g.input("x", DType::F32, &["N", &inputs.to_string()]);
        g.op(Op::onnx("MatMul"), &[&x, &weight])
    };
    g.named(Op::onnx("Identity"), &[&y], &["y"]);
    g.output("y", DType::F32, &["N", &outputs.to_string()]);
    let bytes: Arc<[u8]> = if int8 {
        (0..length).map(|i| (i * 31 % 253) as u8).collect()
    } else {
        (0..inputs * outputs).flat_map(|i| ((i * 31 % 253) as f32 / 253. - 0.5).to_le_bytes()).collect()
    };
    super::scorer::builder(environment)?
        .with_operators(super::ops::domain()?)?
        .with_external_initializer_file_in_memory(FILE, bytes)?
        .commit_from_memory(&g.encode())
}

/// Operations per second of one session; the first product is not timed.
fn rate(session: &mut Session, time: Duration) -> ort::Result<f64> {
    let [rows, inputs, outputs] = SHAPE;
    let x = Tensor::from_array(([rows, inputs], (0..rows * inputs).map(|i| (i * 37 % 251) as f32 / 251. - 0.5).collect::<Vec<_>>()))?;
    session.run(ort::inputs!["x" => &x])?;
    let (start, mut products) = (Instant::now(), 0u32);
    while start.elapsed() < time {
        session.run(ort::inputs!["x" => &x])?;
        products += 1;
    }
    Ok(2. * f64::from(products) * (rows * inputs * outputs) as f64 / start.elapsed().as_secs_f64())
}
