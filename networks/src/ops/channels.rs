//! A factor for each channel of each image, and a term for each pixel: what modulation, demodulation and noise consist of.
//!
//! Each is one pass over the feature maps, forwards and backwards. Scaling and the sum of products by channel are each
//! other's derivatives, so gradients of every order exist.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::expect_shape;
use crate::ops::real::{Real, elements};
use crate::timing::timed;

/// Partial sums that are kept at a time, so that sums stay in registers and roundings few.
const LANES: usize = 16;

/// Multiplies each channel of each image with a factor.
///
/// # Shapes
/// x `[N, C, H, W]`, factors `[N, C]` → `[N, C, H, W]`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) when the factors do not fit.
pub(crate) fn scale_channels(x: &Dual, factors: &Dual) -> Result<Dual> {
    let (n, c, _, _) = x.dims4()?;
    expect_shape("factors", factors.value(), &[n, c])?;
    x.bilinear(factors, |x, factors| Kind::Scale.apply(x, factors))
}

/// Adds the same plane to each channel.
///
/// # Shapes
/// x `[N, C, H, W]`, plane `[N or 1, 1, H, W]` → `[N, C, H, W]`
///
/// # Errors
/// When the plane does not fit.
pub(crate) fn add_plane(x: &Dual, plane: &Dual) -> Result<Dual> {
    let (n, _, h, w) = x.dims4()?;
    if plane.dims() != [n, 1, h, w] && plane.dims() != [1, 1, h, w] {
        return x.add(plane);
    }
    let value = x.value().contiguous()?.apply_op2(&plane.value().contiguous()?, AddPlane)?;
    let of_plane = plane.tangent().map(|tangent| tangent.broadcast_as(x.dims())).transpose()?;
    match (x.tangent(), of_plane) {
        (Some(of_x), Some(of_plane)) => Dual::with_tangent(value, (of_x + of_plane)?),
        (Some(tangent), None) => Dual::with_tangent(value, tangent.clone()),
        (None, Some(tangent)) => Dual::with_tangent(value, tangent),
        (None, None) => Ok(value.into()),
    }
}

/// The two operators of scaling.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// (x, factors) → x · factors
    Scale,
    /// (x, y) → Σ x · y over the pixels, `[N, C]`
    Dot,
}

impl Kind {
    fn apply(self, first: &Tensor, second: &Tensor) -> candle_core::Result<Tensor> {
        first.contiguous()?.apply_op2(&second.contiguous()?, self)
    }

    fn compute<T: Real>(self, area: usize, first: &[T], second: &[T]) -> Vec<T> {
        match self {
            Kind::Scale => {
                let mut result = vec![T::zero(); first.len()];
                let rows = result.par_chunks_exact_mut(area).zip(first.par_chunks_exact(area)).zip(second);
                rows.for_each(|((to, from), &factor)| {
                    to.iter_mut().zip(from).for_each(|(to, &x)| *to = x * factor);
                });
                result
            }
            Kind::Dot => {
                first.par_chunks_exact(area).zip(second.par_chunks_exact(area)).map(|(x, y)| dot(x, y)).collect()
            }
        }
    }
}

fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| x.to_f64() * y.to_f64()).sum();
    for (x, y) in xs.zip(ys) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    T::from_f64(lanes.iter().map(|lane| lane.to_f64()).sum::<f64>() + rest)
}

impl CustomOp2 for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Scale => "scaling by channel",
            Kind::Dot => "sum of products by channel",
        }
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = l1.shape().dims4()?;
        let storage = match s1 {
            CpuStorage::F32(_) => {
                let (first, second) = (elements(s1, l1)?, elements(s2, l2)?);
                CpuStorage::F32(timed(self.name(), 0, || self.compute(h * w, first, second)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(self.compute(h * w, elements(s1, l1)?, elements(s2, l2)?)),
            _ => candle_core::bail!("{} needs single or double precision", self.name()),
        };
        match self {
            Kind::Scale => Ok((storage, l1.shape().clone())),
            Kind::Dot => Ok((storage, (n, c).into())),
        }
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (of_first, of_second) = match self {
            Kind::Scale => ((Kind::Scale, (gradient, second)), (Kind::Dot, (first, gradient))),
            Kind::Dot => ((Kind::Scale, (second, gradient)), (Kind::Scale, (first, gradient))),
        };
        let gradient = |argument: &Tensor, (kind, (a, b)): (Kind, (&Tensor, &Tensor))| {
            argument.track_op().then(|| kind.apply(a, b)).transpose()
        };
        Ok((gradient(first, of_first)?, gradient(second, of_second)?))
    }
}

/// (x, plane) → x + plane
struct AddPlane;

impl CustomOp2 for AddPlane {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, c, _, _) = l1.shape().dims4()?;
        let storage = match s1 {
            CpuStorage::F32(_) => {
                let (x, plane) = (elements(s1, l1)?, elements(s2, l2)?);
                CpuStorage::F32(timed(self.name(), 0, || sum_with_plane(x, plane, (l1, c))))
            }
            CpuStorage::F64(_) => CpuStorage::F64(sum_with_plane(elements::<f64>(s1, l1)?, elements(s2, l2)?, (l1, c))),
            _ => candle_core::bail!("noise needs single or double precision"),
        };
        Ok((storage, l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        plane: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let of_plane = plane.track_op().then(|| {
            let sums = gradient.contiguous()?.apply_op1(PlaneSum)?; // [N, 1, H, W]
            if plane.dim(0)? == 1 { sums.sum_keepdim(0) } else { Ok(sums) }
        });
        Ok((x.track_op().then(|| gradient.clone()), of_plane.transpose()?))
    }
}

fn sum_with_plane<T: Real>(x: &[T], plane: &[T], (layout, channels): (&Layout, usize)) -> Vec<T> {
    let area = layout.shape().elem_count() / (layout.dims()[0] * channels);
    let mut result = vec![T::zero(); x.len()];
    result.par_chunks_exact_mut(area).zip(x.par_chunks_exact(area)).enumerate().for_each(|(row, (to, x))| {
        let plane = &plane[row / channels * area % plane.len()..][..area];
        to.iter_mut().zip(x.iter().zip(plane)).for_each(|(to, (&x, &term))| *to = x + term);
    });
    result
}

/// Sum over the channels, `[N, C, H, W]` → `[N, 1, H, W]`.
struct PlaneSum;

impl CustomOp1 for PlaneSum {
    fn name(&self) -> &'static str {
        "sum over channels"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        let storage = match storage {
            CpuStorage::F32(_) => {
                let x = elements(storage, layout)?;
                CpuStorage::F32(timed(self.name(), 0, || plane_sums(x, (c, h * w))))
            }
            CpuStorage::F64(_) => CpuStorage::F64(plane_sums::<f64>(elements(storage, layout)?, (c, h * w))),
            _ => candle_core::bail!("a {} needs single or double precision", self.name()),
        };
        Ok((storage, (n, 1, h, w).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(gradient.broadcast_as(x.shape())?.contiguous()?))
    }
}

fn plane_sums<T: Real>(x: &[T], (channels, area): (usize, usize)) -> Vec<T> {
    let mut result = vec![T::zero(); x.len() / channels];
    let part = area.min(1 << 10);
    result.par_chunks_exact_mut(area).zip(x.par_chunks_exact(channels * area)).for_each(|(to, x)| {
        to.par_chunks_mut(part).enumerate().for_each(|(i, to)| {
            for plane in x.chunks_exact(area) {
                to.iter_mut().zip(&plane[i * part..]).for_each(|(to, &x)| *to += x);
            }
        });
    });
    result
}
