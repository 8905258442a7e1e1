//! Fresh weights, as a training from scratch begins with them (equalised learning rate: unit variance, scaled in use).

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::random::RandomState;
use crate::stylegan2::config::{DiscriminatorConfig, GeneratorConfig};
use crate::stylegan2::layer::{DiscriminatorLayer, Layer, Term};
use crate::stylegan2::weights::Weights;

impl Weights<Layer> {
    /// Draws a generator: matrices, kernels, the constant and the noise images from the standard normal distribution,
    /// style biases 1, everything else 0; the mapping network's matrices are divided by its learning-rate multiplier.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an impossible configuration.
    pub fn random(config: &GeneratorConfig, rng: &mut RandomState) -> Result<Self> {
        config.check()?;
        let deep = 1.0 / config.mapping.lr_multiplier;
        Weights::build(config, |layer, shape| match layer {
            Layer::Fc(_, Term::Weight) => gaussian(rng, deep, shape),
            Layer::Embed(term) | Layer::Fc(_, term) | Layer::Block { term, .. } => fresh(term, rng, shape),
            Layer::WAvg => constant(0.0, shape),
            Layer::Const => gaussian(rng, 1.0, shape),
        })
    }
}

impl Weights<DiscriminatorLayer> {
    /// Draws a discriminator: matrices and kernels from the standard normal distribution, biases 0; the mapping
    /// network's matrices are divided by its learning-rate multiplier.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an impossible configuration.
    pub fn random(config: &DiscriminatorConfig, rng: &mut RandomState) -> Result<Self> {
        config.check()?;
        let deep = 1.0 / config.mapping.lr_multiplier;
        Weights::build(config, |layer, shape| match layer {
            DiscriminatorLayer::Fc(_, Term::Weight) => gaussian(rng, deep, shape),
            DiscriminatorLayer::Embed(term)
            | DiscriminatorLayer::Fc(_, term)
            | DiscriminatorLayer::Block { term, .. } => fresh(term, rng, shape),
        })
    }
}

fn fresh(term: Term, rng: &mut RandomState, shape: &[usize]) -> Result<Tensor> {
    match term {
        Term::Weight | Term::AffineWeight | Term::NoiseConst => gaussian(rng, 1.0, shape),
        Term::Bias | Term::NoiseStrength => constant(0.0, shape),
        Term::AffineBias => constant(1.0, shape),
    }
}

fn gaussian(rng: &mut RandomState, std: f64, shape: &[usize]) -> Result<Tensor> {
    let count = shape.iter().product();
    let drawn: Vec<f32> = (0..count).map(|_| (rng.gauss() * std) as f32).collect();
    Ok(Tensor::from_vec(drawn, shape, &Device::Cpu)?)
}

fn constant(value: f32, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::full(value, shape, &Device::Cpu)?)
}
