//! The gradient of a convolution with respect to its weight: each tap correlates the two sides over all positions.

use rayon::prelude::*;

use super::gather::{Source, Tile};
use super::matrix::{Matrix, multiply};
use super::pack::Blocks;
use crate::ops::conv::geometry::{Geometry, WeightOrder};
use crate::ops::real::{Real, Shared, Write};

/// Kernel positions that are summed at a time.
const POSITIONS: usize = 512;
/// About how many rows the gathered matrix has, in taps of image channels; both keep it within the level 2 cache.
const ROWS: usize = 192;
/// Tasks to cut the work into. A constant, and not the number of threads, so that sums have the same order everywhere.
const TASKS: usize = 32;

/// Weight from image side and output side.
///
/// Positions are summed in the same order on every run.
pub(in crate::ops::conv) fn weight_gradient<T: Real>(geometry: &Geometry, image: &[T], output: &[T]) -> Vec<T> {
    let (_, kw) = geometry.kernel;
    let taps =
        (0..geometry.taps()).map(|tap| ((tap / kw) as isize - geometry.top, (tap % kw) as isize - geometry.left));
    let area = geometry.output.0 * geometry.output.1;
    let batch = output.len().checked_div(geometry.output_channels * area).unwrap_or(0);
    let (channels, size, stride) = (geometry.image_channels, geometry.image, geometry.stride);
    let gradient = Gradient {
        geometry,
        source: Source { pixels: image, channels, size, stride },
        output,
        taps: taps.collect(),
        tiles: Tile::cut(batch, geometry.output, POSITIONS),
    };
    let natural = gradient.compute();
    let (groups, rows, columns) = (geometry.groups, geometry.output_group(), geometry.image_group());
    match geometry.order {
        WeightOrder::OutputFirst => natural,
        WeightOrder::ImageFirst => {
            let taps: Vec<usize> = (0..geometry.taps()).collect();
            Blocks { groups, rows, columns, taps: taps.len() }.exchanged(&natural, &taps)
        }
    }
}

struct Gradient<'a, T> {
    geometry: &'a Geometry,
    source: Source<'a, T>,
    output: &'a [T],
    taps: Vec<(isize, isize)>,
    tiles: Vec<Tile>,
}

/// A block of the weight: some image channels against all output channels of one group, summed over some tiles.
#[derive(Clone, Copy)]
struct Task {
    group: usize,
    first_input: usize,
    inputs: usize,
    part: usize,
}

impl<T: Real> Gradient<'_, T> {
    /// `[groups · outputs, inputs, taps]`
    fn compute(&self) -> Vec<T> {
        let geometry = self.geometry;
        let len = geometry.output_channels * geometry.image_group() * geometry.taps();
        let (tasks, parts) = self.tasks();
        let mut sums = vec![T::zero(); parts * len];
        let shared = Shared::new(&mut sums);
        tasks.into_par_iter().for_each(|task| self.run(task, parts, (&shared, task.part * len)));
        let (first, others) = sums.split_at_mut(len);
        for other in others.chunks_exact(len.max(1)) {
            first.iter_mut().zip(other).for_each(|(sum, &part)| *sum += part);
        }
        sums.truncate(len);
        sums.shrink_to_fit();
        sums
    }

    /// The tasks, and into how many parts the tiles are cut.
    fn tasks(&self) -> (Vec<Task>, usize) {
        let (all, groups) = (self.geometry.image_group(), self.geometry.groups);
        let blocks = (all * self.taps.len()).div_ceil(ROWS).clamp(1, all);
        let inputs = all.div_ceil(blocks);
        let parts = TASKS.div_ceil(blocks * groups).clamp(1, self.tiles.len().max(1));
        let block = |group: usize| (0..all).step_by(inputs).map(move |first_input| (group, first_input));
        let task = |(group, first_input): (usize, usize)| {
            let inputs = inputs.min(all - first_input);
            (0..parts).map(move |part| Task { group, first_input, inputs, part })
        };
        ((0..groups).flat_map(block).flat_map(task).collect(), parts)
    }

    fn run(&self, task: Task, parts: usize, (sums, start): (&Shared<T>, usize)) {
        let (rows, outputs) = (task.inputs * self.taps.len(), self.geometry.output_group());
        let columns = self.geometry.output.1;
        let widest = self.tiles.iter().map(|tile| tile.positions(columns)).max().unwrap_or(0);
        let row = self.geometry.image_group() * self.taps.len();
        let first = start + task.group * outputs * row + task.first_input * self.taps.len();
        // SAFETY: the first element of this task's block of its part of the sums, which is its alone.
        let to = unsafe { sums.at(first) };
        let share = self.tiles.len().div_ceil(parts);
        T::with_scratch((rows + outputs) * widest, |scratch| {
            let (gathered, collected) = scratch.split_at_mut(rows * widest);
            let mut write = Write::Replace;
            for &tile in self.tiles.iter().skip(task.part * share).take(share) {
                let positions = tile.positions(columns);
                let first = task.group * self.geometry.image_group() + task.first_input;
                let gathered = &mut gathered[..rows * positions];
                self.source.gather(
                    (tile, columns),
                    first..first + task.inputs,
                    &self.taps,
                    (&mut *gathered, positions),
                );
                let gathered = Matrix::new(gathered, (rows, positions), positions);
                let gradients = self.gradients(task, tile, collected);
                // SAFETY: rows of this task's block, `row` numbers apart in the result.
                unsafe { multiply((to, row), gradients, gathered.transposed(), write) };
                write = Write::Add;
            }
        });
    }

    /// The output side of a tile, `[outputs, positions]`: in place for one image, else collected.
    fn gradients<'b>(&'b self, task: Task, tile: Tile, collected: &'b mut [T]) -> Matrix<'b, T> {
        let (area, outputs) = (self.geometry.output.0 * self.geometry.output.1, self.geometry.output_group());
        let positions = tile.positions(self.geometry.output.1);
        let first = task.group * outputs;
        let plane = |image: usize, output: usize| {
            ((tile.first_image + image) * self.geometry.output_channels + first + output) * area
        };
        if tile.images == 1 {
            let start = plane(0, 0) + tile.first_row * self.geometry.output.1;
            return Matrix::new(&self.output[start..], (outputs, positions), area);
        }
        for (output, row) in collected.chunks_exact_mut(positions).take(outputs).enumerate() {
            for (image, to) in row.chunks_exact_mut(area).enumerate() {
                to.copy_from_slice(&self.output[plane(image, output)..][..area]);
            }
        }
        Matrix::new(collected, (outputs, positions), positions)
    }
}
