//! The non-saturating logistic loss (Goodfellow et al. 2014, "Generative Adversarial Networks", section 3).

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::softplus::softplus;

/// What the generator wants: softplus(−D(G(z))), one number an image.
///
/// # Shapes
/// `logits` `[N, 1]` → `[N, 1]`
///
/// # Errors
/// When candle cannot compute with the type.
pub fn generator_loss(logits: &Tensor) -> Result<Tensor> {
    real_loss(logits)
}

/// The discriminator's loss on generated images: softplus(D(G(z))), one number an image.
///
/// # Shapes
/// `logits` `[N, 1]` → `[N, 1]`
///
/// # Errors
/// When candle cannot compute with the type.
pub fn fake_loss(logits: &Tensor) -> Result<Tensor> {
    Ok(softplus(logits)?)
}

/// The discriminator's loss on images of the training set: softplus(−D(x)), one number an image.
///
/// # Shapes
/// `logits` `[N, 1]` → `[N, 1]`
///
/// # Errors
/// When candle cannot compute with the type.
pub fn real_loss(logits: &Tensor) -> Result<Tensor> {
    Ok(softplus(&logits.neg()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn losses_are_safe_far_from_zero_and_have_the_slope_of_the_logistic_function() -> Result<()> {
        let logits = Var::from_tensor(&Tensor::new(&[[-200f64], [-1.0], [0.0], [2.0], [300.0]], &Device::Cpu)?)?;
        let loss = fake_loss(&logits)?;
        let expected = [0.0, 0.313_261_687_518_222_86, 2f64.ln(), 2.126_928_011_042_972_5, 300.0];
        for (found, expected) in loss.flatten_all()?.to_vec1::<f64>()?.into_iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-12, "{found} {expected}");
        }
        let gradients = loss.sum_all()?.backward()?;
        let slope = gradients.get(&logits).expect("a gradient").flatten_all()?.to_vec1::<f64>()?;
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (found, x) in slope.into_iter().zip([-200.0, -1.0, 0.0, 2.0, 300.0]) {
            assert!((found - logistic(x)).abs() <= 1e-12, "at {x}: {found}");
        }
        Ok(())
    }
}
