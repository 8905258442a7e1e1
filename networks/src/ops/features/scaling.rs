//! Factors of channels, and sums.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result as CandleResult, Shape, Tensor};
use rayon::prelude::*;

use super::numbers::{cut_off, filled_up, numbers_of, result, slice, tensor};
use super::{shape, sizes};
use crate::ops::blocked::channelwise::{dot, scaled};
use crate::timing::timed;

/// (x, factors `[N, C]`) → x · factors
pub(super) struct Scale;

/// (terms, x, factors `[N, C]`) → terms + x · factors
pub(super) struct AddScaled;

/// (a, b) → a + b
pub(super) struct Sum;

/// x · factors' + x' · factors, the tangent of a scaling, where either tangent may be missing.
pub(super) fn tangent_of_scaling(
    (x, of_x): (&Tensor, Option<&Tensor>),
    (factors, of_factors): (&Tensor, Option<&Tensor>),
) -> CandleResult<Option<Tensor>> {
    let scaled = of_x.map(|of_x| of_x.apply_op2(factors, Scale)).transpose()?;
    match (scaled, of_factors) {
        (Some(scaled), Some(of_factors)) => Ok(Some(scaled.apply_op3(x, of_factors, AddScaled)?)),
        (None, Some(of_factors)) => Ok(Some(x.apply_op2(of_factors, Scale)?)),
        (scaled, None) => Ok(scaled),
    }
}

/// Gradients of x · factors by x and factors, those that are followed.
pub(super) fn gradients(
    x: &Tensor,
    factors: &Tensor,
    gradient: &Tensor,
) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
    let (sizes, channels) = (sizes(x.dims()).map_err(candle_core::Error::wrap)?, factors.dim(1)?);
    let of_x = x.track_op().then(|| gradient.apply_op2(&factors.detach(), Scale)).transpose()?;
    let of_factors = factors.track_op().then(|| {
        let sums =
            timed("scaling", 0, || Ok::<_, candle_core::Error>(dot(&numbers_of(x)?, &numbers_of(gradient)?, sizes)))?;
        tensor(cut_off(&sums, channels), factors.shape())
    });
    Ok((of_x, of_factors.transpose()?))
}

fn compute(
    terms: Option<&[f32]>,
    (x, layout): (&[f32], &Layout),
    (factors, factor_layout): (&[f32], &Layout),
) -> CandleResult<(CpuStorage, Shape)> {
    let sizes = sizes(layout.dims()).map_err(candle_core::Error::wrap)?;
    let factors = filled_up(factors, factor_layout.dims()[1]);
    Ok(result(timed("scaling", 0, || scaled(terms, x, &factors, sizes)), &shape(sizes)))
}

impl CustomOp2 for Scale {
    fn name(&self) -> &'static str {
        "scaling"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        compute(None, (slice(s1, l1)?, l1), (slice(s2, l2)?, l2))
    }

    fn bwd(
        &self,
        x: &Tensor,
        factors: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        gradients(x, factors, &gradient.contiguous()?)
    }
}

impl CustomOp3 for AddScaled {
    fn name(&self) -> &'static str {
        "scaling"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        compute(Some(slice(s1, l1)?), (slice(s2, l2)?, l2), (slice(s3, l3)?, l3))
    }

    fn bwd(
        &self,
        terms: &Tensor,
        x: &Tensor,
        factors: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (of_x, of_factors) = gradients(x, factors, &gradient)?;
        Ok((terms.track_op().then_some(gradient), of_x, of_factors))
    }
}

/// Numbers that make a task.
const NUMBERS_PER_TASK: usize = 1 << 14;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (a, b) = (slice(s1, l1)?, slice(s2, l2)?);
        if l1.dims() != l2.dims() {
            candle_core::bail!("features of shape {:?} and {:?} cannot be added", l1.dims(), l2.dims());
        }
        let sums =
            timed(self.name(), 0, || a.par_iter().zip(b).with_min_len(NUMBERS_PER_TASK).map(|(a, b)| a + b).collect());
        Ok(result(sums, l1.shape()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        Ok((a.track_op().then(|| gradient.clone()), b.track_op().then(|| gradient.clone())))
    }
}
