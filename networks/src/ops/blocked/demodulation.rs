//! Demodulation: one over the norm of each output channel's modulated kernels, from blocks of kernels while they are arranged,
//! so that weights are read once.

use std::ops::Range;

use super::memory::Pointer;
use super::weights::BLOCK;
use super::{LANES, blocks_of};
use crate::ops::vector::Vector;

/// Keeps the factor finite; the value of the published networks.
const EPSILON: f32 = crate::ops::modulated_conv::EPSILON as f32;

/// Rows of weights whose energies are summed at a time.
const AT_ONCE: usize = 4;

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

    /// Squares of the styles as often as each channel has taps, `[N, taps of I]`.
    pub fn squares_of_taps(&self, taps: usize) -> Vec<f32> {
        self.squares.iter().flat_map(|&square| std::iter::repeat_n(square, taps)).collect()
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

    /// Adds those of rows of `row` weights, one row for each output of the first of the blocks; `squares` are
    /// [those of the taps](Demodulation::squares_of_taps).
    #[inline(always)]
    pub fn add_rows<V: Vector>(&mut self, (rows, row): (&[f32], usize), squares: &[f32]) {
        let (blocks, images) = (self.blocks.len(), self.demodulation.map_or(0, |demodulation| demodulation.images));
        for (image, squares) in squares.chunks_exact(squares.len() / images.max(1)).enumerate() {
            let sums = &mut self.sums[image * blocks * LANES..];
            for (to, rows) in sums.chunks_mut(AT_ONCE).zip(rows.chunks(AT_ONCE * row)) {
                for (to, energy) in to.iter_mut().zip(energies::<V>((rows, row), squares)) {
                    *to += energy;
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

/// Sums of squares times `squares` of some rows, of `row` numbers each; 0 where there is no row.
#[inline(always)]
fn energies<V: Vector>((rows, row): (&[f32], usize), squares: &[f32]) -> [f32; AT_ONCE] {
    let (mut sums, whole) = ([V::splat(0.0); AT_ONCE], row / V::LANES * V::LANES);
    for number in (0..whole).step_by(V::LANES) {
        // SAFETY: a vector of the squares, which are no fewer than a row's numbers.
        let square = unsafe { V::load(squares[number..][..V::LANES].as_ptr()) };
        for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(row)) {
            // SAFETY: a vector of the row.
            let weight = unsafe { V::load(row[number..][..V::LANES].as_ptr()) };
            *sum = weight.mul(square).mul_add(weight, *sum);
        }
    }
    let mut energies = [0.0; AT_ONCE];
    for ((energy, sum), row) in energies.iter_mut().zip(sums).zip(rows.chunks_exact(row)) {
        let mut lanes = [0.0; LANES];
        // SAFETY: there is room for any vector.
        unsafe { sum.store(lanes.as_mut_ptr()) };
        let rest: f32 =
            row[whole..].iter().zip(&squares[whole..]).map(|(weight, square)| weight * weight * square).sum();
        *energy = lanes.iter().sum::<f32>() + rest;
    }
    energies
}
