//! The tensors of one network, complete for their configuration or not there at all.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::error::{Error, Result};
use crate::stylegan2::layer::TensorName;

/// All tensors of one network by typed name.
#[derive(Clone, Debug)]
pub struct Weights<L> {
    tensors: BTreeMap<L, Tensor>,
}

impl<L: TensorName> Weights<L> {
    /// Takes the tensors that `config` asks for, each of its shape, and no other.
    ///
    /// # Errors
    /// [`Error::Shape`] for the first tensor of another shape, [`Error::Value`] for one that is missing or not asked for.
    pub fn new(config: &L::Config, mut tensors: BTreeMap<L, Tensor>) -> Result<Self> {
        let mut complete = BTreeMap::new();
        for (name, expected) in L::all(config) {
            let tensor =
                tensors.remove(&name).ok_or_else(|| Error::value("tensor", format!("{name} missing"), "present"))?;
            if tensor.dims() != expected {
                return Err(Error::Shape { name: name.to_string(), expected, found: tensor.dims().to_vec() });
            }
            complete.insert(name, tensor);
        }
        match tensors.keys().next() {
            None => Ok(Weights { tensors: complete }),
            Some(extra) => Err(Error::value("tensor", extra, "no tensor that the configuration does not have")),
        }
    }

    /// Makes every tensor with `make(name, shape)`.
    ///
    /// # Errors
    /// Whatever `make` returns, and [`Error::Shape`] when it makes another shape.
    pub fn build(config: &L::Config, mut make: impl FnMut(L, &[usize]) -> Result<Tensor>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, shape) in L::all(config) {
            tensors.insert(name, make(name, &shape)?);
        }
        Self::new(config, tensors)
    }

    /// The tensor called `name`, if this network has it.
    pub fn get(&self, name: L) -> Option<&Tensor> {
        self.tensors.get(&name)
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (L, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (*name, tensor))
    }

    /// Number of numbers in all tensors, buffers included.
    pub fn element_count(&self) -> usize {
        self.tensors.values().map(Tensor::elem_count).sum()
    }

    /// Hands the tensors to candle-nn, under their canonical names and without copying them.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        let tensors: HashMap<String, Tensor> =
            self.tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
        VarBuilder::from_tensors(tensors, dtype, device)
    }
}
