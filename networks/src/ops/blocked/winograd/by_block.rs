//! Winograd's filtering where kernels are large: all patches are transformed first, and each task transforms the kernels of
//! its output blocks a few input blocks at a time and uses them at once, so that they are read once.

use std::ops::Range;

use rayon::prelude::*;

use super::{GROUP, POINTS, Scheme, Winograd};
use crate::ops::blocked::LANES;
use crate::ops::blocked::demodulation::Energies;
use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::Sizes;
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::product::{Sum, Target, product};
use crate::ops::blocked::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Input blocks of kernels that a task transforms at a time.
const DEPTH: usize = 4;
/// Points of all tiles whose sums a task keeps at a time, for the same reason as [`TASK`].
const MOST_SUMS: usize = 128 * POINTS;

impl<S: Scheme> Winograd<'_, S> {
    /// Writes some tiles, all kernels of an output block being transformed by the task that uses them.
    pub(super) fn block_by_block(&self, tiles: Range<usize>, to: (Sizes, Pointer)) {
        let inputs = self.weights.input_blocks();
        let block_step = tiles.len() * LANES;
        let point_step = inputs * block_step + LANES; // the odd line keeps points apart in the cache
        let mut points = Memory::take(S::POINTS * point_step);
        let shared = Pointer::new(points.first());
        let segments = tiles.len().div_ceil(GROUP);
        (0..inputs * segments).into_par_iter().for_each(|task| {
            let (block, first) = (task / segments, task % segments * GROUP);
            let some = tiles.start + first..tiles.end.min(tiles.start + first + GROUP);
            // SAFETY: this task's block and tiles at each point.
            let to = unsafe { shared.at(block * block_step + first * LANES) };
            vector::run(Patches { all: self, block, tiles: some, to, point_step });
        });
        let outputs = self.weights.output_blocks();
        let threads = rayon::current_num_threads();
        let blocks = if outputs >= 4 * threads { 2 } else { 1 };
        let tasks = outputs.div_ceil(blocks);
        let parts = (2 * threads).div_ceil(tasks).max(tiles.len().div_ceil(MOST_SUMS / S::POINTS)).min(segments);
        let points = Points { numbers: &points, block_step, point_step };
        (0..tasks * parts).into_par_iter().for_each(|task| {
            let (first_block, part) = (task / parts * blocks, task % parts);
            let bound = |part: usize| tiles.start + (tiles.len() * part / parts);
            let some = bound(part)..bound(part + 1);
            let blocks = first_block..(first_block + blocks).min(outputs);
            vector::run(BlockByBlock { all: self, points, chunk: tiles.start, blocks, tiles: some, to });
        });
    }
}

/// Transforms some patches of one block.
struct Patches<'a, S> {
    all: &'a Winograd<'a, S>,
    block: usize,
    tiles: Range<usize>,
    to: *mut f32,
    point_step: usize,
}

impl<S: Scheme> Kernel for Patches<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: whoever made this vouches for the room.
        unsafe { self.all.enter::<V>(self.block, self.tiles, (self.to, self.point_step)) };
    }
}

/// Transformed patches of a chunk of tiles, `[point, block, tile, 16]`.
#[derive(Clone, Copy)]
struct Points<'a> {
    numbers: &'a [f32],
    block_step: usize,
    point_step: usize,
}

/// Some tiles of one or two output blocks: kernels are transformed a few input blocks at a time and used at once.
struct BlockByBlock<'a, S> {
    all: &'a Winograd<'a, S>,
    points: Points<'a>,
    /// First tile of the chunk.
    chunk: usize,
    blocks: Range<usize>,
    tiles: Range<usize>,
    to: (Sizes, Pointer),
}

impl<S: Scheme> Kernel for BlockByBlock<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (all, inputs, count) = (self.all, self.all.weights.input_blocks(), self.tiles.len());
        let block_step = count * LANES;
        let (in_step, out_step) = (DEPTH * BLOCK + LANES, self.blocks.len() * block_step + LANES);
        let kernels_step = POINTS * in_step + LANES;
        let mut kernels = Memory::take(self.blocks.len() * kernels_step);
        let mut sums = Memory::take(S::POINTS * out_step);
        let (kernels, sums) = (kernels.first(), sums.first());
        let mut energies = Energies::new(all.demodulation, self.blocks.clone());
        for first in (0..inputs).step_by(DEPTH) {
            let depth = DEPTH.min(inputs - first);
            for (i, output) in self.blocks.clone().enumerate() {
                for input in 0..depth {
                    let to = kernels.wrapping_add(i * kernels_step + input * BLOCK);
                    // SAFETY: room for a block at each point.
                    unsafe { all.transform::<V>((output, first + input), &mut energies, (to, in_step)) };
                }
            }
            for point in 0..S::POINTS {
                let offset = point * self.points.point_step
                    + first * self.points.block_step
                    + (self.tiles.start - self.chunk) * LANES;
                // While this point is multiplied, the next kernels come, and the next point's pixels.
                let next = first + depth..first + depth + DEPTH;
                all.weights.ask_for::<V>(self.blocks.clone(), next, (point, S::POINTS));
                for tile in 0..count {
                    let next = offset + self.points.point_step + tile * LANES;
                    V::prefetch(self.points.numbers.as_ptr().wrapping_add(next));
                }
                // SAFETY: these input blocks at this point, of kernels, patches and sums.
                unsafe {
                    let sum = Sum {
                        weights: kernels.add(S::kernel_point(point) * in_step),
                        weights_step: kernels_step,
                        pixels: self.points.numbers[offset..].as_ptr(),
                        block_step: self.points.block_step,
                        blocks: depth,
                        taps: &[0],
                    };
                    let to =
                        Target { first: sums.add(point * out_step), position_step: LANES, block_step, adds: first > 0 };
                    product::<V, 1>(sum, count, self.blocks.len(), to);
                }
            }
        }
        if self.tiles.start == self.chunk {
            // SAFETY: of all parts of these output blocks only the first one writes.
            unsafe { energies.write_factors() };
        }
        let mut factors = vec![0.0; energies.all_factors()];
        energies.copy_factors(&mut factors);
        let found = all.demodulation.is_some().then_some(factors.as_slice());
        let finish = all.finish.map(|finish| Finish { factors: found.or(finish.factors), ..finish });
        for (i, block) in self.blocks.enumerate() {
            let sums = (sums.wrapping_add(i * block_step).cast_const(), out_step);
            // SAFETY: these tiles and blocks belong to this task.
            unsafe { all.leave::<V>((block, finish.as_ref()), self.tiles.clone(), sums, self.to) };
        }
    }
}
