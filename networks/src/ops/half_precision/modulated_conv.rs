//! The modulated convolution in half precision: weights and styles are kept small, so that nothing overflows.
//!
//! One image alone takes the fused form, which modulates the weights in single precision; a batch takes the unfused
//! form, which modulates the features in half precision. The published networks choose in the same way (Karras et al.
//! 2020, "Training Generative Adversarial Networks with Limited Data", appendix D has the scaling).

use candle_core::{D, Tensor};

use super::{constant, map};
use crate::error::Result;
use crate::grad::Dual;
use crate::ops::modulated_conv::EPSILON;
use crate::ops::{Arithmetic, Demodulation, ModulatedConv, ResampleConv, conv2d_resample, expect_shape};

/// [`modulated_conv2d`](crate::ops::modulated_conv2d()) on numbers of half precision; weight, styles and noise come in
/// single precision.
///
/// # Shapes
/// x `[N, I, H, W]`, weight `[O, I, kh, kw]`, styles `[N, I]` → `[N, O, H·up, W·up]`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) when they do not fit, [`Error::Value`](crate::Error::Value) where gradients
/// are wanted, and as [`conv2d_resample`].
pub fn modulated_conv2d(x: &Dual, weight: &Dual, styles: &Dual, spec: &ModulatedConv) -> Result<Dual> {
    let (x, weight, styles) = (constant(x)?, constant(weight)?, constant(styles)?);
    let (n, inputs, _, _) = x.dims4()?;
    let (outputs, _, kh, kw) = weight.dims4()?;
    expect_shape("weight", weight, &[outputs, inputs, kh, kw])?;
    expect_shape("styles", styles, &[n, inputs])?;
    let (weight, styles) = match spec.demodulate {
        Demodulation::On => (small_weight(weight)?, styles.broadcast_div(&largest(styles)?)?),
        Demodulation::Off => (weight.clone(), styles.clone()),
    };
    let noise = spec.noise.map(constant).transpose()?;
    let layer = Layer { weight, styles, noise, spec };
    Ok(if n == 1 { layer.fused(x)? } else { layer.unfused(x)? }.into())
}

/// Largest magnitude of each row, `[R, ...]` → `[R, 1]`.
fn largest(rows: &Tensor) -> Result<Tensor> {
    Ok(rows.abs()?.flatten_from(1)?.max_keepdim(1)?)
}

/// Scales each output's filter to the largest magnitude 1/√(I·kh·kw); demodulation takes the scale out again.
fn small_weight(weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs, kh, kw) = weight.dims4()?;
    let scale = largest(weight)?.recip()?.affine(1.0 / ((inputs * kh * kw) as f64).sqrt(), 0.0)?;
    Ok(weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?)
}

/// One layer with its scaled parameters, in single precision.
struct Layer<'a> {
    weight: Tensor,
    styles: Tensor,
    noise: Option<&'a Tensor>,
    spec: &'a ModulatedConv<'a>,
}

impl Layer<'_> {
    /// Rounds the modulated and demodulated weights; the noise is added in single precision.
    fn fused(&self, x: &Tensor) -> Result<Tensor> {
        let modulated = self.modulated(0)?;
        let weight = match self.spec.demodulate {
            Demodulation::On => {
                let factor = demodulation(&modulated)?; // [O]
                modulated.broadcast_mul(&factor.reshape(((), 1, 1, 1))?)?
            }
            Demodulation::Off => modulated,
        };
        let y = self.convolve(x, &map(&weight, |w| w)?)?;
        match self.noise {
            Some(noise) => map(&y.broadcast_add(noise)?, |y| y),
            None => Ok(y),
        }
    }

    /// Rounds styles, weights, demodulation factors and noise; scaling the output and adding the noise are one step.
    fn unfused(&self, x: &Tensor) -> Result<Tensor> {
        let (n, inputs) = self.styles.dims2()?;
        let styles = map(&self.styles, |s| s)?.reshape((n, inputs, 1, 1))?;
        let x = map(&x.broadcast_mul(&styles)?, |x| x)?;
        let y = self.convolve(&x, &map(&self.weight, |w| w)?)?;
        let y = match self.spec.demodulate {
            Demodulation::On => {
                let factors = (0..n).map(|index| demodulation(&self.modulated(index)?)).collect::<Result<Vec<_>>>()?;
                let factors = map(&Tensor::stack(&factors, 0)?, |d| d)?; // [N, O]
                y.broadcast_mul(&factors.unsqueeze(D::Minus1)?.unsqueeze(D::Minus1)?)?
            }
            Demodulation::Off => y,
        };
        match self.noise {
            Some(noise) => map(&y.broadcast_add(&map(noise, |noise| noise)?)?, |y| y),
            None => map(&y, |y| y),
        }
    }

    /// The weights of one sample, `[O, I, kh, kw]`.
    fn modulated(&self, index: usize) -> Result<Tensor> {
        Ok(self.weight.broadcast_mul(&self.styles.get(index)?.reshape((1, (), 1, 1))?)?)
    }

    fn convolve(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let spec = ResampleConv { arithmetic: Arithmetic::Half, ..self.spec.resample_conv() };
        Ok(conv2d_resample(&x.into(), &weight.into(), self.spec.filter, &spec)?.into_value())
    }
}

/// One over the norm of each output's modulated weights, `[O, I, kh, kw]` → `[O]`.
fn demodulation(modulated: &Tensor) -> Result<Tensor> {
    Ok(modulated.sqr()?.flatten_from(1)?.sum(1)?.affine(1.0, EPSILON)?.sqrt()?.recip()?)
}
