//! The operator in plain candle operations.

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
    let inside = y.value().abs()?.lt(clamp)?;
    let limited = y.value().clamp(-clamp, clamp)?.detach();
    let value = inside.where_cond(y.value(), &limited)?;
    match y.tangent() {
        Some(tangent) => Dual::with_tangent(value, inside.where_cond(tangent, &tangent.zeros_like()?)?),
        None => Ok(value.into()),
    }
}
