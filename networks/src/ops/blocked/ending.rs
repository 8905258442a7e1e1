//! The end of a layer in training, forwards and backwards: a filter where there is one, factors, noise, bias, activation and
//! clamp, each block in one pass.

use rayon::prelude::*;

use super::LANES;
use super::filtered::{Block, Rows, Separable};
use super::finish::Finish;
use super::maps::Sizes;
use super::memory::{Memory, Pointer, written};
use crate::ops::vector::{self, Kernel, Vector};

/// What follows the sums of a convolution.
pub(crate) struct Ending<'a> {
    pub filter: Option<&'a Separable>,
    pub finish: Finish<'a>,
}

impl Ending<'_> {
    /// Sizes of the result.
    pub fn result(&self, sizes: Sizes) -> Sizes {
        self.filter.map_or(sizes, |filter| filter.filtered(sizes))
    }

    /// Finishes sums of a convolution.
    pub fn forward(&self, sums: &[f32], sizes: Sizes) -> Vec<f32> {
        assert_eq!(sums.len(), sizes.total(), "numbers of all pixels");
        let result = self.result(sizes);
        let fill = |to: Pointer| {
            sums.par_chunks_exact(sizes.block()).enumerate().for_each(|(i, block)| {
                // SAFETY: this task's block.
                let to = unsafe { std::slice::from_raw_parts_mut(to.at(i * result.block()), result.block()) };
                let place = (i / sizes.blocks, i % sizes.blocks, sizes.blocks);
                vector::run(Forward { ending: self, block, place, columns: result.columns, to });
            });
        };
        // SAFETY: every block is written.
        unsafe { written(result.total(), fill) }
    }

    /// The tangent of the result, from that of the sums, factors included.
    pub fn tangent(&self, (tangent, sizes): (&[f32], Sizes), result: &[f32]) -> Vec<f32> {
        assert_eq!(tangent.len(), sizes.total(), "numbers of all pixels");
        let to_sizes = self.result(sizes);
        assert_eq!(result.len(), to_sizes.total(), "a result for every tangent");
        let fill = |to: Pointer| {
            tangent.par_chunks_exact(sizes.block()).enumerate().for_each(|(i, block)| {
                let range = i * to_sizes.block()..(i + 1) * to_sizes.block();
                // SAFETY: this task's block.
                let to = unsafe { std::slice::from_raw_parts_mut(to.at(range.start), to_sizes.block()) };
                vector::run(Tangent { ending: self, block, result: &result[range], columns: to_sizes.columns, to });
            });
        };
        // SAFETY: every block is written.
        unsafe { written(to_sizes.total(), fill) }
    }

    /// Gradients by everything that enters, from that of the result, for the `sums` that gave `result`.
    pub fn backward(&self, gradient: &[f32], (sums, sizes): (&[f32], Sizes), result: &[f32]) -> Gradients {
        let to_sizes = self.result(sizes);
        assert!(sums.len() == sizes.total() && gradient.len() == to_sizes.total(), "numbers of all pixels");
        assert_eq!(gradient.len(), result.len(), "a gradient for every number");
        let (blocks, area) = (sizes.images * sizes.blocks, to_sizes.rows * to_sizes.columns);
        let (mut factors, mut bias) = (vec![0.0; blocks * LANES], vec![0.0; blocks * LANES]);
        let mut noise = vec![0.0; if self.finish.noise.is_some() { blocks * area } else { 0 }];
        let adjoint = self.filter.map(Separable::adjoint);
        let (of_factors, of_bias) = (Pointer::new(factors.as_mut_ptr()), Pointer::new(bias.as_mut_ptr()));
        let of_noise = Pointer::new(noise.as_mut_ptr());
        let fill = |to: Pointer| {
            (0..blocks).into_par_iter().for_each(|i| {
                let range = i * to_sizes.block()..(i + 1) * to_sizes.block();
                // SAFETY: this task's block, and its line of each of the sums.
                unsafe {
                    vector::run(Backward {
                        ending: self,
                        adjoint: adjoint.as_ref(),
                        gradient: &gradient[range.clone()],
                        result: &result[range],
                        block: &sums[i * sizes.block()..][..sizes.block()],
                        place: (i / sizes.blocks, i % sizes.blocks, sizes.blocks),
                        columns: to_sizes.columns,
                        to: std::slice::from_raw_parts_mut(to.at(i * sizes.block()), sizes.block()),
                        factors: of_factors.at(i * LANES),
                        bias: of_bias.at(i * LANES),
                        noise: self.finish.noise.is_some().then(|| of_noise.at(i * area)),
                    });
                }
            });
        };
        // SAFETY: every block is written.
        let sums = unsafe { written(sizes.total(), fill) };
        let noise = noise.chunks_exact((sizes.blocks * area).max(1)).flat_map(|planes| sum_of(planes, area)).collect();
        Gradients { sums, factors, bias: sum_of(&bias, sizes.blocks * LANES), noise }
    }
}

/// Sum of rows of `len` numbers.
fn sum_of(rows: &[f32], len: usize) -> Vec<f32> {
    let mut sum = vec![0.0; len];
    for row in rows.chunks_exact(len) {
        sum.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
    }
    sum
}

/// Gradients by what enters the end of a layer.
pub(crate) struct Gradients {
    /// By the sums of the convolution, as these.
    pub sums: Vec<f32>,
    /// By the factors, `[N, blocks · 16]`; of no meaning without factors.
    pub factors: Vec<f32>,
    /// By the bias, `[blocks · 16]`
    pub bias: Vec<f32>,
    /// By the noise of each image, `[N, H, W]`; empty without noise.
    pub noise: Vec<f32>,
}

/// One block forwards.
struct Forward<'a> {
    ending: &'a Ending<'a>,
    block: &'a [f32],
    /// Image, block and number of blocks.
    place: (usize, usize, usize),
    columns: usize,
    to: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let row = self.columns * LANES;
        let mut rows = self.ending.filter.map(|filter| Rows::new(filter, self.block));
        for (y, to) in self.to.chunks_exact_mut(row).enumerate() {
            let from = match &mut rows {
                Some(rows) => {
                    rows.sum::<V>(y, to);
                    to.as_ptr()
                }
                None => self.block[y * row..][..row].as_ptr(),
            };
            for lane in (0..LANES).step_by(V::LANES) {
                let channels = self.ending.finish.channels::<V>(self.place, lane);
                for x in 0..self.columns {
                    let noise = self.ending.finish.noise_at(self.place.0, (y, x));
                    // SAFETY: a vector of a row's line on either side.
                    unsafe {
                        let sum = V::load(from.add(x * LANES + lane));
                        channels.finish(sum, noise).store(to.as_mut_ptr().add(x * LANES + lane));
                    }
                }
            }
        }
    }
}

/// The tangent of one block.
struct Tangent<'a> {
    ending: &'a Ending<'a>,
    block: &'a [f32],
    result: &'a [f32],
    columns: usize,
    to: &'a mut [f32],
}

impl Kernel for Tangent<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let row = self.columns * LANES;
        let mut rows = self.ending.filter.map(|filter| Rows::new(filter, self.block));
        let slope = self.ending.finish.slope_without_factor::<V>();
        for (y, to) in self.to.chunks_exact_mut(row).enumerate() {
            match &mut rows {
                Some(rows) => rows.sum::<V>(y, to),
                None => to.copy_from_slice(&self.block[y * row..][..row]),
            }
            for number in (0..row).step_by(V::LANES) {
                // SAFETY: a vector of a row of either.
                unsafe {
                    let result = V::load(self.result.as_ptr().add(y * row + number));
                    let to = to.as_mut_ptr().add(number);
                    slope.of(result).mul(V::load(to)).store(to);
                }
            }
        }
    }
}

/// One block backwards.
struct Backward<'a> {
    ending: &'a Ending<'a>,
    adjoint: Option<&'a Separable>,
    gradient: &'a [f32],
    result: &'a [f32],
    block: &'a [f32],
    place: (usize, usize, usize),
    columns: usize,
    to: &'a mut [f32],
    factors: *mut f32,
    bias: *mut f32,
    noise: Option<*mut f32>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Some(adjoint) = self.adjoint else {
            let to = self.to.as_mut_ptr();
            // SAFETY: without a filter the result is as large as the sums.
            return unsafe { self.rows::<V>(to) };
        };
        let mut sharp = Memory::take(self.gradient.len());
        // SAFETY: room for the gradients before the filter.
        unsafe { self.rows::<V>(sharp.first()) };
        Block { filter: adjoint, block: &sharp, to: self.to }.run::<V>();
    }
}

impl Backward<'_> {
    /// Writes the gradients of what the activation sees, times the factors.
    ///
    /// # Safety
    /// `to` has room for the block of the result.
    #[inline(always)]
    unsafe fn rows<V: Vector>(&self, to: *mut f32) {
        let row = self.columns * LANES;
        let mut rows = self.ending.filter.map(|filter| Rows::new(filter, self.block));
        let mut filtered = Memory::take(row);
        for y in 0..self.gradient.len() / row {
            let sums = match &mut rows {
                Some(rows) if self.ending.finish.factors.is_some() => {
                    rows.sum::<V>(y, &mut filtered);
                    filtered.as_ptr()
                }
                Some(_) => self.gradient.as_ptr(), // of no meaning without factors
                None => self.block[y * row..][..row].as_ptr(),
            };
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: a row of either, and lines of this block.
                unsafe { self.row::<V>((y, lane), sums, to.add(y * row)) };
            }
        }
    }

    #[inline(always)]
    unsafe fn row<V: Vector>(&self, (y, lane): (usize, usize), sums: *const f32, to: *mut f32) {
        let first = y * self.columns * LANES;
        let slope = self.ending.finish.slope::<V>(self.place, lane);
        // SAFETY: the caller's promise.
        unsafe {
            let (mut of_factors, mut of_bias) = (V::load(self.factors.add(lane)), V::load(self.bias.add(lane)));
            for x in 0..self.columns {
                let place = x * LANES + lane;
                let result = V::load(self.result.as_ptr().add(first + place));
                let gradient = slope.of(result).mul(V::load(self.gradient.as_ptr().add(first + place)));
                of_bias = of_bias.add(gradient);
                of_factors = gradient.mul_add(V::load(sums.add(place)), of_factors);
                if let Some(noise) = self.noise {
                    *noise.add(y * self.columns + x) += sum_of_lanes(gradient);
                }
                gradient.mul(slope.factor).store(to.add(place));
            }
            of_factors.store(self.factors.add(lane));
            of_bias.store(self.bias.add(lane));
        }
    }
}

/// Sum of the numbers of a vector.
#[inline(always)]
fn sum_of_lanes<V: Vector>(vector: V) -> f32 {
    let mut lanes = [0.0; LANES];
    // SAFETY: there is room for any vector.
    unsafe { vector.store(lanes.as_mut_ptr()) };
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}
