//! Correlation of a batch of feature maps with a set of taps, tile by tile and in parallel.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::gather::{Source, Tile};
use super::matrix::{Matrix, multiply};
use crate::ops::real::{Real, Shared, Write};

/// Kernel positions of a tile: a multiple of the widest matrix kernel (64), small enough for the level 2 cache.
const POSITIONS: usize = 256;
/// Rows of the gathered matrix that are multiplied at a time, for the same reason.
const DEPTH: usize = 512;
/// Fewest output channels of a task, below which gathering costs more than multiplying.
const MIN_OUTPUTS: usize = 32;
/// Most output channels of a task that goes through a buffer.
const MAX_BUFFERED_OUTPUTS: usize = 128;
/// Tiles that a thread should have, so that none waits long for another.
const TASKS_PER_THREAD: usize = 3;
/// Numbers in a vector register; matrices with such a multiple of columns are read in place.
const LANES: usize = 16;

/// Everything that a task needs to know.
pub(super) struct Correlation<'a, T: Real> {
    pub source: Source<'a, T>,
    pub groups: usize,
    /// Channels that go into and come out of each group.
    pub inputs: usize,
    pub outputs: usize,
    /// Size of the result.
    pub target: (usize, usize),
    /// Distance in the result of neighbouring positions of a phase.
    pub step: usize,
    pub phases: Vec<Phase<'a, T>>,
}

/// The positions of the result that share their taps.
pub(super) struct Phase<'a, T: Real> {
    /// `[groups, outputs, inputs, taps]`
    pub weight: Cow<'a, [T]>,
    /// Offset of each tap in the source.
    pub taps: Vec<(isize, isize)>,
    /// First position in the result, and how many there are.
    pub first: (usize, usize),
    pub grid: (usize, usize),
}

/// One task: a tile of one group's positions, for some of its output channels.
#[derive(Clone, Copy)]
struct Task {
    tile: Tile,
    group: usize,
    first_output: usize,
    outputs: usize,
}

impl<T: Real> Correlation<'_, T> {
    /// The result `[batch, groups · outputs, target]`.
    pub fn compute(&self) -> Vec<T> {
        let source = self.source.channels * self.source.size.0 * self.source.size.1;
        let batch = self.source.pixels.len().checked_div(source).unwrap_or(0);
        let mut result = vec![T::zero(); batch * self.groups * self.outputs * self.target.0 * self.target.1];
        let shared = Shared::new(&mut result);
        self.tasks(batch).into_par_iter().for_each(|task| {
            for phase in &self.phases {
                let tile = task.tile.within(phase.grid.0);
                Job { all: self, phase, task: Task { tile, ..task } }.run(&shared);
            }
        });
        result
    }

    fn tasks(&self, batch: usize) -> Vec<Task> {
        let largest = |side: fn((usize, usize)) -> usize| self.phases.iter().map(|phase| side(phase.grid)).max();
        let grid = (largest(|grid| grid.0).unwrap_or(0), largest(|grid| grid.1).unwrap_or(0));
        let tiles = Tile::cut(batch, grid, POSITIONS);
        let wanted = TASKS_PER_THREAD * rayon::current_num_threads();
        let parts = wanted.div_ceil((tiles.len() * self.groups).max(1));
        let mut outputs = self.outputs.div_ceil(parts).next_multiple_of(MIN_OUTPUTS);
        if self.step > 1 || tiles.iter().any(|tile| tile.images > 1) {
            outputs = outputs.min(MAX_BUFFERED_OUTPUTS);
        }
        let mut tasks = Vec::new();
        for tile in tiles {
            for group in 0..self.groups {
                for first_output in (0..self.outputs).step_by(outputs) {
                    let outputs = outputs.min(self.outputs - first_output);
                    tasks.push(Task { tile, group, first_output, outputs });
                }
            }
        }
        tasks
    }
}

/// One phase of one task.
#[derive(Clone, Copy)]
struct Job<'c, T: Real> {
    all: &'c Correlation<'c, T>,
    phase: &'c Phase<'c, T>,
    task: Task,
}

impl<T: Real> Job<'_, T> {
    fn run(&self, result: &Shared<T>) {
        let (all, tile) = (self.all, self.task.tile);
        let positions = tile.positions(self.phase.grid.1);
        if positions == 0 || self.phase.taps.is_empty() {
            return;
        }
        let in_place = all.step == 1 && tile.images == 1;
        if in_place && self.is_pointwise() {
            return self.multiply_pixels(result);
        }
        let stride = if in_place { positions } else { positions.next_multiple_of(LANES) };
        let channels = (DEPTH / self.phase.taps.len()).clamp(1, all.inputs);
        let gathered = channels * self.phase.taps.len() * stride;
        let buffered = if in_place { 0 } else { self.task.outputs * stride };
        T::with_scratch(gathered + buffered, |scratch| {
            let (gathered, buffer) = scratch.split_at_mut(gathered);
            let to = if in_place {
                // SAFETY: the first position of this task's tile and channels.
                let to = unsafe { result.at(self.offset(0, 0)) };
                (to, all.target.0 * all.target.1)
            } else {
                (buffer.as_mut_ptr(), stride)
            };
            for first in (0..all.inputs).step_by(channels) {
                let channels = first..(first + channels).min(all.inputs);
                self.multiply_gathered(channels, (&mut *gathered, stride), to);
            }
            if !in_place {
                self.scatter((&*buffer, stride), result);
            }
        });
    }

    /// Whether the pixels themselves are the gathered matrix.
    fn is_pointwise(&self) -> bool {
        let source = &self.all.source;
        self.phase.taps == [(0, 0)] && source.stride == 1 && source.size == self.phase.grid
    }

    /// Where the first position of the tile goes, in one of its images and output channels.
    fn offset(&self, image: usize, output: usize) -> usize {
        let (all, task, (height, width)) = (self.all, self.task, self.all.target);
        let channel = task.group * all.outputs + task.first_output + output;
        let plane = (task.tile.first_image + image) * all.groups * all.outputs + channel;
        (plane * height + task.tile.first_row * all.step) * width
    }

    /// The task's rows of weights for some input channels.
    fn weights(&self, channels: Range<usize>) -> Matrix<'_, T> {
        let (all, task, taps) = (self.all, self.task, self.phase.taps.len());
        let row = all.inputs * taps;
        let first = (task.group * all.outputs + task.first_output) * row + channels.start * taps;
        Matrix::new(&self.phase.weight[first..], (task.outputs, channels.len() * taps), row)
    }

    fn multiply_pixels(&self, result: &Shared<T>) {
        let (all, task) = (self.all, self.task);
        let area = all.target.0 * all.target.1;
        let channel = task.tile.first_image * all.source.channels + task.group * all.inputs;
        let pixels = &all.source.pixels[channel * area + task.tile.first_row * all.source.size.1..];
        let pixels = Matrix::new(pixels, (all.inputs, task.tile.positions(self.phase.grid.1)), area);
        // SAFETY: the rows are this task's positions in its own channels of the result.
        unsafe { multiply((result.at(self.offset(0, 0)), area), self.weights(0..all.inputs), pixels, Write::Replace) };
    }

    /// Gathers some input channels and adds their share.
    fn multiply_gathered(&self, channels: Range<usize>, gathered: (&mut [T], usize), to: (*mut T, usize)) {
        let ((gathered, stride), taps) = (gathered, &self.phase.taps);
        let (rows, first) = (channels.len() * taps.len(), self.task.group * self.all.inputs);
        let in_source = first + channels.start..first + channels.end;
        let tile = (self.task.tile, self.phase.grid.1);
        self.all.source.gather(tile, in_source, taps, (&mut gathered[..rows * stride], stride));
        let write = if channels.start == 0 { Write::Replace } else { Write::Add };
        // SAFETY: `to` is either this task's buffer of `outputs` rows of `stride` numbers, or its positions in its own
        // channels of the result, of which there are `stride`.
        unsafe { multiply(to, self.weights(channels), Matrix::new(gathered, (rows, stride), stride), write) };
    }

    /// Copies the buffer to where the phase's positions lie in the result.
    fn scatter(&self, (buffer, stride): (&[T], usize), result: &Shared<T>) {
        let (all, tile, first) = (self.all, self.task.tile, self.phase.first);
        let columns = self.phase.grid.1;
        for (output, row) in buffer.chunks_exact(stride).take(self.task.outputs).enumerate() {
            for (position, from) in row.chunks_exact(columns).take(tile.images * tile.rows).enumerate() {
                let (image, y) = (position / tile.rows, position % tile.rows);
                let start = self.offset(image, output) + (y * all.step + first.0) * all.target.1 + first.1;
                // SAFETY: a part of one row of the result; only this task writes this tile's rows of this channel.
                let to = unsafe { result.slice(start, (columns - 1) * all.step + 1) };
                if all.step == 1 {
                    to.copy_from_slice(from);
                } else {
                    to.iter_mut().step_by(all.step).zip(from).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }
}
