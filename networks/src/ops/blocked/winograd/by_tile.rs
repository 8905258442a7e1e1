//! Winograd's filtering where images are large: all kernels are transformed first, and each task takes some tiles from pixels
//! to pixels, so that everything but the kernels stays in a level 2 cache.

use std::ops::Range;

use rayon::prelude::*;

use super::edges::Edges;
use super::grid::{Grid, Lines};
use super::kernels::Transforming;
use super::scheme::{Filtering, POINTS, Scheme};
use super::{After, GROUP, Then, Winograd};
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::Sizes;
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::product::{Sum, Target};
use crate::ops::blocked::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Numbers of transformed patches and sums that a task works on: what fits into a level 2 cache beside the kernels.
const TASK: usize = 160 << 10;

/// Input blocks of weights that are asked for before they are needed.
const AHEAD: usize = 2;

impl<S: Filtering> Winograd<'_, S> {
    /// Writes all tiles, those of the edges too.
    pub(super) fn by_tile(&self, after: &After<'_>, to: (Sizes, Pointer)) {
        let kernels = self.kernels();
        // SAFETY: the factors came with the kernels.
        let found = self.demodulation.map(|demodulation| unsafe { demodulation.written() });
        let finish = self.finish.map(|finish| Finish { factors: found.or(finish.factors), ..finish });
        let whole = || kernels.filter(&self.grid(), (finish, after.then), to);
        match &after.edges {
            None => whole(),
            Some(Edges { row, column }) => {
                let edge = (finish, None);
                let edges = || rayon::join(|| kernels.filter(row, edge, to), || kernels.filter(column, edge, to));
                rayon::join(whole, edges);
            }
        }
    }

    /// Transforms all kernels; also finds out the factors.
    fn kernels(&self) -> Kernels {
        let (outputs, inputs) = (self.weights.output_blocks(), self.weights.input_blocks());
        let step = inputs * BLOCK + LANES; // the odd line keeps points apart in the cache
        let mut numbers = Memory::take(outputs * POINTS * step);
        let to = Pointer::new(numbers.first());
        (0..outputs).into_par_iter().for_each(|block| vector::run(Transform { all: self, block, to, step }));
        Kernels { numbers, step, inputs, outputs }
    }
}

/// Transforms all kernels of an output block.
struct Transform<'a, S> {
    all: &'a Winograd<'a, S>,
    block: usize,
    to: Pointer,
    step: usize,
}

impl<S: Filtering> Kernel for Transform<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (all, step) = (self.all, self.step);
        let blocks = self.block..self.block + 1;
        let mut transforming = Transforming::new(all.demodulation, blocks.clone());
        all.weights.ask_for::<V>(blocks.clone(), 0..AHEAD, (0, 1));
        for input in 0..all.weights.input_blocks() {
            all.weights.ask_for::<V>(blocks.clone(), input + AHEAD..input + AHEAD + 1, (0, 1));
            // SAFETY: this task's output block at each point.
            unsafe {
                let to = self.to.at(self.block * POINTS * step + input * BLOCK);
                all.transform::<V>((self.block, input), &mut transforming, (to, step));
            }
        }
        // SAFETY: this task's output block.
        unsafe { transforming.energies.write_factors() };
    }
}

/// Transformed kernels, `[output block, point, input block, 16 inputs, 16 outputs]`.
struct Kernels {
    numbers: Memory,
    /// From one point of an output block to the next.
    step: usize,
    /// Blocks of channels.
    inputs: usize,
    outputs: usize,
}

impl Kernels {
    /// Takes all tiles of a grid from pixels to pixels.
    fn filter<S: Scheme>(
        &self,
        grid: &Grid<'_, S>,
        (finish, then): (Option<Finish<'_>>, Option<&Then<'_>>),
        to: (Sizes, Pointer),
    ) {
        let count = grid.count();
        let each = (TASK / (S::POINTS * LANES * (self.inputs + 2)) / GROUP * GROUP).max(GROUP);
        // As many tasks for each thread, so that none waits for another.
        let each = count.div_ceil(count.div_ceil(each).next_multiple_of(rayon::current_num_threads()));
        (0..count.div_ceil(each)).into_par_iter().for_each(|task| {
            let tiles = task * each..((task + 1) * each).min(count);
            vector::run(TileByTile { kernels: self, grid, finish, tiles: tiles.clone(), to });
            if let Some(then) = then {
                grid.regions(tiles).for_each(|region| then(&region));
            }
        });
    }
}

/// Some tiles, from pixels to pixels. Their points and sums lie as `[block, tile, point, 16]`: a tile's lines one after the
/// other, which is how they are written and read again, and at known distances for the products.
struct TileByTile<'a, S> {
    kernels: &'a Kernels,
    grid: &'a Grid<'a, S>,
    finish: Option<Finish<'a>>,
    tiles: Range<usize>,
    to: (Sizes, Pointer),
}

impl<S: Scheme> Kernel for TileByTile<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Kernels { inputs, outputs, step, .. } = *self.kernels;
        let tile_step = S::POINTS * LANES;
        let block_step = self.tiles.len() * tile_step;
        let (mut points, mut sums) = (Memory::take(inputs * block_step), Memory::take(2 * block_step));
        let (points, sums) = (points.first(), sums.first());
        let lines = |first: *mut f32, block: usize| {
            let first = first.wrapping_add(block * block_step);
            Lines { first, tile_step, point_step: LANES }
        };
        for block in 0..inputs {
            // SAFETY: this block's lines of every tile at every point.
            unsafe { self.grid.enter::<V>(block, self.tiles.clone(), lines(points, block)) };
        }
        for first in (0..outputs).step_by(2) {
            let blocks = 2.min(outputs - first);
            for point in 0..S::POINTS {
                let kernels = &self.kernels.numbers[(first * POINTS + S::kernel_point(point)) * step..];
                // SAFETY: all blocks at this point, of kernels, patches and sums.
                unsafe {
                    let sum = Sum {
                        weights: kernels.as_ptr(),
                        weights_step: POINTS * step,
                        pixels: points.add(point * LANES),
                        block_step,
                        blocks: inputs,
                        taps: &[0],
                    };
                    let first = sums.add(point * LANES);
                    let to = Target { first, position_step: tile_step, block_step, adds: false };
                    S::product::<V>(sum, self.tiles.len(), blocks, to);
                }
            }
            for block in 0..blocks {
                let sums = lines(sums, block).read();
                // SAFETY: these tiles belong to this task.
                unsafe {
                    let block = (first + block, self.finish.as_ref());
                    self.grid.leave::<V>(block, self.tiles.clone(), sums, self.to);
                }
            }
        }
    }
}
