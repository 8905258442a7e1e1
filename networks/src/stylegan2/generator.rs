//! The generator: mapping and synthesis, built for one configuration.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::error::Result;
use crate::grad::Dual;
use crate::latent::{W, WPlus, Z};
use crate::ops::Arithmetic;
use crate::stylegan2::config::GeneratorConfig;
use crate::stylegan2::layer::Layer;
use crate::stylegan2::mapping::{Mapping, MappingDims};
use crate::stylegan2::synthesis::{Noise, Synthesis};
use crate::stylegan2::weights::Weights;

/// A StyleGAN2 generator that is ready to run.
#[derive(Clone, Debug)]
pub struct Generator {
    config: GeneratorConfig,
    /// `z` to `w`.
    pub mapping: Mapping,
    /// `w` to image.
    pub synthesis: Synthesis,
    w_avg: Tensor,
}

impl Generator {
    /// Builds the network on the variables of `vb`, under the canonical names.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an impossible configuration, candle's error for a missing variable.
    pub fn new(config: &GeneratorConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let dims = MappingDims { z: config.z_dim, c: config.c_dim, w: config.w_dim };
        let mapping_vb = vb.pp("mapping");
        Ok(Generator {
            config: config.clone(),
            mapping: Mapping::new(&config.mapping, dims, &mapping_vb)?,
            synthesis: Synthesis::new(config, &vb.pp("synthesis"))?,
            w_avg: mapping_vb.get(config.w_dim, "w_avg")?,
        })
    }

    /// Builds the network for rendering; the tensors are shared, not copied.
    ///
    /// # Errors
    /// As [`Generator::new`].
    pub fn from_weights(config: &GeneratorConfig, weights: &Weights<Layer>) -> Result<Self> {
        Self::new(config, &weights.var_builder(DType::F32, &Device::Cpu))
    }

    /// Changes the precision of the blocks that the checkpoint marks for half precision. Half precision is for rendering
    /// only, and the published tools' when the images come one at a time.
    pub fn with_arithmetic(mut self, arithmetic: Arithmetic) -> Self {
        self.synthesis.set_arithmetic(arithmetic, &self.config);
        self
    }

    /// What the generator looks like.
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }

    /// The average of `w` that truncation pulls towards, `[w_dim]`.
    pub fn w_avg(&self) -> &Tensor {
        &self.w_avg
    }

    /// Maps input latents, with labels `[N, c_dim]` when the network is conditional.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) when a label is missing or not wanted.
    pub fn map(&self, z: &Z, label: Option<&Tensor>) -> Result<W> {
        let w = self.mapping.forward(Some(&z.tensor().into()), label)?;
        W::new(w.into_value(), self.config.w_dim)
    }

    /// Renders images `[N, img_channels, R, R]`, about [-1, 1].
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) when `noise` does not have an image for every convolution.
    pub fn render(&self, ws: &WPlus, noise: &Noise) -> Result<Tensor> {
        Ok(self.synthesis.forward(&Dual::from(ws.tensor()), noise)?.into_value())
    }
}
