//! Path length regularisation: a step in `w` shall change the image equally much everywhere (Karras et al. 2020,
//! "Analyzing and Improving the Image Quality of StyleGAN", section 3.2).

use candle_core::{DType, Tensor, Var};

use crate::error::Result;
use crate::grad::Dual;
use crate::losses::{Differentiable, gradient_at, tangent_of};

/// The constants of the regulariser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathLengthConfig {
    /// Share of the new mean that enters the running mean.
    pub decay: f64,
}

impl PathLengthConfig {
    /// What the published trainer uses.
    pub const PUBLISHED: PathLengthConfig = PathLengthConfig { decay: 0.01 };
}

/// The penalty for a batch.
#[derive(Clone, Debug)]
pub struct PathLength {
    /// Squared distance of each length from the running mean, `[N]`, cut off from the graph.
    pub penalty: Tensor,
    /// A scalar whose gradient with respect to the weights is that of the mean of the penalties.
    pub slope: Tensor,
    /// The running mean of the lengths after this batch.
    pub mean: f64,
}

/// Penalises how far the length of |Jᵀy| is from its running mean, where J is the derivative of the image by `ws`.
///
/// The penalty is a function of the inner gradient; with v its derivative there, the penalty has the gradient of the
/// image's derivative along v in `ws`, summed with weights y, v held fixed.
///
/// # Shapes
/// `ws` `[N, num_ws, w_dim]`, still in the graph of the mapping network; `y` `[N, C, H, W]`, standard normal; the functions
/// give images `[N, C, H, W]`
///
/// # Errors
/// Those of the functions, and when shapes do not fit.
pub fn path_length(
    (ws, y): (&Tensor, &Tensor),
    (mean, config): (f64, PathLengthConfig),
    fixed: impl Differentiable,
    learning: impl Differentiable,
) -> Result<PathLength> {
    let (_n, _c, h, w) = y.dims4()?;
    let y = y.affine(1.0 / ((h * w) as f64).sqrt(), 0.0)?;
    let variable = Var::from_tensor(&ws.detach())?;
    let seen = fixed(&variable.as_tensor().into())?.into_value().mul(&y)?.sum_all()?;
    let jacobian = Var::from_tensor(&gradient_at(&variable, &seen)?)?; // [N, num_ws, w_dim]
    drop(seen);
    let lengths = jacobian.sqr()?.sum(2)?.mean(1)?.sqrt()?; // [N]
    // The running mean moves first, and the penalty sees it move.
    let moved = lengths.mean_all()?.affine(config.decay, (1.0 - config.decay) * mean)?;
    let penalty = lengths.broadcast_sub(&moved)?.sqr()?;
    let direction = gradient_at(&jacobian, &penalty.mean_all()?)?;
    let image = learning(&Dual::with_tangent(ws.clone(), direction)?)?;
    let slope = tangent_of(&image)?.mul(&y)?.sum_all()?;
    let mean = moved.to_dtype(DType::F64)?.to_scalar()?;
    Ok(PathLength { penalty: penalty.detach(), slope, mean })
}
