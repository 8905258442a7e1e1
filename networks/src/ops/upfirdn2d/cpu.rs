//! The fast path on the CPU: each row of the result is a weighted sum of rows, then filtered along x.
//!
//! On each axis the positions of the result fall into phases that share their taps; no zero that was inserted is ever
//! multiplied. All inner loops run over contiguous numbers.

use rayon::prelude::*;

use super::operator::{Axis, Resampler, Sources};
use crate::ops::real::{Real, Write};

/// Numbers of the result that make a task.
const NUMBERS_PER_TASK: usize = 1 << 14;

/// Resamples each of the planes that make up `pixels`.
pub(super) fn upfirdn2d<T: Real>(resampler: &Resampler, pixels: &[T]) -> Vec<T> {
    let (height, width) = (resampler.y.output, resampler.x.output);
    let planes = pixels.len().checked_div(resampler.y.input * resampler.x.input).unwrap_or(0);
    let mut result = vec![T::zero(); planes * height * width];
    let passes: Vec<Pass<T>> =
        resampler.terms.iter().map(|term| Pass::new(resampler, &term.vertical, &term.horizontal)).collect();
    let scratch = passes.iter().map(Pass::scratch).max().unwrap_or(0);
    let rows = (NUMBERS_PER_TASK / width).max(1);
    result.par_chunks_mut(rows * width).enumerate().for_each(|(task, to)| {
        T::with_scratch(scratch, |scratch| {
            for (i, to) in to.chunks_exact_mut(width).enumerate() {
                let (plane, row) = ((task * rows + i) / height, (task * rows + i) % height);
                let plane = &pixels[plane * resampler.y.input * resampler.x.input..];
                for (k, pass) in passes.iter().enumerate() {
                    let write = if k == 0 { Write::Replace } else { Write::Add };
                    pass.row(plane, row, (&mut *to, write), scratch);
                }
            }
        });
    });
    result
}

/// One term of the filter, planned for both axes.
struct Pass<T> {
    vertical: Plan<T>,
    horizontal: Plan<T>,
    /// Zeros that the horizontal taps need on each side of a row.
    left: usize,
    right: usize,
}

impl<T: Real> Pass<T> {
    fn new(resampler: &Resampler, vertical: &[f64], horizontal: &[f64]) -> Self {
        let horizontal = Plan::new(&resampler.x, horizontal);
        let left = horizontal.first_offset().min(0).unsigned_abs();
        let last = horizontal.last_source();
        let right = (last + 1 - resampler.x.input as isize).max(0) as usize;
        Pass { vertical: Plan::new(&resampler.y, vertical), horizontal, left, right }
    }

    /// A padded row, the same sorted by phase of the source if need be, and one phase of the result.
    fn scratch(&self) -> usize {
        3 * self.padded() + self.horizontal.positions
    }

    /// Rounded up so that each phase of the source has the same length.
    fn padded(&self) -> usize {
        (self.left + self.horizontal.input + self.right).next_multiple_of(self.horizontal.source_step)
    }

    /// Writes one row of a plane's result, or adds to it.
    fn row(&self, plane: &[T], row: usize, (to, write): (&mut [T], Write), scratch: &mut [T]) {
        let (padded, scratch) = scratch.split_at_mut(self.padded());
        let width = self.horizontal.input;
        padded.fill(T::zero());
        let sources = self.vertical.sources(row).map(|(tap, y)| (tap, &plane[y * width..][..width]));
        weighted_sum(&mut padded[self.left..][..width], sources, Write::Replace);
        let (sorted, scratch) = scratch.split_at_mut(self.padded());
        let source: &[T] = if self.horizontal.source_step == 1 {
            padded
        } else {
            sort_by_phase(padded, self.horizontal.source_step, sorted);
            sorted
        };
        self.filter_row(source, (to, write), scratch);
    }

    fn filter_row(&self, source: &[T], (to, write): (&mut [T], Write), scratch: &mut [T]) {
        let (step, phases) = (self.horizontal.source_step, self.horizontal.phases.len());
        let run = source.len() / step;
        for (phase, taps) in self.horizontal.phases.iter().enumerate() {
            let positions = self.horizontal.output.saturating_sub(phase).div_ceil(phases);
            let shifted = taps.iter().map(|&(tap, offset)| {
                let at = (offset + self.left as isize) as usize;
                (tap, &source[(at % step) * run + at / step..][..positions])
            });
            if phases == 1 {
                weighted_sum(to, shifted, write);
                continue;
            }
            let part = &mut scratch[..positions];
            weighted_sum(part, shifted, Write::Replace);
            let to = to.iter_mut().skip(phase).step_by(phases).zip(part);
            match write {
                Write::Replace => to.for_each(|(to, &mut from)| *to = from),
                Write::Add => to.for_each(|(to, &mut from)| *to += from),
            }
        }
    }
}

/// Taps and sources of each position along an axis.
pub(super) fn sources(axis: &Axis, taps: &[f64]) -> Sources {
    let plan = Plan::<f32>::new(axis, taps);
    (0..axis.output).map(|position| plan.sources(position).collect()).collect()
}

/// The taps of one axis by phase of the result: position i·phases + r reads the source at i·source_step + offset.
struct Plan<T> {
    phases: Vec<Vec<(T, isize)>>,
    source_step: usize,
    input: usize,
    output: usize,
    /// Most positions that a phase has.
    positions: usize,
}

impl<T: Real> Plan<T> {
    fn new(axis: &Axis, taps: &[f64]) -> Self {
        let common = greatest_common_divisor(axis.up, axis.down);
        let (count, source_step) = (axis.up / common, axis.down / common);
        let phase = |r: usize| {
            let in_upsampled = |k: usize| (r * axis.down + k) as isize - axis.before;
            let reached = taps
                .iter()
                .enumerate()
                .filter(|&(k, &tap)| tap != 0.0 && in_upsampled(k).rem_euclid(axis.up as isize) == 0);
            reached.map(|(k, &tap)| (T::from_f64(tap), in_upsampled(k).div_euclid(axis.up as isize))).collect()
        };
        let phases = (0..count).map(phase).collect();
        let positions = axis.output.div_ceil(count);
        Plan { phases, source_step, input: axis.input, output: axis.output, positions }
    }

    fn offsets(&self) -> impl Iterator<Item = isize> {
        self.phases.iter().flatten().map(|&(_, offset)| offset)
    }

    fn first_offset(&self) -> isize {
        self.offsets().min().unwrap_or(0)
    }

    /// Largest index of the source that any position may read.
    fn last_source(&self) -> isize {
        let last_position = self.positions.saturating_sub(1) * self.source_step;
        self.offsets().max().unwrap_or(0) + last_position as isize
    }

    /// Taps and source indices of one position, those within the source only.
    fn sources(&self, position: usize) -> impl Iterator<Item = (T, usize)> {
        let (i, r) = (position / self.phases.len(), position % self.phases.len());
        let first = (i * self.source_step) as isize;
        let sources = self.phases[r].iter().map(move |&(tap, offset)| (tap, first + offset));
        let input = self.input as isize;
        sources.filter(move |&(_, y)| (0..input).contains(&y)).map(|(tap, y)| (tap, y as usize))
    }
}

/// Writes, or adds, Σ tap · numbers; up to four at a time, so that the sum stays in registers.
fn weighted_sum<'a, T: Real>(to: &mut [T], mut terms: impl Iterator<Item = (T, &'a [T])>, write: Write) {
    let (mut write, len) = (write, to.len());
    loop {
        match (terms.next(), terms.next(), terms.next(), terms.next()) {
            (Some((a, x)), Some((b, y)), Some((c, z)), Some((d, w))) => {
                let (x, y, z, w) = (&x[..len], &y[..len], &z[..len], &w[..len]);
                fill(to, write, |i| a * x[i] + b * y[i] + (c * z[i] + d * w[i]));
            }
            (Some((a, x)), Some((b, y)), Some((c, z)), None) => {
                let (x, y, z) = (&x[..len], &y[..len], &z[..len]);
                return fill(to, write, |i| a * x[i] + b * y[i] + c * z[i]);
            }
            (Some((a, x)), Some((b, y)), None, _) => {
                let (x, y) = (&x[..len], &y[..len]);
                return fill(to, write, |i| a * x[i] + b * y[i]);
            }
            (Some((a, x)), None, _, _) => {
                let x = &x[..len];
                return fill(to, write, |i| a * x[i]);
            }
            (None, ..) if write == Write::Add => return,
            (None, ..) => return to.fill(T::zero()),
        }
        write = Write::Add;
    }
}

#[inline(always)]
fn fill<T: Real>(to: &mut [T], write: Write, value: impl Fn(usize) -> T) {
    match write {
        Write::Replace => to.iter_mut().enumerate().for_each(|(i, to)| *to = value(i)),
        Write::Add => to.iter_mut().enumerate().for_each(|(i, to)| *to += value(i)),
    }
}

/// Numbers 0, step, 2·step, ... first, then 1, 1 + step, ...
fn sort_by_phase<T: Real>(from: &[T], step: usize, to: &mut [T]) {
    let run = from.len() / step;
    for (phase, to) in to.chunks_exact_mut(run).enumerate() {
        to.iter_mut().zip(from.iter().skip(phase).step_by(step)).for_each(|(to, &from)| *to = from);
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
