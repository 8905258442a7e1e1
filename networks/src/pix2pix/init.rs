//! Fresh weights, as a training begins with them.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::pix2pix::layer::{Half, Part, Unit};
use crate::pix2pix::steps::SLOPE;
use crate::pix2pix::{PatchConfig, PatchLayer, StudentConfig, StudentLayer};
use crate::random::RandomState;
use crate::stylegan2::Weights;

/// Standard deviation of the discriminator's weights (Isola et al. 2017, appendix 6.2).
const PATCH_STD: f64 = 0.02;
/// How much smaller the weights begin whose output is added to something: the student begins as nearly the identity.
const CALM: f64 = 0.1;

impl Weights<StudentLayer> {
    /// Draws a student: kernels that keep the variance (He et al. 2015, "Delving Deep into Rectifiers", equation 14),
    /// ten times smaller where the result is added to an earlier one; biases 0.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an impossible configuration.
    pub fn random(config: &StudentConfig, rng: &mut RandomState) -> Result<Self> {
        config.check()?;
        Weights::build(config, |layer: StudentLayer, shape| {
            let added = matches!(
                layer.unit,
                Unit::Coarse(_, Half::Second) | Unit::Fine(_, Half::Second) | Unit::Grow | Unit::Colour
            );
            let fan_in: usize = shape[1..].iter().product();
            let gain = if layer.part == Part::Depthwise { 1.0 } else { 2.0 / (1.0 + SLOPE * SLOPE) };
            let calm = if added && layer.part == Part::Weight { CALM } else { 1.0 };
            match layer.part {
                Part::Bias => Ok(Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)?),
                Part::Depthwise | Part::Weight => gaussian(rng, calm * (gain / fan_in as f64).sqrt(), shape),
            }
        })
    }
}

impl Weights<PatchLayer> {
    /// Draws a discriminator: kernels with standard deviation 0.02, biases 0.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for an impossible configuration.
    pub fn random(config: &PatchConfig, rng: &mut RandomState) -> Result<Self> {
        config.check()?;
        Weights::build(config, |layer: PatchLayer, shape| match layer.part {
            Part::Bias => Ok(Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)?),
            Part::Depthwise | Part::Weight => gaussian(rng, PATCH_STD, shape),
        })
    }
}

fn gaussian(rng: &mut RandomState, std: f64, shape: &[usize]) -> Result<Tensor> {
    let drawn: Vec<f32> = (0..shape.iter().product()).map(|_| (rng.gauss() * std) as f32).collect();
    Ok(Tensor::from_vec(drawn, shape, &Device::Cpu)?)
}
