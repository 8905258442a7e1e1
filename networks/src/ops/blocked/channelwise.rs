//! A factor for each channel of each image, on blocked maps.

use rayon::prelude::*;

use super::LANES;
use super::maps::Maps;
use super::memory::Pointer;
use crate::ops::vector::{self, Kernel, Vector};

/// terms + maps · factors, or maps · factors alone.
///
/// # Shapes
/// factors `[N, blocks · 16]`
pub(crate) fn scaled(terms: Option<&Maps>, maps: &Maps, factors: &[f32]) -> Maps {
    let sizes = maps.sizes;
    assert!(terms.is_none_or(|terms| terms.sizes == sizes), "a term for every number");
    let fill = |to: Pointer| {
        (0..sizes.images * sizes.blocks).into_par_iter().for_each(|i| {
            let range = i * sizes.block()..(i + 1) * sizes.block();
            // SAFETY: this task's block.
            let to = unsafe { std::slice::from_raw_parts_mut(to.at(range.start), sizes.block()) };
            let factors = &factors[i * LANES..][..LANES];
            let terms = terms.map(|terms| &terms.memory[range.clone()]);
            vector::run(Scale { terms, block: &maps.memory[range], factors, to });
        });
    };
    // SAFETY: blocks of the result.
    unsafe { Maps::written(sizes, fill) }
}

/// Sums of products over the pixels, `[N, blocks · 16]`.
pub(crate) fn dot(first: &Maps, second: &Maps) -> Vec<f32> {
    let sizes = first.sizes;
    assert_eq!(sizes, second.sizes, "two factors of each product");
    let mut sums = vec![0.0; sizes.images * sizes.blocks * LANES];
    sums.par_chunks_exact_mut(LANES).enumerate().for_each(|(i, to)| {
        let range = i * sizes.block()..(i + 1) * sizes.block();
        vector::run(Dot { first: &first.memory[range.clone()], second: &second.memory[range], to });
    });
    sums
}

/// Scales maps in place, and gives the sums of the products of what they were with others, `[N, blocks · 16]`.
pub(crate) fn scale_and_dot(maps: &mut Maps, factors: &[f32], others: &Maps) -> Vec<f32> {
    let sizes = maps.sizes;
    assert_eq!(sizes, others.sizes, "two factors of each product");
    let mut sums = vec![0.0; sizes.images * sizes.blocks * LANES];
    let blocks = maps.memory.par_chunks_exact_mut(sizes.block()).zip(others.memory.par_chunks_exact(sizes.block()));
    blocks
        .zip(factors.par_chunks_exact(LANES))
        .zip(sums.par_chunks_exact_mut(LANES))
        .for_each(|(((block, others), factors), to)| vector::run(ScaleAndDot { block, factors, others, to }));
    sums
}

/// Adds maps to others.
pub(crate) fn add(to: &mut Maps, from: &Maps) {
    assert_eq!(to.sizes, from.sizes, "a term for every number");
    let block = to.sizes.block();
    to.memory.par_chunks_exact_mut(block).zip(from.memory.par_chunks_exact(block)).for_each(|(to, from)| {
        vector::run(Add { to, from });
    });
}

struct Add<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for number in (0..self.to.len()).step_by(V::LANES) {
            // SAFETY: a vector of a line of either.
            unsafe {
                let to = self.to.as_mut_ptr().add(number);
                V::load(to).add(V::load(self.from.as_ptr().add(number))).store(to);
            }
        }
    }
}

struct Scale<'a> {
    terms: Option<&'a [f32]>,
    block: &'a [f32],
    factors: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: a line of factors.
            let factor = unsafe { V::load(self.factors.as_ptr().add(lane)) };
            for line in (lane..self.block.len()).step_by(LANES) {
                // SAFETY: a vector of a line of each.
                unsafe {
                    let number = V::load(self.block.as_ptr().add(line));
                    let result = match self.terms {
                        Some(terms) => number.mul_add(factor, V::load(terms.as_ptr().add(line))),
                        None => number.mul(factor),
                    };
                    result.store(self.to.as_mut_ptr().add(line));
                }
            }
        }
    }
}

struct ScaleAndDot<'a> {
    block: &'a mut [f32],
    factors: &'a [f32],
    others: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for ScaleAndDot<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: a line of factors.
            let factor = unsafe { V::load(self.factors.as_ptr().add(lane)) };
            let mut sums = [V::splat(0.0); 4];
            for line in 0..self.block.len() / LANES {
                // SAFETY: a vector of a line of each.
                unsafe {
                    let number = self.block.as_mut_ptr().add(line * LANES + lane);
                    let other = V::load(self.others.as_ptr().add(line * LANES + lane));
                    sums[line % 4] = V::load(number).mul_add(other, sums[line % 4]);
                    V::load(number).mul(factor).store(number);
                }
            }
            let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
            // SAFETY: a line of sums.
            unsafe { sum.store(self.to.as_mut_ptr().add(lane)) };
        }
    }
}

struct Dot<'a> {
    first: &'a [f32],
    second: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Dot<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for lane in (0..LANES).step_by(V::LANES) {
            let mut sums = [V::splat(0.0); 4];
            for line in 0..self.first.len() / LANES {
                // SAFETY: a vector of a line of each.
                unsafe {
                    let first = V::load(self.first.as_ptr().add(line * LANES + lane));
                    let second = V::load(self.second.as_ptr().add(line * LANES + lane));
                    sums[line % 4] = first.mul_add(second, sums[line % 4]);
                }
            }
            let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
            // SAFETY: a line of sums.
            unsafe { sum.store(self.to.as_mut_ptr().add(lane)) };
        }
    }
}
