//! An encoder as a file: safetensors with configuration and history as JSON in the metadata, marked `kind = encoder`.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use half::f16;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Encoder, EncoderConfig};
use crate::checkpoint::write::{ExportError, Precision, write_tensors};
use crate::checkpoint::{ImportError, safetensors as ours};
use crate::error::{Error, Result};

/// What the metadata says that the file holds, and the other metadata keys.
const KIND: &str = "encoder";
const CONFIG_KEY: &str = "encoder";
const HISTORY_KEY: &str = "history";

/// Everything that an encoder's file holds.
#[derive(Clone, Debug)]
pub struct EncoderFile {
    /// What the encoder looks like.
    pub config: EncoderConfig,
    /// Its tensors by name, in the order of [`EncoderConfig::tensors`].
    pub tensors: Vec<(String, Tensor)>,
    /// Where it came from.
    pub history: EncoderHistory,
}

/// Where an encoder came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EncoderHistory {
    /// Hash of the file of the network that it belongs to.
    pub network_sha256: String,
    /// Number of images that it has seen, in thousands.
    pub kimg: f64,
    /// Where the random numbers of its training began.
    pub seed: u32,
    /// Share of the squared distance from the average `w` that it cannot explain, for images that it has not seen.
    pub unexplained: f64,
    /// Share of the distance from the average image that is left between such an image and that of the encoder's answer.
    pub unlike: f64,
}

impl EncoderFile {
    /// Builds the network.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn encoder(&self) -> Result<Encoder> {
        let tensors: HashMap<String, Tensor> = self.tensors.iter().cloned().collect();
        Encoder::new(&self.config, &VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
    }
}

/// Writes an encoder.
///
/// # Errors
/// [`ExportError::Unwritable`] when a number is too large for half precision.
pub fn write_encoder(file: &EncoderFile, precision: Precision) -> std::result::Result<Vec<u8>, ExportError> {
    let entries = [
        (ours::VERSION_KEY, ours::VERSION.to_owned()),
        (ours::KIND_KEY, KIND.to_owned()),
        (CONFIG_KEY, serde_json::to_string(&file.config)?),
        (HISTORY_KEY, serde_json::to_string(&file.history)?),
    ];
    let metadata = entries.into_iter().map(|(key, text)| (key.to_owned(), Json::from(text))).collect();
    let tensors: Vec<(String, &Tensor)> = file.tensors.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
    let mut bytes = Vec::new();
    write_tensors((metadata, &tensors), precision, &mut bytes)?;
    Ok(bytes)
}

/// Reads an encoder.
///
/// # Errors
/// [`Error::Import`] for a file that is damaged or something else, [`Error::Shape`] or [`Error::Value`] for tensors that do
/// not fit the configuration in the file.
pub fn read_encoder(bytes: &[u8]) -> Result<EncoderFile> {
    let damaged = |error| ImportError::malformed("encoder's file", "safetensors that fit their header", error);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if metadata.get(ours::KIND_KEY).is_none_or(|kind| kind != KIND) {
        let expected = "`kind = encoder` in the metadata, as `toonify encoder train` writes it";
        return Err(ImportError::malformed("encoder's file", expected, "a file of another kind").into());
    }
    let config: EncoderConfig = ours::required(&metadata, CONFIG_KEY)?;
    config.check()?;
    let history = ours::required(&metadata, HISTORY_KEY)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let tensors = config.tensors().into_iter().map(|(name, shape)| {
        let view = file.tensor(&name).map_err(damaged)?;
        let tensor = tensor(&name, &view)?;
        if tensor.dims() != shape {
            return Err(Error::Shape { name, expected: shape, found: tensor.dims().to_vec() });
        }
        Ok((name, tensor))
    });
    Ok(EncoderFile { tensors: tensors.collect::<Result<_>>()?, config, history })
}

fn tensor(name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let numbers: Vec<f32> = match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => view.data().as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        other => {
            let object = format!("tensor `{name}`");
            let expected = "numbers of single or half precision";
            return Err(ImportError::malformed(object, expected, format!("{other:?}")).into());
        }
    };
    if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(Error::value("weight", format!("{number} in `{name}`"), "a finite number"));
    }
    Ok(Tensor::from_vec(numbers, view.shape(), &Device::Cpu)?)
}
