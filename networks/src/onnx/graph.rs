//! A graph of operators, and the file that it becomes.

use half::f16;

use super::proto::Message;

/// Version of the operator set: the newest that every program we write for reads.
pub const OPSET: i64 = 13;
/// Version of the file format that belongs to it.
const IR_VERSION: i64 = 7;

/// The operators that our files use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Sum.
    Add,
    /// Change of number type; behind weights of half precision.
    Cast,
    /// Bounds.
    Clip,
    /// Joining along an axis.
    Concat,
    /// Convolution.
    Conv,
    /// Transposed convolution, ungrouped.
    ConvTranspose,
    /// Four channels to four pixels.
    DepthToSpace,
    /// Elements at an index.
    Gather,
    /// Matrix product with bias.
    Gemm,
    /// Leaky rectifier.
    LeakyRelu,
    /// Matrix product.
    MatMul,
    /// Product of elements.
    Mul,
    /// One over.
    Reciprocal,
    /// Mean over axes.
    ReduceMean,
    /// Growing an image.
    Resize,
    /// A part of an axis.
    Slice,
    /// Square root.
    Sqrt,
    /// New axes of length 1.
    Unsqueeze,
}

impl Operator {
    /// All of them.
    pub const ALL: [Operator; 18] = [
        Operator::Add,
        Operator::Cast,
        Operator::Clip,
        Operator::Concat,
        Operator::Conv,
        Operator::ConvTranspose,
        Operator::DepthToSpace,
        Operator::Gather,
        Operator::Gemm,
        Operator::LeakyRelu,
        Operator::MatMul,
        Operator::Mul,
        Operator::Reciprocal,
        Operator::ReduceMean,
        Operator::Resize,
        Operator::Slice,
        Operator::Sqrt,
        Operator::Unsqueeze,
    ];

    /// The name in the standard.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// How exactly weights are stored. Everything is computed in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// 32 bits.
    #[default]
    Single,
    /// 16 bits, with a `Cast` behind every weight: half the size, and no program needs arithmetic in half precision.
    Half,
}

/// One extent of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Always this.
    Fixed(usize),
    /// Anything; equal names are equal extents.
    Named(&'static str),
}

impl From<usize> for Dimension {
    fn from(extent: usize) -> Dimension {
        Dimension::Fixed(extent)
    }
}

impl From<&'static str> for Dimension {
    fn from(name: &'static str) -> Dimension {
        Dimension::Named(name)
    }
}

/// A setting of an operator.
pub(super) enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
    Float(&'a str, f32),
    Text(&'a str, &'a str),
}

/// A graph under construction. Values are known by name.
#[derive(Clone, Debug)]
pub struct Graph {
    name: &'static str,
    storage: Storage,
    nodes: Vec<Message>,
    constants: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    metadata: Vec<(String, String)>,
    operators: Vec<Operator>,
}

/// Numbers of data types (`TensorProto.DataType`) and of attribute types (`AttributeProto.AttributeType`).
const FLOAT: i64 = 1;
const INT64: i64 = 7;
const FLOAT16: i64 = 10;
const ATTRIBUTE_FLOAT: i64 = 1;
const ATTRIBUTE_INT: i64 = 2;
const ATTRIBUTE_TEXT: i64 = 3;
const ATTRIBUTE_INTS: i64 = 7;
/// Constants of fewer numbers are kept in single precision.
const SMALL: usize = 16;

impl Graph {
    pub(super) fn new(name: &'static str, storage: Storage) -> Graph {
        let (nodes, constants, inputs, outputs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Graph { name, storage, nodes, constants, inputs, outputs, metadata: Vec::new(), operators: Vec::new() }
    }

    /// Says something about the file in its metadata.
    pub fn note(&mut self, key: &str, value: impl ToString) {
        self.metadata.push((key.to_owned(), value.to_string()));
    }

    /// Operators in use, each once, in the order of their names.
    pub fn operators(&self) -> Vec<Operator> {
        Operator::ALL.into_iter().filter(|operator| self.operators.contains(operator)).collect()
    }

    /// Number of operations.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn input(&mut self, name: &str, shape: &[Dimension]) -> String {
        self.inputs.push(value_info(name, shape));
        name.to_owned()
    }

    /// Calls a value a result of the graph; the value must have been made by [`Graph::named`].
    pub(super) fn output(&mut self, name: &str, shape: &[Dimension]) {
        self.outputs.push(value_info(name, shape));
    }

    /// Applies an operator; returns the name of what it makes.
    pub(super) fn apply(&mut self, operator: Operator, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let name = format!("{}_{}", operator.name(), self.nodes.len());
        self.named(operator, inputs, attributes, &name)
    }

    /// [`Graph::apply`] with a name of one's own for the result.
    pub(super) fn named(
        &mut self,
        operator: Operator,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
        name: &str,
    ) -> String {
        let mut node = Message::default();
        for input in inputs {
            node.text(1, input);
        }
        node.text(2, name).text(3, name).text(4, &operator.name());
        for attribute in attributes {
            node.message(5, &attribute.message());
        }
        self.nodes.push(node);
        self.operators.push(operator);
        name.to_owned()
    }

    /// A constant of floating-point numbers, stored as precisely as the graph says.
    pub(super) fn constant(&mut self, name: &str, shape: &[usize], numbers: &[f32]) -> String {
        if self.storage == Storage::Single || numbers.len() < SMALL {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            self.constants.push(tensor(name, shape, FLOAT, &bytes));
            return name.to_owned();
        }
        let stored = format!("{name}.half");
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| f16::from_f32(*number).to_le_bytes()).collect();
        self.constants.push(tensor(&stored, shape, FLOAT16, &bytes));
        self.named(Operator::Cast, &[&stored], &[Attribute::Int("to", FLOAT)], name)
    }

    /// A number.
    pub(super) fn scalar(&mut self, name: &str, number: f32) -> String {
        self.constant(name, &[], &[number])
    }

    /// A constant of whole numbers.
    pub(super) fn integers(&mut self, name: &str, numbers: &[i64]) -> String {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constants.push(tensor(name, &[numbers.len()], INT64, &bytes));
        name.to_owned()
    }

    /// A whole number without axes.
    pub(super) fn index(&mut self, name: &str, number: i64) -> String {
        self.constants.push(tensor(name, &[], INT64, &number.to_le_bytes()));
        name.to_owned()
    }

    /// The file.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut graph = Message::default();
        for node in &self.nodes {
            graph.message(1, node);
        }
        graph.text(2, self.name);
        for constant in &self.constants {
            graph.message(5, constant);
        }
        for input in &self.inputs {
            graph.message(11, input);
        }
        for output in &self.outputs {
            graph.message(12, output);
        }
        let mut opset = Message::default();
        opset.text(1, "").int(2, OPSET);
        let mut model = Message::default();
        model.int(1, IR_VERSION).text(2, "toonify").text(3, env!("CARGO_PKG_VERSION"));
        model.message(7, &graph).message(8, &opset);
        for (key, value) in &self.metadata {
            let mut entry = Message::default();
            entry.text(1, key).text(2, value);
            model.message(14, &entry);
        }
        model.into_bytes()
    }
}

impl Attribute<'_> {
    fn message(&self) -> Message {
        let mut message = Message::default();
        match *self {
            Attribute::Int(name, value) => message.text(1, name).int(3, value).int(20, ATTRIBUTE_INT),
            Attribute::Ints(name, values) => {
                message.text(1, name);
                for value in values {
                    message.int(8, *value);
                }
                message.int(20, ATTRIBUTE_INTS)
            }
            Attribute::Float(name, value) => message.text(1, name).float(2, value).int(20, ATTRIBUTE_FLOAT),
            Attribute::Text(name, value) => message.text(1, name).text(4, value).int(20, ATTRIBUTE_TEXT),
        };
        message
    }
}

fn tensor(name: &str, shape: &[usize], data_type: i64, bytes: &[u8]) -> Message {
    let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    let mut message = Message::default();
    message.packed(1, &shape).int(2, data_type).text(8, name).bytes(9, bytes);
    message
}

/// Name, type and shape of an input or output.
fn value_info(name: &str, shape: &[Dimension]) -> Message {
    let mut extents = Message::default();
    for dimension in shape {
        let mut extent = Message::default();
        match dimension {
            Dimension::Fixed(value) => extent.int(1, *value as i64),
            Dimension::Named(name) => extent.text(2, name),
        };
        extents.message(1, &extent);
    }
    let (mut tensor, mut value_type, mut info) = (Message::default(), Message::default(), Message::default());
    tensor.int(1, FLOAT).message(2, &extents);
    value_type.message(1, &tensor);
    info.text(1, name).message(2, &value_type);
    info
}
