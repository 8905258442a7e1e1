//! The operators that StyleGAN2 is made of.

use serde::{Deserialize, Serialize};

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
