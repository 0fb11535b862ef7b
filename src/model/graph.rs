//! The scoring graph of a GPT-2, ending in the statistics head.
//!
//! Inputs: `input_ids` (B,T) padded on the right, `rows` (K,M) flat positions to score, `targets` (K,M) the tokens that follow them,
//! `pool` (B,1,T) each position's weight in its text's mean. Outputs: `scores` (K,M,4): surprisal, rank, entropy, variance, and, where
//! there are branches, (K,M,7) with the surprisals under them and their ratio's excess; `pooled` (B,1,C): the mean of the base's final
//! hidden states. No mask: causal attention never lets a position see what follows it. Logits exist for one chunk of M rows at a time.

use super::{
    branches,
    config::{Activation, Gpt2Config},
    onnx::{Attr, DType, External, Graph, Op},
    ops::columns,
};
use std::{collections::HashMap, ops::Range};

mod decoding;
pub(crate) use decoding::{decoding, past_name, present_name};

/// Which kernels a graph is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Single precision on the CPU, our own operators but for the products.
    CpuF32,
    /// Whole numbers on the CPU, our own operators around each product.
    CpuI8,
    /// Half precision through ONNX operators only, as on CUDA.
    Half,
    /// Single precision through ONNX operators only: the same graph as `Half`, where it can be checked without CUDA.
    Plain,
}

impl Flavour {
    pub(crate) fn own_operators(self) -> bool {
        matches!(self, Self::CpuF32 | Self::CpuI8)
    }

    fn float(self) -> DType {
        if self == Self::Half { DType::F16 } else { DType::F32 }
    }
}

/// Name of the weights' file inside a graph, where the weights are in memory.
pub(crate) const IN_MEMORY: &str = "weights";

/// What a graph is written from.
pub(crate) struct Plan<'a> {
    pub(crate) config: &'a Gpt2Config,
    pub(crate) tensors: &'a HashMap<String, External>,
    /// File name of the weights.
    pub(crate) location: &'a str,
    pub(crate) flavour: Flavour,
    /// The first layer of the branches, where there are any.
    pub(crate) fork: Option<usize>,
}

/// The scoring graph as an ONNX file without weights.
pub(crate) fn scoring(plan: &Plan<'_>) -> Vec<u8> {
    let mut writer = Writer { graph: Graph::new("main"), plan };
    let hidden = writer.trunk();
    writer.pool(&hidden[0]);
    writer.head(&hidden);
    writer.graph.encode()
}

struct Writer<'a> {
    graph: Graph,
    plan: &'a Plan<'a>,
}

impl Writer<'_> {
    fn tensor(&mut self, name: &str) -> String {
        match self.plan.tensors.get(name) {
            Some(tensor) => self.graph.external(name, tensor, self.plan.location),
            // the plan holds every tensor that its configuration asks for; an empty name would be refused by ONNX Runtime
            None => String::new(),
        }
    }

    fn epsilon<'o>(&self, op: Op<'o>) -> Op<'o> {
        op.with("epsilon", Attr::Float(self.plan.config.epsilon))
    }

    /// Embedding and layers: `input_ids` -> final normalised hidden states (B,T,C) of the base and of each branch.
    fn trunk(&mut self) -> Vec<String> {
        let layers = self.plan.config.layers;
        let fork = self.plan.fork.unwrap_or(layers);
        let embedded = self.embedding();
        let normal = self.normalise(&embedded, "h.0.ln_1");
        let shared = self.stack("", 0..fork, (normal, embedded));
        let mut out = vec![self.stack("", fork..layers, shared.clone()).0];
        if self.plan.fork.is_some() {
            for name in branches::NAMES {
                let prefix = format!("{name}.");
                let normal = self.normalise(&shared.1, &format!("{prefix}h.{fork}.ln_1"));
                out.push(self.stack(&prefix, fork..layers, (normal, shared.1.clone())).0);
            }
        }
        out
    }

    /// `input_ids` -> sum of token and position embedding (B,T,C).
    fn embedding(&mut self) -> String {
        let g = &mut self.graph;
        let ids = g.input("input_ids", DType::I64, &["B", "T"]);
        let shape = g.op(Op::onnx("Shape"), &[&ids]);
        let (zero, one, two) = (g.ints(&[0]), g.ints(&[1]), g.ints(&[2]));
        let length = g.op(Op::onnx("Slice"), &[&shape, &one, &two]);
        let (wte, wpe) = (self.tensor("wte.weight"), self.tensor("wpe.weight"));
        let g = &mut self.graph;
        let token = g.op(Op::onnx("Gather"), &[&wte, &ids]);
        // a Gather over a Range fails at run time: RUNTIME
        let position = g.op(Op::onnx("Slice"), &[&wpe, &zero, &length, &zero]);
        g.op(Op::onnx("Add"), &[&token, &position])
    }

    fn normalise(&mut self, x: &str, norm: &str) -> String {
        let (gamma, beta) = (self.tensor(&format!("{norm}.weight")), self.tensor(&format!("{norm}.bias")));
        let op = self.epsilon(Op::onnx("LayerNormalization"));
        self.graph.op(op, &[x, &gamma, &beta])
    }

    /// Some layers of the base, or of the branch that `prefix` names: (normalised, sum) -> the same for what follows them.
    fn stack(&mut self, prefix: &str, range: Range<usize>, (mut normal, mut stream): (String, String)) -> (String, String) {
        for layer in range {
            let h = format!("{prefix}h.{layer}");
            let attended = self.attention(&h, layer, &normal);
            (normal, stream) = self.add_normalise(&attended, &stream, &format!("{h}.ln_2"));
            let out = self.mlp(&h, &normal);
            let last = layer + 1 == self.plan.config.layers;
            let next = if last { format!("{prefix}ln_f") } else { format!("{prefix}h.{}.ln_1", layer + 1) };
            (normal, stream) = self.add_normalise(&out, &stream, &next);
        }
        (normal, stream)
    }

    /// (x + residual) normalised, and the sum itself.
    fn add_normalise(&mut self, x: &str, residual: &str, norm: &str) -> (String, String) {
        let (gamma, beta) = (self.tensor(&format!("{norm}.weight")), self.tensor(&format!("{norm}.bias")));
        if self.plan.flavour.own_operators() {
            let epsilon = self.graph.float(self.plan.config.epsilon);
            let mut out = self.graph.node(Op::own("AddNormalise"), &[x, residual, &gamma, &beta, &epsilon], 2);
            let sum = out.pop().unwrap_or_default();
            return (out.swap_remove(0), sum);
        }
        let op = self.epsilon(Op::contrib("SkipLayerNormalization"));
        let mut out = self.graph.node(op, &[x, residual, &gamma, &beta], 4);
        let sum = out.pop().unwrap_or_default();
        (out.swap_remove(0), sum)
    }

    fn attention(&mut self, h: &str, layer: usize, x: &str) -> String {
        let config = self.plan.config;
        let scale = config.attention_scale(layer);
        let name = format!("{h}.attn");
        let mixed = if self.plan.flavour.own_operators() {
            let qkv = self.linear((x, EVEN), &format!("{name}.c_attn"), None);
            let (heads, scale) = (self.graph.ints(&[config.heads as i64]), self.graph.float(scale));
            self.graph.op(Op::own("CausalAttention"), &[&qkv, &heads, &scale])
        } else {
            let (weight, bias) = (self.tensor(&format!("{name}.c_attn.weight")), self.tensor(&format!("{name}.c_attn.bias")));
            let op = Op::contrib("Attention").with("num_heads", Attr::Int(config.heads as i64)).with("scale", Attr::Float(scale));
            // without `unidirectional` it would silently look ahead
            self.graph.op(op.with("unidirectional", Attr::Int(1)), &[x, &weight, &bias])
        };
        self.linear((&mixed, EVEN), &format!("{name}.c_proj"), None)
    }

    fn mlp(&mut self, h: &str, x: &str) -> String {
        let activation = self.plan.config.activation;
        let inner = self.linear((x, EVEN), &format!("{h}.mlp.c_fc"), Some(activation));
        self.linear((&inner, zero_after(activation)), &format!("{h}.mlp.c_proj"), None)
    }

    /// x W + b, then the activation if one is given; in whole numbers, x in bytes of which the one beside it stands for zero.
    fn linear(&mut self, (x, zero): (&str, u8), name: &str, activation: Option<Activation>) -> String {
        let (weight, bias) = (self.tensor(&format!("{name}.weight")), self.tensor(&format!("{name}.bias")));
        if self.plan.flavour == Flavour::CpuI8 {
            let scale = self.tensor(&format!("{name}.weight.scale"));
            let (y, top) = product(&mut self.graph, (x, zero), [&weight, &scale]);
            let fused = activation == Some(Activation::GeluTanh);
            let op = Op::own(if fused { "ScaleBiasGelu" } else { "ScaleBias" });
            let out = self.graph.op(op, &[&y, &top, &bias]);
            return if fused { out } else { self.activate(&out, activation) };
        }
        let y = self.graph.op(Op::onnx("MatMul"), &[x, &weight]);
        if activation == Some(Activation::GeluTanh) {
            return self.graph.op(Op::contrib("FastGelu"), &[&y, &bias]);
        }
        let out = self.graph.op(Op::onnx("Add"), &[&y, &bias]);
        self.activate(&out, activation)
    }

    fn activate(&mut self, x: &str, activation: Option<Activation>) -> String {
        let g = &mut self.graph;
        match activation {
            None => x.to_owned(),
            Some(Activation::GeluTanh) => g.op(Op::contrib("FastGelu"), &[x]),
            Some(Activation::Gelu) => g.op(Op::contrib("Gelu"), &[x]),
            Some(Activation::Relu) => g.op(Op::onnx("Relu"), &[x]),
            Some(Activation::Tanh) => g.op(Op::onnx("Tanh"), &[x]),
            Some(Activation::Silu) => g.op(Op::contrib("QuickGelu").with("alpha", Attr::Float(1.)), &[x]),
            Some(Activation::QuickGelu) => g.op(Op::contrib("QuickGelu").with("alpha", Attr::Float(1.702)), &[x]),
        }
    }

    /// The weighted sum of each text's hidden states, in single precision.
    fn pool(&mut self, hidden: &str) {
        let cast = |to: DType| Op::onnx("Cast").with("to", Attr::Int(to as i64));
        let weights = self.graph.input("pool", DType::F32, &["B", "1", "T"]);
        let weights = self.graph.op(cast(self.plan.flavour.float()), &[&weights]);
        let sums = self.graph.op(Op::onnx("MatMul"), &[&weights, hidden]);
        self.graph.named(cast(DType::F32), &[&sums], &["pooled"]);
        self.graph.output("pooled", DType::F32, &["B", "1", &self.plan.config.width.to_string()]);
    }

    /// Gathers the rows to score and scans them chunk by chunk; the rows of a chunk by each branch follow those by the base.
    fn head(&mut self, hidden: &[String]) {
        let width = self.plan.config.width.to_string();
        let flat_shape = self.graph.ints(&[-1, self.plan.config.width as i64]);
        let rows = self.graph.input("rows", DType::I64, &["K", "M"]);
        let targets = self.graph.input("targets", DType::I64, &["K", "M"]);
        let gathered: Vec<String> = hidden
            .iter()
            .map(|hidden| {
                let flat = self.graph.op(Op::onnx("Reshape"), &[hidden, &flat_shape]);
                self.graph.op(Op::onnx("Gather"), &[&flat, &rows])
            })
            .collect();
        let gathered: Vec<&str> = gathered.iter().map(String::as_str).collect();
        let chunks = self.graph.op(Op::onnx("Concat").with("axis", Attr::Int(1)), &gathered);
        let columns = columns(hidden.len()).to_string();
        let body = self.scan_body(&width, hidden.len());
        let scan = Op::onnx("Scan").with("num_scan_inputs", Attr::Int(2)).with("body", Attr::Graph(body));
        self.graph.named(scan, &[&chunks, &targets], &["scores"]);
        self.graph.output("scores", DType::F32, &["K", "M", &columns]);
    }

    fn scan_body(&mut self, width: &str, models: usize) -> Graph {
        let untied = self.plan.tensors.contains_key("head");
        let head = if untied { self.tensor("head") } else { "wte.weight".to_owned() };
        let scale = if self.plan.flavour == Flavour::CpuI8 { self.tensor("head.scale") } else { String::new() };
        let mut body = Graph::new("head");
        let hidden = body.input("chunk_hidden", self.plan.flavour.float(), &["R", width]);
        let targets = body.input("chunk_targets", DType::I64, &["M"]);
        let (logits, top) = if self.plan.flavour == Flavour::CpuI8 {
            product(&mut body, (&hidden, EVEN), [&head, &scale])
        } else {
            let transposed = Op::contrib("FusedMatMul").with("transB", Attr::Int(1));
            (body.op(transposed, &[&hidden, &head]), String::new())
        };
        let scores = if self.plan.flavour.own_operators() {
            let scale = if top.is_empty() { body.float(1.) } else { top };
            body.op(Op::own("RowStatistics"), &[&logits, &targets, &scale])
        } else {
            statistics(&mut body, &logits, &targets, models)
        };
        body.named(Op::onnx("Identity"), &[&scores], &["chunk_scores"]);
        body.output("chunk_scores", DType::F32, &["M", &columns(models).to_string()]);
        body
    }
}

/// The byte for zero where numbers are as large on both sides of it.
const EVEN: u8 = 128;

/// The byte for zero among an activation's results. Most give hardly anything below zero, so that half of the bytes would stand for nothing: with
/// this many below zero, a GELU of 1.4 and more has the finer steps. 8 to 32 were measured to be alike.
fn zero_after(activation: Activation) -> u8 {
    match activation {
        Activation::Tanh => EVEN,
        Activation::GeluTanh | Activation::Gelu | Activation::Relu | Activation::Silu | Activation::QuickGelu => 16,
    }
}

/// Row-scaled product of whole numbers: x (..,C) in bytes and a weight (C,N) with a scale for each column -> (..,N) still to be multiplied by
/// the second result (..,1). Each row has its own scale, so that a text's numbers do not depend on the texts beside it.
fn product(g: &mut Graph, (x, zero): (&str, u8), [weight, scale]: [&str; 2]) -> (String, String) {
    let (one, zero) = (g.scalar(1.), g.byte(zero));
    let quantised = g.node(Op::own("QuantizeRows"), &[x, &zero], 2);
    let y = g.op(Op::contrib("MatMulIntegerToFloat"), &[&quantised[0], weight, &one, scale, &zero]);
    (y, quantised[1].clone())
}

/// What `RowStatistics` does, by ONNX operators alone and in single precision.
fn statistics(g: &mut Graph, logits: &str, targets: &str, models: usize) -> String {
    let axis = g.ints(&[-1]);
    let column = g.op(Op::onnx("Unsqueeze"), &[targets, &axis]);
    let parts = if models == 1 {
        vec![logits.to_owned()]
    } else {
        g.node(Op::onnx("Split").with("axis", Attr::Int(0)).with("num_outputs", Attr::Int(models as i64)), &[logits], models)
    };
    let rows: Vec<Row> = parts.iter().map(|logits| row(g, logits, &column)).collect();
    let mut columns = base_statistics(g, &rows[0]).to_vec();
    if let [base, human, machine] = &rows[..] {
        columns.extend([human.surprisal.clone(), machine.surprisal.clone(), excess(g, base, [human, machine])]);
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    g.op(Op::onnx("Concat").with("axis", Attr::Int(-1)), &columns)
}

/// Names of what the statistics of rows (M,V) start from; all but `d` and `e` are (M,1).
struct Row {
    /// Logits less their largest.
    d: String,
    /// Exponentials of them, and their sum.
    e: String,
    z: String,
    ln_z: String,
    /// `d` of the target.
    at: String,
    surprisal: String,
}

fn keep(name: &str) -> Op<'_> {
    Op::onnx(name).with("keepdims", Attr::Int(1))
}

fn single(g: &mut Graph, x: &str) -> String {
    g.op(Op::onnx("Cast").with("to", Attr::Int(DType::F32 as i64)), &[x])
}

fn row(g: &mut Graph, logits: &str, column: &str) -> Row {
    let axis = g.ints(&[-1]);
    let logits = single(g, logits);
    let top = g.op(keep("ReduceMax"), &[&logits, &axis]);
    let d = g.op(Op::onnx("Sub"), &[&logits, &top]);
    let e = g.op(Op::onnx("Exp"), &[&d]);
    let z = g.op(keep("ReduceSum"), &[&e, &axis]);
    let at = g.op(Op::onnx("GatherElements").with("axis", Attr::Int(-1)), &[&d, column]);
    let ln_z = g.op(Op::onnx("Log"), &[&z]);
    let surprisal = g.op(Op::onnx("Sub"), &[&ln_z, &at]);
    Row { d, e, z, ln_z, at, surprisal }
}

/// Surprisal, rank, entropy, variance.
fn base_statistics(g: &mut Graph, Row { d, e, z, ln_z, at, surprisal }: &Row) -> [String; 4] {
    let axis = g.ints(&[-1]);
    let ed = g.op(Op::onnx("Mul"), &[e, d]);
    let a = g.op(keep("ReduceSum"), &[&ed, &axis]);
    let edd = g.op(Op::onnx("Mul"), &[&ed, d]);
    let b = g.op(keep("ReduceSum"), &[&edd, &axis]);
    let above = g.op(Op::onnx("Greater"), &[d, at]);
    let above = single(g, &above);
    let count = g.op(keep("ReduceSum"), &[&above, &axis]);
    let one = g.scalar(1.);
    let rank = g.op(Op::onnx("Add"), &[&count, &one]);
    let mean = g.op(Op::onnx("Div"), &[&a, z]);
    let entropy = g.op(Op::onnx("Sub"), &[ln_z, &mean]);
    let square = g.op(Op::onnx("Mul"), &[&mean, &mean]);
    let second = g.op(Op::onnx("Div"), &[&b, z]);
    let variance = g.op(Op::onnx("Sub"), &[&second, &square]);
    [surprisal.clone(), rank, entropy, variance]
}

/// What the token has of the branches' log-likelihood ratio more than the base expects.
fn excess(g: &mut Graph, base: &Row, [human, machine]: [&Row; 2]) -> String {
    let axis = g.ints(&[-1]);
    let ratio = g.op(Op::onnx("Sub"), &[&machine.d, &human.d]);
    let at = g.op(Op::onnx("Sub"), &[&machine.at, &human.at]);
    let weighted = g.op(Op::onnx("Mul"), &[&base.e, &ratio]);
    let sum = g.op(keep("ReduceSum"), &[&weighted, &axis]);
    let expected = g.op(Op::onnx("Div"), &[&sum, &base.z]);
    g.op(Op::onnx("Sub"), &[&at, &expected])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ops, quantize, runtime, scorer};
    use ort::value::Tensor;

    /// The product of rows about `zero` and a matrix (inputs, outputs), as the int8 graphs make it: unscaled, and each row's scale.
    fn made(rows: &[f32], zero: u8, [inputs, outputs]: [usize; 2], whole: &[i8]) -> (Vec<f32>, Vec<f32>) {
        let mut g = Graph::new("product");
        let weight = External { dtype: DType::I8, shape: vec![inputs, outputs], offset: 0, length: whole.len() as u64 };
        let weight = g.external("weight", &weight, IN_MEMORY);
        let x = g.input("x", DType::F32, &["N", &inputs.to_string()]);
        let one = g.scalar(1.);
        let (y, scale) = product(&mut g, (&x, zero), [&weight, &one]);
        for (name, value, columns) in [("y", y, outputs), ("scale", scale, 1)] {
            g.named(Op::onnx("Identity"), &[&value], &[name]);
            g.output(name, DType::F32, &["N", &columns.to_string()]);
        }
        let environment = runtime::environment(None, false).unwrap().1;
        let builder = scorer::builder(&environment).unwrap().with_operators(ops::domain().unwrap()).unwrap();
        let bytes: Vec<u8> = whole.iter().map(|&w| w as u8).collect();
        let mut session = builder.with_external_initializer_file_in_memory(IN_MEMORY, bytes.into()).unwrap();
        let mut session = session.commit_from_memory(&g.encode()).unwrap();
        let x = Tensor::from_array(([rows.len() / inputs, inputs], rows.to_vec())).unwrap();
        let out = session.run(ort::inputs!["x" => &x]).unwrap();
        let taken = |name: &str| out[name].try_extract_tensor::<f32>().unwrap().1.to_vec();
        (taken("y"), taken("scale"))
    }

    /// What makes answers the same on every processor: without VNNI, sums of two products are cut off where they do not fit into 16 bits.
    #[test]
    fn products_are_exact_whatever_the_rows_and_weights() {
        let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 9) as f32 / 4_194_304. - 1.;
        for (inputs, outputs, zero) in [(64, 48, EVEN), (62, 33, 16), (7, 5, EVEN), (512, 96, 16)] {
            // many at the ends, where sums are largest
            let end = |v: f32| if v.abs() > 0.5 { v.signum() } else { v };
            let values: Vec<f32> = (0..inputs * outputs).map(|i| end(noise(i + 7))).collect();
            let (whole, _) = quantize::columns(&values, outputs);
            let rows: Vec<f32> = (0..9 * inputs).map(|i| end(noise(3 * i)).max(if zero == 16 { -0.06 } else { -1. })).collect();
            let (y, scales) = made(&rows, zero, [inputs, outputs], &whole);
            for (r, row) in rows.chunks_exact(inputs).enumerate() {
                for c in 0..outputs {
                    let sum: i32 = (0..inputs).map(|k| (row[k] / scales[r]).round() as i32 * i32::from(whole[k * outputs + c])).sum();
                    assert_eq!(y[r * outputs + c], sum as f32, "row {r}, column {c} of {inputs} by {outputs}");
                }
            }
        }
    }
}
