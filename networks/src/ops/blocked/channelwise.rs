//! A factor for each channel of each image, on blocked maps.

use rayon::prelude::*;

use super::LANES;
use super::maps::Sizes;
use super::memory::{Pointer, written};
use crate::ops::vector::{self, Kernel, Vector};

/// terms + maps · factors, or maps · factors alone.
///
/// # Shapes
/// factors `[N, blocks · 16]`
pub(crate) fn scaled(terms: Option<&[f32]>, maps: &[f32], factors: &[f32], sizes: Sizes) -> Vec<f32> {
    assert!(terms.is_none_or(|terms| terms.len() == maps.len()), "a term for every number");
    check(maps, sizes);
    let fill = |to: Pointer| {
        (0..sizes.images * sizes.blocks).into_par_iter().for_each(|i| {
            let range = i * sizes.block()..(i + 1) * sizes.block();
            // SAFETY: this task's block.
            let to = unsafe { std::slice::from_raw_parts_mut(to.at(range.start), sizes.block()) };
            let factors = &factors[i * LANES..][..LANES];
            vector::run(Scale { terms: terms.map(|terms| &terms[range.clone()]), block: &maps[range], factors, to });
        });
    };
    // SAFETY: every block is written.
    unsafe { written(maps.len(), fill) }
}

/// Sums of products over the pixels, `[N, blocks · 16]`.
pub(crate) fn dot(first: &[f32], second: &[f32], sizes: Sizes) -> Vec<f32> {
    assert_eq!(first.len(), second.len(), "two factors of each product");
    check(first, sizes);
    let mut sums = vec![0.0; sizes.images * sizes.blocks * LANES];
    sums.par_chunks_exact_mut(LANES).enumerate().for_each(|(i, to)| {
        let range = i * sizes.block()..(i + 1) * sizes.block();
        vector::run(Dot { first: &first[range.clone()], second: &second[range], to });
    });
    sums
}

fn check(maps: &[f32], sizes: Sizes) {
    assert_eq!(maps.len(), sizes.total(), "numbers of all pixels");
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
