//! Our own files: a safetensors header with configuration and provenance, then the tensors one after the other.

use std::io::Write;

use candle_core::Tensor;
use half::f16;
use serde_json::{Map, Value as Json, json};

use crate::checkpoint::Checkpoint;
use crate::checkpoint::safetensors::{
    DISCRIMINATOR, DISCRIMINATOR_KEY, EMA, GENERATOR, GENERATOR_KEY, PROVENANCE_KEY, VERSION, VERSION_KEY,
};
use crate::checkpoint::write::{ExportError, values};
use crate::stylegan2::{TensorName, Weights};

/// How exactly the numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits: what was read is written.
    #[default]
    Single,
    /// 16 bits: half the size, about three decimal digits.
    Half,
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Precision::Single => "F32",
            Precision::Half => "F16",
        }
    }

    fn size(self) -> usize {
        match self {
            Precision::Single => 4,
            Precision::Half => 2,
        }
    }
}

/// Writes a checkpoint as safetensors.
///
/// # Errors
/// [`ExportError::Unwritable`] when a number is too large for half precision, [`ExportError::Io`] when `out` fails.
pub fn write_safetensors(
    checkpoint: &Checkpoint,
    precision: Precision,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut tensors = named(EMA, &checkpoint.ema);
    tensors.extend(checkpoint.generator.iter().flat_map(|weights| named(GENERATOR, weights)));
    tensors.extend(checkpoint.discriminator.iter().flat_map(|part| named(DISCRIMINATOR, &part.weights)));
    write_tensors((metadata(checkpoint)?, &tensors), precision, out)
}

/// Writes tensors with metadata; the same tensors give the same bytes.
///
/// # Errors
/// As [`write_safetensors`].
pub(crate) fn write_tensors(
    (metadata, tensors): (Map<String, Json>, &[(String, &Tensor)]),
    precision: Precision,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let header = header(metadata, tensors, precision)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (name, tensor) in tensors {
        values::visit(tensor, |numbers| match precision {
            Precision::Single => values::bytes(numbers, f32::to_le_bytes, |bytes| Ok(out.write_all(bytes)?)),
            Precision::Half => {
                fits_half(name, numbers)?;
                let encode = |value| f16::from_f32(value).to_le_bytes();
                values::bytes(numbers, encode, |bytes| Ok(out.write_all(bytes)?))
            }
        })?;
    }
    Ok(out.flush()?)
}

fn named<'t, L: TensorName>(network: &str, weights: &'t Weights<L>) -> Vec<(String, &'t Tensor)> {
    weights.iter().map(|(layer, tensor)| (format!("{network}.{layer}"), tensor)).collect()
}

/// Configuration and provenance of a checkpoint.
fn metadata(checkpoint: &Checkpoint) -> Result<Map<String, Json>, ExportError> {
    let mut metadata = Map::new();
    metadata.insert(VERSION_KEY.to_owned(), Json::from(VERSION));
    metadata.insert(GENERATOR_KEY.to_owned(), Json::from(serde_json::to_string(&checkpoint.config)?));
    if let Some(part) = &checkpoint.discriminator {
        metadata.insert(DISCRIMINATOR_KEY.to_owned(), Json::from(serde_json::to_string(&part.config)?));
    }
    metadata.insert(PROVENANCE_KEY.to_owned(), Json::from(serde_json::to_string(&checkpoint.provenance)?));
    Ok(metadata)
}

/// The header, filled up with spaces so that the numbers begin at a multiple of eight bytes.
fn header(
    metadata: Map<String, Json>,
    tensors: &[(String, &Tensor)],
    precision: Precision,
) -> Result<Vec<u8>, ExportError> {
    let mut entries = Map::from_iter([("__metadata__".to_owned(), Json::Object(metadata))]);
    let mut begin = 0;
    for (name, tensor) in tensors {
        let end = begin + tensor.elem_count() * precision.size();
        let entry = json!({ "dtype": precision.name(), "shape": tensor.dims(), "data_offsets": [begin, end] });
        entries.insert(name.clone(), entry);
        begin = end;
    }
    let mut header = serde_json::to_vec(&entries)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

pub(crate) fn fits_half(name: &str, numbers: &[f32]) -> Result<(), ExportError> {
    let too_large = |value: &&f32| value.is_finite() && f16::from_f32(**value).is_infinite();
    match numbers.iter().find(too_large) {
        None => Ok(()),
        Some(value) => Err(ExportError::Unwritable {
            format: "half precision",
            what: format!("a number of `{name}`"),
            expected: format!("at most {}", f16::MAX),
            found: value.to_string(),
        }),
    }
}
