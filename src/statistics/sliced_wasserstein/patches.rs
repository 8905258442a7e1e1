//! Small patches of images, at every scale of their Laplacian pyramids.

use anyhow::{Result, ensure};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use toonify_networks::random::RandomState;

use super::pyramid::{Plane, laplacian, sides};

/// Side of a patch.
const PATCH_PX: usize = 7;
/// Values are kept as whole numbers of this fraction of a gray level: a pyramid's lie between −255 and 255, and half
/// the memory of single precision suffices for all that bytes can say.
const FRACTION: f32 = 128.0;

/// Which patches are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPlan {
    /// Patches of each image at each scale.
    pub per_image: usize,
    /// Where the random places start: image `i` takes its from `RandomState(seed + i)`.
    pub seed: u32,
}

impl PatchPlan {
    /// The published number of patches.
    pub fn published(seed: u32) -> PatchPlan {
        PatchPlan { per_image: 128, seed }
    }
}

/// Patches of a set of images; about 38 kB an image and scale.
#[derive(Clone)]
pub struct Patches {
    plan: PatchPlan,
    channels: usize,
    images: usize,
    levels: Vec<Level>,
}

/// Patches of one scale.
#[derive(Clone)]
pub struct Level {
    /// Side of the images.
    pub px: usize,
    channels: usize,
    /// `[patches, channels · 7 · 7]`
    values: Vec<i16>,
}

impl Patches {
    /// Begins with no images; they will have `px` pixels a side and 1 or 3 channels.
    ///
    /// # Errors
    /// When an image is smaller than a patch, or has another number of channels.
    pub fn new(px: usize, channels: usize, plan: PatchPlan) -> Result<Patches> {
        ensure!(px >= PATCH_PX, "images of {px} px are smaller than patches of {PATCH_PX} px");
        ensure!(channels == 1 || channels == 3, "images need 1 or 3 channels, found {channels}");
        let levels = sides(px).into_iter().map(|px| Level { px, channels, values: Vec::new() }).collect();
        Ok(Patches { plan, channels, images: 0, levels })
    }

    /// Adds images, each `[px, px, channels]`.
    ///
    /// # Panics
    /// When one has another number of bytes.
    pub fn add<T: AsRef<[u8]> + Sync>(&mut self, images: &[T]) {
        let first = self.images as u32;
        let cut = |(index, image): (usize, &T)| self.cut(image.as_ref(), first.wrapping_add(index as u32));
        let cuts: Vec<Vec<Vec<i16>>> = images.par_iter().enumerate().map(cut).collect();
        for of_image in cuts {
            self.levels.iter_mut().zip(of_image).for_each(|(level, patches)| level.values.extend(patches));
        }
        self.images += images.len();
    }

    /// The patches of one image at each scale.
    fn cut(&self, image: &[u8], index: u32) -> Vec<Vec<i16>> {
        let px = self.levels[0].px;
        assert_eq!(image.len(), px * px * self.channels, "bytes of an image");
        let plane = |channel: usize| {
            let values = image.iter().skip(channel).step_by(self.channels).map(|byte| f32::from(*byte));
            laplacian(Plane { px, values: values.collect() })
        };
        let channels: Vec<Vec<Plane>> = (0..self.channels).map(plane).collect();
        let mut rng = RandomState::new(self.plan.seed.wrapping_add(index));
        let of_level = |level: usize| {
            let planes: Vec<&Plane> = channels.iter().map(|scales| &scales[level]).collect();
            (0..self.plan.per_image).flat_map(|_| patch(&planes, &mut rng)).collect()
        };
        (0..self.levels.len()).map(of_level).collect()
    }

    /// How many images were added.
    pub fn images(&self) -> usize {
        self.images
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    pub(super) fn values_in_a_patch(&self) -> usize {
        self.channels * PATCH_PX * PATCH_PX
    }

    pub(super) fn is_like(&self, other: &Patches) -> bool {
        let per_image = self.plan.per_image == other.plan.per_image;
        per_image
            && (self.images, self.channels, self.levels[0].px) == (other.images, other.channels, other.levels[0].px)
    }

    pub(super) fn describe(&self) -> String {
        let (images, px) = (self.images, self.levels[0].px);
        format!("{images} images, {px}x{px} px, channels: {}, patches an image: {}", self.channels, self.plan.per_image)
    }
}

/// One patch at a random place: channel by channel, row by row.
fn patch(planes: &[&Plane], rng: &mut RandomState) -> Vec<i16> {
    let px = planes[0].px;
    let mut place = || rng.below((px - PATCH_PX + 1) as u64) as usize;
    let (left, top) = (place(), place());
    let row = |plane: &Plane, y: usize| -> Vec<i16> {
        let values = &plane.values[(top + y) * px + left..][..PATCH_PX];
        values.iter().map(|value| (value * FRACTION).round() as i16).collect()
    };
    planes.iter().flat_map(|plane| (0..PATCH_PX).flat_map(move |y| row(plane, y)).collect::<Vec<_>>()).collect()
}

impl Level {
    /// Values in a patch.
    fn width(&self) -> usize {
        self.channels * PATCH_PX * PATCH_PX
    }

    /// Number of patches.
    pub fn count(&self) -> usize {
        self.values.len() / self.width()
    }

    /// The patches in blocks of at most `rows`, `[rows, width]`.
    pub fn blocks(&self, rows: usize) -> impl Iterator<Item = ArrayView2<'_, i16>> {
        let width = self.width();
        self.values
            .chunks(rows * width)
            .map(move |block| ArrayView2::from_shape((block.len() / width, width), block).expect("whole patches"))
    }

    /// Weights `[width, D]` and offsets `[D]` that project patches on `directions` `[width, D]` as if each channel had mean
    /// 0 and standard deviation 1: values · weights − offsets.
    pub fn normalising(&self, directions: ArrayView2<'_, f64>) -> (Array2<f32>, Array1<f32>) {
        let mut weights = directions.to_owned();
        let mut offsets = Array1::<f64>::zeros(directions.ncols());
        let channels = weights.axis_chunks_iter_mut(Axis(0), PATCH_PX * PATCH_PX);
        for (channel, mut rows) in channels.into_iter().enumerate() {
            let (mean, std) = self.mean_and_std(channel);
            rows /= std;
            offsets += &(rows.sum_axis(Axis(0)) * mean);
        }
        (weights.mapv(|x| x as f32), offsets.mapv(|x| x as f32))
    }

    /// Mean and population standard deviation of a channel; 1 for a channel that is constant.
    fn mean_and_std(&self, channel: usize) -> (f64, f64) {
        let area = PATCH_PX * PATCH_PX;
        let (mut sum, mut squares) = (0i64, 0i64);
        for patch in self.values.chunks(self.width()) {
            for value in &patch[channel * area..][..area] {
                let value = i64::from(*value);
                sum += value;
                squares += value * value;
            }
        }
        let n = (self.count() * area) as f64;
        let mean = sum as f64 / n;
        let variance = squares as f64 / n - mean * mean;
        (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
    }
}
