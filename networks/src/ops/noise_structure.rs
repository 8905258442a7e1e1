//! Structure in noise images, and what brings them back to mean 0 and mean square 1 (Karras et al. 2020, "Analyzing and
//! Improving the Image Quality of StyleGAN", appendix D).

use candle_core::{CpuStorage, CustomOp1, DType, InplaceOp1, Layout, Result as CandleResult, Shape, Tensor};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::ops::real::{Real, elements};
use crate::timing::timed;

/// Side of the coarsest images that are looked at.
const COARSEST_PX: usize = 8;

/// How much each pixel tells about its neighbour, edges joined, over all scales down to 8 px: the sum of the squared mean
/// products of neighbours along each axis.
///
/// # Shapes
/// images `[N, 1, R, R]`, R a power of two → `[N]`
///
/// # Errors
/// [`Error::Value`] for other images.
pub(crate) fn noise_structure(images: &Tensor) -> Result<Tensor> {
    let (_, one, h, w) = images.dims4()?;
    if one != 1 || h != w || !h.is_power_of_two() || h < 2 {
        let expected = "one channel, as high as wide, a power of two from 2";
        return Err(Error::value("noise image", format!("{:?}", images.dims()), expected));
    }
    Ok(images.contiguous()?.apply_op1(Structure)?)
}

struct Structure;

/// An image at one scale.
struct Scale<T> {
    side: usize,
    pixels: Vec<T>,
    /// Mean products of neighbours along x and y.
    means: [f64; 2],
}

impl<T: Real> Scale<T> {
    fn new(side: usize, pixels: Vec<T>) -> Self {
        let row = |y: usize| &pixels[y * side..][..side];
        let (mut beside, mut above) = (0.0, 0.0);
        for y in 0..side {
            let (row, upper) = (row(y), row((y + side - 1) % side));
            beside += (row[0] * row[side - 1] + dot(&row[1..], &row[..side - 1])).to_f64();
            above += dot(row, upper).to_f64();
        }
        Scale { means: [beside, above].map(|sum| sum / (side * side) as f64), side, pixels }
    }

    /// The image in half the size.
    fn halved(&self) -> Self {
        let (side, half, quarter) = (self.side, self.side / 2, T::from_f64(0.25));
        let mut pixels = vec![T::zero(); half * half];
        for (to, rows) in pixels.chunks_exact_mut(half).zip(self.pixels.chunks_exact(2 * side)) {
            let (above, below) = rows.split_at(side);
            for ((to, above), below) in to.iter_mut().zip(above.chunks_exact(2)).zip(below.chunks_exact(2)) {
                *to = (above[0] + above[1] + below[0] + below[1]) * quarter;
            }
        }
        Scale::new(half, pixels)
    }

    /// All scales of an image, the finest first.
    fn all(side: usize, pixels: &[T]) -> Vec<Self> {
        let mut scales = vec![Scale::new(side, pixels.to_vec())];
        while let Some(last) = scales.last()
            && last.side > COARSEST_PX
        {
            scales.push(last.halved());
        }
        scales
    }

    /// The gradient of the structure by this scale's pixels; `coarse` is that by the next scale's.
    fn gradient(&self, factor: f64, coarse: Option<Vec<T>>) -> Vec<T> {
        let (side, area) = (self.side, (self.side * self.side) as f64);
        let [beside, above] = self.means.map(|mean| T::from_f64(factor * 2.0 * mean / area));
        let row = |y: usize| &self.pixels[y % side * side..][..side];
        let quarter = T::from_f64(0.25);
        let mut gradient = vec![T::zero(); side * side];
        for (y, to) in gradient.chunks_exact_mut(side).enumerate() {
            let (row, up, down) = (row(y), row(y + side - 1), row(y + 1));
            for ((to, &up), &down) in to.iter_mut().zip(up).zip(down) {
                *to = (up + down) * above;
            }
            to[0] += (row[side - 1] + row[1]) * beside;
            to[side - 1] += (row[side - 2] + row[0]) * beside;
            for ((to, &left), &right) in to[1..side - 1].iter_mut().zip(row).zip(&row[2..]) {
                *to += (left + right) * beside;
            }
            if let Some(coarse) = &coarse {
                let coarse = &coarse[y / 2 * (side / 2)..][..side / 2];
                for (to, &coarse) in to.chunks_exact_mut(2).zip(coarse) {
                    let share = coarse * quarter;
                    to[0] += share;
                    to[1] += share;
                }
            }
        }
        gradient
    }
}

/// Sum of products.
fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    const LANES: usize = 16;
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    T::from_f64(lanes.iter().map(|lane| lane.to_f64()).sum())
}

fn structures<T: Real>(images: &[T], side: usize) -> Vec<T> {
    let structure = |image: &[T]| {
        let means = Scale::all(side, image).into_iter().flat_map(|scale| scale.means);
        T::from_f64(means.map(|mean| mean * mean).sum())
    };
    images.chunks_exact(side * side).map(structure).collect()
}

fn gradients<T: Real>(images: &[T], side: usize, factors: &[f64]) -> Vec<T> {
    let gradient = |(image, &factor): (&[T], &f64)| {
        let scales = Scale::all(side, image);
        scales.iter().rev().fold(None, |coarse, scale| Some(scale.gradient(factor, coarse))).unwrap_or_default()
    };
    images.chunks_exact(side * side).zip(factors).flat_map(gradient).collect()
}

impl CustomOp1 for Structure {
    fn name(&self) -> &'static str {
        "structure of noise"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (n, _, side, _) = layout.shape().dims4()?;
        let result = match storage {
            CpuStorage::F32(_) => {
                let images = elements(storage, layout)?;
                CpuStorage::F32(timed(self.name(), 0, || structures(images, side)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(structures(elements(storage, layout)?, side)),
            _ => candle_core::bail!("the {} needs single or double precision", self.name()),
        };
        Ok((result, n.into()))
    }

    fn bwd(&self, images: &Tensor, _: &Tensor, gradient: &Tensor) -> CandleResult<Option<Tensor>> {
        let factors = gradient.to_dtype(DType::F64)?.to_vec1()?;
        images.apply_op1_no_bwd(&OfStructure { factors }).map(Some)
    }
}

/// images → gradient of their structures times factors
struct OfStructure {
    factors: Vec<f64>,
}

impl CustomOp1 for OfStructure {
    fn name(&self) -> &'static str {
        "gradient of structure of noise"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let side = layout.shape().dims4()?.2;
        let result = match storage {
            CpuStorage::F32(_) => {
                let images = elements(storage, layout)?;
                CpuStorage::F32(timed(self.name(), 0, || gradients(images, side, &self.factors)))
            }
            CpuStorage::F64(_) => CpuStorage::F64(gradients(elements(storage, layout)?, side, &self.factors)),
            _ => candle_core::bail!("the {} needs single or double precision", self.name()),
        };
        Ok((result, layout.shape().clone()))
    }
}

/// Brings each image of `[N, 1, R, R]`, in single precision, to mean 0 and mean square 1.
pub(crate) struct Normalise;

impl InplaceOp1 for Normalise {
    fn name(&self) -> &'static str {
        "normalising noise"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> CandleResult<()> {
        let (_, _, h, w) = layout.shape().dims4()?;
        let (Some((start, end)), CpuStorage::F32(numbers)) = (layout.contiguous_offsets(), storage) else {
            candle_core::bail!("{} needs contiguous tensors in single precision", self.name());
        };
        let images = &mut numbers[start..end];
        timed(self.name(), 0, || images.par_chunks_exact_mut((h * w).max(1)).for_each(normalise));
        Ok(())
    }
}

fn normalise(image: &mut [f32]) {
    let count = image.len() as f64;
    let ones = [1.0; 1 << 8];
    let sum: f64 = image.chunks(ones.len()).map(|part| f64::from(dot(part, &ones))).sum();
    let mean = (sum / count) as f32;
    image.iter_mut().for_each(|number| *number -= mean);
    let squares: f64 = image.chunks(ones.len()).map(|part| f64::from(dot(part, part))).sum();
    let root = (squares / count).sqrt() as f32;
    image.iter_mut().for_each(|number| *number /= root);
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::draws::Draws;
    use crate::perceptual::scale::averaged;
    use crate::random::RandomState;

    /// By plain operations.
    fn plain(images: &Tensor) -> Tensor {
        let mut sum = Tensor::zeros(images.dim(0).unwrap(), DType::F64, &Device::Cpu).unwrap();
        let mut image = images.clone();
        loop {
            for axis in [3, 2] {
                let neighbours = (&image * image.roll(1, axis).unwrap()).unwrap();
                sum = (sum + neighbours.flatten_from(1).unwrap().mean(1).unwrap().sqr().unwrap()).unwrap();
            }
            if image.dim(2).unwrap() <= COARSEST_PX {
                return sum;
            }
            image = averaged(&image, 2).unwrap();
        }
    }

    #[test]
    fn structure_and_its_gradient_are_those_of_plain_operations() {
        let rng = &mut RandomState::new(11);
        for (n, side) in [(1, 4), (2, 8), (3, 16), (1, 128)] {
            let images: Tensor = rng.normal(&[n, 1, side, side]).unwrap();
            let images = Var::from_tensor(&(images.to_dtype(DType::F64).unwrap() + 0.3).unwrap()).unwrap();
            let (found, expected) = (noise_structure(images.as_tensor()).unwrap(), plain(images.as_tensor()));
            let factors = Tensor::arange(1.0, n as f64 + 1.0, &Device::Cpu).unwrap();
            let gradient = |y: &Tensor| {
                let gradients = (y * &factors).unwrap().sum_all().unwrap().backward().unwrap();
                gradients.get(images.as_tensor()).unwrap().clone()
            };
            for (found, expected) in [(gradient(&found), gradient(&expected)), (found, expected)] {
                let off = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(off < 1e-10, "{n} of {side} px: {off}");
            }
            let single = noise_structure(&images.to_dtype(DType::F32).unwrap()).unwrap();
            let off = (single.to_dtype(DType::F64).unwrap() - plain(images.as_tensor())).unwrap();
            assert!(off.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-5);
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        for shape in [[1, 2, 8, 8], [1, 1, 8, 16], [1, 1, 12, 12]] {
            assert!(noise_structure(&Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap()).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn noise_is_brought_to_mean_zero_and_mean_square_one() {
        let images: Tensor = RandomState::new(14).normal(&[3, 1, 32, 32]).unwrap();
        let images = images.affine(2.5, 4.0).unwrap();
        images.inplace_op1(&Normalise).unwrap();
        let flat = images.to_dtype(DType::F64).unwrap().flatten_from(1).unwrap();
        for (mean, square) in flat
            .mean(1)
            .unwrap()
            .to_vec1::<f64>()
            .unwrap()
            .into_iter()
            .zip(flat.sqr().unwrap().mean(1).unwrap().to_vec1::<f64>().unwrap())
        {
            assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6, "{mean}, {square}");
        }
    }
}
