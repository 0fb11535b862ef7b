//! The decoding graphs of a GPT-2: tokens that continue sequences -> logits of what follows. Layers are those of the scoring graph.
//!
//! With our own operators the keys and values of what came before stay with the attention operator, and tokens of all sequences stand in
//! one row without padding: `input_ids`, `positions` (N), `spans` (S,2) sequence and tokens of each, `rows` (R) where logits are wanted.
//! With ONNX operators alone they go in as `past.*` and come out as `present.*`; `input_ids` and `positions` are (B,n), `parents` (B) the
//! row of `past` that each row continues, `keys_at` (B,P+n) where each key stands, `queries_at` (B,n). Both give `logits` (R,V).

use super::{Attr, DType, EVEN, Flavour, Graph, Op, Plan, Writer, product};

/// Subtracted, as good as infinity: no softmax sees it, and half precision can hold it.
const MASKED: f32 = -30_000.;

/// Input names of the plain graph's keys or values (`part` is `k` or `v`) of a layer.
pub(crate) fn past_name(part: char, layer: usize) -> String {
    format!("past.{part}.{layer}")
}

/// The same after this run, (B,heads,P+n,width of a head).
pub(crate) fn present_name(part: char, layer: usize) -> String {
    format!("present.{part}.{layer}")
}

/// The decoding graph as an ONNX file without weights.
pub(crate) fn decoding(plan: &Plan<'_>) -> Vec<u8> {
    let mut writer = Writer { graph: Graph::new("main"), plan };
    let context = if plan.flavour.own_operators() { Context::Held { spans: String::new() } } else { writer.given() };
    let hidden = writer.layers(context);
    writer.logits(&hidden);
    writer.graph.encode()
}

/// Where the keys and values of earlier tokens are.
enum Context {
    /// With the attention operator; `spans` says which tokens belong to which sequence.
    Held { spans: String },
    /// In the graph's inputs; `mask` is added to the products of queries and keys.
    Given { parents: String, mask: String },
}

impl Writer<'_> {
    /// The plain graph's inputs, and its mask (B,1,n,P+n): a key is seen from its own place on.
    fn given(&mut self) -> Context {
        let float = self.plan.flavour.float();
        let g = &mut self.graph;
        let parents = g.input("parents", DType::I64, &["B"]);
        let keys_at = g.input("keys_at", DType::I64, &["B", "T"]);
        let queries_at = g.input("queries_at", DType::I64, &["B", "n"]);
        let (across, along) = (g.ints(&[1, 2]), g.ints(&[1, 3]));
        let keys = g.op(Op::onnx("Unsqueeze"), &[&keys_at, &across]);
        let queries = g.op(Op::onnx("Unsqueeze"), &[&queries_at, &along]);
        let seen = g.op(Op::onnx("LessOrEqual"), &[&keys, &queries]);
        let (zero, masked) = (g.scalar(0.), g.scalar(MASKED));
        let mask = g.op(Op::onnx("Where"), &[&seen, &zero, &masked]);
        let mask = g.op(Op::onnx("Cast").with("to", Attr::Int(float as i64)), &[&mask]);
        Context::Given { parents, mask }
    }

    /// Embedding and layers: final normalised hidden states of all tokens.
    fn layers(&mut self, context: Context) -> String {
        let own = self.plan.flavour.own_operators();
        let dims: &[&str] = if own { &["N"] } else { &["B", "n"] };
        let ids = self.graph.input("input_ids", DType::I64, dims);
        let positions = self.graph.input("positions", DType::I64, dims);
        let context = match context {
            Context::Held { .. } => Context::Held { spans: self.graph.input("spans", DType::I64, &["S", "2"]) },
            given => given,
        };
        let (wte, wpe) = (self.tensor("wte.weight"), self.tensor("wpe.weight"));
        let token = self.graph.op(Op::onnx("Gather"), &[&wte, &ids]);
        let position = self.graph.op(Op::onnx("Gather"), &[&wpe, &positions]);
        let mut stream = self.graph.op(Op::onnx("Add"), &[&token, &position]);
        let mut normal = self.normalise(&stream, "h.0.ln_1");
        for layer in 0..self.plan.config.layers {
            let h = format!("h.{layer}");
            let qkv = self.linear((&normal, EVEN), &format!("{h}.attn.c_attn"), None);
            let mixed = match &context {
                Context::Held { spans } => self.attend_held(layer, &qkv, spans),
                Context::Given { parents, mask } => self.attend_given(layer, &qkv, (parents, mask)),
            };
            let attended = self.linear((&mixed, EVEN), &format!("{h}.attn.c_proj"), None);
            (normal, stream) = self.add_normalise(&attended, &stream, &format!("{h}.ln_2"));
            let out = self.mlp(&h, &normal);
            let next = if layer + 1 == self.plan.config.layers { "ln_f".to_owned() } else { format!("h.{}.ln_1", layer + 1) };
            (normal, stream) = self.add_normalise(&out, &stream, &next);
        }
        normal
    }

    fn attend_held(&mut self, layer: usize, qkv: &str, spans: &str) -> String {
        let scale = self.plan.config.attention_scale(layer);
        let (layer, scale) = (self.graph.ints(&[layer as i64]), self.graph.float(scale));
        self.graph.op(Op::own("CachedAttention"), &[qkv, spans, &layer, &scale])
    }

    /// Attention by ONNX operators: `qkv` (B,n,3C) and the layer's past -> (B,n,C) and the layer's present.
    fn attend_given(&mut self, layer: usize, qkv: &str, (parents, mask): (&str, &str)) -> String {
        let config = self.plan.config;
        let (heads, width) = (config.heads as i64, (config.width / config.heads) as i64);
        let float = self.plan.flavour.float();
        let dims = ["B0".to_owned(), heads.to_string(), "P".to_owned(), width.to_string()];
        let dims = dims.each_ref().map(String::as_str);
        let g = &mut self.graph;
        let permuted = |order: [i64; 4]| Op::onnx("Transpose").with("perm", Attr::Ints(order.to_vec()));
        let parts = g.node(Op::onnx("Split").with("axis", Attr::Int(-1)).with("num_outputs", Attr::Int(3)), &[qkv], 3);
        let split = g.ints(&[0, 0, heads, width]);
        let mut by_head = parts.iter().map(|part| {
            let part = g.op(Op::onnx("Reshape"), &[part, &split]);
            g.op(permuted([0, 2, 1, 3]), &[&part])
        });
        let (query, key, value) = (by_head.next(), by_head.next(), by_head.next());
        drop(by_head);
        let mut joined = |part: char, new: Option<String>| {
            let past = g.input(&past_name(part, layer), float, &dims);
            let past = g.op(Op::onnx("Gather"), &[&past, parents]);
            let (name, new) = (present_name(part, layer), new.unwrap_or_default());
            g.named(Op::onnx("Concat").with("axis", Attr::Int(2)), &[&past, &new], &[&name]);
            g.output(&name, float, &["B", dims[1], "T", dims[3]]);
            name
        };
        let (keys, values) = (joined('k', key), joined('v', value));
        let keys = g.op(permuted([0, 1, 3, 2]), &[&keys]);
        let scale = g.scalar(config.attention_scale(layer));
        let scale = g.op(Op::onnx("Cast").with("to", Attr::Int(float as i64)), &[&scale]);
        // scaled before the product, as half precision would overflow after it
        let query = g.op(Op::onnx("Mul"), &[&query.unwrap_or_default(), &scale]);
        let weights = g.op(Op::onnx("MatMul"), &[&query, &keys]);
        let weights = g.op(Op::onnx("Add"), &[&weights, mask]);
        let weights = g.op(Op::onnx("Softmax").with("axis", Attr::Int(-1)), &[&weights]);
        let mixed = g.op(Op::onnx("MatMul"), &[&weights, &values]);
        let mixed = g.op(permuted([0, 2, 1, 3]), &[&mixed]);
        let flat = g.ints(&[0, 0, config.width as i64]);
        g.op(Op::onnx("Reshape"), &[&mixed, &flat])
    }

    /// The head over the wanted rows: `logits` (R,V) in single precision.
    fn logits(&mut self, hidden: &str) {
        let untied = self.plan.tensors.contains_key("head");
        let head = if untied { self.tensor("head") } else { "wte.weight".to_owned() };
        let flat = self.graph.ints(&[-1, self.plan.config.width as i64]);
        let hidden = self.graph.op(Op::onnx("Reshape"), &[hidden, &flat]);
        let rows = self.graph.input("rows", DType::I64, &["R"]);
        let hidden = self.graph.op(Op::onnx("Gather"), &[&hidden, &rows]);
        if self.plan.flavour == Flavour::CpuI8 {
            let scale = self.tensor("head.scale");
            let (y, top) = product(&mut self.graph, (&hidden, EVEN), [&head, &scale]);
            self.graph.named(Op::onnx("Mul"), &[&y, &top], &["logits"]);
        } else {
            let op = Op::contrib("FusedMatMul").with("transB", Attr::Int(1));
            let logits = self.graph.op(op, &[&hidden, &head]);
            self.graph.named(Op::onnx("Cast").with("to", Attr::Int(DType::F32 as i64)), &[&logits], &["logits"]);
        }
        self.graph.output("logits", DType::F32, &["R", &self.plan.config.vocabulary.to_string()]);
    }
}
