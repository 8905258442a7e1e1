//! Convolution of few pixels by large kernels: weights are arranged where they are used, block by block, and read once.

use rayon::prelude::*;

use super::LANES;
use super::demodulation::{Demodulation, Energies};
use super::maps::{Maps, Sizes};
use super::memory::Pointer;
use super::product::{Sum, Target, product};
use super::weights::{BLOCK, Weights};
use crate::ops::vector::{self, Kernel, Vector};

/// Most taps of a kernel.
const MOST_TAPS: usize = 9;
/// Output blocks of a task.
const MOST_BLOCKS: usize = 2;

/// Neighbouring pixels of each image that are summed from the same taps.
pub(super) struct Run<'a> {
    pub source: &'a Maps,
    /// What the first pixel's taps see within an image's first block, in the order of the taps.
    pub sees: Vec<usize>,
    /// Place of the first of these taps in the order of [`Streamed::taps`].
    pub first_tap: usize,
    pub pixels: usize,
    /// Where the first pixel goes within an image's first block, and the way to the next one.
    pub to: usize,
    pub step: usize,
}

/// A convolution as runs of pixels.
pub(super) struct Streamed<'a> {
    pub weights: Weights<'a>,
    /// Order in which the taps of a block are arranged.
    pub taps: &'a [usize],
    pub runs: &'a [Run<'a>],
    /// Factors to be found out on the way, for which all taps are needed.
    pub demodulation: Option<Demodulation<'a>>,
}

impl Streamed<'_> {
    /// Writes the pixels of every run to maps of these sizes.
    pub fn write(&self, (sizes, to): (Sizes, Pointer)) {
        assert!(self.taps.len() <= MOST_TAPS, "taps of a 3x3 kernel");
        let outputs = self.weights.output_blocks();
        let each = if outputs >= 2 * MOST_BLOCKS * rayon::current_num_threads() { MOST_BLOCKS } else { 1 };
        (0..outputs.div_ceil(each)).into_par_iter().for_each(|task| {
            let blocks = task * each..((task + 1) * each).min(outputs);
            vector::run(Blocks { all: self, blocks, sizes, to });
        });
    }
}

/// All pixels of one or two output blocks.
struct Blocks<'a> {
    all: &'a Streamed<'a>,
    blocks: std::ops::Range<usize>,
    sizes: Sizes,
    to: Pointer,
}

#[repr(align(64))]
struct Arranged([f32; MOST_BLOCKS * MOST_TAPS * BLOCK]);

impl Kernel for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (weights, taps) = (&self.all.weights, self.all.taps);
        let mut arranged = Arranged([0.0; MOST_BLOCKS * MOST_TAPS * BLOCK]);
        let weights_step = taps.len() * BLOCK;
        let mut energies = Energies::new(self.all.demodulation, self.blocks.clone());
        for input in 0..weights.input_blocks() {
            for (output, to) in self.blocks.clone().zip(arranged.0.chunks_exact_mut(weights_step)) {
                weights.block::<V>((output, input), taps, to);
                energies.add::<V>((output, input), to);
            }
            let products = self.all.runs.len() * self.sizes.images;
            for product_number in 0..products {
                let (run, image) =
                    (&self.all.runs[product_number / self.sizes.images], product_number % self.sizes.images);
                // While this block is multiplied, the next one comes.
                weights.ask_for::<V>(self.blocks.clone(), input + 1..input + 2, (product_number, products));
                let from = run.source.sizes;
                let sum = Sum {
                    weights: arranged.0[run.first_tap * BLOCK..].as_ptr(),
                    weights_step,
                    pixels: run.source.memory[from.offset(image, input, (0, 0))..].as_ptr(),
                    block_step: from.block(),
                    blocks: 1,
                    taps: &run.sees,
                };
                // SAFETY: runs lie within their maps, and these output blocks belong to this task.
                unsafe {
                    let to = Target {
                        first: self.to.at(self.sizes.offset(image, self.blocks.start, (0, 0)) + run.to),
                        position_step: run.step,
                        block_step: self.sizes.block(),
                        adds: input > 0,
                    };
                    product::<V, 1>(sum, run.pixels, self.blocks.len(), to);
                }
            }
        }
        // SAFETY: these output blocks belong to this task.
        unsafe { energies.write_factors() };
    }
}

/// The rows of maps that grow from rows of others, as runs: `sees` gives the tap's row and column for the first pixel.
pub(super) fn rows<'a>(
    source: &'a Maps,
    (first_tap, sees): (usize, &[(usize, usize)]),
    (rows, columns): (usize, usize),
    (to, first, step): (Sizes, (usize, usize), usize),
) -> Vec<Run<'a>> {
    let run = |row: usize| Run {
        source,
        sees: sees.iter().map(|&(y, x)| source.sizes.offset(0, 0, (row + y, x))).collect(),
        first_tap,
        pixels: columns,
        to: to.offset(0, 0, (row * step + first.0, first.1)),
        step: step * LANES,
    };
    (0..rows).map(run).collect()
}
