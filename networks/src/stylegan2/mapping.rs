//! The mapping network: `z` and label to `w` (Karras et al. 2019, figure 1b); without `z`, the discriminator's label net.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::{self, Activation};
use crate::stylegan2::config::MappingConfig;
use crate::stylegan2::linear::FullyConnected;

/// Lengths of a mapping network's inputs and output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MappingDims {
    /// Length of `z`; 0 for a network that only takes a label.
    pub(crate) z: usize,
    /// Length of the label; 0 without labels.
    pub(crate) c: usize,
    /// Length of the output.
    pub(crate) w: usize,
}

/// A multi-layer perceptron on the normalised latent and the normalised label embedding.
#[derive(Clone, Debug)]
pub struct Mapping {
    dims: MappingDims,
    embed: Option<FullyConnected>,
    layers: Vec<FullyConnected>,
}

impl Mapping {
    pub(crate) fn new(config: &MappingConfig, dims: MappingDims, vb: &VarBuilder<'_>) -> Result<Self> {
        let embed = match dims.c {
            0 => None,
            c => {
                let widths = (c, config.embed_features);
                Some(FullyConnected::new(&vb.pp("embed"), widths, Activation::Linear, 1.0)?)
            }
        };
        let mut inputs = dims.z + if dims.c > 0 { config.embed_features } else { 0 };
        let mut layers = Vec::with_capacity(config.num_layers);
        for index in 0..config.num_layers {
            let outputs = if index + 1 == config.num_layers { dims.w } else { config.layer_features };
            let vb = vb.pp(format!("fc{index}"));
            layers.push(FullyConnected::new(&vb, (inputs, outputs), config.activation, config.lr_multiplier)?);
            inputs = outputs;
        }
        Ok(Mapping { dims, embed, layers })
    }

    /// Maps latents and labels.
    ///
    /// # Shapes
    /// `z` `[N, z_dim]`, `label` `[N, c_dim]` → `[N, w_dim]`
    ///
    /// # Errors
    /// [`Error::Value`] when a label is missing or not wanted, [`Error::Shape`] for inputs of other lengths.
    pub fn forward(&self, z: Option<&Dual>, label: Option<&Tensor>) -> Result<Dual> {
        let mut inputs = Vec::new();
        if self.dims.z > 0 {
            let z = z.ok_or_else(|| Error::value("z", "missing", format!("[N, {}]", self.dims.z)))?;
            expect_width("z", z.dims(), self.dims.z)?;
            inputs.push(ops::normalize_2nd_moment(z)?);
        }
        match (&self.embed, label) {
            (Some(embed), Some(label)) => {
                expect_width("label", label.dims(), self.dims.c)?;
                inputs.push(ops::normalize_2nd_moment(&embed.forward(&label.into())?)?);
            }
            (Some(_), None) => return Err(Error::value("label", "missing", format!("[N, {}]", self.dims.c))),
            (None, Some(_)) => return Err(Error::value("label", "given", "none, the network is unconditional")),
            (None, None) => {}
        }
        let x = Dual::cat(&inputs.iter().collect::<Vec<_>>(), 1)?;
        self.layers.iter().try_fold(x, |x, layer| layer.forward(&x))
    }
}

fn expect_width(name: &str, dims: &[usize], width: usize) -> Result<()> {
    if dims.len() == 2 && dims[1] == width {
        return Ok(());
    }
    let expected = vec![dims.first().copied().unwrap_or(0), width];
    Err(Error::Shape { name: name.to_owned(), expected, found: dims.to_vec() })
}
