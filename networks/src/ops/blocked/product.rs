//! Sums over channels and taps: the loop in which nearly all arithmetic happens.
//!
//! A few positions times a few vectors of output channels are summed in registers; a number of a pixel meets a vector of
//! weights. Loops count and take no closures: only what is inlined as a whole may use the processor's vectors.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use super::LANES;
use super::paired::{self, Pairs};
use crate::ops::vector::Vector;

/// Lines of weights that are asked for before they are needed.
pub(super) const AHEAD: usize = 12;

/// What is summed. Offsets and steps count numbers.
#[derive(Clone, Copy)]
pub(crate) struct Sum<'a> {
    /// Weights `[input block, tap, 16 inputs, 16 outputs]` of the first output block.
    pub weights: *const f32,
    /// From one output block's weights to the next one's.
    pub weights_step: usize,
    /// The first position's pixel in the first input block.
    pub pixels: *const f32,
    /// From one input block to the next.
    pub block_step: usize,
    /// Number of input blocks.
    pub blocks: usize,
    /// Offset of each tap.
    pub taps: &'a [usize],
    /// For sums of a single tap that are to be taken in pairs.
    pub pairs: Option<Pairs>,
}

/// Where sums go.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The first position in the first output block.
    pub first: *mut f32,
    /// From one position to the next.
    pub position_step: usize,
    /// From one output block to the next.
    pub block_step: usize,
    /// Whether sums are added to what is there.
    pub adds: bool,
}

/// Sums `positions` that are `stride` pixels apart, for `blocks` output blocks.
///
/// # Safety
/// All weights and pixels of `sum` can be read and all of `to` written.
#[inline(always)]
pub(super) unsafe fn strided_product<V: Vector>(
    sum: Sum<'_>,
    (positions, stride): (usize, usize),
    blocks: usize,
    to: Target,
) {
    // SAFETY: as for the caller.
    unsafe {
        match stride {
            1 => product::<V, 1>(sum, positions, blocks, to),
            2 => product::<V, 2>(sum, positions, blocks, to),
            _ => {
                for position in 0..positions {
                    let sum = Sum { pixels: sum.pixels.add(position * stride * LANES), ..sum };
                    let to = Target { first: to.first.add(position * to.position_step), ..to };
                    product::<V, 1>(sum, 1, blocks, to);
                }
            }
        }
    }
}

/// As [`strided_product`], for a stride that is known beforehand: pixels are then read at constant distances, which leaves
/// the registers to the sums.
///
/// # Safety
/// As [`strided_product`].
#[inline(always)]
pub(super) unsafe fn product<V: Vector, const STRIDE: usize>(
    sum: Sum<'_>,
    positions: usize,
    blocks: usize,
    to: Target,
) {
    let most = if sum.pairs.is_some() { V::PAIRED_POSITIONS } else { V::POSITIONS };
    let groups = positions.div_ceil(most);
    let (each, longer) = (positions / groups.max(1), positions % groups.max(1));
    let mut first = 0;
    for group in 0..groups {
        let count = each + usize::from(group < longer);
        // SAFETY: positions of this call.
        unsafe {
            let pairs = sum.pairs.map(|pairs| pairs.from(first));
            let sum = Sum { pixels: sum.pixels.add(first * STRIDE * LANES), pairs, ..sum };
            let to = Target { first: to.first.add(first * to.position_step), ..to };
            output_blocks::<V, STRIDE>(sum, count, blocks, to);
        }
        first += count;
    }
}

/// Takes two output blocks at a time where a block is one vector, else one.
#[inline(always)]
unsafe fn output_blocks<V: Vector, const STRIDE: usize>(sum: Sum<'_>, positions: usize, blocks: usize, to: Target) {
    let mut block = 0;
    while block < blocks {
        // SAFETY: output blocks of this call.
        unsafe {
            let sum = Sum { weights: sum.weights.add(block * sum.weights_step), ..sum };
            let to = Target { first: to.first.add(block * to.block_step), ..to };
            block += match V::LANES {
                16 if block + 1 < blocks => {
                    some::<V, STRIDE, 2>(sum, positions, to);
                    2
                }
                16 => {
                    some::<V, STRIDE, 1>(sum, positions, to);
                    1
                }
                8 => {
                    some::<V, STRIDE, 2>(sum, positions, to);
                    1
                }
                _ => {
                    some::<V, STRIDE, 4>(sum, positions, to);
                    1
                }
            };
        }
    }
}

/// Chooses the loop for a number of positions.
#[inline(always)]
unsafe fn some<V: Vector, const STRIDE: usize, const VECTORS: usize>(sum: Sum<'_>, positions: usize, to: Target) {
    if let Some(pairs) = sum.pairs {
        // SAFETY: as for the caller.
        return unsafe { paired::some::<V, STRIDE, VECTORS>((sum, pairs), positions, to) };
    }
    // SAFETY: as for the caller.
    unsafe {
        match positions {
            1 => exactly::<V, STRIDE, VECTORS, 1>(sum, to),
            2 => exactly::<V, STRIDE, VECTORS, 2>(sum, to),
            3 if V::POSITIONS >= 3 => exactly::<V, STRIDE, VECTORS, 3>(sum, to),
            4 if V::POSITIONS >= 4 => exactly::<V, STRIDE, VECTORS, 4>(sum, to),
            5 if V::POSITIONS >= 5 => exactly::<V, STRIDE, VECTORS, 5>(sum, to),
            6 if V::POSITIONS >= 6 => exactly::<V, STRIDE, VECTORS, 6>(sum, to),
            7 if V::POSITIONS >= 7 => exactly::<V, STRIDE, VECTORS, 7>(sum, to),
            8 if V::POSITIONS >= 8 => exactly::<V, STRIDE, VECTORS, 8>(sum, to),
            9 if V::POSITIONS >= 9 => exactly::<V, STRIDE, VECTORS, 9>(sum, to),
            10 if V::POSITIONS >= 10 => exactly::<V, STRIDE, VECTORS, 10>(sum, to),
            11 if V::POSITIONS >= 11 => exactly::<V, STRIDE, VECTORS, 11>(sum, to),
            12 if V::POSITIONS >= 12 => exactly::<V, STRIDE, VECTORS, 12>(sum, to),
            13 if V::POSITIONS >= 13 => exactly::<V, STRIDE, VECTORS, 13>(sum, to),
            14 if V::POSITIONS >= 14 => exactly::<V, STRIDE, VECTORS, 14>(sum, to),
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn exactly<V: Vector, const STRIDE: usize, const VECTORS: usize, const POSITIONS: usize>(
    sum: Sum<'_>,
    to: Target,
) {
    let mut sums = [[V::splat(0.0); VECTORS]; POSITIONS];
    let mut weights = sum.weights;
    // SAFETY: the caller vouches for everything that `sum` and `to` describe.
    unsafe {
        for block in 0..sum.blocks {
            for &tap in sum.taps {
                let pixels = sum.pixels.add(block * sum.block_step + tap);
                for channel in 0..LANES {
                    let mut factors = [V::splat(0.0); VECTORS];
                    for vector in 0..VECTORS {
                        factors[vector] = V::load(weights.add(place::<V>(vector, sum.weights_step)));
                    }
                    if channel < POSITIONS {
                        V::prefetch(pixels.wrapping_add(sum.block_step + channel * STRIDE * LANES));
                    }
                    for vector in 0..VECTORS {
                        V::prefetch(weights.wrapping_add(AHEAD * LANES + place::<V>(vector, sum.weights_step)));
                    }
                    weights = weights.add(LANES);
                    if to.adds && block == 0 && channel < POSITIONS {
                        let number = to.first.wrapping_add(channel * to.position_step);
                        for vector in 0..VECTORS {
                            V::prefetch(number.wrapping_add(place::<V>(vector, to.block_step)));
                        }
                    }
                    for position in 0..POSITIONS {
                        let pixel = V::splat(*pixels.add(position * STRIDE * LANES + channel));
                        for vector in 0..VECTORS {
                            sums[position][vector] = pixel.mul_add(factors[vector], sums[position][vector]);
                        }
                    }
                }
            }
        }
        for position in 0..POSITIONS {
            for vector in 0..VECTORS {
                let to_number = to.first.add(position * to.position_step + place::<V>(vector, to.block_step));
                let sum = sums[position][vector];
                if to.adds {
                    sum.add(V::load(to_number)).store(to_number)
                } else {
                    sum.store(to_number)
                };
            }
        }
    }
}

/// Where a vector lies: it is an output block, `block_step` after the one before, or a part of one.
#[inline(always)]
pub(super) fn place<V: Vector>(vector: usize, block_step: usize) -> usize {
    if V::LANES == LANES { vector * block_step } else { vector * V::LANES }
}
