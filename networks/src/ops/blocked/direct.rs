//! Convolution tap by tap, on blocked maps that have room for every tap.

use rayon::prelude::*;

use super::LANES;
use super::maps::{Maps, Sizes, View};
use super::memory::{Memory, Pointer};
use super::product::{Sum, Target, strided_product};
use crate::ops::vector::{self, Kernel, Vector};

/// Tasks that a thread should have, so that none waits long for another.
const TASKS_PER_THREAD: usize = 4;

/// The positions of the result that share their taps.
pub(crate) struct Phase {
    /// `[output block, input block, tap, 16 inputs, 16 outputs]`
    pub weights: Memory,
    /// Row and column of each tap in the source.
    pub taps: Vec<(usize, usize)>,
    /// First position in the result, and how many there are.
    pub first: (usize, usize),
    pub grid: (usize, usize),
}

/// A convolution of blocked maps.
pub(crate) struct Direct<'a> {
    /// Read from its first pixel on, whatever its corner.
    pub source: View<'a>,
    /// Pixels of the source from one position to the next.
    pub stride: usize,
    /// Pixels of the result from one position of a phase to the next.
    pub step: usize,
    pub phases: &'a [Phase],
}

impl Direct<'_> {
    /// Writes every position of every phase to maps.
    pub fn compute(&self, target: &mut Maps) {
        self.write((target.sizes, Pointer::new(target.memory.first())));
    }

    /// Writes every position of every phase to maps of these sizes.
    pub fn write(&self, (sizes, to): (Sizes, Pointer)) {
        let rows = self.phases.iter().map(|phase| phase.grid.0).max().unwrap_or(0) * sizes.images;
        let pairs = sizes.blocks.div_ceil(2);
        let parts = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(pairs).clamp(1, rows.max(1));
        (0..pairs * parts).into_par_iter().for_each(|task| {
            let (pair, part) = (task / parts, task % parts);
            for phase in self.phases {
                let rows = phase.grid.0 * sizes.images;
                let rows = rows * part / parts..rows * (part + 1) / parts;
                let blocks = 2.min(sizes.blocks - pair * 2);
                vector::run(Rows { all: self, phase, rows, first_block: pair * 2, blocks, target: sizes, to });
            }
        });
    }
}

/// Some rows of a phase, for two output blocks.
struct Rows<'a> {
    all: &'a Direct<'a>,
    phase: &'a Phase,
    rows: std::ops::Range<usize>,
    first_block: usize,
    blocks: usize,
    target: Sizes,
    to: Pointer,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (source, target, phase) = (self.all.source, self.target, self.phase);
        let sizes = source.sizes;
        let taps: Vec<usize> = phase.taps.iter().map(|&tap| sizes.offset(0, 0, tap)).collect();
        let weights_step = sizes.blocks * taps.len() * LANES * LANES;
        let weights = &phase.weights[self.first_block * weights_step..];
        assert!(weights.len() >= self.blocks * weights_step, "weights for every block");
        for row in self.rows {
            let (image, y) = (row / phase.grid.0, row % phase.grid.0);
            let pixel = (y * self.all.stride, 0);
            let at = (y * self.all.step + phase.first.0, phase.first.1);
            let pixels = &source.numbers[sizes.offset(image, 0, pixel)..];
            // SAFETY: the source has room for every tap at every position, and these rows and blocks of the result
            // belong to this task.
            unsafe {
                let sum = Sum {
                    weights: weights.as_ptr(),
                    weights_step,
                    pixels: pixels.as_ptr(),
                    block_step: sizes.block(),
                    blocks: sizes.blocks,
                    taps: &taps,
                    pairs: None,
                };
                let first = self.to.at(target.offset(image, self.first_block, at));
                let to =
                    Target { first, position_step: self.all.step * LANES, block_step: target.block(), adds: false };
                strided_product::<V>(sum, (phase.grid.1, self.all.stride), self.blocks, to);
            }
        }
    }
}
