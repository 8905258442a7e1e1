//! Carrying out what was drawn, on images with or without a derivative.

use candle_core::{Device, Tensor};

use super::chain::{Chains, Stage};
use super::filter_bank::{BANDS, REACH, kernel};
use super::matrix::Matrix;
use super::reflect::Reflect;
use super::{colour, geometry};
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::upfirdn2d::Resampler;
use crate::ops::{Filter, FilterForm, FilterSetup, Normalization, Orientation, Resample};

/// What happens to each image of one batch; `None` where a set has no transformation of the kind.
#[derive(Clone, Debug)]
pub struct Augmentation {
    /// Maps from the transformed image to the given one, in pixels from the centre.
    pub geometry: Option<Vec<Matrix<3>>>,
    /// Maps of homogeneous RGB colours.
    pub colours: Option<Vec<Matrix<4>>>,
    /// Gains of the four frequency bands, the lowest first.
    pub bands: Option<Vec<[f64; BANDS]>>,
    /// Noise on the pixels.
    pub noise: Option<Noise>,
    /// Squares that are set to zero.
    pub cutout: Option<Vec<Cutout>>,
}

/// Gaussian noise on the pixels.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Standard deviation for each image.
    pub sigmas: Vec<f64>,
    /// Noise of standard deviation 1, `[N, C, H, W]`.
    pub pixels: Tensor,
}

/// A rectangle that is set to zero, in shares of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cutout {
    /// Its width and height; 0 cuts nothing out.
    pub side: f64,
    /// Its centre, x and y.
    pub centre: (f64, f64),
}

impl Augmentation {
    /// Transforms a batch. All but the noise, which is added, is linear or affine in the images.
    ///
    /// # Shapes
    /// images `[N, C, H, W]` → the same
    ///
    /// # Errors
    /// [`Error::Value`] when the batch is not of the size that it was drawn for.
    pub fn apply(&self, images: &Dual) -> Result<Dual> {
        let (n, _c, h, w) = images.dims4()?;
        let mut images = images.clone();
        if let Some(maps) = &self.geometry {
            let chains = geometry::plan(drawn_for(maps, n)?, (h, w))?;
            images = images.linear(|x| chains.clone().apply(x))?;
        }
        if let Some(maps) = &self.colours {
            images = colour::apply(&images, drawn_for(maps, n)?)?;
        }
        if let Some(gains) = &self.bands {
            let chains = filters(drawn_for(gains, n)?, (h, w))?;
            images = images.linear(|x| chains.clone().apply(x))?;
        }
        if let Some(noise) = &self.noise {
            let sigmas = for_each_image(drawn_for(&noise.sigmas, n)?.to_vec(), &noise.pixels)?;
            let noise = noise.pixels.broadcast_mul(&sigmas)?.to_dtype(images.value().dtype())?;
            images = images.add(&noise.into())?;
        }
        if let Some(squares) = &self.cutout {
            let mask = mask(drawn_for(squares, n)?, (h, w))?.to_dtype(images.value().dtype())?;
            images = images.linear(|x| x.broadcast_mul(&mask))?;
        }
        Ok(images)
    }
}

/// Checks that there is one for each image.
fn drawn_for<T>(drawn: &[T], n: usize) -> Result<&[T]> {
    if drawn.len() == n {
        return Ok(drawn);
    }
    Err(Error::value("batch to be augmented", n, format!("{} images, as drawn", drawn.len())))
}

/// One number for each image, `[N, 1, 1, 1]`, of the type of `like`.
fn for_each_image(numbers: Vec<f64>, like: &Tensor) -> Result<Tensor> {
    let n = numbers.len();
    Ok(Tensor::from_vec(numbers, (n, 1, 1, 1), &Device::Cpu)?.to_dtype(like.dtype())?)
}

/// Filters that multiply the frequency bands, over images that are mirrored at their edges.
fn filters(gains: &[[f64; BANDS]], size: (usize, usize)) -> Result<Chains> {
    let setup =
        FilterSetup { normalization: Normalization::Raw, form: FilterForm::Separable, ..FilterSetup::default() };
    let spec = Resample { orientation: Orientation::Correlation, ..Resample::default() };
    let stages = |gains: &[f64; BANDS]| {
        if gains.iter().all(|&gain| gain == 1.0) {
            return Ok(Vec::new());
        }
        let reflect = Reflect::new(size, [REACH; 4]);
        let filter = Filter::from_1d(&kernel(gains), &setup)?;
        let resampler = Resampler::for_size(reflect.size(), &filter, &spec)?;
        Ok(vec![Stage::Reflect(reflect), Stage::Resample(Box::new(resampler))])
    };
    Ok(Chains::new(gains.iter().map(stages).collect::<Result<_>>()?))
}

/// Zeros in the squares and ones elsewhere, `[N, 1, H, W]`.
fn mask(squares: &[Cutout], (h, w): (usize, usize)) -> Result<Tensor> {
    let outside =
        |i: usize, len: usize, centre: f64, side: f64| ((i as f64 + 0.5) / len as f64 - centre).abs() >= side / 2.0;
    let mut numbers = Vec::with_capacity(squares.len() * h * w);
    for Cutout { side, centre: (cx, cy) } in squares {
        for y in 0..h {
            let above_or_below = outside(y, h, *cy, *side);
            numbers.extend((0..w).map(|x| f32::from(above_or_below || outside(x, w, *cx, *side))));
        }
    }
    Ok(Tensor::from_vec(numbers, (squares.len(), 1, h, w), &Device::Cpu)?)
}
