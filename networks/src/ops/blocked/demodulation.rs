//! Demodulation: one over the norm of each output channel's modulated kernels, from blocks of kernels while they are arranged,
//! so that weights are read once.

use std::ops::Range;

use super::memory::Pointer;
use super::weights::BLOCK;
use super::{LANES, blocks_of};
use crate::ops::vector::Vector;

/// Keeps the factor finite; the value of the published networks.
const EPSILON: f32 = crate::ops::modulated_conv::EPSILON as f32;

/// The factors that a convolution finds out.
#[derive(Clone, Copy)]
pub(crate) struct Demodulation<'a> {
    /// Squares of the styles, `[N, I]`, blocks filled up.
    pub squares: &'a [f32],
    /// Input blocks.
    pub inputs: usize,
    pub images: usize,
    /// Output channels.
    pub outputs: usize,
    /// Room for the factors, `[N, O]`, blocks filled up.
    pub factors: Pointer,
}

impl<'a> Demodulation<'a> {
    /// Numbers of an image's factors.
    fn row(&self) -> usize {
        blocks_of(self.outputs) * LANES
    }

    /// The factors.
    ///
    /// # Safety
    /// They have been written, and nobody writes them any more.
    pub unsafe fn written(&self) -> &'a [f32] {
        // SAFETY: there is room for the factors of all images, and the caller's promise.
        unsafe { std::slice::from_raw_parts(self.factors.at(0), self.images * self.row()) }
    }
}

/// Energies of the modulated kernels of a few output blocks.
pub(super) struct Energies<'a> {
    demodulation: Option<Demodulation<'a>>,
    blocks: Range<usize>,
    /// `[N, block, 16]`
    sums: Vec<f32>,
}

impl<'a> Energies<'a> {
    /// None so far; without a demodulation there never will be any.
    pub fn new(demodulation: Option<Demodulation<'a>>, blocks: Range<usize>) -> Self {
        let images = demodulation.map_or(0, |demodulation| demodulation.images);
        let sums = vec![0.0; images * blocks.len() * LANES];
        Energies { demodulation, blocks, sums }
    }

    /// Adds those of a block of kernels, `[tap, 16 inputs, 16 outputs]`.
    #[inline(always)]
    pub fn add<V: Vector>(&mut self, block: (usize, usize), taps: &[f32]) {
        if self.demodulation.is_none() {
            return;
        }
        let mut squares = [0.0; BLOCK];
        for place in (0..BLOCK).step_by(V::LANES) {
            let mut sum = V::splat(0.0);
            for tap in taps.chunks_exact(BLOCK) {
                // SAFETY: a vector of this tap.
                let number = unsafe { V::load(tap.as_ptr().add(place)) };
                sum = number.mul_add(number, sum);
            }
            // SAFETY: a vector of the block.
            unsafe { sum.store(squares.as_mut_ptr().add(place)) };
        }
        self.add_squares::<V>(block, &squares);
    }

    /// Adds those of a block of kernels whose sums of squares over the taps are `[16 inputs, 16 outputs]`.
    #[inline(always)]
    pub fn add_squares<V: Vector>(&mut self, (output, input): (usize, usize), squares: &[f32; BLOCK]) {
        let Some(demodulation) = &self.demodulation else { return };
        let (blocks, place) = (self.blocks.len(), output - self.blocks.start);
        for image in 0..demodulation.images {
            let styles = &demodulation.squares[(image * demodulation.inputs + input) * LANES..][..LANES];
            let sums = &mut self.sums[(image * blocks + place) * LANES..][..LANES];
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: a vector of the sums of these channels, and of each line of the block.
                unsafe {
                    let mut sum = V::load(sums.as_ptr().add(lane));
                    for (line, &style) in squares.chunks_exact(LANES).zip(styles) {
                        sum = V::load(line.as_ptr().add(lane)).mul_add(V::splat(style), sum);
                    }
                    sum.store(sums.as_mut_ptr().add(lane));
                }
            }
        }
    }

    /// Writes the factors of these blocks and leaves the others alone; `to` is as long as all factors of all images.
    pub fn copy_factors(&self, to: &mut [f32]) {
        self.each_row(|place, energies| {
            let factors = to[place..].iter_mut().zip(energies);
            factors.for_each(|(to, energy)| *to = 1.0 / (energy + EPSILON).sqrt());
        });
    }

    /// Writes the factors of these blocks where they belong.
    ///
    /// # Safety
    /// These blocks are the caller's alone.
    pub unsafe fn write_factors(&self) {
        let Some(demodulation) = &self.demodulation else { return };
        self.each_row(|place, energies| {
            // SAFETY: there is room for the factors of all blocks, and the caller's promise.
            let to = unsafe { std::slice::from_raw_parts_mut(demodulation.factors.at(place), energies.len()) };
            to.iter_mut().zip(energies).for_each(|(to, energy)| *to = 1.0 / (energy + EPSILON).sqrt());
        });
    }

    /// Calls `work` with the energies of each image and the place of their factors.
    fn each_row(&self, mut work: impl FnMut(usize, &[f32])) {
        let Some(demodulation) = &self.demodulation else { return };
        for (image, energies) in self.sums.chunks_exact(self.blocks.len() * LANES).enumerate() {
            work(image * demodulation.row() + self.blocks.start * LANES, energies);
        }
    }

    /// Numbers of all factors of all images.
    pub fn all_factors(&self) -> usize {
        self.demodulation.map_or(0, |demodulation| demodulation.images * demodulation.row())
    }
}
