//! The gradient of a 3x3 kernel as the adjoint of Winograd's filtering: at each point, transformed patches meet transformed
//! gradients of tiles, summed over all tiles; the sums are transformed to taps.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::scheme::{POINTS, Same, Scheme};
use super::transforms::{SIDE, TILE, TileToPoints, pixels_to_points, points_to_kernel};
use crate::ops::blocked::LANES;
use crate::ops::blocked::maps::{Patch, View};
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::weight_gradient::{Outer, outer_product};
use crate::ops::blocked::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Numbers of transformed patches and tiles that are summed at a time. Beyond a level 3 cache they still cost less than one
/// more pass over the sums of large kernels, which do not fit either.
const SHARED: usize = 9 << 20;
/// Points of all tiles of two output blocks up to which they stay in a level 2 cache while all input blocks meet them.
const MOST_POINTS: usize = 128 * POINTS;
/// Tiles of one task of a transform.
const GROUP: usize = 16;
/// Numbers of transformed patches and tiles that a task works on: what fits into a level 2 cache.
const TASK: usize = 160 << 10;
/// Fewest tiles whose points are worth a pass over the sums, and most that are summed at a time.
const FEWEST: usize = 12;
const MOST: usize = 64;
/// Tasks with sums of their own that a thread should have, so that none waits long for another.
const PARTS_PER_THREAD: usize = 2;

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
        unsafe { pixels_to_points::<TileToPoints, V, TILE, SIDE>(pixels, scale, points) }
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

/// Gives the gradient of each tap `[tap, 16 inputs, 16 outputs]` of each block to `write(output, input, taps)`: what all tiles
/// of some images contribute, for some blocks of output and input channels. `image`'s patches begin at (0, 0), and so do
/// `gradient`'s tiles.
pub(crate) fn kernel_taps<S: Adjoint>(
    (image, gradient): (Factor<'_>, Factor<'_>),
    tiles: (usize, usize),
    (outputs, inputs): (usize, usize),
    write: impl Fn(usize, usize, &[f32]) + Sync,
) {
    let sides = Sides { image, gradient, grid: tiles, inputs, outputs };
    if sides.each::<S>() < FEWEST && sides.count() * S::POINTS <= MOST_POINTS {
        return sides.at_once::<S>(write);
    }
    let mut sums = KernelSums::<S>::new(outputs, inputs);
    sums.add(image, gradient, tiles);
    sums.taps(write);
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
        let sides = Sides { image, gradient, grid: tiles, inputs: self.inputs, outputs: self.outputs };
        let each = sides.each::<S>();
        if each >= FEWEST {
            self.add_by_parts(sides, sides.count(), each.min(MOST));
        } else {
            self.add_in_turn(sides, sides.count());
        }
    }

    /// Few channels: every task has sums of its own, to which it adds a few tiles at a time, so that their points stay in a
    /// level 2 cache.
    fn add_by_parts(&mut self, sides: Sides<'_>, count: usize, each: usize) {
        let parts = (PARTS_PER_THREAD * rayon::current_num_threads()).min(count.div_ceil(each)).max(1);
        let len = POINTS * self.outputs * self.inputs * BLOCK;
        let mut sums = Memory::take(parts * len);
        let to = Pointer::new(sums.first());
        (0..parts).into_par_iter().with_max_len(1).for_each(|part| {
            let tiles = count * part / parts..count * (part + 1) / parts;
            // SAFETY: this task's sums.
            let to = unsafe { to.at(part * len) };
            vector::run(Part { sides, tiles, each, to, scheme: self.scheme });
        });
        let begun = self.begun;
        self.sums.par_chunks_exact_mut(BLOCK).enumerate().for_each(|(i, sum)| {
            if !begun {
                sum.fill(0.0);
            }
            for part in sums.chunks_exact(len) {
                sum.iter_mut().zip(&part[i * BLOCK..]).for_each(|(sum, number)| *sum += number);
            }
        });
        self.begun = true;
    }

    /// Many channels: all tasks share the points of some tiles, each of which meets many others.
    fn add_in_turn(&mut self, sides: Sides<'_>, count: usize) {
        let most = (SHARED / (S::POINTS * LANES * (self.inputs + self.outputs))).max(GROUP);
        let chunk = count.div_ceil(count.div_ceil(most).max(1)).max(1);
        for first in (0..count).step_by(chunk) {
            let points = sides.points::<S>(first..count.min(first + chunk));
            self.multiply(&points);
        }
    }

    fn multiply(&mut self, points: &Points) {
        let (inputs, outputs, begun) = (self.inputs, self.outputs, self.begun);
        let (block_step, positions) = (points.block_step, points.positions);
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
                let (pixels, gradients) = (points.at(point, 0), points.at(point, inputs + first));
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

/// The two sides of a gradient.
#[derive(Clone, Copy)]
struct Sides<'a> {
    image: Factor<'a>,
    gradient: Factor<'a>,
    /// Rows and columns of tiles.
    grid: (usize, usize),
    inputs: usize,
    outputs: usize,
}

/// Transformed patches and tiles, `[point, block, tile, 16]`.
struct Points {
    numbers: Memory,
    block_step: usize,
    point_step: usize,
    positions: usize,
}

impl Points {
    /// The first tile's line.
    fn at(&self, point: usize, block: usize) -> *const f32 {
        self.numbers[point * self.point_step + block * self.block_step..].as_ptr()
    }
}

impl Sides<'_> {
    /// Number of tiles.
    fn count(&self) -> usize {
        self.image.maps.sizes.images * self.grid.0 * self.grid.1
    }

    /// Tiles whose points fit into a level 2 cache.
    fn each<S: Adjoint>(&self) -> usize {
        TASK / (S::POINTS * LANES * (self.inputs + self.outputs))
    }

    /// Transforms some tiles of all blocks.
    fn points<S: Adjoint>(&self, tiles: Range<usize>) -> Points {
        let (blocks, positions) = (self.inputs + self.outputs, tiles.len());
        let block_step = positions * LANES + LANES;
        let point_step = blocks * block_step + LANES;
        let mut numbers = Memory::take(S::POINTS * point_step);
        let to = Pointer::new(numbers.first());
        let segments = positions.div_ceil(GROUP);
        (0..blocks * segments).into_par_iter().for_each(|task| {
            let (block, skipped) = (task / segments, task % segments * GROUP);
            // SAFETY: this task's block and tiles at each point.
            let to = unsafe { to.at(block * block_step + skipped * LANES) };
            let tiles = tiles.start + skipped..tiles.end.min(tiles.start + skipped + GROUP);
            vector::run(Enter { sides: *self, block, tiles, to: (to, point_step), scheme: PhantomData::<S> });
        });
        Points { numbers, block_step, point_step, positions }
    }

    /// Few tiles of many channels: the sums of a block are transformed to taps as soon as they are complete.
    fn at_once<S: Adjoint>(&self, write: impl Fn(usize, usize, &[f32]) + Sync) {
        let points = self.points::<S>(0..self.count());
        let room = || Memory::take(POINTS * PAIR);
        (0..self.outputs.div_ceil(2) * self.inputs).into_par_iter().for_each_init(room, |sums, task| {
            let (first, input) = (task / self.inputs * 2, task % self.inputs);
            let blocks = 2.min(self.outputs - first);
            let gradients = self.inputs + first;
            vector::run(Block {
                points: &points,
                input,
                gradients,
                blocks,
                to: sums.first(),
                scheme: PhantomData::<S>,
            });
            for i in 0..blocks {
                let mut taps = [0.0; 9 * BLOCK];
                let points = &sums[i * BLOCK..];
                vector::run(Leave { points, point_step: PAIR, taps: &mut taps, scheme: PhantomData::<S> });
                write(first + i, input, &taps);
            }
        });
    }
}

/// Numbers of one point of two output blocks.
const PAIR: usize = 2 * BLOCK;

/// All points of an input block and one or two output blocks.
struct Block<'a, S> {
    points: &'a Points,
    input: usize,
    /// The first output block, as the points count it.
    gradients: usize,
    blocks: usize,
    /// `[point, output block, 16 inputs, 16 outputs]`
    to: *mut f32,
    scheme: PhantomData<S>,
}

impl<S: Adjoint> Kernel for Block<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let mut begun = [false; POINTS];
        for point in 0..S::POINTS {
            let kernel_point = S::kernel_point(point);
            Rows {
                to: self.to.wrapping_add(kernel_point * PAIR),
                pixels: self.points.at(point, self.input),
                gradients: self.points.at(point, self.gradients),
                block_step: self.points.block_step,
                positions: self.points.positions,
                inputs: 1,
                blocks: self.blocks,
                adds: begun[kernel_point],
            }
            .run::<V>();
            begun[kernel_point] = true;
        }
    }
}

/// Some tiles on their way to points: of a block of the image, or of one of the gradient, which are counted after those.
struct Enter<'a, S> {
    sides: Sides<'a>,
    block: usize,
    tiles: Range<usize>,
    /// The first tile's line at the first point, and the way to the next point.
    to: (*mut f32, usize),
    scheme: PhantomData<S>,
}

impl<S: Adjoint> Kernel for Enter<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (rows, columns) = self.sides.grid;
        let is_image = self.block < self.sides.inputs;
        let (from, block) = match is_image {
            true => (self.sides.image, self.block),
            false => (self.sides.gradient, self.block - self.sides.inputs),
        };
        let mut copy = Patch::new();
        for (i, tile) in self.tiles.enumerate() {
            let (image, row, column) = (tile / (rows * columns), tile / columns % rows, tile % columns);
            let line = (image * from.maps.sizes.blocks + block) * LANES;
            let scale = from.scales.map(|scales| scales[line..][..LANES].as_ptr());
            // SAFETY: pixels of this tile, and its own lines.
            unsafe {
                let to = (self.to.0.add(i * LANES), self.to.1);
                if is_image {
                    let first = (row * S::STEP.0, column * S::STEP.1);
                    S::enter::<V>(from.maps.patch::<V>((image, block), first, S::PATCH, &mut copy), scale, to);
                } else {
                    let first = (row * S::SIDES.0, column * S::SIDES.1);
                    S::gather::<V>(from.maps.patch::<V>((image, block), first, S::SIDES, &mut copy), scale, to);
                }
            }
        }
    }
}

/// Some tiles, from pixels to sums of the kernel's points.
struct Part<'a, S> {
    sides: Sides<'a>,
    tiles: Range<usize>,
    /// Tiles that are summed at a time.
    each: usize,
    /// `[point, output block, input block, 16 inputs, 16 outputs]`
    to: *mut f32,
    scheme: PhantomData<S>,
}

impl<S: Adjoint> Kernel for Part<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Sides { inputs, outputs, .. } = self.sides;
        let block_step = self.each * LANES;
        let point_step = (inputs + outputs) * block_step + LANES;
        let mut points = Memory::take(S::POINTS * point_step);
        let points = points.first();
        for first in self.tiles.clone().step_by(self.each) {
            let tiles = first..(first + self.each).min(self.tiles.end);
            let positions = tiles.len();
            for block in 0..inputs + outputs {
                let to = (points.wrapping_add(block * block_step), point_step);
                Enter { sides: self.sides, block, tiles: tiles.clone(), to, scheme: self.scheme }.run::<V>();
            }
            let mut begun = [first > self.tiles.start; POINTS];
            for point in 0..S::POINTS {
                let kernel_point = S::kernel_point(point);
                for pair in (0..outputs).step_by(2) {
                    let at = |block: usize| points.wrapping_add(point * point_step + block * block_step).cast_const();
                    Rows {
                        to: self.to.wrapping_add((kernel_point * outputs + pair) * inputs * BLOCK),
                        pixels: at(0),
                        gradients: at(inputs + pair),
                        block_step,
                        positions,
                        inputs,
                        blocks: 2.min(outputs - pair),
                        adds: begun[kernel_point],
                    }
                    .run::<V>();
                }
                begun[kernel_point] = true;
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
