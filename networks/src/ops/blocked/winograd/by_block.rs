//! Winograd's filtering where kernels are large: all patches are transformed first, and each task transforms the kernels of
//! its output blocks a few input blocks at a time and uses them at once, so that they are read once.

use std::ops::Range;

use rayon::prelude::*;

use super::edges::{Edges, LastColumn, LastRow};
use super::grid::{Grid, Lines, To};
use super::kernels::Transforming;
use super::pairing::Pairing;
use super::scheme::{Filtering, POINTS, Scales, Scheme};
use super::{After, GROUP, PAIRED_GROUP, Winograd};
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::Finish;
use crate::ops::blocked::maps::Sizes;
use crate::ops::blocked::memory::{Memory, Pointer};
use crate::ops::blocked::paired::{Pairs, pairs_of_pixel, pairs_of_weights};
use crate::ops::blocked::product::{Sum, Target, product};
use crate::ops::blocked::weights::{BLOCK, Weights};
use crate::ops::vector::{self, Kernel, Vector};

/// Input blocks of kernels that a task transforms at a time.
const DEPTH: usize = 4;
/// Points of all tiles whose sums a task keeps at a time: they stay in a level 2 cache beside the kernels.
const MOST_SUMS: usize = 128 * POINTS;
/// Numbers of transformed patches that all tasks share: about a quarter of a level 3 cache.
const SHARED: usize = 2 << 20;

impl<S: Filtering> Winograd<'_, S> {
    /// Writes all tiles, those of the edges too.
    pub(super) fn by_block(&self, pairing: Option<&Pairing>, after: &After<'_>, to: (Sizes, Pointer)) {
        let grid = self.grid(self.size_within(to.0));
        let count = grid.count();
        let most = (SHARED / (S::POINTS * LANES * self.weights.input_blocks())).max(GROUP);
        let chunk = count.div_ceil(count.div_ceil(most));
        for first in (0..count).step_by(chunk) {
            let tiles = first..(first + chunk).min(count);
            // The edges come with the last tiles.
            let edges = after.edges.as_ref().filter(|_| tiles.end == count);
            self.some_by_block(pairing, (&grid, tiles), edges, to);
        }
        if let Some(then) = after.then {
            let row = grid.tiles.1;
            let rows = (0..count).into_par_iter().step_by(row);
            rows.for_each(|first| {
                grid.regions(first..first + row, To::images(to)).for_each(|(region, pixels)| then(&region, pixels))
            });
        }
    }

    /// Writes some tiles and perhaps those of the edges, all kernels of an output block being transformed by the task that
    /// uses them.
    fn some_by_block(
        &self,
        pairing: Option<&Pairing>,
        (grid, tiles): (&Grid<'_, S>, Range<usize>),
        edges: Option<&Edges<'_>>,
        to: (Sizes, Pointer),
    ) {
        let paired = pairing.is_some();
        let points = Points::of(grid, tiles.clone(), paired);
        let edges = edges.map(|Edges { row, column }| {
            let (rows, columns) = (0..row.count(), 0..column.count());
            rayon::join(|| Points::of(row, rows, paired), || Points::of(column, columns, paired))
        });
        let outputs = self.weights.output_blocks();
        let threads = rayon::current_num_threads();
        let blocks = if outputs >= 4 * threads { 2 } else { 1 };
        let tasks = outputs.div_ceil(blocks);
        let parts = (2 * threads).div_ceil(tasks).max(tiles.len().div_ceil(MOST_SUMS / S::POINTS)).min(points.groups);
        (0..tasks * parts).into_par_iter().for_each(|task| {
            let (first_block, part) = (task / parts * blocks, task % parts);
            let blocks = first_block..(first_block + blocks).min(outputs);
            let share = points.share(part, parts);
            let edges = edges.as_ref().map(|(row, column)| (row.share(part, parts), column.share(part, parts)));
            let writes_factors = part == 0;
            vector::run(BlockByBlock { all: self, pairing, blocks, writes_factors, share, edges, to });
        });
    }
}

/// Transformed patches of some tiles of a grid, `[group, block, point, tile of the group, 16]`: a product reads a group of
/// tiles, and whoever transforms one of its blocks writes to a small part of memory.
struct Points<'a, S> {
    grid: &'a Grid<'a, S>,
    tiles: Range<usize>,
    numbers: Memory,
    groups: usize,
    /// Products of pairs, `[group, point, tile of the group]`.
    pairs: Option<Memory>,
}

impl<'a, S: Scheme> Points<'a, S> {
    /// Transforms the patches.
    fn of(grid: &'a Grid<'a, S>, tiles: Range<usize>, paired: bool) -> Self {
        let (inputs, groups) =
            (grid.source.sizes.blocks, tiles.len().div_ceil(if paired { PAIRED_GROUP } else { GROUP }));
        let numbers = Memory::take(tiles.len() * inputs * S::POINTS * LANES);
        let mut points = Points { grid, tiles, numbers, groups, pairs: None };
        let to = Pointer::new(points.numbers.first());
        (0..inputs * groups).into_par_iter().for_each(|task| {
            let (block, group) = (task / groups, task % groups);
            let (place, tiles) = (points.place(group, block), points.group(group));
            let (first, point_step) = (points.tiles.start, tiles.len() * LANES);
            // SAFETY: this task's block of a group.
            let to = Lines { first: unsafe { to.at(place) }, tile_step: LANES, point_step };
            vector::run(Patches { grid, block, tiles: first + tiles.start..first + tiles.end, to });
        });
        if paired {
            let mut pairs = Memory::take(points.tiles.len() * S::POINTS);
            let to = Pointer::new(pairs.first());
            (0..groups).into_par_iter().for_each(|group| vector::run(PairsOfGroup { points: &points, group, to }));
            points.pairs = Some(pairs);
        }
        points
    }

    /// The tiles of a group, counted from the first one.
    #[inline(always)]
    fn group(&self, group: usize) -> Range<usize> {
        let bound = |group: usize| self.tiles.len() * group / self.groups;
        bound(group)..bound(group + 1)
    }

    /// Where a block of a group begins.
    #[inline(always)]
    fn place(&self, group: usize, block: usize) -> usize {
        let tiles = self.group(group);
        (tiles.start * self.grid.source.sizes.blocks + block * tiles.len()) * S::POINTS * LANES
    }

    /// The products of pairs of a group's tiles at a point.
    #[inline(always)]
    fn pairs_of(&self, group: usize, point: usize) -> Option<*const f32> {
        let tiles = self.group(group);
        self.pairs.as_ref().map(|pairs| pairs[tiles.start * S::POINTS + point * tiles.len()..].as_ptr())
    }

    /// One of some parts.
    fn share(&self, part: usize, parts: usize) -> Share<'_, S> {
        Share { points: self, groups: self.groups * part / parts..self.groups * (part + 1) / parts }
    }
}

/// Finds the products of pairs of a group.
struct PairsOfGroup<'a, S> {
    points: &'a Points<'a, S>,
    group: usize,
    to: Pointer,
}

impl<S: Scheme> Kernel for PairsOfGroup<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (points, group) = (self.points, self.group);
        let (tiles, inputs) = (points.group(group), points.grid.source.sizes.blocks);
        let numbers = &points.numbers[points.place(group, 0)..];
        let lines = tiles.len() * S::POINTS;
        for line in 0..lines {
            // SAFETY: the blocks of a point of a tile of this group, and its place.
            unsafe {
                let first = numbers.as_ptr().add(line * LANES);
                *self.to.at(tiles.start * S::POINTS + line) = pairs_of_pixel((first, lines * LANES), inputs);
            }
        }
    }
}

/// Transforms some patches of one block.
struct Patches<'a, S> {
    grid: &'a Grid<'a, S>,
    block: usize,
    tiles: Range<usize>,
    to: Lines<*mut f32>,
}

impl<S: Scheme> Kernel for Patches<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: whoever made this vouches for the room.
        unsafe { self.grid.enter::<V>(self.block, self.tiles, self.to) };
    }
}

/// Some tiles of one or two output blocks: kernels are transformed a few input blocks at a time and used at once.
struct BlockByBlock<'a, S> {
    all: &'a Winograd<'a, S>,
    pairing: Option<&'a Pairing>,
    blocks: Range<usize>,
    /// Of all tasks of these output blocks only one does.
    writes_factors: bool,
    share: Share<'a, S>,
    edges: Option<(Share<'a, LastRow>, Share<'a, LastColumn>)>,
    to: (Sizes, Pointer),
}

impl<S: Filtering> Kernel for BlockByBlock<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (all, inputs, blocks) = (self.all, self.all.weights.input_blocks(), self.blocks.clone());
        let in_step = DEPTH * BLOCK + LANES;
        let kernels_step = S::KERNEL_POINTS * in_step + LANES;
        let mut kernels = Memory::take(blocks.len() * kernels_step);
        let kernels = kernels.first();
        let mut sums = self.share.sums(blocks.len());
        let mut edge_sums =
            self.edges.as_ref().map(|(row, column)| (row.sums(blocks.len()), column.sums(blocks.len())));
        let mut transforming = Transforming::new(all.demodulation, self.pairing, blocks.clone());
        let gains = self.pairing.map(Pairing::gains);
        for first in (0..inputs).step_by(DEPTH) {
            let depth = DEPTH.min(inputs - first);
            for (i, output) in blocks.clone().enumerate() {
                for input in 0..depth {
                    let to = kernels.wrapping_add(i * kernels_step + input * BLOCK);
                    // SAFETY: room for a block at each point.
                    unsafe { all.transform::<V>((output, first + input), &mut transforming, (to, in_step)) };
                }
                for point in 0..if gains.is_some() { S::KERNEL_POINTS } else { 0 } {
                    let weights = kernels.wrapping_add(i * kernels_step + point * in_step);
                    // SAFETY: these blocks at this point, and the line behind them.
                    unsafe { pairs_of_weights::<V>(weights, depth, weights.add(DEPTH * BLOCK)) };
                }
            }
            let next = (all.weights, blocks.clone(), first + depth..first + depth + DEPTH);
            let part =
                Part { kernels, in_step, kernels_step, first, depth, blocks: blocks.len(), gains: gains.as_ref() };
            // SAFETY: the kernels of these blocks, and sums for as many.
            unsafe {
                self.share.multiply::<V>(&part, Some(&next), &mut sums);
                if let (Some((row, column)), Some((row_sums, column_sums))) = (&self.edges, &mut edge_sums) {
                    row.multiply::<V>(&part, None, row_sums);
                    column.multiply::<V>(&part, None, column_sums);
                }
            }
        }
        let energies = transforming.energies;
        if self.writes_factors {
            // SAFETY: the only task of these output blocks that does.
            unsafe { energies.write_factors() };
        }
        let mut factors = vec![0.0; energies.all_factors()];
        energies.copy_factors(&mut factors);
        let found = all.demodulation.is_some().then_some(factors.as_slice());
        let finish = all.finish.map(|finish| Finish { factors: found.or(finish.factors), ..finish });
        let blocks = (blocks, finish.as_ref());
        // SAFETY: these tiles and blocks belong to this task.
        unsafe {
            self.share.leave::<V>(blocks.clone(), &mut sums, self.to);
            if let (Some((row, column)), Some((row_sums, column_sums))) = (&self.edges, &mut edge_sums) {
                row.leave::<V>(blocks.clone(), row_sums, self.to);
                column.leave::<V>(blocks, column_sums, self.to);
            }
        }
    }
}

/// Transformed kernels of a few input blocks of some output blocks.
struct Part<'a> {
    kernels: *const f32,
    /// From one point to the next, and from one output block to the next.
    in_step: usize,
    kernels_step: usize,
    /// The first input block, their number, and the number of output blocks.
    first: usize,
    depth: usize,
    blocks: usize,
    /// What sums of pairs are multiplied with at each point.
    gains: Option<&'a Scales>,
}

/// What will be read soon: output and input blocks of weights.
type Next<'a> = (Weights<'a>, Range<usize>, Range<usize>);

/// The tiles of a task.
struct Share<'a, S> {
    points: &'a Points<'a, S>,
    groups: Range<usize>,
}

/// Sums of all points, `[point, block, tile, 16]`.
struct Sums {
    numbers: Memory,
    block_step: usize,
    point_step: usize,
}

impl<S: Scheme> Share<'_, S> {
    /// The tiles, counted from the first one of the points.
    #[inline(always)]
    fn tiles(&self) -> Range<usize> {
        let Range { start, end } = self.groups;
        if start == end { 0..0 } else { self.points.group(start).start..self.points.group(end - 1).end }
    }

    /// Room for sums.
    #[inline(always)]
    fn sums(&self, blocks: usize) -> Sums {
        let block_step = self.tiles().len() * LANES;
        let point_step = blocks * block_step + LANES; // the odd line keeps points apart in the cache
        Sums { numbers: Memory::take(S::POINTS * point_step), block_step, point_step }
    }

    /// Adds some input blocks' part to the sums; while a point is multiplied, the next kernels come, and the next point's
    /// pixels.
    ///
    /// # Safety
    /// The kernels can be read; the sums are of as many blocks.
    #[inline(always)]
    unsafe fn multiply<V: Vector>(&self, part: &Part<'_>, next: Option<&Next<'_>>, sums: &mut Sums) {
        let (points, first) = (self.points, self.tiles().start);
        for point in 0..S::POINTS {
            if let Some((weights, outputs, inputs)) = next {
                weights.ask_for::<V>(outputs.clone(), inputs.clone(), (point, S::POINTS));
            }
            for group in self.groups.clone() {
                let tiles = points.group(group);
                let pixels = &points.numbers[points.place(group, part.first) + point * tiles.len() * LANES..];
                for tile in 0..tiles.len() {
                    V::prefetch(pixels.as_ptr().wrapping_add((tiles.len() + tile) * LANES));
                }
                // SAFETY: these input blocks at this point, of kernels, patches and sums.
                unsafe {
                    let sum = Sum {
                        weights: part.kernels.add(S::kernel_point(point) * part.in_step),
                        weights_step: part.kernels_step,
                        pixels: pixels.as_ptr(),
                        block_step: S::POINTS * tiles.len() * LANES,
                        blocks: part.depth,
                        taps: &[0],
                        pairs: part.gains.map(|gains| Pairs {
                            of_pixels: points.pairs_of(group, point).filter(|_| part.first == 0),
                            of_weights: DEPTH * BLOCK,
                            gain: gains[S::kernel_point(point)],
                        }),
                    };
                    let to = Target {
                        first: sums.numbers.first().add(point * sums.point_step + (tiles.start - first) * LANES),
                        position_step: LANES,
                        block_step: sums.block_step,
                        adds: part.first > 0,
                    };
                    product::<V, 1>(sum, tiles.len(), part.blocks, to);
                }
            }
        }
    }

    /// Transforms the sums back and stores them.
    ///
    /// # Safety
    /// These tiles of these blocks of the result are the caller's alone.
    #[inline(always)]
    unsafe fn leave<V: Vector>(
        &self,
        (blocks, finish): (Range<usize>, Option<&Finish<'_>>),
        sums: &mut Sums,
        to: (Sizes, Pointer),
    ) {
        let (points, block_step) = (self.points, sums.block_step);
        let (first, tiles) = (points.tiles.start, self.tiles());
        let tiles = first + tiles.start..first + tiles.end;
        for (i, block) in blocks.enumerate() {
            let first = sums.numbers.first().wrapping_add(i * block_step).cast_const();
            let lines = Lines { first, tile_step: LANES, point_step: sums.point_step };
            // SAFETY: the caller's promise.
            unsafe { points.grid.leave::<V>((block, finish), tiles.clone(), lines, To::images(to)) };
        }
    }
}
