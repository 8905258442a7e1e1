//! Loose tensors: the state dict of any network, as PyTorch, TorchScript or safetensors keep it.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::array::Array;
use crate::checkpoint::pickle::{Global, Limits, Node};
use crate::checkpoint::torch::{self, Programs, TorchFile, script};
use crate::checkpoint::{ImportError, safetensors};
use crate::error::{Error, Result};

/// Reads every tensor of a state dict, in single precision.
///
/// Files of `torch.save` (either container), TorchScript programs and safetensors are told apart by their contents.
/// Nothing is executed: of a program only the tensors are taken, under the names of its `state_dict()`.
///
/// # Errors
/// [`Error::Value`] for anything else, and an [`ImportError`] for damage of any kind.
pub fn read_state_dict(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    read(bytes).map_err(|error| match error {
        Error::Import(ImportError::Unsupported { found }) => refused(found),
        other => other,
    })
}

fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    if torch::is_legacy(bytes) {
        return tensors(&torch::read_legacy(bytes, Limits::CHECKPOINT)?);
    }
    if bytes.starts_with(b"PK") {
        return tensors(&torch::read_archive(bytes, Programs::Read)?);
    }
    if safetensors::begins(bytes) {
        let loaded = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?.into_iter();
        return loaded.map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F32)?))).collect();
    }
    Err(refused("neither safetensors nor a file of `torch.save`".to_owned()))
}

fn refused(found: String) -> Error {
    Error::value("weights file", found, "a state dict: safetensors, TorchScript, or `torch.save` of `state_dict()`")
}

fn tensors(file: &TorchFile<'_>) -> Result<BTreeMap<String, Tensor>> {
    let root = file.root();
    if script::is_module(root) {
        let arrays = script::tensors(file)?.into_iter();
        return arrays.map(|(name, array)| Ok((name.clone(), tensor(&name, &array)?))).collect();
    }
    let Some(entries) = entries(root) else { return Err(refused(root.describe())) };
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        let Some(name) = key.name() else { continue };
        if let Some(array) = file.tensor(name, value)? {
            tensors.insert(name.to_owned(), tensor(name, &array)?);
        }
    }
    Ok(tensors)
}

fn tensor(name: &str, array: &Array<'_>) -> Result<Tensor> {
    Ok(Tensor::from_vec(array.to_f32(name)?, array.shape(), &Device::Cpu)?)
}

/// Names and values of a dict; Python 2 wrote an ordered one as a list of pairs.
fn entries<'p, 'a>(root: Node<'p, 'a>) -> Option<Vec<(Node<'p, 'a>, Node<'p, 'a>)>> {
    let pairs = root.call(Global::OrderedDict).and_then(|args| args.elements()?.next()?.elements());
    let listed = pairs.into_iter().flatten().filter_map(|pair| {
        let mut parts = pair.elements()?;
        parts.next().zip(parts.next())
    });
    Some(listed.chain(root.entries()?).collect())
}
