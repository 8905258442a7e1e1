//! Reads ONNX files by the published format alone (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>), and shares
//! nothing with the code that writes them.

use std::collections::BTreeMap;

/// One field of a message: its number and what it holds.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in their order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            5 => Field::Number(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("a number of more than ten bytes")
}

/// Everything with this field number that has a length: texts and messages.
fn parts(message: &[u8], wanted: u64) -> Vec<&[u8]> {
    let bytes = |(number, field)| match field {
        Field::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    };
    fields(message).into_iter().filter_map(bytes).collect()
}

fn texts(message: &[u8], wanted: u64) -> Vec<String> {
    parts(message, wanted).into_iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
}

fn text(message: &[u8], wanted: u64) -> String {
    texts(message, wanted).pop().unwrap_or_default()
}

fn numbers(message: &[u8], wanted: u64) -> Vec<i64> {
    let number = |(number, field)| match field {
        Field::Number(value) if number == wanted => Some(value as i64),
        _ => None,
    };
    fields(message).into_iter().filter_map(number).collect()
}

fn number(message: &[u8], wanted: u64) -> i64 {
    numbers(message, wanted).pop().unwrap_or(0)
}

/// An operation.
pub struct Node {
    pub operator: String,
    pub domain: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: BTreeMap<String, Attribute>,
}

/// A setting: those of its values that are there.
#[derive(Default)]
pub struct Attribute {
    pub integer: i64,
    pub integers: Vec<i64>,
    pub text: String,
}

/// A stored tensor.
pub struct Constant {
    pub shape: Vec<i64>,
    pub data_type: i64,
    pub bytes: usize,
}

/// A file.
pub struct File {
    pub opsets: Vec<(String, i64)>,
    pub metadata: BTreeMap<String, String>,
    pub nodes: Vec<Node>,
    pub constants: BTreeMap<String, Constant>,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

impl File {
    pub fn read(bytes: &[u8]) -> File {
        let graph = parts(bytes, 7)[0];
        let pair = |entry: &&[u8]| (text(entry, 1), text(entry, 2));
        File {
            opsets: parts(bytes, 8).iter().map(|entry| (text(entry, 1), number(entry, 2))).collect(),
            metadata: parts(bytes, 14).iter().map(pair).collect(),
            nodes: parts(graph, 1).into_iter().map(node).collect(),
            constants: parts(graph, 5).into_iter().map(constant).collect(),
            inputs: parts(graph, 11).iter().map(|info| text(info, 1)).collect(),
            outputs: parts(graph, 12).iter().map(|info| text(info, 1)).collect(),
        }
    }
}

fn node(message: &[u8]) -> Node {
    let attribute = |message: &[u8]| {
        let (integer, integers) = (number(message, 3), numbers(message, 8));
        (text(message, 1), Attribute { integer, integers, text: text(message, 4) })
    };
    Node {
        inputs: texts(message, 1),
        outputs: texts(message, 2),
        operator: text(message, 4),
        domain: text(message, 7),
        attributes: parts(message, 5).into_iter().map(attribute).collect(),
    }
}

fn constant(message: &[u8]) -> (String, Constant) {
    let mut packed = parts(message, 1).concat();
    let (mut rest, mut shape) = (packed.as_mut_slice() as &[u8], Vec::new());
    while !rest.is_empty() {
        shape.push(varint(&mut rest) as i64);
    }
    let bytes = parts(message, 9).concat().len();
    (text(message, 8), Constant { shape, data_type: number(message, 2), bytes })
}
