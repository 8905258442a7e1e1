//! R1: the discriminator is kept flat around the images of the training set (Mescheder et al. 2018, "Which Training Methods
//! for GANs do actually Converge?", equation 9).

use candle_core::{Tensor, Var};

use crate::error::Result;
use crate::grad::Dual;
use crate::losses::{Differentiable, gradient_at, tangent_of};

/// R1's penalty for a batch.
#[derive(Clone, Debug)]
pub struct R1 {
    /// What the discriminator says, `[N, 1]`, still in the graph.
    pub logits: Tensor,
    /// |∇D(x)|² of each image, `[N]`, cut off from the graph.
    pub penalty: Tensor,
    /// A scalar whose gradient with respect to the weights is that of the sum of the penalties.
    pub slope: Tensor,
}

/// Penalises the gradient of the discriminator with respect to `images`, whatever comes between the two included.
///
/// With v the gradient, |v|² has the gradient of 2 · (derivative along v), v held fixed.
///
/// # Shapes
/// `images` `[N, C, H, W]`; the functions give logits `[N, 1]`
///
/// # Errors
/// Those of the functions, and [`Error::Value`](crate::Error::Value) when they do not depend on the images.
pub fn r1(images: &Tensor, fixed: impl Differentiable, learning: impl Differentiable) -> Result<R1> {
    let variable = Var::from_tensor(images)?;
    let sum = fixed(&variable.as_tensor().into())?.sum_all()?.into_value();
    let direction = gradient_at(&variable, &sum)?;
    drop(sum);
    let penalty = direction.sqr()?.flatten_from(1)?.sum(1)?;
    let logits = learning(&Dual::with_tangent(images.clone(), direction)?)?;
    let slope = tangent_of(&logits)?.sum_all()?.affine(2.0, 0.0)?;
    Ok(R1 { logits: logits.into_value(), penalty, slope })
}
