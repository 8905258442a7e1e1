//! The sum of squares of each kernel of a convolution, which demodulation needs at every call.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::grad::Dual;
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
        let (outputs, inputs, _, _) = weight.dims4()?;
        let factor = gradient.affine(2.0, 0.0)?.reshape((outputs, inputs, 1, 1))?;
        Ok(Some(weight.broadcast_mul(&factor)?))
    }
}

fn sums_of_squares<T: Real>(weight: &[T], taps: usize) -> Vec<T> {
    let sum = |kernel: &[T]| kernel.iter().fold(T::zero(), |sum, &tap| sum + tap * tap);
    weight.par_chunks_exact(taps).with_min_len(KERNELS_PER_TASK).map(sum).collect()
}
