//! Numpy's numbers and arrays as they appear in pickles.

use std::borrow::Cow;

use crate::checkpoint::ImportError;
use crate::checkpoint::array::{Array, Dtype, Layout, Storage};
use crate::checkpoint::pickle::{Global, Node, Value};

/// The number that `node` is: Python's, or a numpy scalar.
pub(crate) fn number(node: Node<'_, '_>) -> Option<f64> {
    match node.value() {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => scalar(node),
    }
}

/// The whole, non-negative number that `node` is, of whatever type.
pub(crate) fn size(node: Node<'_, '_>) -> Option<usize> {
    if let Some(size) = node.size() {
        return Some(size);
    }
    let number = number(node)?;
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as usize)
}

fn scalar(node: Node<'_, '_>) -> Option<f64> {
    let mut args = node.call(Global::NumpyScalar)?.elements()?;
    let (dtype, bytes) = (dtype(args.next()?).ok()?, args.next()?.bytes()?);
    let bytes = bytes.as_ref();
    Some(match dtype {
        Dtype::F64 => f64::from_le_bytes(bytes.try_into().ok()?),
        Dtype::F32 => f32::from_le_bytes(bytes.try_into().ok()?).into(),
        Dtype::F16 => half::f16::from_le_bytes(bytes.try_into().ok()?).to_f64(),
        Dtype::I64 => i64::from_le_bytes(bytes.try_into().ok()?) as f64,
        Dtype::I32 => i32::from_le_bytes(bytes.try_into().ok()?).into(),
        Dtype::I16 => i16::from_le_bytes(bytes.try_into().ok()?).into(),
        Dtype::I8 => i8::from_le_bytes(bytes.try_into().ok()?).into(),
        Dtype::U8 | Dtype::Bool => u8::from_le_bytes(bytes.try_into().ok()?).into(),
        Dtype::Bf16 => return None,
    })
}

/// The array that `node` is: numpy's array in any of its spellings, or a numpy scalar, which has no axes.
///
/// # Errors
/// [`ImportError::Malformed`] when it is something else, has a type that is not known here, or does not fit its bytes.
pub(crate) fn array<'a>(name: &str, node: Node<'_, 'a>) -> Result<Array<'a>, ImportError> {
    let malformed = || {
        let expected = "a numpy array with its type, shape and numbers";
        ImportError::malformed(format!("variable `{name}`"), expected, node.describe())
    };
    let Fields { bytes, dtype: kind, shape, columns_first } = fields(node).ok_or_else(malformed)?;
    let dtype = dtype(kind)
        .map_err(|found| ImportError::malformed(format!("variable `{name}`"), "a little-endian numpy type", found))?;
    let layout = if columns_first { Layout::column_major(shape) } else { Layout::row_major(shape) };
    let needed = layout.shape.iter().try_fold(dtype.size(), |product, &extent| product.checked_mul(extent));
    if needed != Some(bytes.len()) {
        let expected = format!("the bytes of shape {:?} in {dtype}", layout.shape);
        let object = format!("variable `{name}`");
        return Err(ImportError::malformed(object, expected, format!("{} bytes", bytes.len())));
    }
    Array::new(name, Storage { dtype, bytes }, layout)
}

struct Fields<'p, 'a> {
    bytes: Cow<'a, [u8]>,
    dtype: Node<'p, 'a>,
    shape: Vec<usize>,
    columns_first: bool,
}

fn fields<'p, 'a>(node: Node<'p, 'a>) -> Option<Fields<'p, 'a>> {
    if let Some(args) = node.call(Global::NumpyScalar) {
        let mut args = args.elements()?;
        let (dtype, bytes) = (args.next()?, args.next()?.bytes()?);
        return Some(Fields { bytes, dtype, shape: Vec::new(), columns_first: false });
    }
    if let Some(args) = node.call(Global::NumpyFromBuffer) {
        let args: Vec<_> = args.elements()?.collect();
        let [bytes, dtype, shape, order] = args[..] else { return None };
        let columns_first = order.text()? == "F";
        return Some(Fields { bytes: bytes.bytes()?, dtype, shape: shape.sizes()?, columns_first });
    }
    node.call(Global::NumpyReconstruct)?;
    let state: Vec<_> = node.state()?.elements()?.collect();
    let [_version, shape, dtype, fortran, bytes] = state[..] else { return None };
    let columns_first = matches!(fortran.value(), Value::Bool(true) | Value::Int(1));
    Some(Fields { bytes: bytes.bytes()?, dtype, shape: shape.sizes()?, columns_first })
}

/// The type that a `numpy.dtype` call stands for, or what it is instead.
fn dtype(node: Node<'_, '_>) -> Result<Dtype, String> {
    let name = node.call(Global::NumpyDtype).and_then(|args| args.elements()?.next()?.text());
    let Some(name) = name else { return Err(node.describe()) };
    let order = node.state().and_then(|state| state.elements()?.nth(1)?.text());
    if order == Some(">") || name.starts_with('>') {
        return Err(format!("the big-endian type `{name}`"));
    }
    Ok(match name.trim_start_matches(['<', '|', '=']) {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "u1" => Dtype::U8,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "b1" => Dtype::Bool,
        other => return Err(format!("the type `{}`", other.chars().take(20).collect::<String>())),
    })
}
