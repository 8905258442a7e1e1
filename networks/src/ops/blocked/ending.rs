//! The end of a layer in training, forwards and backwards: a filter where there is one, factors, noise, bias, activation and
//! clamp, each block in one pass.

use std::sync::Arc;

use rayon::prelude::*;

use super::LANES;
use super::filtered::{Block, Rows, Separable};
use super::finish::{Finish, Noise};
use super::maps::{Maps, Sizes};
use super::memory::{Memory, Pointer};
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
    pub fn forward(&self, sums: &Maps) -> Maps {
        let mut result = Maps::new(self.result(sums.sizes));
        let to = Pointer::new(result.memory.first());
        // SAFETY: room for the result.
        unsafe { self.write(Pointer::new(sums.memory.as_ptr().cast_mut()), sums.sizes, to) };
        result
    }

    /// Finishes sums of a convolution where they are, without a filter.
    pub fn forward_in_place(&self, sums: &mut Maps) {
        assert!(self.filter.is_none(), "a filter changes the size");
        let (sizes, first) = (sums.sizes, Pointer::new(sums.memory.first()));
        // SAFETY: the result is as large as the sums, each of which is read before it is replaced.
        unsafe { self.write(first, sizes, first) };
    }

    /// # Safety
    /// Sums of these sizes can be read, and the result written: elsewhere or, without a filter, in the same place.
    unsafe fn write(&self, from: Pointer, sizes: Sizes, to: Pointer) {
        let result = self.result(sizes);
        (0..sizes.images * sizes.blocks).into_par_iter().for_each(|i| {
            let place = (i / sizes.blocks, i % sizes.blocks, sizes.blocks);
            // SAFETY: this task's block.
            unsafe {
                let (from, to) = (from.at(i * sizes.block()).cast_const(), to.at(i * result.block()));
                vector::run(Forward { ending: self, from, place, sizes: [sizes, result], to });
            }
        });
    }

    /// The tangent of the result, from that of the sums, factors included; in its memory if that can be had.
    pub fn tangent(&self, tangent: Arc<Maps>, result: &Maps) -> Maps {
        let sizes = tangent.sizes;
        assert_eq!(result.sizes, self.result(sizes), "a result for every tangent");
        let reused = if self.filter.is_none() { Arc::try_unwrap(tangent) } else { Err(tangent) };
        let (mut to, tangent) = match reused {
            Ok(tangent) => (tangent, None),
            Err(tangent) => (Maps::new(result.sizes), Some(tangent)),
        };
        let first = Pointer::new(to.memory.first());
        let block = result.sizes.block();
        (0..sizes.images * sizes.blocks).into_par_iter().for_each(|i| {
            // SAFETY: this task's block.
            let to = unsafe { std::slice::from_raw_parts_mut(first.at(i * block), block) };
            let from = tangent.as_ref().map(|tangent| &tangent.memory[i * sizes.block()..][..sizes.block()]);
            let (result, columns) = (&result.memory[i * block..][..block], result.sizes.columns);
            vector::run(Tangent { ending: self, from, result, columns, to });
        });
        to
    }

    /// Gradients by what enters, from that of the result, for the sums, of such sizes, that gave `result`. The sums
    /// themselves need to be there where they have factors.
    pub fn backward(
        &self,
        gradient: Arc<Maps>,
        (sums, sizes, result): (Option<&Maps>, Sizes, &Maps),
        noise: OfNoise<'_>,
    ) -> Gradients {
        let to_sizes = result.sizes;
        assert!(to_sizes == self.result(sizes) && gradient.sizes == to_sizes, "a gradient for every number");
        assert!(sums.is_none_or(|sums| sums.sizes == sizes), "sums of the size that is said");
        assert!(sums.is_some() || self.finish.factors.is_none(), "sums where there are factors");
        let (blocks, area) = (sizes.images * sizes.blocks, to_sizes.rows * to_sizes.columns);
        let mut lines = [LANES; 3].map(|len| vec![0.0; blocks * len]);
        let [factors, bias, strength] = lines.each_mut().map(|line| Pointer::new(line.as_mut_ptr()));
        let mut planes = Memory::take(if let OfNoise::Pixels = noise { blocks * area } else { 0 });
        let (of_noise, noise_sums) = match noise {
            OfNoise::Pixels => (area, Pointer::new(planes.first())),
            _ => (LANES, strength),
        };
        let adjoint = self.filter.map(Separable::adjoint);
        // Without a filter the gradients stay where they are, if nobody else needs them.
        let reused = if self.filter.is_none() { Arc::try_unwrap(gradient) } else { Err(gradient) };
        let (mut to, gradient) = match reused {
            Ok(gradient) => (gradient, None),
            Err(gradient) => (Maps::new(sizes), Some(gradient)),
        };
        let first = Pointer::new(to.memory.first());
        (0..blocks).into_par_iter().for_each(|i| {
            let range = i * to_sizes.block()..(i + 1) * to_sizes.block();
            // SAFETY: this task's block, and its line of each of the sums.
            unsafe {
                let to = first.at(i * sizes.block());
                vector::run(Backward {
                    ending: self,
                    adjoint: adjoint.as_ref(),
                    gradient: gradient.as_ref().map_or(to.cast_const(), |maps| maps.memory[range.clone()].as_ptr()),
                    result: &result.memory[range],
                    block: sums.map(|sums| &sums.memory[i * sizes.block()..][..sizes.block()]),
                    place: (i / sizes.blocks, i % sizes.blocks, sizes.blocks),
                    columns: to_sizes.columns,
                    to: (to, sizes.block()),
                    factors: factors.at(i * LANES),
                    bias: bias.at(i * LANES),
                    noise: (noise, noise_sums.at(i * of_noise)),
                });
            }
        });
        let [factors, bias, strength] = lines;
        let noise = match noise {
            OfNoise::None => Vec::new(),
            OfNoise::Pixels => sum_of_planes(&planes, (sizes.blocks, area)),
            OfNoise::Strength(_) => vec![strength.iter().sum()],
        };
        Gradients { sums: to, factors, bias: sum_of(&bias, sizes.blocks * LANES), noise }
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

/// Sums of the planes, `area` numbers each, of so many blocks of each image.
fn sum_of_planes(planes: &[f32], (blocks, area): (usize, usize)) -> Vec<f32> {
    /// Numbers that make a task.
    const PART: usize = 1 << 12;
    let mut sums = vec![0.0; planes.len() / blocks];
    for (sums, planes) in sums.chunks_exact_mut(area).zip(planes.chunks_exact(blocks * area)) {
        sums.par_chunks_mut(PART).enumerate().for_each(|(part, sums)| {
            for plane in planes.chunks_exact(area) {
                sums.iter_mut().zip(&plane[part * PART..]).for_each(|(sum, number)| *sum += number);
            }
        });
    }
    sums
}

/// Gradients by what enters the end of a layer.
pub(crate) struct Gradients {
    /// By the sums of the convolution, as these.
    pub sums: Maps,
    /// By the factors, `[N, blocks · 16]`; of no meaning without factors.
    pub factors: Vec<f32>,
    /// By the bias, `[blocks · 16]`
    pub bias: Vec<f32>,
    /// By the noise of each image, `[N, H, W]`, or by its strength; empty without noise.
    pub noise: Vec<f32>,
}

/// What the gradient by the noise is wanted of.
#[derive(Clone, Copy)]
pub(crate) enum OfNoise<'a> {
    None,
    /// Every pixel.
    Pixels,
    /// The factor of this noise.
    Strength(Noise<'a>),
}

/// One block forwards.
struct Forward<'a> {
    ending: &'a Ending<'a>,
    /// The block of sums.
    from: *const f32,
    /// Image, block and number of blocks.
    place: (usize, usize, usize),
    /// Sizes of sums and result.
    sizes: [Sizes; 2],
    to: *mut f32,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let [sizes, result] = self.sizes;
        let row = result.row();
        let mut rows = self.ending.filter.map(|filter| {
            // SAFETY: the block, which a filter does not replace.
            Rows::new(filter, unsafe { std::slice::from_raw_parts(self.from, sizes.block()) })
        });
        for y in 0..result.rows {
            // SAFETY: a row of the result, which nobody reads meanwhile.
            let (from, to) = unsafe { (self.from.add(y * row), self.to.add(y * row)) };
            let from = match &mut rows {
                Some(rows) => {
                    // SAFETY: as above.
                    rows.sum::<V>(y, unsafe { std::slice::from_raw_parts_mut(to, row) });
                    to.cast_const()
                }
                None => from,
            };
            for lane in (0..LANES).step_by(V::LANES) {
                let channels = self.ending.finish.channels::<V>(self.place, lane);
                for x in 0..result.columns {
                    let noise = self.ending.finish.noise_at(self.place.0, (y, x));
                    // SAFETY: a vector of a row's line on either side.
                    unsafe {
                        let sum = V::load(from.add(x * LANES + lane));
                        channels.finish(sum, noise).store(to.add(x * LANES + lane));
                    }
                }
            }
        }
    }
}

/// The tangent of one block.
struct Tangent<'a> {
    ending: &'a Ending<'a>,
    /// The block of the sums' tangents, unless it is replaced.
    from: Option<&'a [f32]>,
    result: &'a [f32],
    columns: usize,
    to: &'a mut [f32],
}

impl Kernel for Tangent<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let row = self.columns * LANES;
        let filtered = self.ending.filter.zip(self.from);
        let mut rows = filtered.map(|(filter, block)| Rows::new(filter, block));
        let slope = self.ending.finish.slope_without_factor::<V>();
        for (y, to) in self.to.chunks_exact_mut(row).enumerate() {
            match (&mut rows, self.from) {
                (Some(rows), _) => rows.sum::<V>(y, to),
                (None, Some(from)) => to.copy_from_slice(&from[y * row..][..row]),
                (None, None) => {}
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
    /// As long as the result, and the same as `to` where numbers are replaced.
    gradient: *const f32,
    result: &'a [f32],
    /// The block of sums, needed for the factors.
    block: Option<&'a [f32]>,
    place: (usize, usize, usize),
    columns: usize,
    /// The block of the sums' gradients, and its length.
    to: (*mut f32, usize),
    factors: *mut f32,
    bias: *mut f32,
    noise: (OfNoise<'a>, *mut f32),
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Some(adjoint) = self.adjoint else {
            // SAFETY: without a filter the result is as large as the sums.
            return unsafe { self.rows::<V>(self.to.0) };
        };
        let mut sharp = Memory::take(self.result.len());
        // SAFETY: room for the gradients before the filter; the block of this task.
        unsafe {
            self.rows::<V>(sharp.first());
            let to = std::slice::from_raw_parts_mut(self.to.0, self.to.1);
            Block { filter: adjoint, block: &sharp, to }.run::<V>();
        }
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
        let block = self.block.filter(|_| self.ending.finish.factors.is_some());
        let mut rows = self.ending.filter.zip(block).map(|(filter, block)| Rows::new(filter, block));
        let mut filtered = Memory::take(row);
        for y in 0..self.result.len() / row {
            let sums = match (&mut rows, block) {
                (Some(rows), _) => {
                    rows.sum::<V>(y, &mut filtered);
                    Some(filtered.as_ptr())
                }
                (None, Some(block)) => Some(block[y * row..][..row].as_ptr()),
                (None, None) => None,
            };
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: a row of either, and lines of this block.
                unsafe { self.row::<V>((y, lane), sums, to.add(y * row)) };
            }
        }
    }

    /// One vector of each pixel of a row; `sums` are those that the factors were for.
    #[inline(always)]
    unsafe fn row<V: Vector>(&self, (y, lane): (usize, usize), sums: Option<*const f32>, to: *mut f32) {
        let first = y * self.columns * LANES;
        let slope = self.ending.finish.slope::<V>(self.place, lane);
        // SAFETY: the caller's promise.
        unsafe {
            let (mut of_factors, mut of_bias) = (V::load(self.factors.add(lane)), V::load(self.bias.add(lane)));
            let mut of_strength = match self.noise.0 {
                OfNoise::Strength(_) => V::load(self.noise.1.add(lane)),
                _ => V::splat(0.0),
            };
            for x in 0..self.columns {
                let place = x * LANES + lane;
                let result = V::load(self.result.as_ptr().add(first + place));
                let gradient = slope.of(result).mul(V::load(self.gradient.add(first + place)));
                of_bias = of_bias.add(gradient);
                if let Some(sums) = sums {
                    of_factors = gradient.mul_add(V::load(sums.add(place)), of_factors);
                }
                match self.noise.0 {
                    OfNoise::None => {}
                    OfNoise::Pixels => {
                        let sum = self.noise.1.add(y * self.columns + x);
                        *sum = if lane == 0 { 0.0 } else { *sum } + sum_of_lanes(gradient);
                    }
                    OfNoise::Strength(noise) => {
                        of_strength = gradient.mul_add(V::splat(noise.at(self.place.0, (y, x))), of_strength);
                    }
                }
                gradient.mul(slope.factor).store(to.add(place));
            }
            of_factors.store(self.factors.add(lane));
            of_bias.store(self.bias.add(lane));
            if let OfNoise::Strength(_) = self.noise.0 {
                of_strength.store(self.noise.1.add(lane));
            }
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
