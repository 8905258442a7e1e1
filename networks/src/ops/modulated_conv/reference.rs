//! The operator as the paper writes it: every sample is convolved with weights of its own.

use super::{Demodulation, EPSILON, ModulatedConv};
use crate::error::Result;
use crate::grad::Dual;
use crate::ops::resample_conv::reference::conv2d_resample;

/// [`modulated_conv2d`](super::modulated_conv2d) by its definition (Karras et al. 2020, equations 1 and 3).
///
/// # Errors
/// As [`conv2d_resample`].
pub fn modulated_conv2d(x: &Dual, weight: &Dual, styles: &Dual, spec: &ModulatedConv) -> Result<Dual> {
    let (samples, inputs) = styles.dims2()?;
    let sample = |n: usize| {
        let style = styles.narrow(0, n, 1)?.reshape((1, inputs, 1, 1))?;
        let modulated = weight.mul(&style)?; // [O, I, kh, kw]
        let weight = match spec.demodulate {
            Demodulation::On => {
                let energy = modulated.sqr()?.sum_keepdim((1, 2, 3))?; // [O, 1, 1, 1]
                modulated.mul(&energy.shift(EPSILON)?.rsqrt()?)?
            }
            Demodulation::Off => modulated,
        };
        conv2d_resample(&x.narrow(0, n, 1)?, &weight, spec.filter, &spec.resample_conv())
    };
    let images = (0..samples).map(sample).collect::<Result<Vec<_>>>()?;
    let y = Dual::cat(&images.iter().collect::<Vec<_>>(), 0)?;
    match spec.noise {
        Some(noise) => y.add(noise),
        None => Ok(y),
    }
}
