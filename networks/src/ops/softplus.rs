//! log(1 + eˣ) and its derivative, safe for every x and exact where they are tiny.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

use crate::ops::real::{Real, elements};

/// max(x, 0) + log1p(e^-|x|), which neither overflows nor loses digits; candle has no log1p.
pub(crate) fn softplus(x: &Tensor) -> candle_core::Result<Tensor> {
    x.contiguous()?.apply_op1(Softplus)
}

/// 1 / (1 + e⁻ˣ), written with e^-|x| for the same reason.
pub(crate) fn sigmoid(x: &Tensor) -> candle_core::Result<Tensor> {
    let positive = x.ge(0.0)?.to_dtype(x.dtype())?;
    let small = x.abs()?.neg()?.exp()?;
    let numerator = (&positive + positive.affine(-1.0, 1.0)?.mul(&small)?)?;
    numerator.div(&small.affine(1.0, 1.0)?)
}

struct Softplus;

impl CustomOp1 for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match storage {
            CpuStorage::F32(_) => CpuStorage::F32(elements(storage, layout)?.iter().map(value::<f32>).collect()),
            CpuStorage::F64(_) => CpuStorage::F64(elements(storage, layout)?.iter().map(value::<f64>).collect()),
            _ => candle_core::bail!("softplus needs single or double precision"),
        };
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(gradient.mul(&sigmoid(x)?)?))
    }
}

fn value<T: Real>(x: &T) -> T {
    let x = x.to_f64();
    T::from_f64(x.max(0.0) + (-x.abs()).exp().ln_1p())
}
