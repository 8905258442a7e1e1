//! Winograd's minimal filtering F(4x4, 3x3): 36 products for a tile of 16 outputs, where the direct way takes 144
//! (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.3).
//!
//! Tiles of the image, and the kernels, are transformed to 36 points; at each point the channels are summed by a matrix
//! product; the result is transformed back. All transforms work on [`LANES`] tiles or channels at a time.

use std::borrow::Cow;

use rayon::prelude::*;

use super::correlation::Correlation;
use super::matrix::{Matrix, multiply};
use super::transforms::{LANES, Lanes, image_points, kernel_points, output_pixels};
use crate::ops::real::{Real, Shared, Write};

/// Outputs along the side of a tile.
const TILE: usize = 4;
/// Pixels along the side of the patch that a tile sees, and points along the side of its transform.
const SIDE: usize = 6;
const POINTS: usize = SIDE * SIDE;
/// Numbers in the transforms of one chunk of tiles: what stays in a level 3 cache.
const CHUNK: usize = 1 << 22;
/// Fewest tiles that pay for transforming the kernels.
const MIN_TILES: usize = 32;
/// Fewest channels that pay for transforming the tiles.
const MIN_CHANNELS: usize = 16;
/// Output channels of one matrix product.
const OUTPUTS: usize = 128;

/// A correlation with 3x3 taps and step 1.
pub(super) struct Winograd<'a, T: Real> {
    pixels: &'a [T],
    /// `[outputs, inputs, 3, 3]`
    kernels: Cow<'a, [T]>,
    inputs: usize,
    outputs: usize,
    batch: usize,
    image: (usize, usize),
    target: (usize, usize),
    /// Offset in the image of the first tap at the first position.
    corner: (isize, isize),
}

/// Some rows of tiles, counted over the whole batch.
#[derive(Clone, Copy)]
struct Chunk {
    first: usize,
    rows: usize,
    /// Number of tiles in them.
    tiles: usize,
}

impl<'a, T: Real> Winograd<'a, T> {
    /// The same correlation, when it has the shape and the size for this.
    pub fn of(all: &'a Correlation<'a, T>, batch: usize) -> Option<Self> {
        let [phase] = all.phases.as_slice() else { return None };
        if all.groups != 1 || all.step != 1 || all.source.stride != 1 || phase.taps.len() != 9 {
            return None;
        }
        let corner = *phase.taps.iter().min()?;
        let place = |&(y, x): &(isize, isize)| ((y - corner.0) * 3 + x - corner.1) as usize;
        let places: Vec<usize> = phase.taps.iter().map(place).collect();
        let mut seen = places.clone();
        seen.sort_unstable();
        if !seen.into_iter().eq(0..9) {
            return None;
        }
        let (rows, columns) = (all.target.0.div_ceil(TILE), all.target.1.div_ceil(TILE));
        if batch * rows * columns < MIN_TILES || all.inputs.min(all.outputs) < MIN_CHANNELS {
            return None;
        }
        Some(Winograd {
            pixels: all.source.pixels,
            kernels: in_order(&phase.weight, &places),
            inputs: all.inputs,
            outputs: all.outputs,
            batch,
            image: all.source.size,
            target: all.target,
            corner,
        })
    }

    /// Writes `[batch, outputs, target]`.
    pub fn compute(&self, result: &mut [T]) {
        let columns = self.target.1.div_ceil(TILE);
        let rows = self.batch * self.target.0.div_ceil(TILE);
        let fitting = CHUNK / (POINTS * (self.inputs + self.outputs) * columns);
        let rows_each = fitting.clamp(1, rows);
        let largest = rows_each * columns;
        let (kernels, images) = (POINTS * self.outputs * self.inputs, POINTS * self.inputs * largest);
        let result = Shared::new(result);
        T::with_scratch(kernels + images + POINTS * self.outputs * largest, |scratch| {
            let (kernels, scratch) = scratch.split_at_mut(kernels);
            let (images, sums) = scratch.split_at_mut(images);
            self.transform_kernels(kernels);
            for first in (0..rows).step_by(rows_each) {
                let rows = rows_each.min(rows - first);
                let chunk = Chunk { first, rows, tiles: rows * columns };
                self.transform_images(chunk, images);
                self.multiply(chunk, (kernels, images), sums);
                self.transform_back(chunk, sums, &result);
            }
        });
    }

    /// Kernels to `[point, output, input]`.
    fn transform_kernels(&self, points: &mut [T]) {
        let (points, plane) = (Shared::new(points), self.outputs * self.inputs);
        self.kernels.par_chunks_exact(self.inputs * 9).enumerate().for_each(|(output, kernels)| {
            pulp::Arch::new().dispatch(|| {
                for first in (0..self.inputs).step_by(LANES) {
                    let count = LANES.min(self.inputs - first);
                    let transformed = kernel_points(&kernels[first * 9..(first + count) * 9]);
                    for (point, lanes) in transformed.iter().flatten().enumerate() {
                        // SAFETY: this task's output channel at each point.
                        let to = unsafe { points.slice(point * plane + output * self.inputs + first, count) };
                        to.copy_from_slice(&lanes[..count]);
                    }
                }
            });
        });
    }

    /// Tiles of a chunk to `[point, input, tile]`.
    fn transform_images(&self, chunk: Chunk, points: &mut [T]) {
        let points = Shared::new(&mut points[..POINTS * self.inputs * chunk.tiles]);
        (0..self.inputs).into_par_iter().for_each(|channel| {
            let columns = chunk.tiles / chunk.rows;
            let width = columns.next_multiple_of(LANES) * TILE + LANES;
            T::with_scratch(2 * SIDE * width, |scratch| {
                let (patch, halfway) = scratch.split_at_mut(SIDE * width);
                for row in 0..chunk.rows {
                    self.gather((chunk.first + row, channel), patch, width);
                    pulp::Arch::new().dispatch(|| {
                        image_points(patch, halfway, width, columns, |point, tile, lanes: &[T]| {
                            let start = (point * self.inputs + channel) * chunk.tiles + row * columns + tile;
                            // SAFETY: this task's input channel at each point.
                            unsafe { points.slice(start, lanes.len()) }.copy_from_slice(lanes);
                        });
                    });
                }
            });
        });
    }

    /// The six rows of pixels that a row of tiles sees, zero outside the image.
    fn gather(&self, (row, channel): (usize, usize), patch: &mut [T], width: usize) {
        let (height, image_width) = self.image;
        let rows = self.target.0.div_ceil(TILE);
        let (image, top) = (row / rows, (row % rows * TILE) as isize + self.corner.0);
        let plane = &self.pixels[(image * self.inputs + channel) * height * image_width..][..height * image_width];
        patch.fill(T::zero());
        for (y, to) in patch.chunks_exact_mut(width).enumerate() {
            let y = top + y as isize;
            if !(0..height as isize).contains(&y) {
                continue;
            }
            let from = &plane[y as usize * image_width..][..image_width];
            let (skipped, start) = ((-self.corner.1).max(0) as usize, self.corner.1.max(0) as usize);
            let count = width.saturating_sub(skipped).min(image_width.saturating_sub(start));
            if count > 0 {
                to[skipped..skipped + count].copy_from_slice(&from[start..start + count]);
            }
        }
    }

    /// Sums over the input channels at each point: `[point, output, tile]`.
    fn multiply(&self, chunk: Chunk, (kernels, images): (&[T], &[T]), sums: &mut [T]) {
        let sums = Shared::new(&mut sums[..POINTS * self.outputs * chunk.tiles]);
        let blocks = self.outputs.div_ceil(OUTPUTS);
        (0..POINTS * blocks).into_par_iter().for_each(|task| {
            let (point, first) = (task / blocks, task % blocks * OUTPUTS);
            let outputs = OUTPUTS.min(self.outputs - first);
            let row = point * self.outputs + first;
            let kernels = Matrix::new(&kernels[row * self.inputs..], (outputs, self.inputs), self.inputs);
            let images = &images[point * self.inputs * chunk.tiles..];
            let images = Matrix::new(images, (self.inputs, chunk.tiles), chunk.tiles);
            // SAFETY: this task's point and output channels, of `tiles` numbers each.
            unsafe { multiply((sums.at(row * chunk.tiles), chunk.tiles), kernels, images, Write::Replace) };
        });
    }

    /// Points of a chunk to pixels of the result.
    fn transform_back(&self, chunk: Chunk, sums: &[T], result: &Shared<T>) {
        let (columns, rows) = (chunk.tiles / chunk.rows, self.target.0.div_ceil(TILE));
        let plane = self.outputs * chunk.tiles;
        (0..self.outputs).into_par_iter().for_each(|output| {
            let of_output = &sums[output * chunk.tiles..];
            for row in 0..chunk.rows {
                let (image, y) = ((chunk.first + row) / rows, (chunk.first + row) % rows * TILE);
                let start = ((image * self.outputs + output) * self.target.0 + y) * self.target.1;
                let height = TILE.min(self.target.0 - y);
                // SAFETY: the rows of this row of tiles in this task's output channel.
                let to = unsafe { result.slice(start, height * self.target.1) };
                for first in (0..columns).step_by(LANES) {
                    let count = LANES.min(columns - first);
                    let from = &of_output[row * columns + first..];
                    pulp::Arch::new().dispatch(|| {
                        let lanes = |point: usize| Lanes::load(&from[point * plane..][..count]);
                        write_tiles(&output_pixels(lanes), to, (first * TILE, self.target.1));
                    });
                }
            }
        });
    }
}

/// Copies [`LANES`] tiles, `[row][column][tile]`, to rows of the result from column `x` on, as far as they reach.
#[inline(always)]
fn write_tiles<T: Real>(tiles: &[[Lanes<T>; TILE]; TILE], to: &mut [T], (x, width): (usize, usize)) {
    for (tile_row, to) in tiles.iter().zip(to.chunks_exact_mut(width)) {
        let mut line = [T::zero(); TILE * LANES];
        for (column, lanes) in tile_row.iter().enumerate() {
            for lane in 0..LANES {
                line[lane * TILE + column] = lanes[lane];
            }
        }
        let count = (TILE * LANES).min(width - x);
        to[x..x + count].copy_from_slice(&line[..count]);
    }
}

/// Kernels with their taps row by row; `places[i]` is where tap `i` belongs.
fn in_order<'a, T: Real>(kernels: &'a [T], places: &[usize]) -> Cow<'a, [T]> {
    if places.iter().copied().eq(0..9) {
        return Cow::Borrowed(kernels);
    }
    let mut ordered = vec![T::zero(); kernels.len()];
    for (to, from) in ordered.chunks_exact_mut(9).zip(kernels.chunks_exact(9)) {
        for (&place, &tap) in places.iter().zip(from) {
            to[place] = tap;
        }
    }
    Cow::Owned(ordered)
}
