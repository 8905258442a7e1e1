//! The sum of squares of each kernel of a convolution, which demodulation needs at every call.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::grad::{Dual, graph_of_gradients_is_kept, hand_over};
use crate::ops::blocked::memory::{Pointer, written};
use crate::ops::real::{Real, elements};
use crate::timing::timed;

/// Kernels that make a task.
const KERNELS_PER_TASK: usize = 1 << 12;

/// Sums the squares over the taps, in one pass over the weight.
///
/// # Shapes
/// weight `[O, I, kh, kw]` → `[O, I]`
///
/// # Errors
/// When the weight has other axes.
pub(crate) fn energy(weight: &Dual) -> Result<Dual> {
    let value = weight.value().contiguous()?.apply_op1(Energy)?;
    match weight.tangent() {
        Some(tangent) => {
            let products = weight.value().mul(tangent)?.flatten_from(2)?;
            Dual::with_tangent(value, products.sum(2)?.affine(2.0, 0.0)?)
        }
        None => Ok(value.into()),
    }
}

/// w → Σ w² over the last two axes
struct Energy;

impl CustomOp1 for Energy {
    fn name(&self) -> &'static str {
        "energy of kernels"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (outputs, inputs, kh, kw) = layout.shape().dims4()?;
        let storage = match storage {
            CpuStorage::F32(_) => {
                let weight = elements::<f32>(storage, layout)?;
                CpuStorage::F32(timed(self.name(), 0, || sums_of_squares(weight, kh * kw)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(sums_of_squares(elements::<f64>(storage, layout)?, kh * kw)),
            _ => candle_core::bail!("the energy of kernels needs single or double precision"),
        };
        Ok((storage, (outputs, inputs).into()))
    }

    fn bwd(&self, weight: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        if weight.dtype() == DType::F32 && !graph_of_gradients_is_kept() {
            return hand_over(weight, weight.apply_op2_no_bwd(&gradient.contiguous()?, &Slope)?);
        }
        let (outputs, inputs, _, _) = weight.dims4()?;
        let factor = gradient.affine(2.0, 0.0)?.reshape((outputs, inputs, 1, 1))?;
        Ok(Some(weight.broadcast_mul(&factor)?))
    }
}

/// (w, gradient) → 2 w · gradient, which has one number for each kernel
struct Slope;

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "energy of kernels, backwards"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        of_gradient: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_outputs, _inputs, kh, kw) = layout.shape().dims4()?;
        let (weight, gradient) = (elements::<f32>(weight, layout)?, elements::<f32>(gradient, of_gradient)?);
        let fill = |to: Pointer| {
            let kernels = weight.par_chunks(KERNELS_PER_TASK * kh * kw).zip(gradient.par_chunks(KERNELS_PER_TASK));
            kernels.enumerate().for_each(|(task, (weight, gradient))| {
                // SAFETY: this task's part of as many numbers as there are weights.
                let to =
                    unsafe { std::slice::from_raw_parts_mut(to.at(task * KERNELS_PER_TASK * kh * kw), weight.len()) };
                match kh * kw {
                    9 => doubled::<9>(weight, gradient, to),
                    taps => doubled_by(weight, gradient, (to, taps)),
                }
            });
        };
        // SAFETY: one number for each weight.
        let numbers = timed(self.name(), 0, || unsafe { written(weight.len(), fill) });
        Ok((CpuStorage::F32(numbers), layout.shape().clone()))
    }
}

/// 2 w · gradient; the number of taps is known, so that they are multiplied together.
fn doubled<const TAPS: usize>(weight: &[f32], gradient: &[f32], to: &mut [f32]) {
    let kernels = to.as_chunks_mut::<TAPS>().0.iter_mut().zip(weight.as_chunks::<TAPS>().0);
    for ((to, kernel), &gradient) in kernels.zip(gradient) {
        *to = kernel.map(|tap| 2.0 * gradient * tap);
    }
}

/// As [`doubled`].
fn doubled_by(weight: &[f32], gradient: &[f32], (to, taps): (&mut [f32], usize)) {
    for ((to, kernel), gradient) in to.chunks_exact_mut(taps).zip(weight.chunks_exact(taps)).zip(gradient) {
        to.iter_mut().zip(kernel).for_each(|(to, tap)| *to = 2.0 * gradient * tap);
    }
}

fn sums_of_squares<T: Real>(weight: &[T], taps: usize) -> Vec<T> {
    let sum = |kernel: &[T]| kernel.iter().fold(T::zero(), |sum, &tap| sum + tap * tap);
    weight.par_chunks_exact(taps).with_min_len(KERNELS_PER_TASK).map(sum).collect()
}
