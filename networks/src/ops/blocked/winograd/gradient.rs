//! The gradient of a 3x3 kernel as the adjoint of Winograd's filtering: at each of the 36 points, transformed patches meet
//! transformed gradients of tiles, summed over all tiles; the sums are transformed to taps.

use rayon::prelude::*;

use super::POINTS;
use super::transforms::{SIDE, TILE, patch_to_points, points_to_kernel, tile_to_points};
use crate::ops::blocked::LANES;
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::weight_gradient::{Outer, outer_product};
use crate::ops::blocked::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Numbers of transformed patches and tiles that are summed at a time: about a third of a level 3 cache.
const SHARED: usize = 3 << 20;
/// Tiles of one task of a transform.
const GROUP: usize = 16;

/// Sums of the kernel's gradient, `[point, output block, input block, 16 inputs, 16 outputs]`.
pub(crate) struct KernelSums {
    outputs: usize,
    inputs: usize,
    sums: Memory,
    begun: bool,
}

impl KernelSums {
    /// For some blocks of output and input channels.
    pub fn new(outputs: usize, inputs: usize) -> Self {
        KernelSums { outputs, inputs, sums: Memory::take(POINTS * outputs * inputs * BLOCK), begun: false }
    }

    /// Adds what all tiles of some images contribute: `image`'s patches begin at (0, 0), and so do `gradient`'s tiles.
    pub fn add(&mut self, image: &Maps, gradient: &Maps, tiles: (usize, usize)) {
        let count = image.sizes.images * tiles.0 * tiles.1;
        let chunk = (SHARED / (POINTS * LANES * (self.inputs + self.outputs))).clamp(GROUP, count.max(GROUP));
        let block_step = chunk * LANES + LANES;
        let blocks = self.inputs + self.outputs;
        let point_step = blocks * block_step + LANES;
        let mut points = Memory::take(POINTS * point_step);
        for first in (0..count).step_by(chunk) {
            let in_chunk = chunk.min(count - first);
            let segments = in_chunk.div_ceil(GROUP);
            let to = Pointer::new(points.first());
            (0..blocks * segments).into_par_iter().for_each(|task| {
                let (block, skipped) = (task / segments, task % segments * GROUP);
                // SAFETY: this task's block and tiles at each point.
                let to = unsafe { to.at(block * block_step + skipped * LANES) };
                let some = first + skipped..first + in_chunk.min(skipped + GROUP);
                let (maps, block, entering) = match block.checked_sub(self.inputs) {
                    None => (image, block, Entering::Patch),
                    Some(block) => (gradient, block, Entering::Tile),
                };
                let from = (&maps.memory[..], maps.sizes);
                vector::run(Enter { from, block, grid: tiles, tiles: some, to: (to, point_step), entering });
            });
            self.multiply(&points, (block_step, point_step), in_chunk);
        }
    }

    fn multiply(&mut self, points: &[f32], (block_step, point_step): (usize, usize), positions: usize) {
        let (inputs, outputs, adds) = (self.inputs, self.outputs, self.begun);
        let to = Pointer::new(self.sums.first());
        let pairs = outputs.div_ceil(2);
        (0..POINTS * pairs).into_par_iter().for_each(|task| {
            let (point, first) = (task / pairs, task % pairs * 2);
            let blocks = 2.min(outputs - first);
            let at = |block: usize| points[point * point_step + block * block_step..].as_ptr();
            // SAFETY: this task's blocks of the sums.
            let to = unsafe { to.at((point * outputs + first) * inputs * BLOCK) };
            vector::run(Rows {
                to,
                pixels: at(0),
                gradients: at(inputs + first),
                block_step,
                positions,
                inputs,
                blocks,
                adds,
            });
        });
        self.begun = true;
    }

    /// Gives the gradient of each tap `[tap, 16 inputs, 16 outputs]` of each block to `write(output, input, taps)`.
    pub fn taps(&self, write: impl Fn(usize, usize, &[f32]) + Sync) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        (0..outputs * inputs).into_par_iter().for_each(|block| {
            let mut taps = [0.0; 9 * BLOCK];
            let points = &self.sums[block * BLOCK..];
            vector::run(Leave { points, point_step: outputs * inputs * BLOCK, taps: &mut taps });
            write(block / inputs, block % inputs, &taps);
        });
    }
}

/// What becomes points.
#[derive(Clone, Copy)]
enum Entering {
    /// The pixels that a tile sees.
    Patch,
    /// The gradients of a tile.
    Tile,
}

/// Some tiles of one block on their way to points.
struct Enter<'a> {
    from: (&'a [f32], Sizes),
    block: usize,
    grid: (usize, usize),
    tiles: std::ops::Range<usize>,
    /// The first tile's line at the first point, and the way to the next point.
    to: (*mut f32, usize),
    entering: Entering,
}

impl Kernel for Enter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let ((from, sizes), (rows, columns)) = (self.from, self.grid);
        for (i, tile) in self.tiles.enumerate() {
            let (image, row, column) = (tile / (rows * columns), tile / columns % rows, tile % columns);
            let pixels = &from[sizes.offset(image, self.block, (row * TILE, column * TILE))..];
            let from = (pixels.as_ptr(), sizes.row());
            // SAFETY: pixels of this tile, and its own lines.
            unsafe {
                let to = (self.to.0.add(i * LANES), self.to.1);
                match self.entering {
                    Entering::Patch => patch_to_points::<V>(from, None, to),
                    Entering::Tile => tile_to_points::<V>(from, to),
                }
            }
        }
    }
}

/// One point of two output blocks.
struct Rows {
    to: *mut f32,
    pixels: *const f32,
    gradients: *const f32,
    block_step: usize,
    positions: usize,
    inputs: usize,
    blocks: usize,
    adds: bool,
}

impl Kernel for Rows {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for input in 0..self.inputs {
            // SAFETY: whoever made this vouches for all positions and sums.
            unsafe {
                let outer = Outer {
                    pixels: self.pixels.add(input * self.block_step),
                    pixel_step: LANES,
                    gradients: self.gradients,
                    gradient_step: LANES,
                    block_step: self.block_step,
                    positions: self.positions,
                };
                let to = self.to.add(input * BLOCK);
                outer_product::<V>(outer, self.blocks, (to, self.inputs * BLOCK), self.adds);
            }
        }
    }
}

/// The points of one block of kernels on their way to taps.
struct Leave<'a> {
    points: &'a [f32],
    point_step: usize,
    taps: &'a mut [f32; 9 * BLOCK],
}

impl Kernel for Leave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        assert!(self.points.len() >= (SIDE * SIDE - 1) * self.point_step + BLOCK, "every point");
        for lane in (0..BLOCK).step_by(V::LANES) {
            // SAFETY: one vector of each point and tap.
            unsafe {
                let points = (self.points.as_ptr().add(lane), self.point_step);
                points_to_kernel::<V>(points, (self.taps.as_mut_ptr().add(lane), BLOCK));
            }
        }
    }
}
