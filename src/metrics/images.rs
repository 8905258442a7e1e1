//! Sets of images: stored ones, and those that a generator makes.

use anyhow::Result;
use candle_core::{Device, Tensor};
use toonify_networks::latent::Z;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, Noise};

use crate::pixels::{self, Rounding};

/// Stored images of one size.
pub trait Images: Sync {
    /// What the set is called, for messages.
    fn name(&self) -> String;

    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Side of the images in pixels.
    fn resolution(&self) -> usize;

    /// Channels of the images, 1 or 3.
    fn channels(&self) -> usize;

    /// The bytes `[R, R, C]` of image `index`.
    ///
    /// # Errors
    /// When it cannot be read; the message names it.
    fn pixels(&self, index: usize) -> Result<Vec<u8>>;

    /// The label of image `index`; empty without labels.
    fn label(&self, index: usize) -> Vec<f32>;

    /// A fingerprint of all that [`Images::pixels`] would give.
    ///
    /// # Errors
    /// When an image cannot be read.
    fn fingerprint(&self) -> Result<String>;
}

/// Images that come one batch after the other, each `[R, R, C]`.
pub(super) trait Stream {
    /// The next `count` images.
    fn next(&mut self, count: usize) -> Result<Vec<Vec<u8>>>;
}

/// Stored images in a given order.
pub(super) struct Stored<'a> {
    /// The set.
    pub images: &'a dyn Images,
    /// Which of them, in order.
    pub order: std::vec::IntoIter<usize>,
}

impl Stream for Stored<'_> {
    fn next(&mut self, count: usize) -> Result<Vec<Vec<u8>>> {
        use rayon::prelude::*;
        let indices: Vec<usize> = self.order.by_ref().take(count).collect();
        indices.into_par_iter().map(|index| self.images.pixels(index)).collect()
    }
}

/// What a generator is given: latents of the normal distribution and labels of random real images.
pub(super) struct Sampler<'a> {
    generator: &'a Generator,
    reals: &'a dyn Images,
    rng: RandomState,
}

impl<'a> Sampler<'a> {
    /// Starts the random numbers at `seed`.
    pub fn new(generator: &'a Generator, reals: &'a dyn Images, seed: u32) -> Self {
        Sampler { generator, reals, rng: RandomState::new(seed) }
    }

    /// Latents, `[count, z_dim]`.
    pub fn z(&mut self, count: usize) -> Result<Z> {
        let z_dim = self.generator.config().z_dim;
        let drawn: Vec<f32> = self.rng.gauss_vec(count * z_dim).into_iter().map(|x| x as f32).collect();
        Ok(Z::new(Tensor::from_vec(drawn, (count, z_dim), &Device::Cpu)?, z_dim)?)
    }

    /// Labels, `[count, c_dim]`; `None` for an unconditional generator.
    pub fn labels(&mut self, count: usize) -> Result<Option<Tensor>> {
        let c_dim = self.generator.config().c_dim;
        if c_dim == 0 {
            return Ok(None);
        }
        let rng = &mut self.rng;
        let labels: Vec<f32> =
            (0..count).flat_map(|_| self.reals.label(rng.below(self.reals.len() as u64) as usize)).collect();
        anyhow::ensure!(
            labels.len() == count * c_dim,
            "the generator takes labels of {c_dim} numbers, `{}` has others or none",
            self.reals.name()
        );
        Ok(Some(Tensor::from_vec(labels, (count, c_dim), &Device::Cpu)?))
    }

    /// Numbers of [0, 1).
    pub fn uniform(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.rng.uniform()).collect()
    }

    /// Fresh noise for `count` images, or one for all of any batch.
    pub fn noise(&mut self, count: usize) -> Result<Noise> {
        Ok(Noise::random(self.generator.config(), count, &mut self.rng, &Device::Cpu)?)
    }
}

impl Stream for Sampler<'_> {
    fn next(&mut self, count: usize) -> Result<Vec<Vec<u8>>> {
        let (z, labels) = (self.z(count)?, self.labels(count)?);
        let ws = self.generator.map(&z, labels.as_ref())?.broadcast(self.generator.config().num_ws())?;
        let images = self.generator.render(&ws, &self.noise(count)?)?;
        let images = pixels::to_images(&images, Rounding::Generate)?;
        Ok(images.into_iter().map(image::DynamicImage::into_bytes).collect())
    }
}

/// Images `[R, R, C]` of bytes to `[N, C, R, R]`, 0 to 255.
pub(super) fn tensor(images: &[Vec<u8>], (resolution, channels): (usize, usize)) -> Result<Tensor> {
    let numbers: Vec<f32> = images.iter().flatten().map(|byte| f32::from(*byte)).collect();
    let interleaved = Tensor::from_vec(numbers, (images.len(), resolution, resolution, channels), &Device::Cpu)?;
    Ok(interleaved.permute((0, 3, 1, 2))?.contiguous()?)
}
