//! The layer from features to an image: a few weighted sums over all channels.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use rayon::prelude::*;

use super::LANES;
use super::maps::{Maps, Pixels, Region, Sizes};
use super::memory::{Pointer, written};
use super::styled::{BORDER, inner};
use super::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Colours that are summed at a time.
const AT_ONCE: usize = 3;
/// Pixels that are summed at a time.
const PIXELS: usize = 4;
/// Pixels that are asked for before they are needed: blocks lie too far apart for the processor to see where they lead.
const AHEAD: usize = 16;

/// What becomes of the channels of maps with a border: weighted sums with a bias, clamped.
pub(crate) struct Colours<'a> {
    /// `[N, colours, blocks · 16]`, the style in them.
    pub weights: &'a [f32],
    /// One for each colour.
    pub bias: &'a [f32],
    pub clamp: f32,
}

impl Colours<'_> {
    /// Sums everything.
    ///
    /// # Shapes
    /// → `[N, colours, H, W]`
    pub fn of(&self, x: &Maps) -> Vec<f32> {
        let (sizes, (rows, columns)) = (x.sizes, inner(x.sizes));
        let sum = |to: Pointer| {
            (0..sizes.images * rows).into_par_iter().for_each(|task| {
                let (image, y) = (task / rows, task % rows);
                let region = Region { image, rows: y..y + 1, columns: 0..columns };
                let pixels = Pixels {
                    first: x.memory[sizes.offset(image, 0, (y + BORDER, BORDER))..].as_ptr(),
                    row_step: sizes.row(),
                    block_step: sizes.block(),
                    blocks: sizes.blocks,
                };
                // SAFETY: nobody writes the maps, and this row is this task's.
                unsafe { self.write(pixels, &region, ((rows, columns), to)) };
            });
        };
        // SAFETY: all rows are written.
        unsafe { written(self.numbers(sizes), sum) }
    }

    /// Numbers of all colours of all images.
    pub fn numbers(&self, sizes: Sizes) -> usize {
        let (rows, columns) = inner(sizes);
        sizes.images * self.bias.len() * rows * columns
    }

    /// Sums the pixels of a region of images of a size.
    ///
    /// # Safety
    /// The pixels can be read and the region of the images written.
    pub unsafe fn write(&self, pixels: Pixels, region: &Region, ((rows, columns), to): ((usize, usize), Pointer)) {
        let (colours, channels) = (self.bias.len(), pixels.blocks * LANES);
        for (line, y) in region.rows.clone().enumerate() {
            for first in (0..colours).step_by(AT_ONCE) {
                let place = region.image * colours + first;
                let row = Row {
                    // SAFETY: the caller's row.
                    pixels: Pixels { first: unsafe { pixels.first.add(line * pixels.row_step) }, ..pixels },
                    columns: region.columns.len(),
                    weights: &self.weights[place * channels..],
                    bias: &self.bias[first..colours.min(first + AT_ONCE)],
                    clamp: self.clamp,
                    // SAFETY: the caller's row of these colours of an image.
                    to: (unsafe { to.at((place * rows + y) * columns + region.columns.start) }, rows * columns),
                };
                vector::run(row);
            }
        }
    }
}

/// Part of a row of up to three colours.
struct Row<'a> {
    pixels: Pixels,
    columns: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    clamp: f32,
    /// The first pixel in the first colour, and the way to the next colour.
    to: (*mut f32, usize),
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        match self.bias.len() {
            1 => self.some::<V, 1>(),
            2 => self.some::<V, 2>(),
            _ => self.some::<V, AT_ONCE>(),
        }
    }
}

impl Row<'_> {
    /// 16 pixels at a time: first each lane of channels for itself, then all lanes.
    #[inline(always)]
    fn some<V: Vector, const COLOURS: usize>(&self) {
        let mut lanes = [[0.0; BLOCK]; COLOURS];
        for first in (0..self.columns).step_by(LANES) {
            let pixels = LANES.min(self.columns - first);
            for group in (0..pixels).step_by(PIXELS) {
                // The last pixel stands for those that are not there.
                let places = [0, 1, 2, 3].map(|pixel| first + (group + pixel).min(pixels - 1));
                let sums = self.sums::<V, COLOURS>(places);
                for colour in 0..COLOURS {
                    for pixel in 0..PIXELS {
                        // SAFETY: 16 lines, and groups of them.
                        unsafe { sums[colour][pixel].store(lanes[colour][(group + pixel) * LANES..].as_mut_ptr()) };
                    }
                }
            }
            for colour in 0..COLOURS {
                let numbers = total::<V>(&lanes[colour]);
                for pixel in 0..pixels {
                    let number = (numbers[pixel] + self.bias[colour]).clamp(-self.clamp, self.clamp);
                    // SAFETY: a pixel of this row.
                    unsafe { *self.to.0.add(colour * self.to.1 + first + pixel) = number };
                }
            }
        }
    }

    /// Weighted sums of some pixels over the blocks.
    #[inline(always)]
    fn sums<V: Vector, const COLOURS: usize>(&self, places: [usize; PIXELS]) -> [[V; PIXELS]; COLOURS] {
        let channels = self.pixels.blocks * LANES;
        let mut sums = [[V::splat(0.0); PIXELS]; COLOURS];
        for block in 0..self.pixels.blocks {
            let row = self.pixels.first.wrapping_add(block * self.pixels.block_step);
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: vectors of weights, and of pixels of this row.
                unsafe {
                    let mut weights = [V::splat(0.0); COLOURS];
                    for colour in 0..COLOURS {
                        weights[colour] = V::load(self.weights[colour * channels + block * LANES + lane..].as_ptr());
                    }
                    for pixel in 0..PIXELS {
                        V::prefetch(row.wrapping_add((places[pixel] + AHEAD) * LANES));
                        let numbers = V::load(row.add(places[pixel] * LANES + lane));
                        for colour in 0..COLOURS {
                            sums[colour][pixel] = numbers.mul_add(weights[colour], sums[colour][pixel]);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The sum of each of 16 lines, of which the first lanes of a vector count.
#[inline(always)]
fn total<V: Vector>(lines: &[f32; BLOCK]) -> [f32; LANES] {
    let (mut turned, mut totals) = ([0.0; BLOCK], [0.0; LANES]);
    for first in (0..LANES).step_by(V::LANES) {
        // SAFETY: squares within 16 lines of 16 numbers.
        unsafe {
            V::transpose((lines[first * LANES..].as_ptr(), LANES), (turned.as_mut_ptr(), LANES));
            let mut sum = V::splat(0.0);
            for lane in 0..V::LANES {
                sum = sum.add(V::load(turned[lane * LANES..].as_ptr()));
            }
            sum.store(totals[first..].as_mut_ptr());
        }
    }
    totals
}
