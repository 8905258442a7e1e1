//! Plain values of a pickle as JSON, for provenance.

use serde_json::{Map, Value as Json};

use crate::checkpoint::numpy;
use crate::checkpoint::pickle::{Node, Value};

/// Deepest nesting and most values that are taken over: options of a training set are a dozen flat values.
const DEEPEST: usize = 4;
const MOST_VALUES: usize = 1000;

/// The value as JSON, or `None` when it is not made of plain values or is unreasonably large.
pub(crate) fn of(node: Node<'_, '_>) -> Option<Json> {
    convert(node, DEEPEST, &mut MOST_VALUES.clone())
}

fn convert(node: Node<'_, '_>, depth: usize, left: &mut usize) -> Option<Json> {
    *left = left.checked_sub(1)?;
    if let Some(entries) = node.entries() {
        let depth = depth.checked_sub(1)?;
        let pairs = entries.map(|(key, value)| Some((key.text()?.to_owned(), convert(value, depth, left)?)));
        return pairs.collect::<Option<Map<_, _>>>().map(Json::Object);
    }
    if let Some(elements) = node.elements() {
        let depth = depth.checked_sub(1)?;
        return elements.map(|element| convert(element, depth, left)).collect::<Option<_>>().map(Json::Array);
    }
    match node.value() {
        Value::None => Some(Json::Null),
        Value::Bool(value) => Some(Json::Bool(*value)),
        Value::Int(number) => Some(Json::from(*number)),
        Value::Text(text) => Some(Json::from(*text)),
        _ => numpy::number(node).map(Json::from),
    }
}
