//! The operator in plain candle operations.

use candle_core::Tensor;

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::BiasAct;

/// [`bias_act_along`](crate::ops::bias_act_along), one operation after the other.
///
/// # Errors
/// When the shapes do not fit.
pub fn bias_act(x: &Dual, bias: Option<&Dual>, dim: usize, spec: &BiasAct) -> Result<Dual> {
    let x = match bias {
        Some(bias) => {
            let mut shape = vec![1; x.dims().len()];
            shape[dim] = x.dims()[dim];
            x.add(&bias.reshape(shape)?)?
        }
        None => x.clone(),
    };
    let y = spec.activation.apply(&x, spec.alpha)?.scale(spec.gain())?;
    match spec.clamp {
        Some(clamp) => clamped(&y, clamp),
        None => Ok(y),
    }
}

/// Limits the magnitude; what is cut off has no gradient.
fn clamped(y: &Dual, clamp: f64) -> Result<Dual> {
    let inside = |y: &Tensor| y.abs()?.lt(clamp)?.to_dtype(y.dtype());
    let excess = (y.value().clamp(-clamp, clamp)?.detach() - y.value().detach())?;
    let inside = inside(y.value())?;
    let cut = inside.affine(-1.0, 1.0)?;
    // Inside: y. Outside: a constant, ±clamp.
    let limit = (y.value().detach() + excess)?.mul(&cut)?;
    let kept = y.linear(|y| y.mul(&inside))?;
    kept.add(&limit.into())
}
