//! The part of the ONNX file format that the graphs need, as protobuf messages, and a small builder over it.
//!
//! Field numbers are those of `onnx.proto3` (ONNX 1.19). Weights are never inside a graph: tensors refer to an external file by
//! offset, so that ONNX Runtime maps them into memory.

use prost::Message;

/// Element types used here, by their ONNX numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum DType {
    F32 = 1,
    I8 = 3,
    I64 = 7,
    F16 = 10,
}

impl DType {
    /// Bytes of one element.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::F16 => 2,
            Self::F32 => 4,
            Self::I64 => 8,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, optional, tag = "2")]
    f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(message, optional, tag = "6")]
    g: Option<GraphProto>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", optional, tag = "9")]
    raw_data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    param: Option<String>,
}

/// An attribute's value.
pub(crate) enum Attr {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Graph(Graph),
}

fn attribute(name: &str, value: Attr) -> AttributeProto {
    let mut out = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    match value {
        Attr::Float(v) => (out.f, out.kind) = (Some(v), 1),
        Attr::Int(v) => (out.i, out.kind) = (Some(v), 2),
        Attr::Ints(v) => (out.ints, out.kind) = (v, 7),
        Attr::Graph(v) => (out.g, out.kind) = (Some(v.proto), 5),
    }
    out
}

/// One node's operator: name, domain, attributes.
pub(crate) struct Op<'a> {
    name: &'a str,
    domain: &'a str,
    attributes: Vec<AttributeProto>,
}

impl<'a> Op<'a> {
    /// An operator of ONNX itself.
    pub(crate) fn onnx(name: &'a str) -> Self {
        Self { name, domain: "", attributes: Vec::new() }
    }

    /// A contributed operator of ONNX Runtime.
    pub(crate) fn contrib(name: &'a str) -> Self {
        Self { domain: "com.microsoft", ..Self::onnx(name) }
    }

    /// One of our own operators.
    pub(crate) fn own(name: &'a str) -> Self {
        Self { domain: super::ops::DOMAIN, ..Self::onnx(name) }
    }

    /// The operator with one more attribute.
    pub(crate) fn with(mut self, name: &str, value: Attr) -> Self {
        self.attributes.push(attribute(name, value));
        self
    }
}

/// Where a tensor's bytes lie in the file of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct External {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// A graph being written: nodes in order of execution, every value by name.
pub(crate) struct Graph {
    proto: GraphProto,
    fresh: usize,
}

impl Graph {
    /// An empty graph; its name also leads the names of its inner values, which must differ between a graph and its subgraphs.
    pub(crate) fn new(name: &str) -> Self {
        Self { proto: GraphProto { name: name.to_owned(), ..GraphProto::default() }, fresh: 0 }
    }

    /// Declares an input; a dimension is a number or a name.
    pub(crate) fn input(&mut self, name: &str, dtype: DType, dims: &[&str]) -> String {
        self.proto.input.push(value_info(name, dtype, dims));
        name.to_owned()
    }

    /// Declares an output.
    pub(crate) fn output(&mut self, name: &str, dtype: DType, dims: &[&str]) {
        self.proto.output.push(value_info(name, dtype, dims));
    }

    /// A tensor of the external file `location`.
    pub(crate) fn external(&mut self, name: &str, tensor: &External, location: &str) -> String {
        let entry = |key: &str, value: String| Entry { key: key.to_owned(), value };
        self.proto.initializer.push(TensorProto {
            dims: tensor.shape.iter().map(|&d| d as i64).collect(),
            data_type: tensor.dtype as i32,
            name: name.to_owned(),
            raw_data: None,
            external_data: vec![
                entry("location", location.to_owned()),
                entry("offset", tensor.offset.to_string()),
                entry("length", tensor.length.to_string()),
            ],
            data_location: 1,
        });
        name.to_owned()
    }

    fn constant(&mut self, dtype: i32, dims: &[i64], raw: Vec<u8>) -> String {
        let name = self.fresh("constant");
        let dims = dims.to_vec();
        let tensor = TensorProto { dims, data_type: dtype, name: name.clone(), raw_data: Some(raw), ..TensorProto::default() };
        self.proto.initializer.push(tensor);
        name
    }

    /// A vector of whole numbers.
    pub(crate) fn ints(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(DType::I64 as i32, &[values.len() as i64], raw)
    }

    /// One number without dimensions.
    pub(crate) fn scalar(&mut self, value: f32) -> String {
        self.constant(DType::F32 as i32, &[], value.to_le_bytes().to_vec())
    }

    /// A vector of one number.
    pub(crate) fn float(&mut self, value: f32) -> String {
        self.constant(DType::F32 as i32, &[1], value.to_le_bytes().to_vec())
    }

    /// One byte without dimensions (element type uint8).
    pub(crate) fn byte(&mut self, value: u8) -> String {
        self.constant(2, &[], vec![value])
    }

    fn fresh(&mut self, stem: &str) -> String {
        self.fresh += 1;
        format!("{}.{stem}.{}", self.proto.name, self.fresh)
    }

    /// Adds a node with `outputs` results; an empty input name means "left out". An unwanted result costs nothing.
    pub(crate) fn node(&mut self, op: Op<'_>, inputs: &[&str], outputs: usize) -> Vec<String> {
        let names: Vec<String> = (0..outputs).map(|_| self.fresh(op.name)).collect();
        self.named(op, inputs, &names.iter().map(String::as_str).collect::<Vec<_>>());
        names
    }

    /// Adds a node with one result.
    pub(crate) fn op(&mut self, op: Op<'_>, inputs: &[&str]) -> String {
        let name = self.fresh(op.name);
        self.named(op, inputs, &[&name]);
        name
    }

    /// Adds a node whose results have these names.
    pub(crate) fn named(&mut self, op: Op<'_>, inputs: &[&str], outputs: &[&str]) {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        self.proto.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: format!("{}.{}", self.proto.name, self.proto.node.len()),
            op_type: op.name.to_owned(),
            attribute: op.attributes,
            domain: op.domain.to_owned(),
        });
    }

    /// The finished model file.
    pub(crate) fn encode(self) -> Vec<u8> {
        let set = |domain: &str, version| OperatorSet { domain: domain.to_owned(), version };
        Model {
            ir_version: 11,
            producer_name: "highwater".to_owned(),
            graph: Some(self.proto),
            opset_import: vec![set("", 23), set("com.microsoft", 1), set(super::ops::DOMAIN, 1)],
        }
        .encode_to_vec()
    }
}

fn value_info(name: &str, dtype: DType, dims: &[&str]) -> ValueInfo {
    let dim = |d: &&str| match d.parse::<i64>() {
        Ok(value) => Dim { value: Some(value), param: None },
        Err(_) => Dim { value: None, param: Some((*d).to_owned()) },
    };
    let shape = Some(Shape { dim: dims.iter().map(dim).collect() });
    let tensor_type = Some(TensorType { elem_type: dtype as i32, shape });
    ValueInfo { name: name.to_owned(), kind: Some(TypeProto { tensor_type }) }
}
