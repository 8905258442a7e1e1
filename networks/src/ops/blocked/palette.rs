//! Between features and images of a few colours, pixel by pixel: each colour is a weighted sum of all channels. The three
//! operators are linear in their two arguments and each other's derivatives.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use rayon::prelude::*;

use super::LANES;
use super::maps::Sizes;
use super::memory::{Pointer, written};
use crate::ops::vector::{self, Kernel, Vector};

/// Sizes of features and of what they are mixed to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    pub sizes: Sizes,
    pub colours: usize,
    /// Images that have weights `[colours, blocks · 16]` of their own: all or one for all.
    pub sets: usize,
}

/// Pixels of a task.
const PIXELS: usize = 512;

impl Palette {
    fn area(&self) -> usize {
        self.sizes.rows * self.sizes.columns
    }

    /// Offset of the weights of an image.
    fn set(&self, image: usize) -> usize {
        if self.sets == 1 { 0 } else { image * self.colours * self.sizes.blocks * LANES }
    }

    /// Features and weights to colours `[image, colour, H, W]`.
    pub fn mix(self, features: &[f32], weights: &[f32]) -> Vec<f32> {
        self.check(features, weights);
        let (area, parts) = (self.area(), self.area().div_ceil(PIXELS));
        let fill = |to: Pointer| {
            (0..self.sizes.images * parts).into_par_iter().for_each(|task| {
                let (image, part) = (task / parts, task % parts);
                let pixels = part * PIXELS..((part + 1) * PIXELS).min(area);
                // SAFETY: the planes of this image.
                let to = unsafe { to.at(image * self.colours * area) };
                let (features, weights) = (&features[image * self.sizes.image()..], &weights[self.set(image)..]);
                vector::run(Mix { palette: self, features, weights, pixels, to });
            });
        };
        // SAFETY: every pixel of every colour is written.
        unsafe { written(self.sizes.images * self.colours * area, fill) }
    }

    /// Colours and weights to features.
    pub fn paint(self, colours: &[f32], weights: &[f32]) -> Vec<f32> {
        assert_eq!(colours.len(), self.sizes.images * self.colours * self.area(), "numbers of all pixels");
        let (area, blocks) = (self.area(), self.sizes.blocks);
        let fill = |to: Pointer| {
            (0..self.sizes.images * blocks).into_par_iter().for_each(|task| {
                let (image, block) = (task / blocks, task % blocks);
                // SAFETY: this task's block.
                let to = unsafe { std::slice::from_raw_parts_mut(to.at(task * area * LANES), area * LANES) };
                let (colours, weights) = (&colours[image * self.colours * area..], &weights[self.set(image)..]);
                vector::run(Paint { palette: self, colours, weights, block, to });
            });
        };
        // SAFETY: every block is written.
        unsafe { written(self.sizes.total(), fill) }
    }

    /// Features and colours to weights: sums of products over the pixels.
    pub fn compare(self, features: &[f32], colours: &[f32]) -> Vec<f32> {
        assert_eq!(features.len(), self.sizes.total(), "numbers of all pixels");
        assert_eq!(colours.len(), self.sizes.images * self.colours * self.area(), "numbers of all pixels");
        let (area, blocks) = (self.area(), self.sizes.blocks);
        let mut weights = vec![0.0; self.sizes.images * self.colours * blocks * LANES];
        let to = Pointer::new(weights.as_mut_ptr());
        (0..self.sizes.images * blocks).into_par_iter().for_each(|task| {
            let (image, block) = (task / blocks, task % blocks);
            // SAFETY: the weights of this image.
            let to = unsafe { to.at(image * self.colours * blocks * LANES + block * LANES) };
            let features = &features[task * area * LANES..][..area * LANES];
            let colours = &colours[image * self.colours * area..][..self.colours * area];
            vector::run(Compare { features, colours, to, step: blocks * LANES });
        });
        if self.sets > 1 {
            return weights;
        }
        let mut sum = vec![0.0; self.colours * blocks * LANES];
        for row in weights.chunks_exact(sum.len()) {
            sum.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
        }
        sum
    }

    fn check(&self, features: &[f32], weights: &[f32]) {
        assert_eq!(features.len(), self.sizes.total(), "numbers of all pixels");
        assert_eq!(weights.len(), self.sets * self.colours * self.sizes.blocks * LANES, "weights of all channels");
    }
}

/// Some pixels of an image to all colours.
struct Mix<'a> {
    palette: Palette,
    features: &'a [f32],
    weights: &'a [f32],
    pixels: std::ops::Range<usize>,
    to: *mut f32,
}

impl Kernel for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (sizes, area) = (self.palette.sizes, self.palette.area());
        let mut lines = [0.0; LANES * LANES];
        for first in self.pixels.clone().step_by(LANES) {
            let count = LANES.min(self.pixels.end - first);
            for colour in 0..self.palette.colours {
                let mut sums = [[V::splat(0.0); LANES]; MOST_VECTORS];
                for block in 0..sizes.blocks {
                    let pixels = &self.features[block * sizes.block() + first * LANES..][..count * LANES];
                    let weights = &self.weights[(colour * sizes.blocks + block) * LANES..][..LANES];
                    for vector in 0..LANES / V::LANES {
                        // SAFETY: vectors of lines of `count` pixels.
                        unsafe {
                            let weight = V::load(weights.as_ptr().add(vector * V::LANES));
                            for pixel in 0..count {
                                let number = V::load(pixels.as_ptr().add(pixel * LANES + vector * V::LANES));
                                sums[vector][pixel] = number.mul_add(weight, sums[vector][pixel]);
                            }
                        }
                    }
                }
                // SAFETY: the lines have room for 16 vectors; 16 colours of this image's pixels.
                unsafe {
                    for pixel in 0..LANES {
                        let mut sum = sums[0][pixel];
                        for vector in 1..LANES / V::LANES {
                            sum = sum.add(sums[vector][pixel]);
                        }
                        sum.store(lines.as_mut_ptr().add(pixel * V::LANES));
                    }
                    let to = self.to.add(colour * area + first);
                    for pixel in 0..count {
                        let mut sum = 0.0;
                        for lane in 0..V::LANES {
                            sum += lines[pixel * V::LANES + lane];
                        }
                        *to.add(pixel) = sum;
                    }
                }
            }
        }
    }
}

/// Most vectors that a line consists of.
const MOST_VECTORS: usize = 4;

/// All pixels of a block from all colours.
struct Paint<'a> {
    palette: Palette,
    colours: &'a [f32],
    weights: &'a [f32],
    block: usize,
    to: &'a mut [f32],
}

impl Kernel for Paint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (area, blocks) = (self.palette.area(), self.palette.sizes.blocks);
        assert!(self.colours.len() >= self.palette.colours * area, "planes of all colours");
        for lane in (0..LANES).step_by(V::LANES) {
            for pixel in 0..area {
                let mut sum = V::splat(0.0);
                for colour in 0..self.palette.colours {
                    let weights = &self.weights[(colour * blocks + self.block) * LANES + lane..][..V::LANES];
                    // SAFETY: a vector of weights.
                    let weights = unsafe { V::load(weights.as_ptr()) };
                    sum = weights.mul_add(V::splat(self.colours[colour * area + pixel]), sum);
                }
                // SAFETY: a vector of a line of the block.
                unsafe { sum.store(self.to.as_mut_ptr().add(pixel * LANES + lane)) };
            }
        }
    }
}

/// A block against all colours.
struct Compare<'a> {
    features: &'a [f32],
    colours: &'a [f32],
    to: *mut f32,
    /// From one colour's weights to the next one's.
    step: usize,
}

impl Kernel for Compare<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let area = self.features.len() / LANES;
        for (colour, plane) in self.colours.chunks_exact(area).enumerate() {
            for lane in (0..LANES).step_by(V::LANES) {
                let mut sums = [V::splat(0.0); 4];
                for pixel in 0..area {
                    // SAFETY: a vector of a line of the block.
                    let line = unsafe { V::load(self.features.as_ptr().add(pixel * LANES + lane)) };
                    sums[pixel % 4] = line.mul_add(V::splat(plane[pixel]), sums[pixel % 4]);
                }
                let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
                // SAFETY: this block's weights of a colour.
                unsafe { sum.store(self.to.add(colour * self.step + lane)) };
            }
        }
    }
}
