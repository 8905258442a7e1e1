//! The gradient of a 3x3 kernel as the adjoint of Winograd's filtering: at each point, transformed patches meet transformed
//! gradients of tiles, summed over all tiles; the sums are transformed to taps.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::transforms::{SIDE, points_to_kernel, tile_to_points};
use super::{POINTS, Same, Scheme};
use crate::ops::blocked::LANES;
use crate::ops::blocked::maps::{Patch, View};
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::weight_gradient::{Outer, outer_product};
use crate::ops::blocked::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Numbers of transformed patches and tiles that are summed at a time: about a third of a level 3 cache.
const SHARED: usize = 3 << 20;
/// Tiles of one task of a transform.
const GROUP: usize = 16;

/// A scheme and the adjoints of two of its transforms.
pub(crate) trait Adjoint: Scheme {
    /// Gradients of a tile, rows `pixels.1` numbers apart, to those of its points; each channel is scaled.
    ///
    /// # Safety
    /// The pixels can be read and the points written.
    unsafe fn gather<V: Vector>(pixels: (*const f32, usize), scale: Option<*const f32>, points: (*mut f32, usize));

    /// One vector of the gradients of the kernel's 36 points to those of its taps.
    ///
    /// # Safety
    /// The points can be read and the taps written.
    unsafe fn taps<V: Vector>(points: (*const f32, usize), taps: (*mut f32, usize));
}

impl Adjoint for Same {
    #[inline(always)]
    unsafe fn gather<V: Vector>(pixels: (*const f32, usize), scale: Option<*const f32>, points: (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe { tile_to_points::<V>(pixels, scale, points) }
    }

    #[inline(always)]
    unsafe fn taps<V: Vector>(points: (*const f32, usize), taps: (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe { points_to_kernel::<V>(points, taps) }
    }
}

/// One of the two sides whose product is the gradient.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a> {
    pub maps: View<'a>,
    /// A factor for each image and channel, blocks filled up.
    pub scales: Option<&'a [f32]>,
}

/// Sums of the kernel's gradient, `[point, output block, input block, 16 inputs, 16 outputs]`.
pub(crate) struct KernelSums<S> {
    outputs: usize,
    inputs: usize,
    sums: Memory,
    begun: bool,
    scheme: PhantomData<S>,
}

impl<S: Adjoint> KernelSums<S> {
    /// For some blocks of output and input channels.
    pub fn new(outputs: usize, inputs: usize) -> Self {
        let sums = Memory::take(POINTS * outputs * inputs * BLOCK);
        KernelSums { outputs, inputs, sums, begun: false, scheme: PhantomData }
    }

    /// Adds what all tiles of some images contribute: `image`'s patches begin at (0, 0), and so do `gradient`'s tiles.
    pub fn add(&mut self, image: Factor<'_>, gradient: Factor<'_>, tiles: (usize, usize)) {
        let count = image.maps.sizes.images * tiles.0 * tiles.1;
        let chunk = (SHARED / (S::POINTS * LANES * (self.inputs + self.outputs))).clamp(GROUP, count.max(GROUP));
        let block_step = chunk * LANES + LANES;
        let blocks = self.inputs + self.outputs;
        let point_step = blocks * block_step + LANES;
        let mut points = Memory::take(S::POINTS * point_step);
        for first in (0..count).step_by(chunk) {
            let in_chunk = chunk.min(count - first);
            let segments = in_chunk.div_ceil(GROUP);
            let to = Pointer::new(points.first());
            (0..blocks * segments).into_par_iter().for_each(|task| {
                let (block, skipped) = (task / segments, task % segments * GROUP);
                // SAFETY: this task's block and tiles at each point.
                let to = unsafe { to.at(block * block_step + skipped * LANES) };
                let some = first + skipped..first + in_chunk.min(skipped + GROUP);
                let (from, block, entering) = match block.checked_sub(self.inputs) {
                    None => (image, block, Entering::Patch),
                    Some(block) => (gradient, block, Entering::Tile),
                };
                let to = (to, point_step);
                vector::run(Enter { from, block, grid: tiles, tiles: some, to, entering, scheme: self.scheme });
            });
            self.multiply(&points, (block_step, point_step), in_chunk);
        }
    }

    fn multiply(&mut self, points: &[f32], (block_step, point_step): (usize, usize), positions: usize) {
        let (inputs, outputs, begun) = (self.inputs, self.outputs, self.begun);
        let to = Pointer::new(self.sums.first());
        let pairs = outputs.div_ceil(2);
        // The last points of a kernel meet the most points of a patch, so they come first.
        (0..POINTS * pairs).into_par_iter().with_max_len(1).rev().for_each(|task| {
            let (kernel_point, first) = (task / pairs, task % pairs * 2);
            let blocks = 2.min(outputs - first);
            // SAFETY: this task's blocks of the sums.
            let to = unsafe { to.at((kernel_point * outputs + first) * inputs * BLOCK) };
            let met = (0..S::POINTS).filter(|&point| S::kernel_point(point) == kernel_point);
            for (i, point) in met.enumerate() {
                let at = |block: usize| points[point * point_step + block * block_step..].as_ptr();
                let (pixels, gradients) = (at(0), at(inputs + first));
                let adds = begun || i > 0;
                vector::run(Rows { to, pixels, gradients, block_step, positions, inputs, blocks, adds });
            }
        });
        self.begun = true;
    }

    /// Gives the gradient of each tap `[tap, 16 inputs, 16 outputs]` of each block to `write(output, input, taps)`.
    pub fn taps(&self, write: impl Fn(usize, usize, &[f32]) + Sync) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        (0..outputs * inputs).into_par_iter().for_each(|block| {
            let mut taps = [0.0; 9 * BLOCK];
            let points = &self.sums[block * BLOCK..];
            let point_step = outputs * inputs * BLOCK;
            vector::run(Leave { points, point_step, taps: &mut taps, scheme: self.scheme });
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
struct Enter<'a, S> {
    from: Factor<'a>,
    block: usize,
    grid: (usize, usize),
    tiles: Range<usize>,
    /// The first tile's line at the first point, and the way to the next point.
    to: (*mut f32, usize),
    entering: Entering,
    scheme: PhantomData<S>,
}

impl<S: Adjoint> Kernel for Enter<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (maps, (rows, columns), block) = (self.from.maps, self.grid, self.block);
        let mut copy = Patch::new();
        for (i, tile) in self.tiles.enumerate() {
            let (image, row, column) = (tile / (rows * columns), tile / columns % rows, tile % columns);
            let line = (image * maps.sizes.blocks + block) * LANES;
            let scale = self.from.scales.map(|scales| scales[line..][..LANES].as_ptr());
            // SAFETY: pixels of this tile, and its own lines.
            unsafe {
                let to = (self.to.0.add(i * LANES), self.to.1);
                match self.entering {
                    Entering::Patch => {
                        let first = (row * S::STEP, column * S::STEP);
                        S::enter::<V>(maps.patch::<V>((image, block), first, S::PATCH, &mut copy), scale, to);
                    }
                    Entering::Tile => {
                        let first = (row * S::SIDE, column * S::SIDE);
                        S::gather::<V>(maps.patch::<V>((image, block), first, S::SIDE, &mut copy), scale, to);
                    }
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
struct Leave<'a, S> {
    points: &'a [f32],
    point_step: usize,
    taps: &'a mut [f32; 9 * BLOCK],
    scheme: PhantomData<S>,
}

impl<S: Adjoint> Kernel for Leave<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        assert!(self.points.len() >= (SIDE * SIDE - 1) * self.point_step + BLOCK, "every point");
        for lane in (0..BLOCK).step_by(V::LANES) {
            // SAFETY: one vector of each point and tap.
            unsafe {
                let points = (self.points.as_ptr().add(lane), self.point_step);
                S::taps::<V>(points, (self.taps.as_mut_ptr().add(lane), BLOCK));
            }
        }
    }
}
