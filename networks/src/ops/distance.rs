//! What the distance of features consists of: vectors of length 1, and the sum of squared differences, each in one pass.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

use crate::error::Result;
use crate::ops::expect_shape;
use crate::ops::real::{Real, Shared, elements};
use crate::timing::timed;

/// Keeps the gradient finite where a vector is zero.
pub(super) const EPSILON: f64 = 1e-8;
/// Pixels of a task, and numbers that are summed at a time.
const PART: usize = 1 << 10;

/// Divides the vector at each pixel by its length and multiplies each channel with a constant.
///
/// # Shapes
/// maps `[N, C, H, W]`, constants `[C]` → as maps
///
/// # Errors
/// When they do not fit.
pub(crate) fn of_length_one(maps: &Tensor, constants: &Tensor) -> Result<Tensor> {
    let (_n, channels, _h, _w) = maps.dims4()?;
    expect_shape("constants", constants, &[channels])?;
    let constants = constants.to_dtype(DType::F64)?.to_vec1()?;
    Ok(maps.contiguous()?.apply_op1(LengthOne { constants })?)
}

/// Sum of the squared differences of two batches of vectors.
///
/// # Shapes
/// a, b `[N, F]` → `[N]`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) when they differ in shape.
pub(crate) fn squared_distance(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.dims2()?;
    expect_shape("features", b, a.dims())?;
    Ok(a.contiguous()?.apply_op2(&b.contiguous()?, SquaredDistance)?)
}

struct LengthOne {
    constants: Vec<f64>,
}

impl CustomOp1 for LengthOne {
    fn name(&self) -> &'static str {
        "vectors of length 1"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, _, h, w) = layout.shape().dims4()?;
        let divided = |_, length| (length, 0.0);
        let result = match storage {
            CpuStorage::F32(_) => {
                let x = elements(storage, layout)?;
                CpuStorage::F32(timed(self.name(), 0, || shortened::<f32>(x, (x, &self.constants), h * w, divided)))
            }
            CpuStorage::F64(_) => {
                let x = elements(storage, layout)?;
                CpuStorage::F64(shortened::<f64>(x, (x, &self.constants), h * w, divided))
            }
            _ => candle_core::bail!("{} need single or double precision", self.name()),
        };
        Ok((result, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(x.contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, &LengthOneGradient { of: self })?))
    }
}

struct LengthOneGradient<'a> {
    of: &'a LengthOne,
}

impl CustomOp2 for LengthOneGradient<'_> {
    fn name(&self) -> &'static str {
        "gradient of vectors of length 1"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, _, h, w) = l1.shape().dims4()?;
        let constants = &self.of.constants;
        // The part along the vector does not count: g / |x| − x (x · g) / |x|³.
        let factors = |dot: f64, length: f64| (length, -dot / (length * length * length));
        let result = match s1 {
            CpuStorage::F32(_) => {
                let (x, gradient) = (elements(s1, l1)?, elements(s2, l2)?);
                CpuStorage::F32(timed(self.name(), 0, || shortened::<f32>(x, (gradient, constants), h * w, factors)))
            }
            CpuStorage::F64(_) => {
                CpuStorage::F64(shortened::<f64>(elements(s1, l1)?, (elements(s2, l2)?, constants), h * w, factors))
            }
            _ => candle_core::bail!("{} needs single or double precision", self.name()),
        };
        Ok((result, l1.shape().clone()))
    }
}

/// y' / divisor + x · factor at each pixel, where both follow from x · y' and the length of x; y' is y times the constants.
fn shortened<T: Real>(
    x: &[T],
    (y, constants): (&[T], &[f64]),
    area: usize,
    factors: impl Fn(f64, f64) -> (f64, f64) + Sync,
) -> Vec<T> {
    let (channels, mut result) = (constants.len(), Vec::with_capacity(x.len()));
    let to = Shared::new(&mut result.spare_capacity_mut()[..x.len()]);
    let parts = area.div_ceil(PART).max(1);
    let images = x.len() / (channels * area).max(1);
    (0..images * parts).into_par_iter().for_each(|task| {
        let (image, first) = (task / parts * channels * area, task % parts * PART);
        let pixels = PART.min(area - first);
        let rows = || {
            let row = |(channel, &constant): (usize, &f64)| (image + channel * area + first, T::from_f64(constant));
            constants.iter().enumerate().map(row)
        };
        let (mut squares, mut dots) = ([T::zero(); PART], [T::zero(); PART]);
        for (row, constant) in rows() {
            for (i, (&x, &y)) in x[row..][..pixels].iter().zip(&y[row..][..pixels]).enumerate() {
                squares[i] += x * x;
                dots[i] += x * (y * constant);
            }
        }
        for (square, dot) in squares.iter_mut().zip(&mut dots) {
            let (divisor, factor) = factors(dot.to_f64(), (square.to_f64() + EPSILON).sqrt());
            (*square, *dot) = (T::from_f64(1.0 / divisor), T::from_f64(factor));
        }
        for (row, constant) in rows() {
            // SAFETY: this task's pixels of a channel.
            let to = unsafe { to.slice(row, pixels) };
            let numbers = x[row..][..pixels].iter().zip(&y[row..][..pixels]);
            for ((to, (&x, &y)), (&scale, &factor)) in to.iter_mut().zip(numbers).zip(squares.iter().zip(&dots)) {
                to.write(y * constant * scale + x * factor);
            }
        }
    });
    // SAFETY: the parts of all images, channels and pixels were written.
    unsafe { result.set_len(x.len()) };
    result
}

struct SquaredDistance;

impl CustomOp2 for SquaredDistance {
    fn name(&self) -> &'static str {
        "squared distance"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (n, features) = l1.shape().dims2()?;
        let result = match s1 {
            CpuStorage::F32(_) => {
                let (a, b) = (elements::<f32>(s1, l1)?, elements(s2, l2)?);
                CpuStorage::F32(timed(self.name(), 0, || distances(a, b, features)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(distances::<f64>(elements(s1, l1)?, elements(s2, l2)?, features)),
            _ => candle_core::bail!("a {} needs single or double precision", self.name()),
        };
        Ok((result, n.into()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let of_a = (a - b)?.broadcast_mul(&gradient.affine(2.0, 0.0)?.unsqueeze(1)?)?;
        let of_b = b.track_op().then(|| of_a.neg()).transpose()?;
        Ok((Some(of_a), of_b))
    }
}

/// Parts are summed in the order in which they lie, whatever thread has them.
fn distances<T: Real>(a: &[T], b: &[T], features: usize) -> Vec<T> {
    const LANES: usize = 16;
    let part = |(a, b): (&[T], &[T])| {
        let mut lanes = [T::zero(); LANES];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += (a - b) * (a - b);
            }
        }
        lanes.iter().map(|lane| lane.to_f64()).sum::<f64>()
    };
    let rows = a.chunks(features.max(1)).zip(b.chunks(features.max(1)));
    let row = |(a, b): (&[T], &[T])| {
        let parts: Vec<f64> = a.par_chunks(PART).zip(b.par_chunks(PART)).map(part).collect();
        T::from_f64(parts.iter().sum())
    };
    rows.map(row).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::draws::Draws;
    use crate::random::RandomState;

    fn largest(tensor: &Tensor) -> f64 {
        tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    fn gradient(y: &Tensor, direction: &Tensor, x: &Var) -> Tensor {
        let gradients = (y * direction).unwrap().sum_all().unwrap().backward().unwrap();
        gradients.get(x.as_tensor()).unwrap().clone()
    }

    #[test]
    fn vectors_of_length_one_and_their_gradient_are_those_of_plain_operations() {
        let rng = &mut RandomState::new(6);
        for shape in [[2, 5, 3, 7], [1, 3, 40, 30], [3, 1, 1, 1]] {
            let mut draw = || rng.normal(&shape).unwrap().to_dtype(DType::F64).unwrap();
            let (x, direction) = (Var::from_tensor(&draw()).unwrap(), draw());
            let length = ((x.sqr().unwrap().sum_keepdim(1).unwrap() + EPSILON).unwrap()).sqrt().unwrap();
            let constants = Tensor::arange(1.0, shape[1] as f64 + 1.0, &Device::Cpu).unwrap();
            let plain = x.broadcast_div(&length).unwrap();
            let plain = plain.broadcast_mul(&constants.reshape((1, (), 1, 1)).unwrap()).unwrap();
            let fast = of_length_one(x.as_tensor(), &constants).unwrap();
            assert!(largest(&(&fast - &plain).unwrap()) < 1e-12);
            let off = (gradient(&fast, &direction, &x) - gradient(&plain, &direction, &x)).unwrap();
            assert!(largest(&off) < 1e-9, "{shape:?}: {}", largest(&off));
        }
    }

    #[test]
    fn squared_distances_and_their_gradients_are_those_of_plain_operations() {
        let rng = &mut RandomState::new(7);
        for shape in [[1, 1], [2, 1500], [3, 33]] {
            let mut draw = || Var::from_tensor(&rng.normal(&shape).unwrap().to_dtype(DType::F64).unwrap()).unwrap();
            let (a, b) = (draw(), draw());
            let direction = Tensor::arange(1.0, shape[0] as f64 + 1.0, &Device::Cpu).unwrap();
            let plain = (a.as_tensor() - b.as_tensor()).unwrap().sqr().unwrap().sum(1).unwrap();
            let fast = squared_distance(a.as_tensor(), b.as_tensor()).unwrap();
            assert!(largest(&(&fast - &plain).unwrap()) < 1e-9);
            for of in [&a, &b] {
                let off = (gradient(&fast, &direction, of) - gradient(&plain, &direction, of)).unwrap();
                assert!(largest(&off) < 1e-12);
            }
        }
    }
}
