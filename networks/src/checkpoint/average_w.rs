//! The mean of `w`, for files that do not store it: the mapping network applied to fixed random latents.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::random::RandomState;
use crate::stylegan2::{GeneratorConfig, Layer, Term};

/// What provenance says of it.
pub(crate) const NOTE: &str =
    "w_avg is not in the file: estimated as the mean of w over 10000 latents z of RandomState(0)";

/// Number of latents; the projector of StyleGAN2 takes as many.
const SAMPLES: usize = 10_000;
/// Latents in one batch at most, and numbers in one batch of the widest layer: together they bound the memory.
const LARGEST_BATCH: usize = 1000;
const BATCH_NUMBERS: usize = 1 << 20;

/// Mean of `w` over [`SAMPLES`] latents, `[w_dim]`. Only for networks without labels and with leaky ReLU.
///
/// # Errors
/// [`Error::Value`] when a mapping tensor is missing.
pub(crate) fn estimate(config: &GeneratorConfig, tensors: &BTreeMap<Layer, Tensor>) -> Result<Tensor> {
    let layers = (0..config.mapping.num_layers).map(|index| effective(config, tensors, index));
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let mut random = RandomState::new(0);
    let mut sum = Tensor::zeros(config.w_dim, DType::F64, &Device::Cpu)?;
    let widest = config.z_dim.max(config.w_dim).max(config.mapping.layer_features).max(1);
    let batch = (BATCH_NUMBERS / widest).clamp(1, LARGEST_BATCH);
    let mut left = SAMPLES;
    while left > 0 {
        let count = batch.min(left);
        let z = random.gauss_vec(count * config.z_dim).into_iter().map(|value| value as f32).collect();
        let z = Tensor::from_vec::<_, f32>(z, (count, config.z_dim), &Device::Cpu)?; // [count, z_dim]
        let w = map(z, &layers)?; // [count, w_dim]
        sum = (sum + w.to_dtype(DType::F64)?.sum(0)?)?;
        left -= count;
    }
    Ok((sum / SAMPLES as f64)?.to_dtype(DType::F32)?)
}

/// Weight `[I, O]` and bias `[O]` of a layer as they are used: equalised learning rate, StyleGAN2 appendix B.
fn effective(config: &GeneratorConfig, tensors: &BTreeMap<Layer, Tensor>, index: usize) -> Result<(Tensor, Tensor)> {
    let tensor = |term| {
        let layer = Layer::Fc(index, term);
        tensors.get(&layer).ok_or_else(|| Error::value("tensor", format!("{layer} missing"), "present"))
    };
    let weight = tensor(Term::Weight)?;
    let inputs = weight.dim(1)?;
    let rate = config.mapping.lr_multiplier;
    let weight = (weight.t()?.contiguous()? * (rate / (inputs as f64).sqrt()))?;
    Ok((weight, (tensor(Term::Bias)? * rate)?))
}

/// The mapping network: `z` is normalised, then each layer is linear with leaky ReLU (slope 0.2, gain √2).
fn map(z: Tensor, layers: &[(Tensor, Tensor)]) -> Result<Tensor> {
    let power = (z.sqr()?.mean_keepdim(D::Minus1)? + 1e-8)?;
    let mut x = z.broadcast_div(&power.sqrt()?)?;
    for (weight, bias) in layers {
        let y = x.matmul(weight)?.broadcast_add(bias)?;
        x = (y.maximum(&(&y * 0.2)?)? * std::f64::consts::SQRT_2)?;
    }
    Ok(x)
}
