//! The tensors of a network in training: some of them learn, all of them can be seen as fixed.
//!
//! Both views share the same memory. What is computed on the fixed view is not tracked, so that a discriminator that only
//! judges costs no gradients of its weights.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;

use crate::error::Result;
use crate::stylegan2::config::{DiscriminatorConfig, Resolution};
use crate::stylegan2::layer::{DiscriminatorLayer, Layer, TensorName, Term};
use crate::stylegan2::weights::Weights;

/// The tensors of one network, by typed name.
#[derive(Debug)]
pub struct Parameters<L> {
    all: BTreeMap<L, Tensor>,
    vars: BTreeMap<L, Var>,
}

impl<L: TensorName> Parameters<L> {
    /// Copies `weights`; those that `learns` names become variables.
    ///
    /// # Errors
    /// Only when the device refuses a tensor.
    pub fn new(weights: &Weights<L>, learns: impl Fn(L) -> bool) -> Result<Self> {
        let (mut all, mut vars) = (BTreeMap::new(), BTreeMap::new());
        for (layer, tensor) in weights.iter() {
            let var = Var::from_tensor(tensor)?;
            all.insert(layer, var.as_detached_tensor());
            if learns(layer) {
                vars.insert(layer, var);
            }
        }
        Ok(Parameters { all, vars })
    }

    /// Builds networks whose weights learn.
    pub fn learning(&self) -> VarBuilder<'static> {
        builder(self.all.iter().map(|(layer, tensor)| match self.vars.get(layer) {
            Some(var) => (*layer, var.as_tensor()),
            None => (*layer, tensor),
        }))
    }

    /// Builds networks on the same numbers whose weights are constants.
    pub fn fixed(&self) -> VarBuilder<'static> {
        builder(self.all.iter().map(|(layer, tensor)| (*layer, tensor)))
    }

    /// The tensors that learn, in the order of their names.
    pub fn vars(&self) -> impl ExactSizeIterator<Item = (L, &Var)> {
        self.vars.iter().map(|(layer, var)| (*layer, var))
    }

    /// All tensors, untracked, in the order of their names; what is written into them is seen everywhere.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (L, &Tensor)> {
        self.all.iter().map(|(layer, tensor)| (*layer, tensor))
    }

    /// Whether `layer` learns.
    pub fn learns(&self, layer: L) -> bool {
        self.vars.contains_key(&layer)
    }

    /// The tensor called `layer`, untracked, if this network has it.
    pub fn get(&self, layer: L) -> Option<&Tensor> {
        self.all.get(&layer)
    }

    /// The weights as they are now, for as long as nobody changes them: the memory is shared.
    ///
    /// # Errors
    /// Never for the configuration that the parameters were made for.
    pub fn weights(&self, config: &L::Config) -> Result<Weights<L>> {
        Weights::new(config, self.all.clone())
    }
}

fn builder<'t, L: TensorName>(tensors: impl Iterator<Item = (L, &'t Tensor)>) -> VarBuilder<'static> {
    let named: HashMap<String, Tensor> = tensors.map(|(layer, tensor)| (layer.to_string(), tensor.clone())).collect();
    VarBuilder::from_tensors(named, DType::F32, &Device::Cpu)
}

impl Layer {
    /// Whether the tensor is kept along with the weights but never learnt: the average of `w` and the noise images.
    pub fn is_buffer(self) -> bool {
        match self {
            Layer::WAvg | Layer::Block { term: Term::NoiseConst, .. } => true,
            Layer::Embed(_) | Layer::Fc(..) | Layer::Const | Layer::Block { .. } => false,
        }
    }
}

impl DiscriminatorConfig {
    /// The layers that Freeze-D keeps as they are (Mo et al. 2020, "Freeze the Discriminator"): the first
    /// `freeze_layers`, counted from the image, of the blocks above 4 px.
    pub fn frozen(&self) -> Vec<DiscriminatorLayer> {
        let mut layers = Vec::new();
        let mut counted = 0;
        let mut last = None;
        for (layer, _shape) in DiscriminatorLayer::all(self) {
            let DiscriminatorLayer::Block { resolution, slot, .. } = layer else { continue };
            if resolution == Resolution::R4 {
                continue;
            }
            if last != Some((resolution, slot)) {
                last = Some((resolution, slot));
                counted += 1;
            }
            if counted <= self.freeze_layers {
                layers.push(layer);
            }
        }
        layers
    }
}
