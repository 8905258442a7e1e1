//! Activation functions by name, with their default gains and their derivatives.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::softplus::sigmoid;

/// Activation functions of the published `bias_act` operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Identity.
    Linear,
    /// max(x, 0)
    Relu,
    /// Leaky ReLU with slope 0.2.
    Lrelu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Exponential linear unit.
    Elu,
    /// Self-normalising exponential linear unit.
    Selu,
    /// log(1 + eˣ)
    Softplus,
    /// x · sigmoid(x)
    Swish,
}

/// Slope of the leaky ReLU for negative x, unless a layer says otherwise.
const LRELU_SLOPE: f64 = 0.2;
/// α and λ of "Self-Normalizing Neural Networks" (Klambauer et al. 2017), section 2.
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_LAMBDA: f64 = 1.050_700_987_355_480_5;

impl Activation {
    /// The gain that keeps the variance of what passes through: √2 for the rectifiers, otherwise 1.
    pub fn default_gain(self) -> f64 {
        match self {
            Activation::Relu | Activation::Lrelu | Activation::Swish => std::f64::consts::SQRT_2,
            Activation::Linear
            | Activation::Tanh
            | Activation::Sigmoid
            | Activation::Elu
            | Activation::Selu
            | Activation::Softplus => 1.0,
        }
    }

    /// Slope for negative x, for the functions that consist of two straight lines through the origin.
    pub(crate) fn negative_slope(self, alpha: Option<f64>) -> Option<f64> {
        match self {
            Activation::Linear => Some(1.0),
            Activation::Relu => Some(0.0),
            Activation::Lrelu => Some(alpha.unwrap_or(LRELU_SLOPE)),
            Activation::Tanh
            | Activation::Sigmoid
            | Activation::Elu
            | Activation::Selu
            | Activation::Softplus
            | Activation::Swish => None,
        }
    }

    /// The function alone, without bias, gain and clamp; `alpha` is the slope of the leaky ReLU.
    pub(crate) fn apply(self, x: &Dual, alpha: Option<f64>) -> Result<Dual> {
        match self {
            Activation::Linear => Ok(x.clone()),
            Activation::Relu | Activation::Lrelu => {
                let slope = self.negative_slope(alpha).unwrap_or(0.0);
                x.map(|x| x.mul(&slopes(x, slope)?), |x, _| slopes(x, slope))
            }
            Activation::Tanh => x.map(|x| x.tanh(), |_, y| y.sqr()?.affine(-1.0, 1.0)),
            Activation::Sigmoid => x.map(sigmoid, |_, y| y.mul(&y.affine(-1.0, 1.0)?)),
            Activation::Elu => x.map(elu, elu_derivative),
            Activation::Selu => selu(x),
            Activation::Softplus => x.softplus(),
            Activation::Swish => x.mul(&x.map(sigmoid, |_, y| y.mul(&y.affine(-1.0, 1.0)?))?),
        }
    }
}

/// 1 where x is positive, `slope` elsewhere.
fn slopes(x: &Tensor, slope: f64) -> candle_core::Result<Tensor> {
    x.gt(0.0)?.to_dtype(x.dtype())?.affine(1.0 - slope, slope)
}

/// x where positive, eˣ − 1 elsewhere. The exponential sees negative numbers only, so it cannot overflow.
fn elu(x: &Tensor) -> candle_core::Result<Tensor> {
    let positive = x.gt(0.0)?.to_dtype(x.dtype())?;
    let negative_part = x.mul(&positive.affine(-1.0, 1.0)?)?;
    x.mul(&positive)? + negative_part.exp()?.affine(1.0, -1.0)?
}

/// 1 where x is positive, eˣ = y + 1 elsewhere.
fn elu_derivative(x: &Tensor, y: &Tensor) -> candle_core::Result<Tensor> {
    let negative = x.le(0.0)?.to_dtype(x.dtype())?;
    y.mul(&negative)?.affine(1.0, 1.0)
}

/// λx where positive, λα(eˣ − 1) elsewhere.
fn selu(x: &Dual) -> Result<Dual> {
    let scale =
        |x: &Tensor| x.gt(0.0)?.to_dtype(x.dtype())?.affine(SELU_LAMBDA * (1.0 - SELU_ALPHA), SELU_LAMBDA * SELU_ALPHA);
    let scale = scale(x.value())?;
    x.map(elu, elu_derivative)?.linear(|y| y.mul(&scale))
}
