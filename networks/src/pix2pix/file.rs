//! A student as a file: safetensors with configuration and history as JSON in the metadata, marked `kind = student`.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use half::f16;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::checkpoint::write::{ExportError, Precision};
use crate::checkpoint::{ImportError, safetensors as ours};
use crate::error::{Error, Result};
use crate::pix2pix::{PatchConfig, PatchLayer, StudentConfig, StudentLayer};
use crate::stylegan2::{TensorName, Weights};

/// What the metadata says that the file holds, and the other metadata keys.
const KIND: &str = "student";
const CONFIG_KEY: &str = "student";
const PATCH_KEY: &str = "patch_discriminator";
const HISTORY_KEY: &str = "history";
/// What the networks are called in front of their tensors' names.
const STUDENT: &str = "S";
const PATCH: &str = "D";

/// Everything that a student's file holds.
#[derive(Clone, Debug)]
pub struct StudentFile {
    /// What the student looks like.
    pub config: StudentConfig,
    /// Its tensors.
    pub weights: Weights<StudentLayer>,
    /// The discriminator that it was trained against, when the training may go on.
    pub discriminator: Option<(PatchConfig, Weights<PatchLayer>)>,
    /// Where it came from.
    pub history: StudentHistory,
}

/// Where a student came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StudentHistory {
    /// Side in pixels of the images that it was trained on.
    pub resolution_px: Option<usize>,
    /// Number of images that it has seen, in thousands.
    pub kimg: f64,
    /// What the training wrote down about itself, line by line.
    pub notes: Vec<String>,
}

/// Writes a student.
///
/// # Errors
/// [`ExportError::Unwritable`] when a number is too large for half precision.
pub fn write_student(file: &StudentFile, precision: Precision) -> std::result::Result<Vec<u8>, ExportError> {
    let mut metadata = Map::from_iter([
        (ours::VERSION_KEY.to_owned(), Json::from(ours::VERSION)),
        (ours::KIND_KEY.to_owned(), Json::from(KIND)),
        (CONFIG_KEY.to_owned(), Json::from(serde_json::to_string(&file.config)?)),
        (HISTORY_KEY.to_owned(), Json::from(serde_json::to_string(&file.history)?)),
    ]);
    let mut tensors = BTreeMap::new();
    collect(STUDENT, &file.weights, precision, &mut tensors)?;
    if let Some((config, weights)) = &file.discriminator {
        metadata.insert(PATCH_KEY.to_owned(), Json::from(serde_json::to_string(config)?));
        collect(PATCH, weights, precision, &mut tensors)?;
    }
    assemble(metadata, &tensors, precision)
}

/// The header, filled up with spaces to a multiple of eight bytes, and the tensors. In the order of their names, so that
/// equal students are equal files; the library's own writer leaves the order of the metadata to chance.
fn assemble(
    metadata: Map<String, Json>,
    tensors: &Encoded,
    precision: Precision,
) -> std::result::Result<Vec<u8>, ExportError> {
    let dtype = match precision {
        Precision::Single => "F32",
        Precision::Half => "F16",
    };
    let (mut entries, mut begin) = (Map::from_iter([("__metadata__".to_owned(), Json::Object(metadata))]), 0);
    for (name, (shape, bytes)) in tensors {
        let end = begin + bytes.len();
        entries.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] }));
        begin = end;
    }
    let mut header = serde_json::to_vec(&entries)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    tensors.values().for_each(|(_, bytes)| file.extend(bytes));
    Ok(file)
}

/// Shape and bytes of tensors by name.
type Encoded = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

fn collect<L: TensorName>(
    network: &str,
    weights: &Weights<L>,
    precision: Precision,
    to: &mut Encoded,
) -> std::result::Result<(), ExportError> {
    for (layer, tensor) in weights.iter() {
        let name = format!("{network}.{layer}");
        let numbers = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let bytes = match precision {
            Precision::Single => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            Precision::Half => {
                crate::checkpoint::write::fits_half(&name, &numbers)?;
                numbers.iter().flat_map(|number| f16::from_f32(*number).to_le_bytes()).collect()
            }
        };
        to.insert(name, (tensor.dims().to_vec(), bytes));
    }
    Ok(())
}

/// Whether the bytes are a student's file.
pub fn is_student(bytes: &[u8]) -> bool {
    let metadata = SafeTensors::read_metadata(bytes).ok().and_then(|(_, header)| header.metadata().clone());
    metadata.is_some_and(|metadata| metadata.get(ours::KIND_KEY).is_some_and(|kind| kind == KIND))
}

/// Reads a student.
///
/// # Errors
/// [`Error::Import`] for a file that is damaged or something else, [`Error::Shape`] or [`Error::Value`] for tensors that do
/// not fit the configuration in the file.
pub fn read_student(bytes: &[u8]) -> Result<StudentFile> {
    let damaged = |error| ImportError::malformed("student's file", "safetensors that fit their header", error);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.get(ours::KIND_KEY).is_none_or(|kind| kind != KIND) {
        let expected = "`kind = student` in the metadata, as `toonify distill` writes it";
        return Err(ImportError::malformed("student's file", expected, "a file of another kind").into());
    }
    let config: StudentConfig = ours::required(&metadata, CONFIG_KEY)?;
    config.check()?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let discriminator = match metadata.contains_key(PATCH_KEY) {
        false => None,
        true => {
            let config: PatchConfig = ours::required(&metadata, PATCH_KEY)?;
            config.check()?;
            let weights = weights(PATCH, &config, &file)?;
            Some((config, weights))
        }
    };
    let history = ours::required(&metadata, HISTORY_KEY)?;
    Ok(StudentFile { weights: weights(STUDENT, &config, &file)?, config, discriminator, history })
}

/// The tensors of one of the networks.
fn weights<L: TensorName>(network: &str, config: &L::Config, file: &SafeTensors<'_>) -> Result<Weights<L>> {
    let mut tensors = BTreeMap::new();
    for (full_name, view) in file.iter() {
        let Some(name) = full_name.strip_prefix(network).and_then(|rest| rest.strip_prefix('.')) else { continue };
        tensors.insert(name.parse::<L>()?, tensor(full_name, &view)?);
    }
    Weights::new(config, tensors)
}

fn tensor(name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let numbers: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => view.data().as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        other => {
            let object = format!("tensor `{name}`");
            return Err(
                ImportError::malformed(object, "numbers of single or half precision", format!("{other:?}")).into()
            );
        }
    };
    if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(Error::value("weight", format!("{number} in `{name}`"), "a finite number"));
    }
    Ok(Tensor::from_vec(numbers, view.shape(), &Device::Cpu)?)
}
