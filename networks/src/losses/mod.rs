//! The losses of StyleGAN2's training: tensors in, scalars out (Karras et al. 2020, "Analyzing and Improving the Image
//! Quality of StyleGAN", section 3.2 and appendix B; Karras et al. 2020, "Training Generative Adversarial Networks with
//! Limited Data", appendix F).
//!
//! The regularisers are gradients of gradients. Each takes the same function twice: `fixed`, on weights that are not
//! tracked, for the inner gradient, and `learning`, on the variables, for the outer one; see
//! [`grad`](crate::grad) for how the two are put together. Nothing here draws random numbers.

mod adversarial;
mod path_length;
mod r1;
mod style_mixing;

pub use adversarial::{fake_loss, generator_loss, real_loss};
pub use path_length::{PathLength, PathLengthConfig, path_length};
pub use r1::{R1, r1};
pub use style_mixing::Crossover;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::grad::Dual;

/// A function of a network that can be regularised.
pub trait Differentiable: Fn(&Dual) -> Result<Dual> {}

impl<F: Fn(&Dual) -> Result<Dual>> Differentiable for F {}

/// The gradient of the scalar `y` with respect to `x`, cut off from everything else.
fn gradient_at(x: &candle_core::Var, y: &Tensor) -> Result<Tensor> {
    let gradients = y.backward()?;
    match gradients.get(x.as_tensor()) {
        Some(gradient) => Ok(gradient.detach().contiguous()?),
        None => Ok(x.zeros_like()?),
    }
}

/// The tangent of a function that was given one.
fn tangent_of(y: &Dual) -> Result<&Tensor> {
    y.tangent().ok_or_else(|| Error::value("derivative", "absent", "a function that depends on its argument"))
}
