//! Winograd's minimal filtering F(4x4, 3x3): 36 products for a tile of 16 results, where the direct way takes 144
//! (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.3).
//!
//! Patches of pixels and kernels are transformed to 36 points, at each of which the channels are summed; the sums are
//! transformed back. Large images go tile by tile, so that everything but the kernels stays in the level 2 cache; large
//! kernels go block by block, so that they are read once.

mod by_block;
pub(crate) mod doubling;
pub(crate) mod gradient;
pub(crate) mod masked;
pub(crate) mod shrinking;
mod transforms;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::LANES;
use super::demodulation::{Demodulation, Energies};
use super::finish::{Channels, Finish};
use super::maps::{Maps, Patch, Sizes, View};
use super::memory::{Memory, Pointer};
use super::product::{Sum, Target, product};
use super::weights::{BLOCK, Weights};
use crate::ops::vector::{self, Kernel, Vector};
pub(crate) use transforms::TILE;
use transforms::{PatchToPoints, kernel_to_points, pixels_to_points, points_to_tile};

/// Points of a tile, and of a kernel whatever the scheme.
const POINTS: usize = transforms::SIDE * transforms::SIDE;

/// A way of filtering with fewer products: patches and kernels become points, products of points become pixels.
pub(crate) trait Scheme: Copy + Sync {
    /// Points of a patch.
    const POINTS: usize;
    /// Pixels along the side of a patch.
    const PATCH: usize;
    /// Pixels from one patch to the next.
    const STEP: usize;
    /// Pixels of the result along the side of a tile.
    const SIDE: usize;

    /// The point of the kernel that a point of the patch meets.
    fn kernel_point(point: usize) -> usize;

    /// A patch, rows `pixels.1` numbers apart, to points, `points.1` apart; each channel is scaled.
    ///
    /// # Safety
    /// The pixels can be read and the points written.
    unsafe fn enter<V: Vector>(pixels: (*const f32, usize), scale: Option<*const f32>, points: (*mut f32, usize));

    /// One vector of each tap, `taps.1` apart, to the 36 points of the kernel.
    ///
    /// # Safety
    /// The taps can be read and the points written.
    unsafe fn kernel<V: Vector>(taps: (*const f32, usize), points: (*mut f32, usize));

    /// One vector of each point to a tile, rows `to.1` apart, finished where `place` (image, row and column) is.
    ///
    /// # Safety
    /// The points can be read and the pixels written.
    unsafe fn leave<V: Vector>(
        points: (*const f32, usize),
        finish: Option<(&Finish<'_>, &Channels<V>)>,
        place: (usize, usize, usize),
        to: (*mut f32, usize),
    );
}

/// F(4x4, 3x3)
#[derive(Clone, Copy)]
pub(crate) struct Same;

impl Scheme for Same {
    const POINTS: usize = POINTS;
    const PATCH: usize = transforms::SIDE;
    const STEP: usize = TILE;
    const SIDE: usize = TILE;

    #[inline(always)]
    fn kernel_point(point: usize) -> usize {
        point
    }

    #[inline(always)]
    unsafe fn enter<V: Vector>(pixels: (*const f32, usize), scale: Option<*const f32>, points: (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe {
            pixels_to_points::<PatchToPoints, V, { transforms::SIDE }, { transforms::SIDE }>(pixels, scale, points)
        }
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector>(taps: (*const f32, usize), points: (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe { kernel_to_points::<V>(taps, points) }
    }

    #[inline(always)]
    unsafe fn leave<V: Vector>(
        (points, point_step): (*const f32, usize),
        finish: Option<(&Finish<'_>, &Channels<V>)>,
        place: (usize, usize, usize),
        to: (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let tile = points_to_tile::<V>(points, point_step);
            match finish {
                None => store(tile, to),
                Some((finish, channels)) => store(finish.tile(tile, channels, place), to),
            }
        }
    }
}
/// Numbers of transformed patches and sums that a task works on: what fits into a level 2 cache beside the kernels.
const TASK: usize = 160 << 10;
/// Numbers of transformed patches that all tasks share when kernels go block by block: about a third of a level 3 cache.
const SHARED: usize = 3 << 20;
/// Numbers of transformed kernels up to which they stay in a level 3 cache.
const KERNELS: usize = 3 << 20;
/// Tiles are taken in multiples of this, which the widest matrix kernel sums at a time.
const GROUP: usize = 14;
/// A convolution with 3x3 taps.
pub(crate) struct Winograd<'a, S> {
    pub scheme: PhantomData<S>,
    /// Tile (0, 0) sees its pixels from (0, 0) on.
    pub source: View<'a>,
    /// A factor for each image and input channel, blocks filled up.
    pub scales: Option<&'a [f32]>,
    pub weights: Weights<'a>,
    /// Where the kernel's taps, row by row, lie.
    pub taps: [usize; 9],
    /// Rows and columns of tiles.
    pub tiles: (usize, usize),
    /// Where the first tile goes in the result.
    pub corner: (usize, usize),
    pub finish: Option<Finish<'a>>,
    /// Factors to be found out on the way, also for the finish.
    pub demodulation: Option<Demodulation<'a>>,
}

impl<S: Scheme> Winograd<'_, S> {
    /// Writes every tile to maps.
    pub fn compute(&self, target: &mut Maps) {
        self.write((target.sizes, Pointer::new(target.memory.first())));
    }

    /// Writes every tile, but for what lies beyond the result, to maps of these sizes.
    pub fn write(&self, to: (Sizes, Pointer)) {
        let count = self.source.sizes.images * self.tiles.0 * self.tiles.1;
        let kernels = POINTS * BLOCK * self.weights.output_blocks() * self.weights.input_blocks();
        let each = tiles_of_a_task::<S>(self.weights.input_blocks());
        let threads = rayon::current_num_threads();
        if kernels <= KERNELS && count >= 2 * threads * GROUP {
            let kernels = self.kernels();
            // SAFETY: the factors came with the kernels.
            let found = self.demodulation.map(|demodulation| unsafe { demodulation.written() });
            let finish = self.finish.map(|finish| Finish { factors: found.or(finish.factors), ..finish });
            // As many tasks for each thread, so that none waits for another.
            let each = count.div_ceil(count.div_ceil(each).next_multiple_of(threads));
            (0..count.div_ceil(each)).into_par_iter().for_each(|task| {
                let tiles = task * each..((task + 1) * each).min(count);
                vector::run(TileByTile { all: self, kernels: &kernels, finish, tiles, to });
            });
            return;
        }
        let most = (SHARED / (S::POINTS * LANES * self.weights.input_blocks())).max(GROUP);
        let chunk = count.div_ceil(count.div_ceil(most));
        for first in (0..count).step_by(chunk) {
            self.block_by_block(first..(first + chunk).min(count), to);
        }
    }

    /// From one point of the transformed kernels of an output block to the next; the odd line keeps points apart in the cache.
    fn kernel_step(&self) -> usize {
        self.weights.input_blocks() * BLOCK + LANES
    }

    /// All kernels, `[output block, point, input block, 16 inputs, 16 outputs]`, points [`kernel_step`](Self::kernel_step)
    /// numbers apart; also finds out the factors.
    fn kernels(&self) -> Memory {
        let outputs = self.weights.output_blocks();
        let mut memory = Memory::take(outputs * POINTS * self.kernel_step());
        let to = Pointer::new(memory.first());
        (0..outputs).into_par_iter().for_each(|block| vector::run(Kernels { all: self, block, to }));
        memory
    }

    /// Transforms one block of kernels, (output, input).
    ///
    /// # Safety
    /// `to` has room for a block at each point.
    #[inline(always)]
    unsafe fn transform<V: Vector>(
        &self,
        block: (usize, usize),
        energies: &mut Energies<'_>,
        (to, point_step): (*mut f32, usize),
    ) {
        let mut taps = Aligned([0.0; 9 * BLOCK]);
        self.weights.block::<V>(block, &self.taps, &mut taps.0);
        energies.add::<V>(block, &taps.0);
        for lane in (0..BLOCK).step_by(V::LANES) {
            // SAFETY: one vector of each tap and of each point, for which the caller vouches.
            unsafe { S::kernel::<V>((taps.0.as_ptr().add(lane), BLOCK), (to.add(lane), point_step)) };
        }
    }

    /// Image, row and column of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.tiles;
        (tile / (rows * columns), tile / columns % rows, tile % columns)
    }

    /// Transforms one block of some patches.
    ///
    /// # Safety
    /// `to` has room for a line of each tile at each point.
    #[inline(always)]
    unsafe fn enter<V: Vector>(&self, block: usize, tiles: Range<usize>, (to, point_step): (*mut f32, usize)) {
        let sizes = self.source.sizes;
        let mut copy = Patch::new();
        for (i, tile) in tiles.enumerate() {
            let (image, row, column) = self.place(tile);
            let pixel = (row * S::STEP, column * S::STEP);
            let pixels = self.source.patch::<V>((image, block), pixel, S::PATCH, &mut copy);
            let scale = self.scales.map(|scales| scales[(image * sizes.blocks + block) * LANES..][..LANES].as_ptr());
            ask_for_square::<V>(pixels.0.wrapping_add(S::PATCH * LANES), pixels.1, (S::PATCH, S::STEP));
            ask_for_points::<V, S>(to.wrapping_add((i + 1) * LANES), point_step);
            // SAFETY: a patch of the source, and this tile's lines.
            unsafe { S::enter::<V>(pixels, scale, (to.add(i * LANES), point_step)) };
        }
    }

    /// Transforms one block of some tiles' sums back and stores them.
    ///
    /// # Safety
    /// `sums` holds a line of each tile at each point; the block of these tiles in the result is the caller's alone.
    #[inline(always)]
    unsafe fn leave<V: Vector>(
        &self,
        (block, finish): (usize, Option<&Finish<'_>>),
        tiles: Range<usize>,
        (sums, point_step): (*const f32, usize),
        (sizes, to): (Sizes, Pointer),
    ) {
        let mut copy = Patch::new();
        for (i, tile) in tiles.enumerate() {
            let (image, row, column) = self.place(tile);
            let (row, column) = (row * S::SIDE, column * S::SIDE);
            let (top, left) = (row + self.corner.0, column + self.corner.1);
            let (rows, columns) = (S::SIDE.min(sizes.rows - top), S::SIDE.min(sizes.columns - left));
            let is_whole = rows == S::SIDE && columns == S::SIDE;
            // SAFETY: the caller's promise.
            let first = unsafe { to.at(sizes.offset(image, block, (top, left))) };
            let target = if is_whole { (first, sizes.row()) } else { (copy.first(), S::SIDE * LANES) };
            ask_for_square::<V>(first.wrapping_add(S::SIDE * LANES), sizes.row(), (S::SIDE, S::SIDE));
            ask_for_points::<V, S>(sums.wrapping_add((i + 1) * LANES), point_step);
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: the caller's promise, and room for a tile in the copy.
                unsafe {
                    let (sums, to) = ((sums.add(i * LANES + lane), point_step), (target.0.add(lane), target.1));
                    match finish {
                        None => S::leave::<V>(sums, None, (image, row, column), to),
                        Some(finish) => {
                            let channels = finish.channels::<V>((image, block, sizes.blocks), lane);
                            S::leave::<V>(sums, Some((finish, &channels)), (image, row, column), to);
                        }
                    }
                }
            }
            for y in 0..if is_whole { 0 } else { rows } {
                // SAFETY: the part of a row of the tile that lies within the result.
                unsafe {
                    let from = target.0.add(y * target.1);
                    std::ptr::copy_nonoverlapping(from, first.add(y * sizes.row()), columns * LANES);
                }
            }
        }
    }
}

/// Asks for the pixels of the next tile, rows `row_step` numbers apart, while this one is worked on.
#[inline(always)]
fn ask_for_square<V: Vector>(first: *const f32, row_step: usize, (rows, columns): (usize, usize)) {
    for y in 0..rows {
        for x in 0..columns {
            V::prefetch(first.wrapping_add(y * row_step + x * LANES));
        }
    }
}

/// Asks for the points of the next tile.
#[inline(always)]
fn ask_for_points<V: Vector, S: Scheme>(first: *const f32, point_step: usize) {
    for point in 0..S::POINTS {
        V::prefetch(first.wrapping_add(point * point_step));
    }
}

/// Stores a tile in rows `row_step` numbers apart.
///
/// # Safety
/// The pixels can be written.
#[inline(always)]
unsafe fn store<V: Vector>(tile: [[V; TILE]; TILE], (to, row_step): (*mut f32, usize)) {
    for (y, row) in tile.into_iter().enumerate() {
        for (x, number) in row.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { number.store(to.add(y * row_step + x * LANES)) };
        }
    }
}

/// Tiles that a task transforms at a time.
fn tiles_of_a_task<S: Scheme>(inputs: usize) -> usize {
    (TASK / (S::POINTS * LANES * (inputs + 2)) / GROUP * GROUP).max(GROUP)
}

/// Transforms all kernels of an output block.
struct Kernels<'a, S> {
    all: &'a Winograd<'a, S>,
    block: usize,
    to: Pointer,
}

impl<S: Scheme> Kernel for Kernels<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (all, step) = (self.all, self.all.kernel_step());
        let mut energies = Energies::new(all.demodulation, self.block..self.block + 1);
        for input in 0..all.weights.input_blocks() {
            all.weights.ask_for::<V>(self.block..self.block + 1, input + 1..input + 2, (0, 1));
            // SAFETY: this task's output block at each point.
            unsafe {
                let to = self.to.at(self.block * POINTS * step + input * BLOCK);
                all.transform::<V>((self.block, input), &mut energies, (to, step));
            }
        }
        // SAFETY: this task's output block.
        unsafe { energies.write_factors() };
    }
}

#[repr(align(64))]
struct Aligned([f32; 9 * BLOCK]);

/// Some tiles, from pixels to pixels.
struct TileByTile<'a, S> {
    all: &'a Winograd<'a, S>,
    kernels: &'a Memory,
    finish: Option<Finish<'a>>,
    tiles: Range<usize>,
    to: (Sizes, Pointer),
}

impl<S: Scheme> Kernel for TileByTile<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (all, inputs, outputs) = (self.all, self.all.weights.input_blocks(), self.all.weights.output_blocks());
        let block_step = self.tiles.len() * LANES;
        let (in_step, out_step) = (inputs * block_step + LANES, 2 * block_step + LANES);
        let (mut points, mut sums) = (Memory::take(S::POINTS * in_step), Memory::take(S::POINTS * out_step));
        let (points, sums) = (points.first(), sums.first());
        for block in 0..inputs {
            // SAFETY: this block's lines of every tile at every point.
            unsafe { all.enter::<V>(block, self.tiles.clone(), (points.add(block * block_step), in_step)) };
        }
        for first in (0..outputs).step_by(2) {
            let blocks = 2.min(outputs - first);
            for point in 0..S::POINTS {
                let kernels = &self.kernels[(first * POINTS + S::kernel_point(point)) * all.kernel_step()..];
                // SAFETY: all blocks at this point, of kernels, patches and sums.
                unsafe {
                    let sum = Sum {
                        weights: kernels.as_ptr(),
                        weights_step: POINTS * all.kernel_step(),
                        pixels: points.add(point * in_step),
                        block_step,
                        blocks: inputs,
                        taps: &[0],
                    };
                    let first = sums.add(point * out_step);
                    let to = Target { first, position_step: LANES, block_step, adds: false };
                    product::<V, 1>(sum, self.tiles.len(), blocks, to);
                }
            }
            for block in 0..blocks {
                let sums = (sums.wrapping_add(block * block_step).cast_const(), out_step);
                // SAFETY: these tiles belong to this task.
                unsafe { all.leave::<V>((first + block, self.finish.as_ref()), self.tiles.clone(), sums, self.to) };
            }
        }
    }
}
