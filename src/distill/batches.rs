//! Pairs to batches: which pair an image of the training is, and what is done to it, follows from its number alone.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use image::imageops::{self, FilterType};
use rayon::prelude::*;
use toonify_networks::random::RandomState;

use super::DistillSettings;
use super::augment::augmented;
use super::recipe::PairBatch;
use crate::pairs::reader::{Pair, PairSet};
use crate::pixels;

/// An endless stream of steps.
pub(super) struct Batches {
    set: PairSet,
    settings: DistillSettings,
    /// The last pairs of the set, which are never shown.
    held_out: usize,
    /// Number of the next image.
    next: u64,
}

impl Batches {
    pub fn new(set: PairSet, settings: &DistillSettings, held_out: usize, next: u64) -> Batches {
        Batches { set, settings: settings.clone(), held_out, next }
    }

    fn image(&self, number: u64) -> Result<Pair> {
        let mut rng = RandomState::new(self.settings.seed.wrapping_add((number as u32).wrapping_mul(2_654_435_761)));
        let index = rng.below((self.set.len() - self.held_out) as u64) as usize;
        let (right, down) = (rng.uniform(), rng.uniform());
        let pair = squared(self.set.get(index)?, self.settings.size_px, (right, down));
        Ok(augmented(pair, &self.settings.augment, &mut rng))
    }
}

impl Iterator for Batches {
    type Item = Result<Vec<PairBatch>>;

    fn next(&mut self) -> Option<Self::Item> {
        let numbers = self.next..self.next + self.settings.batch_size.max(1);
        self.next = numbers.end;
        let pairs = numbers.into_par_iter().map(|number| self.image(number)).collect::<Result<Vec<Pair>>>();
        Some(pairs.and_then(|pairs| Ok(vec![batch(&pairs)?])))
    }
}

/// Scales the shorter side to `side`, and takes the square at these parts of what is left over.
pub(super) fn squared(pair: Pair, side: u32, (right, down): (f64, f64)) -> Pair {
    let (width, height) = pair.a.dimensions();
    let shorter = u64::from(width.min(height));
    let scaled = |length: u32| (u64::from(length) * u64::from(side) / shorter).max(u64::from(side)) as u32;
    let (wide, high) = (scaled(width), scaled(height));
    let (x, y) = ((f64::from(wide - side) * right) as u32, (f64::from(high - side) * down) as u32);
    let rgb = |image: image::RgbImage| {
        let fitted = if image.dimensions() == (wide, high) {
            image
        } else {
            imageops::resize(&image, wide, high, FilterType::Lanczos3)
        };
        imageops::crop_imm(&fitted, x, y, side, side).to_image()
    };
    let gray = |image: image::GrayImage| {
        let fitted = imageops::resize(&image, wide, high, FilterType::Triangle);
        imageops::crop_imm(&fitted, x, y, side, side).to_image()
    };
    Pair { a: rgb(pair.a), depth: pair.depth.map(gray), b: rgb(pair.b) }
}

/// Pairs of one size as tensors.
pub(super) fn batch(pairs: &[Pair]) -> Result<PairBatch> {
    let photos: Vec<_> = pairs.iter().map(|pair| pair.a.clone()).collect();
    let pictures: Vec<_> = pairs.iter().map(|pair| pair.b.clone()).collect();
    let mut photo = pixels::from_rgb(&photos, &Device::Cpu)?;
    let depths: Option<Vec<_>> = pairs.iter().map(|pair| pair.depth.clone()).collect();
    if let Some(depths) = depths {
        let depth = pixels::from_gray(&depths, &Device::Cpu).context("cannot join the extra channels")?;
        photo = Tensor::cat(&[&photo, &depth], 1)?;
    }
    Ok(PairBatch { photo, picture: pixels::from_rgb(&pictures, &Device::Cpu)? })
}
