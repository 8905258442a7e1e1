//! Weights of a convolution, in whatever order they are stored, in the order of the kernels.

use rayon::prelude::*;

use super::memory::{Memory, Pointer};
use super::{LANES, blocks_of};

/// The numbers of a block: 16 inputs of 16 outputs.
pub(crate) const BLOCK: usize = LANES * LANES;

/// Weights as a convolution from `inputs` to `outputs` channels reads them.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub numbers: &'a [f32],
    pub outputs: usize,
    pub inputs: usize,
    /// Numbers from one output channel to the next, and from one input channel to the next; taps are neighbours.
    pub output_step: usize,
    pub input_step: usize,
}

impl Weights<'_> {
    /// The given taps of a block as `[tap, 16 inputs, 16 outputs]`, zero where there are no such channels.
    pub fn block(&self, (output_block, input_block): (usize, usize), taps: &[usize], to: &mut [f32]) {
        let outputs = LANES.min(self.outputs - output_block * LANES);
        let inputs = LANES.min(self.inputs - input_block * LANES);
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
            self.block((block / inputs, block % inputs), taps, to);
        });
        memory
    }
}
