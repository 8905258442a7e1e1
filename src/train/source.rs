//! Where the images come from. The command line joins a training set to it; tests use made-up images.

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use image::{DynamicImage, GrayImage, RgbImage};
use rayon::prelude::*;

use crate::pixels;
use crate::train::recipes::stylegan2::ImageBatch;
use crate::train::settings::Settings;

/// A training set as training sees it.
pub trait Source: Sync {
    /// What it is called in the name of a run.
    fn name(&self) -> String;

    /// What its images are like.
    fn shape(&self) -> SourceShape;

    /// Bytes `[R, R, C]` of an image.
    ///
    /// # Errors
    /// When it cannot be read; the message names its file.
    fn pixels(&self, index: usize) -> Result<Vec<u8>>;

    /// The label of an image, `c_dim` long; empty without labels.
    fn label(&self, index: usize) -> Vec<f32>;

    /// The endless order in which images are shown, for `seed`.
    fn order(&self, seed: u32) -> Box<dyn Iterator<Item = usize> + '_>;
}

/// What the images of a set are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceShape {
    /// How many there are.
    pub count: usize,
    /// Side in pixels.
    pub resolution: usize,
    /// 1 for gray, 3 for RGB.
    pub channels: usize,
    /// Length of a label; 0 without labels.
    pub c_dim: usize,
}

/// Refuses a set that does not fit the networks.
///
/// # Errors
/// Says what differs first.
pub fn check_fit(source: &dyn Source, settings: &Settings) -> Result<()> {
    let (shape, config) = (source.shape(), &settings.generator);
    let px = config.resolution.px();
    ensure!(shape.count > 0, "the training set has no images");
    ensure!(
        shape.resolution == px,
        "the images of the training set are {0} x {0} px, the networks make {px} x {px} px: build a set with `toonify \
         dataset build --width {px} --height {px}`",
        shape.resolution
    );
    ensure!(
        shape.channels == config.img_channels,
        "the images of the training set have {} channels, the networks {}: see `toonify dataset build --channels`",
        shape.channels,
        config.img_channels
    );
    ensure!(
        shape.c_dim == config.c_dim,
        "the labels of the training set are {} long, those of the networks {}",
        shape.c_dim,
        config.c_dim
    );
    Ok(())
}

/// All labels `[count, c_dim]`, `None` without labels.
///
/// # Errors
/// Only when the device refuses the tensor.
pub fn labels(source: &dyn Source) -> Result<Option<Tensor>> {
    let SourceShape { count, c_dim, .. } = source.shape();
    if c_dim == 0 {
        return Ok(None);
    }
    let numbers: Vec<f32> = (0..count).flat_map(|index| source.label(index)).collect();
    Ok(Some(Tensor::from_vec(numbers, (count, c_dim), &Device::Cpu)?))
}

/// Reads images as one batch, several at a time.
///
/// # Errors
/// When one cannot be read; the message names its file.
pub fn batch(source: &dyn Source, indices: &[usize]) -> Result<ImageBatch> {
    let c_dim = source.shape().c_dim;
    let images = indices.par_iter().map(|index| picture(source, *index)).collect::<Result<Vec<_>>>()?;
    let images = match images.first() {
        Some(DynamicImage::ImageLuma8(_)) => {
            pixels::from_gray(&images.into_iter().map(DynamicImage::into_luma8).collect::<Vec<_>>(), &Device::Cpu)?
        }
        _ => pixels::from_rgb(&images.into_iter().map(DynamicImage::into_rgb8).collect::<Vec<_>>(), &Device::Cpu)?,
    };
    let numbers: Vec<f32> = indices.iter().flat_map(|index| source.label(*index)).collect();
    let labels = (c_dim > 0).then(|| Tensor::from_vec(numbers, (indices.len(), c_dim), &Device::Cpu)).transpose()?;
    Ok(ImageBatch { images, labels })
}

/// One image of the set.
///
/// # Errors
/// When it cannot be read; the message names its file.
pub fn picture(source: &dyn Source, index: usize) -> Result<DynamicImage> {
    let SourceShape { resolution, channels, .. } = source.shape();
    let (side, bytes) = (resolution as u32, source.pixels(index)?);
    let image = match channels {
        1 => GrayImage::from_raw(side, side, bytes).map(DynamicImage::from),
        _ => RgbImage::from_raw(side, side, bytes).map(DynamicImage::from),
    };
    image.with_context(|| format!("image {index} of the training set is not {side} x {side} px"))
}

/// The batches of every step, without end; the first `images_seen` images of the order are left out.
pub fn steps<'a>(
    source: &'a dyn Source,
    settings: &Settings,
    images_seen: u64,
) -> impl Iterator<Item = Result<Vec<ImageBatch>>> + 'a {
    let rounds = settings.batch_size / settings.batch_gpu;
    let round = settings.batch_gpu as usize;
    let mut order = source.order(settings.seed);
    if let Some(last) = images_seen.checked_sub(1) {
        order.nth(usize::try_from(last).expect("fewer images than memory has bytes"));
    }
    std::iter::from_fn(move || {
        let rounds = (0..rounds).map(|_| batch(source, &order.by_ref().take(round).collect::<Vec<_>>()));
        Some(rounds.collect())
    })
}
