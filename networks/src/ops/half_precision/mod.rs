//! The arithmetic of the published networks' half-precision blocks on a CPU, for rendering.
//!
//! Every tensor holds numbers of half precision in single-precision storage: an operation computes in single precision
//! and rounds its result, where the published code has a tensor of half precision. docs/decisions/0012 says where that
//! is and how it was found out. Rounding has no gradient, so whatever carries or asks for one is refused.

mod modulated_conv;

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::{BiasAct, expect_shape};

pub use modulated_conv::modulated_conv2d;

/// Numbers that make a task.
const NUMBERS_PER_TASK: usize = 1 << 14;
/// The largest finite number of half precision.
const LARGEST: f32 = 65504.0;
/// Below this, the numbers of half precision are 2⁻²⁴ apart.
const SMALLEST_NORMAL: f32 = 1.0 / (1 << 14) as f32;
/// Bits of a single-precision significand that half precision lacks.
const LOST_BITS: u32 = 13;

/// Rounds to the nearest number of half precision, half-way cases to the even one, too large ones to infinity.
#[inline]
pub(crate) fn rounded(x: f32) -> f32 {
    let magnitude = x.abs();
    let nearest = if magnitude < SMALLEST_NORMAL {
        (magnitude + 0.5) - 0.5 // the numbers from 0.5 on are 2⁻²⁴ apart in single precision
    } else {
        let (bits, half) = (magnitude.to_bits(), (1 << (LOST_BITS - 1)) - 1);
        f32::from_bits((bits + half + ((bits >> LOST_BITS) & 1)) & !((1 << LOST_BITS) - 1))
    };
    let nearest = if nearest > LARGEST { f32::INFINITY } else { nearest };
    if x.is_nan() { x } else { nearest.copysign(x) }
}

/// Rounds every number to half precision.
///
/// # Errors
/// [`Error::Value`] for a tensor with a tangent or one that gradients are wanted of.
pub fn round_half(x: &Dual) -> Result<Dual> {
    Ok(map(constant(x)?, |x| x)?.into())
}

/// Applies a function to every number and rounds the result.
fn map(x: &Tensor, f: impl Fn(f32) -> f32 + Sync) -> Result<Tensor> {
    let mut values = x.flatten_all()?.to_vec1::<f32>()?;
    values.par_chunks_mut(NUMBERS_PER_TASK).for_each(|values| values.iter_mut().for_each(|x| *x = rounded(f(*x))));
    Ok(Tensor::from_vec(values, x.shape(), x.device())?)
}

/// The value of a tensor that no derivative is wanted of.
pub(crate) fn constant(x: &Dual) -> Result<&Tensor> {
    if x.tangent().is_some() || x.value().track_op() {
        return Err(Error::value("precision", "half", "single where gradients are wanted"));
    }
    Ok(x.value())
}

/// [`bias_act`](crate::ops::bias_act()) with a rounding after each of its steps.
///
/// # Shapes
/// x `[N, C, H, W]`, bias `[C]` → as x
///
/// # Errors
/// As [`bias_act`](crate::ops::bias_act()), and [`Error::Value`] where gradients are wanted.
pub fn bias_act(x: &Dual, bias: Option<&Dual>, spec: &BiasAct) -> Result<Dual> {
    spec.check()?;
    let (_n, channels, _h, _w) = x.dims4()?;
    let x = match bias {
        Some(bias) => {
            expect_shape("bias", bias.value(), &[channels])?;
            let bias = map(constant(bias)?, |b| b)?.reshape((1, channels, 1, 1))?;
            map(&constant(x)?.broadcast_add(&bias)?, |x| x)?
        }
        None => constant(x)?.clone(),
    };
    let gain = spec.gain() as f32;
    let clamp = spec.clamp.map_or(f32::INFINITY, |clamp| rounded(clamp as f32));
    let finish = |y: f32| rounded(y * gain).clamp(-clamp, clamp);
    let y = match spec.activation.negative_slope(spec.alpha) {
        Some(slope) => {
            let slope = slope as f32;
            map(&x, |x| finish(if x > 0.0 { x } else { rounded(x * slope) }))?
        }
        None => map(&map(spec.activation.apply(&x.into(), spec.alpha)?.value(), |y| y)?, finish)?,
    };
    Ok(y.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Activation;

    #[test]
    fn bias_slope_gain_and_clamp_each_round() {
        let tensor = |values: &[f32]| Tensor::new(values, &candle_core::Device::Cpu).unwrap();
        let check = |activation: Activation, clamp: f64, expected: [f32; 3]| {
            let x = tensor(&[1.0, -3.0, 2048.0]).reshape((1, 1, 1, 3)).unwrap();
            let act = BiasAct { clamp: Some(clamp), ..BiasAct::new(activation) };
            let y = bias_act(&x.into(), Some(&tensor(&[1.0004]).into()), &act).unwrap();
            assert_eq!(y.value().flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
        };
        // The bias rounds to 1, 2049 to 2048, 0.2 · -2 to -0.39990234, and times √2 each of them once more.
        check(Activation::Lrelu, 1e4, [2.828125, -0.5654297, 2896.0]);
        check(Activation::Linear, 2047.3, [2.0, -2.0, 2047.0]);
    }

    #[test]
    fn rounding_gives_the_nearest_number_and_the_even_one_half_way() {
        let halves = (0..=u16::MAX).map(half::f16::from_bits).filter(|x| x.is_finite()).map(f32::from);
        for x in halves {
            assert_eq!(rounded(x).to_bits(), x.to_bits(), "{x:e} is a number of half precision");
            // Half-way to the next number, and the single-precision neighbours of that.
            let next = f32::from(half::f16::from_bits(half::f16::from_f32(x).to_bits() + 1));
            let middle = if next.is_finite() { (x + next) / 2.0 } else { 65520f32.copysign(x) };
            for step in [-1i32, 0, 1] {
                let y = f32::from_bits(middle.to_bits().wrapping_add_signed(step));
                assert_eq!(rounded(y).to_bits(), half::f16::from_f32(y).to_f32().to_bits(), "{y:e}");
            }
        }
        for x in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, -0.0] {
            assert_eq!(rounded(x).to_bits(), half::f16::from_f32(x).to_f32().to_bits(), "{x:e}");
        }
        assert!(rounded(f32::NAN).is_nan());
    }
}
