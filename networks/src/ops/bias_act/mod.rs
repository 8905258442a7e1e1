//! Bias, activation, gain and clamp in one operator.
//!
//! y = clamp(gain · act(x + b), ±clamp), as in the `bias_act` operator of StyleGAN2-ADA.

mod operator;
pub mod reference;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::Activation;
use operator::{Biased, Lines, Rows, Unbiased, slope};

/// What follows a layer's matrix product or convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BiasAct {
    /// The activation function.
    pub activation: Activation,
    /// Slope of the leaky ReLU for negative x; 0.2 when absent. Other functions ignore it.
    pub alpha: Option<f64>,
    /// Factor after the activation; [`Activation::default_gain`] when absent.
    pub gain: Option<f64>,
    /// Largest magnitude that passes.
    pub clamp: Option<f64>,
}

impl BiasAct {
    /// An activation with its default gain and no clamp.
    pub fn new(activation: Activation) -> Self {
        BiasAct { activation, alpha: None, gain: None, clamp: None }
    }

    /// The factor after the activation.
    pub fn gain(&self) -> f64 {
        self.gain.unwrap_or_else(|| self.activation.default_gain())
    }

    /// The operator as two straight lines and a clamp, if that is what it is.
    fn lines(&self) -> Option<Lines> {
        let slope = self.activation.negative_slope(self.alpha)?;
        Some(Lines { slope, gain: self.gain(), clamp: self.clamp.unwrap_or(f64::INFINITY) })
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.gain() <= 0.0 || !self.gain().is_finite() {
            return Err(Error::value("gain", self.gain(), "a positive number"));
        }
        if self.alpha.is_some_and(|alpha| alpha.is_nan() || alpha < 0.0) {
            return Err(Error::value("alpha", self.alpha.unwrap_or_default(), "a number from 0"));
        }
        if self.clamp.is_some_and(|clamp| clamp.is_nan() || clamp <= 0.0) {
            return Err(Error::value("clamp", self.clamp.unwrap_or_default(), "a positive number"));
        }
        Ok(())
    }
}

/// Adds the bias along axis 1, then applies activation, gain and clamp.
///
/// # Shapes
/// x `[N, C, ...]`, bias `[C]` → as x
///
/// # Errors
/// [`Error::Shape`] for a bias that does not fit, [`Error::Value`] for a gain or clamp that is not positive or a
/// negative alpha.
pub fn bias_act(x: &Dual, bias: Option<&Dual>, spec: &BiasAct) -> Result<Dual> {
    bias_act_along(x, bias, 1, spec)
}

/// [`bias_act`] with the bias along another axis.
///
/// # Errors
/// As [`bias_act`], and [`Error::Value`] when x has no axis `dim`.
pub fn bias_act_along(x: &Dual, bias: Option<&Dual>, dim: usize, spec: &BiasAct) -> Result<Dual> {
    spec.check()?;
    let Some(&channels) = x.dims().get(dim) else {
        return Err(Error::value("bias axis", dim, format!("less than {}", x.dims().len())));
    };
    if let Some(bias) = bias {
        crate::ops::expect_shape("bias", bias.value(), &[channels])?;
    }
    match spec.lines() {
        Some(lines) => fused(x, bias, dim, lines),
        None => reference::bias_act(x, bias, dim, spec),
    }
}

/// Bias, activation, gain and clamp in one pass.
fn fused(x: &Dual, bias: Option<&Dual>, dim: usize, lines: Lines) -> Result<Dual> {
    let rows = Rows { channels: x.dims()[dim], inner: x.dims()[dim + 1..].iter().product() };
    if x.value().elem_count() == 0 {
        return Ok(x.clone());
    }
    let value = x.value().contiguous()?;
    let y = match bias {
        Some(bias) => value.apply_op2(&bias.value().contiguous()?, Biased(lines, rows))?,
        None => value.apply_op1(Unbiased(lines))?,
    };
    let of_bias = match bias.and_then(Dual::tangent) {
        Some(tangent) => Some(along(tangent, x.dims(), dim)?),
        None => None,
    };
    match (x.tangent(), of_bias) {
        (Some(x), Some(bias)) => Dual::with_tangent(y.clone(), slope(lines, &(x + bias)?, &y)?),
        (Some(x), None) => Dual::with_tangent(y.clone(), slope(lines, x, &y)?),
        (None, Some(bias)) => Dual::with_tangent(y.clone(), slope(lines, &bias, &y)?),
        (None, None) => Ok(y.into()),
    }
}

/// A vector along axis `dim` of a shape, repeated along the others.
fn along(vector: &Tensor, shape: &[usize], dim: usize) -> candle_core::Result<Tensor> {
    let mut thin = vec![1; shape.len()];
    thin[dim] = shape[dim];
    vector.reshape(thin)?.broadcast_as(shape)
}
