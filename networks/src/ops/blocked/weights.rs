//! Weights of a convolution, in whatever order they are stored, in the order of the kernels.

use std::ops::Range;

use rayon::prelude::*;

use super::memory::{Memory, Pointer};
use super::{LANES, blocks_of};
use crate::ops::vector::{self, Kernel, Vector};

/// The numbers of a block: 16 inputs of 16 outputs.
pub(crate) const BLOCK: usize = LANES * LANES;

/// Most taps of a kernel whose blocks are transposed.
const MOST_TAPS: usize = 32;

/// Weights as a convolution from `inputs` to `outputs` channels reads them.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub numbers: &'a [f32],
    pub outputs: usize,
    pub inputs: usize,
    /// Numbers from one output channel to the next, and from one input channel to the next; taps are neighbours.
    pub output_step: usize,
    pub input_step: usize,
    /// Factor of all of them.
    pub gain: f32,
}

impl Weights<'_> {
    /// The given taps of a block as `[tap, 16 inputs, 16 outputs]`, zero where there are no such channels.
    #[inline(always)]
    pub fn block<V: Vector>(&self, block: (usize, usize), taps: &[usize], to: &mut [f32]) {
        self.unscaled_block::<V>(block, taps, to);
        if self.gain != 1.0 {
            for number in to {
                *number *= self.gain;
            }
        }
    }

    #[inline(always)]
    fn unscaled_block<V: Vector>(&self, (output_block, input_block): (usize, usize), taps: &[usize], to: &mut [f32]) {
        let outputs = LANES.min(self.outputs - output_block * LANES);
        let inputs = LANES.min(self.inputs - input_block * LANES);
        let neighbours = self.output_step == self.inputs * self.input_step;
        if outputs == LANES && inputs == LANES && neighbours && self.input_step <= MOST_TAPS {
            return self.whole_block::<V>((output_block, input_block), taps, to);
        }
        let turned = self.input_step == self.outputs * self.output_step;
        if outputs == LANES && inputs == LANES && turned && self.output_step <= MOST_TAPS {
            let turned = Weights {
                outputs: self.inputs,
                inputs: self.outputs,
                output_step: self.input_step,
                input_step: self.output_step,
                ..*self
            };
            turned.whole_block::<V>((input_block, output_block), taps, to);
            for tap in to.chunks_exact_mut(BLOCK) {
                turn::<V>(tap);
            }
            return;
        }
        if outputs < LANES || inputs < LANES {
            to.fill(0.0);
        }
        for output in 0..outputs {
            for input in 0..inputs {
                let first = (output_block * LANES + output) * self.output_step
                    + (input_block * LANES + input) * self.input_step;
                let kernel = &self.numbers[first..];
                for (to, &tap) in to.chunks_exact_mut(BLOCK).zip(taps) {
                    to[input * LANES + output] = kernel[tap];
                }
            }
        }
    }

    /// As [`block`](Self::block), for 16 outputs whose 16 inputs lie one after the other: 16 numbers of each are
    /// transposed at a time.
    #[inline(always)]
    fn whole_block<V: Vector>(&self, (output, input): (usize, usize), taps: &[usize], to: &mut [f32]) {
        let mut places = [usize::MAX; MOST_TAPS];
        for (place, &tap) in taps.iter().enumerate() {
            places[tap] = place;
        }
        let first = (output * self.output_step + input * self.input_step) * LANES;
        let from = &self.numbers[first..][..(LANES - 1) * self.output_step + LANES * self.input_step];
        let mut lines = [0.0; BLOCK];
        let (mut input, mut tap) = (0, 0);
        for number in (0..LANES * self.input_step).step_by(LANES) {
            for corner in 0..(LANES / V::LANES) * (LANES / V::LANES) {
                let (y, x) = (corner / (LANES / V::LANES) * V::LANES, corner % (LANES / V::LANES) * V::LANES);
                // SAFETY: a square within 16 rows of 16 numbers on either side.
                unsafe {
                    let from = from.as_ptr().add(y * self.output_step + number + x);
                    V::transpose((from, self.output_step), (lines.as_mut_ptr().add(x * LANES + y), LANES));
                }
            }
            for line in lines.chunks_exact(LANES) {
                if places[tap] != usize::MAX {
                    to[places[tap] * BLOCK + input * LANES..][..LANES].copy_from_slice(line);
                }
                tap += 1;
                if tap == self.input_step {
                    (input, tap) = (input + 1, 0);
                }
            }
        }
    }

    /// Asks for a part, the first of the pair, of all `parts` of some blocks that will be read soon.
    #[inline(always)]
    pub fn ask_for<V: Vector>(&self, outputs: Range<usize>, inputs: Range<usize>, (part, parts): (usize, usize)) {
        // Numbers lie in rows, one for each output or for each input.
        let inputs = inputs.start..inputs.end.min(self.input_blocks());
        let (long, short, blocks) = match self.output_step > self.input_step {
            true => (self.output_step, self.input_step, (outputs, inputs)),
            false => (self.input_step, self.output_step, (inputs, outputs)),
        };
        let first = (blocks.0.start * long + blocks.1.start * short) * LANES;
        let pieces = blocks.0.len() * LANES * blocks.1.len();
        for piece in pieces * part / parts..pieces * (part + 1) / parts {
            let (row, block) = (piece / blocks.1.len(), piece % blocks.1.len());
            for line in 0..short {
                V::prefetch(self.numbers.as_ptr().wrapping_add(first + row * long + (block * short + line) * LANES));
            }
        }
    }

    pub fn output_blocks(&self) -> usize {
        blocks_of(self.outputs)
    }

    pub fn input_blocks(&self) -> usize {
        blocks_of(self.inputs)
    }

    /// `[output block, input block, tap, 16 inputs, 16 outputs]`
    pub fn packed(&self, taps: &[usize]) -> Memory {
        let (inputs, each) = (self.input_blocks(), taps.len() * BLOCK);
        let mut memory = Memory::take(self.output_blocks() * inputs * each);
        let to = Pointer::new(memory.first());
        (0..self.output_blocks() * inputs).into_par_iter().for_each(|block| {
            // SAFETY: this task's block.
            let to = unsafe { std::slice::from_raw_parts_mut(to.at(block * each), each) };
            vector::run(Pack { weights: self, block: (block / inputs, block % inputs), taps, to });
        });
        memory
    }
}

/// Rows become columns.
#[inline(always)]
fn turn<V: Vector>(block: &mut [f32]) {
    let mut lines = [0.0; BLOCK];
    lines.copy_from_slice(block);
    for corner in 0..(LANES / V::LANES) * (LANES / V::LANES) {
        let (y, x) = (corner / (LANES / V::LANES) * V::LANES, corner % (LANES / V::LANES) * V::LANES);
        // SAFETY: a square within 16 rows of 16 numbers on either side.
        unsafe {
            let from = lines.as_ptr().add(y * LANES + x);
            V::transpose((from, LANES), (block.as_mut_ptr().add(x * LANES + y), LANES));
        }
    }
}

/// Packs one block.
struct Pack<'a> {
    weights: &'a Weights<'a>,
    block: (usize, usize),
    taps: &'a [usize],
    to: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        self.weights.block::<V>(self.block, self.taps, self.to);
    }
}
