//! Sums of products in which a pair of channels takes one multiplication (Winograd 1968, "A New Algorithm for Inner
//! Product"): ax + by = (a + y)(b + x) − ab − xy, where ab is the same for all outputs and xy for all pixels.
//!
//! A product costs two additions then, which pays where the processor adds beside multiplying: a pair in every three channels
//! keeps both busy. The numbers that are added should be of one magnitude (Brent 1970, "Error analysis of algorithms for
//! matrix multiplication"), so weights are scaled to that of the pixels and the sums back; rounding is then about a third
//! larger than that of plain sums.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use super::LANES;
use super::product::{AHEAD, Sum, Target, place};
use super::weights::BLOCK;
use crate::ops::vector::{Kernel, Vector};

/// Pairs of a block: channels `i` and `PAIRS + i`. As many channels behind them stay single, and the last one.
const PAIRS: usize = 5;

/// What sums that are taken in pairs have too much, and their scale.
#[derive(Clone, Copy)]
pub(crate) struct Pairs {
    /// Of each position, [the pairs of its pixel](pairs_of_pixel); none where another part of the sum has them.
    pub of_pixels: Option<*const f32>,
    /// From the weights of an output block to [their pairs](pairs_of_weights).
    pub of_weights: usize,
    /// What sums are multiplied with.
    pub gain: f32,
}

impl Pairs {
    /// The same from a later position on.
    #[inline(always)]
    pub fn from(self, position: usize) -> Self {
        Pairs { of_pixels: self.of_pixels.map(|pixels| pixels.wrapping_add(position)), ..self }
    }
}

/// Products of the pairs of some blocks of channels of a pixel, `step` numbers apart, summed.
///
/// # Safety
/// The blocks can be read.
#[inline(always)]
pub(crate) unsafe fn pairs_of_pixel((first, step): (*const f32, usize), blocks: usize) -> f32 {
    const TOGETHER: usize = 8; // three more than there are, which makes a vector
    let mut sums = [0.0; TOGETHER];
    for block in 0..blocks {
        // SAFETY: within a block.
        let (a, b) = unsafe {
            let first = first.add(block * step);
            (first.cast::<[f32; TOGETHER]>().read(), first.add(PAIRS).cast::<[f32; TOGETHER]>().read())
        };
        for i in 0..TOGETHER {
            sums[i] += a[i] * b[i];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + sums[4]
}

/// Products of the pairs of some blocks of weights that follow each other, `[block, 16 inputs, 16 outputs]`, summed for each
/// output.
///
/// # Safety
/// The weights can be read and the sums written.
#[inline(always)]
pub(crate) unsafe fn pairs_of_weights<V: Vector>(weights: *const f32, blocks: usize, to: *mut f32) {
    for lane in (0..LANES).step_by(V::LANES) {
        let mut sums = [V::splat(0.0); PAIRS];
        // SAFETY: lines of the blocks.
        unsafe {
            for block in 0..blocks {
                let weights = weights.add(block * BLOCK + lane);
                for i in 0..PAIRS {
                    let (a, b) = (V::load(weights.add(i * LANES)), V::load(weights.add((PAIRS + i) * LANES)));
                    sums[i] = a.mul_add(b, sums[i]);
                }
            }
            sums[0].add(sums[1]).add(sums[2].add(sums[3])).add(sums[4]).store(to.add(lane));
        }
    }
}

/// As [`product`](super::product::product), for so few positions that all sums fit the registers.
///
/// # Safety
/// As there; the pairs can be read.
#[inline(always)]
pub(super) unsafe fn some<V: Vector, const STRIDE: usize, const VECTORS: usize>(
    sum: (Sum<'_>, Pairs),
    positions: usize,
    to: Target,
) {
    match positions {
        1 => exactly::<V, STRIDE, VECTORS, 1>(sum, to),
        2 => exactly::<V, STRIDE, VECTORS, 2>(sum, to),
        3 if V::PAIRED_POSITIONS >= 3 => exactly::<V, STRIDE, VECTORS, 3>(sum, to),
        4 if V::PAIRED_POSITIONS >= 4 => exactly::<V, STRIDE, VECTORS, 4>(sum, to),
        5 if V::PAIRED_POSITIONS >= 5 => exactly::<V, STRIDE, VECTORS, 5>(sum, to),
        6 if V::PAIRED_POSITIONS >= 6 => exactly::<V, STRIDE, VECTORS, 6>(sum, to),
        7 if V::PAIRED_POSITIONS >= 7 => exactly::<V, STRIDE, VECTORS, 7>(sum, to),
        8 if V::PAIRED_POSITIONS >= 8 => exactly::<V, STRIDE, VECTORS, 8>(sum, to),
        9 if V::PAIRED_POSITIONS >= 9 => exactly::<V, STRIDE, VECTORS, 9>(sum, to),
        10 if V::PAIRED_POSITIONS >= 10 => exactly::<V, STRIDE, VECTORS, 10>(sum, to),
        11 if V::PAIRED_POSITIONS >= 11 => exactly::<V, STRIDE, VECTORS, 11>(sum, to),
        12 if V::PAIRED_POSITIONS >= 12 => exactly::<V, STRIDE, VECTORS, 12>(sum, to),
        _ => {}
    }
}

/// A function of its own for each number of positions: its loops take all registers.
#[inline(always)]
fn exactly<V: Vector, const STRIDE: usize, const VECTORS: usize, const POSITIONS: usize>(
    (sum, pairs): (Sum<'_>, Pairs),
    to: Target,
) {
    V::apart(Positions::<STRIDE, VECTORS, POSITIONS> { sum, pairs, to });
}

/// So many positions. Whoever makes one vouches that what it describes can be read and written.
struct Positions<'a, const STRIDE: usize, const VECTORS: usize, const POSITIONS: usize> {
    sum: Sum<'a>,
    pairs: Pairs,
    to: Target,
}

impl<const STRIDE: usize, const VECTORS: usize, const POSITIONS: usize> Kernel
    for Positions<'_, STRIDE, VECTORS, POSITIONS>
{
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let sum = self.sum;
        // A number is read for each vector that it meets, not spread over a register of its own: that would take the place
        // of an addition. The compiler would read it once if it knew these to be the same.
        let mut pixels = [sum.pixels; VECTORS];
        for vector in 1..VECTORS {
            pixels[vector] = std::hint::black_box(sum.pixels);
        }
        let mut weights = sum.weights;
        // SAFETY: whoever made this vouches for everything that it describes.
        unsafe {
            let mut sums = self.begin::<V>();
            for block in 0..sum.blocks {
                for i in 0..PAIRS {
                    self.ask_for::<V>(i, pixels[0], block == 0);
                    let a = self.factors::<V>(weights, i);
                    let b = self.factors::<V>(weights, PAIRS + i);
                    let c = self.factors::<V>(weights, 2 * PAIRS + i);
                    for vector in 0..VECTORS {
                        for position in 0..POSITIONS {
                            let pixel = pixels[vector].add(position * STRIDE * LANES + i);
                            let first = b[vector].add(V::splat(*pixel));
                            let second = a[vector].add(V::splat(*pixel.add(PAIRS)));
                            let both = first.mul_add(second, sums[position][vector]);
                            sums[position][vector] = V::splat(*pixel.add(2 * PAIRS)).mul_add(c[vector], both);
                        }
                    }
                }
                let last = self.factors::<V>(weights, LANES - 1);
                for vector in 0..VECTORS {
                    for position in 0..POSITIONS {
                        let pixel = pixels[vector].add(position * STRIDE * LANES + LANES - 1);
                        sums[position][vector] = V::splat(*pixel).mul_add(last[vector], sums[position][vector]);
                    }
                    pixels[vector] = pixels[vector].add(sum.block_step);
                }
                weights = weights.add(BLOCK);
            }
            self.end(sums);
        }
    }
}

impl<const STRIDE: usize, const VECTORS: usize, const POSITIONS: usize> Positions<'_, STRIDE, VECTORS, POSITIONS> {
    /// What the pairs have too much, taken off.
    #[inline(always)]
    unsafe fn begin<V: Vector>(&self) -> [[V; VECTORS]; POSITIONS] {
        let mut sums = [[V::splat(0.0); VECTORS]; POSITIONS];
        for vector in 0..VECTORS {
            // SAFETY: the line behind the weights, and a number for each position.
            unsafe {
                let of_weights = self.pairs.of_weights + place::<V>(vector, self.sum.weights_step);
                let too_much = V::splat(0.0).sub(V::load(self.sum.weights.add(of_weights)));
                for position in 0..POSITIONS {
                    sums[position][vector] = match self.pairs.of_pixels {
                        Some(of_pixels) => too_much.sub(V::splat(*of_pixels.add(position))),
                        None => too_much,
                    };
                }
            }
        }
        sums
    }

    /// A channel's weights; later ones are asked for.
    #[inline(always)]
    unsafe fn factors<V: Vector>(&self, weights: *const f32, channel: usize) -> [V; VECTORS] {
        let mut factors = [V::splat(0.0); VECTORS];
        for vector in 0..VECTORS {
            // SAFETY: a line of the weights.
            unsafe {
                let line = weights.add(channel * LANES + place::<V>(vector, self.sum.weights_step));
                factors[vector] = V::load(line);
                V::prefetch(line.wrapping_add(AHEAD * LANES));
            }
        }
        factors
    }

    /// Asks for a few positions of the next block, and for the places of their sums when the first block begins.
    #[inline(always)]
    fn ask_for<V: Vector>(&self, i: usize, pixels: *const f32, is_first: bool) {
        for position in [i, PAIRS + i, 2 * PAIRS + i] {
            if position >= POSITIONS {
                continue;
            }
            V::prefetch(pixels.wrapping_add(self.sum.block_step + position * STRIDE * LANES));
            if self.to.adds && is_first {
                let number = self.to.first.wrapping_add(position * self.to.position_step);
                for vector in 0..VECTORS {
                    V::prefetch(number.wrapping_add(place::<V>(vector, self.to.block_step)));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn end<V: Vector>(&self, sums: [[V; VECTORS]; POSITIONS]) {
        let (to, gain) = (self.to, V::splat(self.pairs.gain));
        for position in 0..POSITIONS {
            for vector in 0..VECTORS {
                // SAFETY: the place of a sum.
                unsafe {
                    let number = to.first.add(position * to.position_step + place::<V>(vector, to.block_step));
                    let sum = sums[position][vector];
                    if to.adds {
                        sum.mul_add(gain, V::load(number)).store(number);
                    } else {
                        sum.mul(gain).store(number);
                    }
                }
            }
        }
    }
}
