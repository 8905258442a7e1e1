//! Winograd's filtering where images are large: all kernels are transformed first, and each task takes some tiles from pixels
//! to pixels, so that everything but the kernels stays in a level 2 cache.

use std::ops::Range;

use rayon::prelude::*;

use super::edges::Edges;
use super::grid::{Grid, Lines, To};
use super::kernels::Transforming;
use super::pairing::Pairing;
use super::scheme::{Filtering, Scales, Scheme};
use super::{After, Then, Winograd};
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::paired::{Pairs, pairs_of_pixel, pairs_of_weights};
use crate::ops::blocked::product::{Sum, Target};
use crate::ops::blocked::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Numbers of transformed patches and sums that a task works on: what fits into a level 2 cache beside the kernels.
const TASK: usize = 128 << 10;
/// Fewest tiles of a task.
const FEWEST: usize = 10;

/// Input blocks of weights that are asked for before they are needed.
const AHEAD: usize = 2;

impl<S: Filtering> Winograd<'_, S> {
    /// Writes all tiles, those of the edges too.
    pub(super) fn by_tile(&self, pairing: Option<&Pairing>, after: &After<'_>, to: (Sizes, Option<Pointer>)) {
        let kernels = self.kernels(pairing);
        // SAFETY: the factors came with the kernels.
        let found = self.demodulation.map(|demodulation| unsafe { demodulation.written() });
        let finish = self.finish.map(|finish| Finish { factors: found.or(finish.factors), ..finish });
        let grid = self.grid(self.size_within(to.0));
        let whole = || kernels.filter(&grid, (finish, after.then), to);
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
    pub(super) fn kernels(&self, pairing: Option<&Pairing>) -> Kernels {
        let (outputs, inputs) = (self.weights.output_blocks(), self.weights.input_blocks());
        let step = inputs * BLOCK + LANES; // the odd line keeps points apart in the cache
        let mut numbers = Memory::take(outputs * S::KERNEL_POINTS * step);
        let to = Pointer::new(numbers.first());
        (0..outputs).into_par_iter().for_each(|block| vector::run(Transform { all: self, pairing, block, to, step }));
        Kernels { numbers, points: S::KERNEL_POINTS, step, inputs, outputs, gains: pairing.map(Pairing::gains) }
    }
}

/// Transforms all kernels of an output block.
struct Transform<'a, S> {
    all: &'a Winograd<'a, S>,
    pairing: Option<&'a Pairing>,
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
        let mut transforming = Transforming::new(all.demodulation, self.pairing, blocks.clone());
        all.weights.ask_for::<V>(blocks.clone(), 0..AHEAD, (0, 1));
        for input in 0..all.weights.input_blocks() {
            all.weights.ask_for::<V>(blocks.clone(), input + AHEAD..input + AHEAD + 1, (0, 1));
            // SAFETY: this task's output block at each point.
            unsafe {
                let to = self.to.at(self.block * S::KERNEL_POINTS * step + input * BLOCK);
                all.transform::<V>((self.block, input), &mut transforming, (to, step));
            }
        }
        for point in 0..if self.pairing.is_some() { S::KERNEL_POINTS } else { 0 } {
            let blocks = all.weights.input_blocks();
            // SAFETY: this task's output block at this point, and the line behind it.
            unsafe {
                let weights = self.to.at((self.block * S::KERNEL_POINTS + point) * step);
                pairs_of_weights::<V>(weights, blocks, weights.add(blocks * BLOCK));
            }
        }
        // SAFETY: this task's output block.
        unsafe { transforming.energies.write_factors() };
    }
}

/// Transformed kernels, `[output block, point, input block, 16 inputs, 16 outputs]`.
pub(super) struct Kernels {
    numbers: Memory,
    /// Points of a kernel.
    points: usize,
    /// From one point of an output block to the next.
    step: usize,
    /// Blocks of channels.
    inputs: usize,
    outputs: usize,
    /// What sums of pairs are multiplied with; then the line behind a point's blocks has the products of their pairs.
    gains: Option<Scales>,
}

impl Kernels {
    /// Tiles whose points and sums stay in a level 2 cache.
    fn tiles_at_once<S: Scheme>(&self) -> usize {
        (TASK / (S::POINTS * LANES * (self.inputs + 2))).max(FEWEST)
    }

    /// Rows of so many tiles that stay there.
    pub(super) fn lines_at_once<S: Scheme>(&self, columns: usize) -> usize {
        ((self.tiles_at_once::<S>() + columns / 2) / columns).max(1)
    }

    /// Takes all tiles of a grid from pixels to pixels, one after the other.
    pub(super) fn filter_alone<S: Scheme>(&self, grid: &Grid<'_, S>, to: (Sizes, Pointer)) {
        let (count, each) = (grid.count(), self.tiles_at_once::<S>());
        let each = count.div_ceil(((count + each / 2) / each).max(1));
        let to = To::images(to);
        for first in (0..count).step_by(each) {
            vector::run(TileByTile { kernels: self, grid, finish: None, tiles: first..count.min(first + each), to });
        }
    }

    /// Takes all tiles of a grid from pixels to pixels.
    fn filter<S: Scheme>(
        &self,
        grid: &Grid<'_, S>,
        (finish, then): (Option<Finish<'_>>, Option<&Then<'_>>),
        (sizes, to): (Sizes, Option<Pointer>),
    ) {
        let count = grid.count();
        let each = self.tiles_at_once::<S>();
        // As many tasks for each thread, so that none waits for another.
        let each = count.div_ceil(count.div_ceil(each).next_multiple_of(rayon::current_num_threads()));
        (0..count.div_ceil(each)).into_par_iter().for_each(|task| {
            let tiles = task * each..((task + 1) * each).min(count);
            let mut strip;
            let to = match to {
                Some(maps) => To::images((sizes, maps)),
                None => {
                    let (rows, columns) = (S::SIDES.0, tiles.len() * S::SIDES.1);
                    strip = Maps::new(Sizes { images: 1, blocks: self.outputs, rows, columns });
                    To::strip(&mut strip)
                }
            };
            vector::run(TileByTile { kernels: self, grid, finish, tiles: tiles.clone(), to });
            if let Some(then) = then {
                grid.regions(tiles, to).for_each(|(region, pixels)| then(&region, pixels));
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
    to: To,
}

impl<S: Scheme> Kernel for TileByTile<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Kernels { points: kernel_points, inputs, outputs, step, gains, .. } = *self.kernels;
        let (tile_step, count) = (S::LINES * LANES, self.tiles.len());
        let block_step = count * tile_step;
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
        let mut of_pixels = Memory::take(if gains.is_some() { S::POINTS * count } else { 0 });
        if gains.is_some() {
            for (tile, point) in (0..count).flat_map(|tile| (0..S::POINTS).map(move |point| (tile, point))) {
                // SAFETY: this point of this tile.
                let line = unsafe { points.add(tile * tile_step + point * LANES) };
                // SAFETY: its blocks.
                of_pixels[point * count + tile] = unsafe { pairs_of_pixel((line, block_step), inputs) };
            }
        }
        for first in (0..outputs).step_by(2) {
            let blocks = 2.min(outputs - first);
            for point in 0..S::POINTS {
                let kernels = &self.kernels.numbers[(first * kernel_points + S::kernel_point(point)) * step..];
                // SAFETY: all blocks at this point, of kernels, patches and sums.
                unsafe {
                    let sum = Sum {
                        weights: kernels.as_ptr(),
                        weights_step: kernel_points * step,
                        pixels: points.add(point * LANES),
                        block_step,
                        blocks: inputs,
                        taps: &[0],
                        pairs: gains.map(|gains| Pairs {
                            of_pixels: Some(of_pixels.as_ptr().add(point * count)),
                            of_weights: inputs * BLOCK,
                            gain: gains[S::kernel_point(point)],
                        }),
                    };
                    let first = sums.add(point * LANES);
                    let to = Target { first, position_step: tile_step, block_step, adds: false };
                    S::product::<V>(sum, count, blocks, to);
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
