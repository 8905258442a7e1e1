//! The gradient of a convolution with respect to its weight: each tap correlates the two sides over all positions.

use rayon::prelude::*;

use super::gather::{Source, Tile};
use super::matrix::{Matrix, Write, multiply};
use super::pack::Blocks;
use crate::ops::conv::geometry::{Geometry, WeightOrder};
use crate::ops::real::{Real, Shared};

/// Kernel positions that are summed at a time.
const POSITIONS: usize = 512;
/// Rows of the gathered matrix, in taps of image channels; both bounds keep it within the level 2 cache.
const ROWS: usize = 192;
/// Fewest channels of the output side of a task.
const MIN_OUTPUTS: usize = 32;
/// Tasks that a thread should have.
const TASKS_PER_THREAD: usize = 3;

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

/// A block of the weight: some image channels against some output channels of one group.
#[derive(Clone, Copy)]
struct Task {
    group: usize,
    first_input: usize,
    inputs: usize,
    first_output: usize,
    outputs: usize,
}

impl<T: Real> Gradient<'_, T> {
    /// `[groups · outputs, inputs, taps]`
    fn compute(&self) -> Vec<T> {
        let geometry = self.geometry;
        let mut result = vec![T::zero(); geometry.output_channels * geometry.image_group() * geometry.taps()];
        let shared = Shared::new(&mut result);
        self.tasks().into_par_iter().for_each(|task| self.run(task, &shared));
        result
    }

    fn tasks(&self) -> Vec<Task> {
        let (all_inputs, all_outputs) = (self.geometry.image_group(), self.geometry.output_group());
        let inputs = (ROWS / self.taps.len()).clamp(1, all_inputs.max(1));
        let wanted = TASKS_PER_THREAD * rayon::current_num_threads();
        let parts = wanted.div_ceil((all_inputs.div_ceil(inputs) * self.geometry.groups).max(1));
        let outputs = all_outputs.div_ceil(parts).next_multiple_of(MIN_OUTPUTS);
        let mut tasks = Vec::new();
        for group in 0..self.geometry.groups {
            for first_input in (0..all_inputs).step_by(inputs) {
                for first_output in (0..all_outputs).step_by(outputs) {
                    let inputs = inputs.min(all_inputs - first_input);
                    let outputs = outputs.min(all_outputs - first_output);
                    tasks.push(Task { group, first_input, inputs, first_output, outputs });
                }
            }
        }
        tasks
    }

    fn run(&self, task: Task, result: &Shared<T>) {
        let rows = task.inputs * self.taps.len();
        let columns = self.geometry.output.1;
        let widest = self.tiles.iter().map(|tile| tile.positions(columns)).max().unwrap_or(0);
        let row = self.geometry.image_group() * self.taps.len();
        let first = (task.group * self.geometry.output_group() + task.first_output) * row;
        // SAFETY: the first element of this task's block, which is its alone.
        let to = unsafe { result.at(first + task.first_input * self.taps.len()) };
        T::with_scratch((rows + task.outputs) * widest, |scratch| {
            let (gathered, collected) = scratch.split_at_mut(rows * widest);
            let mut write = Write::Replace;
            for &tile in &self.tiles {
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
        let area = self.geometry.output.0 * self.geometry.output.1;
        let positions = tile.positions(self.geometry.output.1);
        let first = task.group * self.geometry.output_group() + task.first_output;
        let plane = |image: usize, output: usize| {
            ((tile.first_image + image) * self.geometry.output_channels + first + output) * area
        };
        if tile.images == 1 {
            let start = plane(0, 0) + tile.first_row * self.geometry.output.1;
            return Matrix::new(&self.output[start..], (task.outputs, positions), area);
        }
        for (output, row) in collected.chunks_exact_mut(positions).take(task.outputs).enumerate() {
            for (image, to) in row.chunks_exact_mut(area).enumerate() {
                to.copy_from_slice(&self.output[plane(image, output)..][..area]);
            }
        }
        Matrix::new(collected, (task.outputs, positions), positions)
    }
}
