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

    /// As [`block`](Self::block), for 16 outputs whose 16 inputs lie one after the other: the taps of four inputs at a time.
    #[inline(always)]
    fn whole_block<V: Vector>(&self, (output, input): (usize, usize), taps: &[usize], to: &mut [f32]) {
        let each = self.input_step;
        // Where the taps of four inputs go.
        let mut places = [usize::MAX; 4 * MOST_TAPS];
        for (place, &tap) in taps.iter().enumerate() {
            for input in 0..4 {
                places[input * each + tap] = place * BLOCK + input * LANES;
            }
        }
        let first = (output * self.output_step + input * each) * LANES;
        let from = &self.numbers[first..][..(LANES - 1) * self.output_step + LANES * each];
        let to = to[..taps.len() * BLOCK].as_mut_ptr();
        for lane in (0..LANES).step_by(V::LANES) {
            for four in 0..4 {
                for group in 0..each {
                    // SAFETY: within 16 rows of 16 inputs' taps, and where the taps that are asked for go.
                    unsafe {
                        let from = from.as_ptr().add(lane * self.output_step + (four * each + group) * 4);
                        let columns = V::columns((from, self.output_step));
                        for (column, &place) in columns.into_iter().zip(&places[group * 4..][..4]) {
                            if place != usize::MAX {
                                column.store(to.add(place + four * 4 * LANES + lane));
                            }
                        }
                    }
                }
            }
        }
    }

    /// A whole block of 3x3 kernels whose inputs lie one after the other, if this is one.
    #[inline(always)]
    pub fn rows(&self, (output, input): (usize, usize)) -> Option<Rows<'_>> {
        let is_whole = (output + 1) * LANES <= self.outputs && (input + 1) * LANES <= self.inputs;
        let neighbours = (self.output_step, self.input_step) == (self.inputs * 9, 9);
        (is_whole && neighbours).then(|| {
            let first = (output * self.output_step + input * 9) * LANES;
            let numbers = &self.numbers[first..][..(LANES - 1) * self.output_step + LANES * 9];
            Rows { numbers, step: self.output_step, gain: self.gain }
        })
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
        let (from, to) = (pieces * part / parts, pieces * (part + 1) / parts);
        let (mut row, mut block) = (from / blocks.1.len().max(1), from % blocks.1.len().max(1));
        for _ in from..to {
            for line in 0..short {
                V::prefetch_far(
                    self.numbers.as_ptr().wrapping_add(first + row * long + (block * short + line) * LANES),
                );
            }
            block += 1;
            if block == blocks.1.len() {
                (row, block) = (row + 1, 0);
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

/// The 3x3 taps of 16 inputs, one after the other, of each of 16 outputs.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    numbers: &'a [f32],
    /// From one output to the next.
    step: usize,
    gain: f32,
}

impl Rows<'_> {
    /// Asks for an output's taps of the block of inputs behind these, which are neighbours.
    #[inline(always)]
    pub fn ask_for_next<V: Vector>(&self, output: usize) {
        for line in 0..9 {
            V::prefetch(self.numbers.as_ptr().wrapping_add(output * self.step + (9 + line) * LANES));
        }
    }

    /// Four taps from `tap` on of one of the inputs, for a vector of outputs from `output` on.
    ///
    /// # Safety
    /// All of them belong to the block.
    #[inline(always)]
    pub unsafe fn four_taps<V: Vector>(&self, (output, input): (usize, usize), tap: usize) -> [V; 4] {
        // SAFETY: within the rows, whose length `Weights::rows` has checked.
        let [a, b, c, d] =
            unsafe { V::columns((self.numbers.as_ptr().add(output * self.step + input * 9 + tap), self.step)) };
        let gain = V::splat(self.gain);
        [a.mul(gain), b.mul(gain), c.mul(gain), d.mul(gain)]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tap that is asked for at its place, whatever the order of the numbers.
    fn check((outputs, inputs): (usize, usize), (output_step, input_step): (usize, usize), taps: &[usize]) {
        let length = (outputs - 1) * output_step + (inputs - 1) * input_step + output_step.min(input_step);
        let numbers: Vec<f32> = (0..length).map(|i| i as f32).collect();
        let weights = Weights { numbers: &numbers, outputs, inputs, output_step, input_step, gain: 2.0 };
        let packed = weights.packed(taps);
        let block = |channel: usize| (channel / LANES, channel % LANES);
        for (output, input) in (0..outputs).flat_map(|output| (0..inputs).map(move |input| (output, input))) {
            for (place, &tap) in taps.iter().enumerate() {
                let ((b, o), (c, i)) = (block(output), block(input));
                let found = packed[((b * weights.input_blocks() + c) * taps.len() + place) * BLOCK + i * LANES + o];
                let expected = 2.0 * numbers[output * output_step + input * input_step + tap];
                assert_eq!(found, expected, "{outputs} x {inputs}, tap {tap} of {input} to {output}");
            }
        }
    }

    #[test]
    fn taps_are_arranged_whatever_their_number_and_order() {
        for (all, some) in [
            (1, &[0][..]),
            (3, &[2, 0]),
            (4, &[0, 1, 2, 3]),
            (9, &[0, 1, 2, 3, 4, 5, 6, 7, 8]),
            (9, &[8, 7, 6, 5, 4, 3, 2, 1, 0]),
            (9, &[4]),
            (25, &[24, 3, 11]),
        ] {
            for (outputs, inputs) in [(16, 16), (32, 48), (20, 17)] {
                check((outputs, inputs), (inputs * all, all), some);
                check((outputs, inputs), (all, outputs * all), some);
            }
        }
    }
}
