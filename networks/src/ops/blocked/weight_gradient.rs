//! The gradient of a kernel, tap by tap: pixels and gradients of all positions meet.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use rayon::prelude::*;

use super::LANES;
use super::maps::View;
use super::memory::{Memory, Pointer};
use super::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Inputs whose sums fit the registers at a time.
const INPUTS: usize = 8;

/// What meets. Steps count numbers.
#[derive(Clone, Copy)]
pub(super) struct Outer {
    /// The first position's pixel of 16 input channels, and the way to the next position.
    pub pixels: *const f32,
    pub pixel_step: usize,
    /// The first position's gradients of the first output block, the way to the next position and to the next block.
    pub gradients: *const f32,
    pub gradient_step: usize,
    pub block_step: usize,
    pub positions: usize,
}

/// Sums pixel · gradient over the positions into `[16 inputs, 16 outputs]` for each of one or two output blocks, `to.1`
/// apart.
///
/// # Safety
/// All positions can be read and all sums written.
#[inline(always)]
pub(super) unsafe fn outer_product<V: Vector>(
    outer: Outer,
    blocks: usize,
    (to, to_step): (*mut f32, usize),
    adds: bool,
) {
    // SAFETY: inputs and blocks of this call.
    unsafe {
        if V::LANES == LANES && blocks == 2 {
            some::<V, INPUTS, 2>(outer, outer.block_step, (to, to_step), adds);
            return;
        }
        for block in 0..blocks {
            let outer = Outer { gradients: outer.gradients.add(block * outer.block_step), ..outer };
            let to = to.add(block * to_step);
            match V::LANES {
                16 => some::<V, 16, 1>(outer, LANES, (to, LANES), adds),
                8 => some::<V, 4, 2>(outer, 8, (to, 8), adds),
                _ => some::<V, 2, 4>(outer, 4, (to, 4), adds),
            }
        }
    }
}

/// All 16 inputs, `AT_ONCE` at a time, for some vectors of outputs, `from_step` and `to_step` numbers apart.
#[inline(always)]
unsafe fn some<V: Vector, const AT_ONCE: usize, const VECTORS: usize>(
    outer: Outer,
    from_step: usize,
    (to, to_step): (*mut f32, usize),
    adds: bool,
) {
    for first in (0..LANES).step_by(AT_ONCE) {
        // SAFETY: as for the caller.
        unsafe {
            let to = to.add(first * LANES);
            let mut sums = [[V::splat(0.0); VECTORS]; AT_ONCE];
            if adds {
                for input in 0..AT_ONCE {
                    for vector in 0..VECTORS {
                        sums[input][vector] = V::load(to.add(input * LANES + vector * to_step));
                    }
                }
            }
            for position in 0..outer.positions {
                let mut gradients = [V::splat(0.0); VECTORS];
                for vector in 0..VECTORS {
                    gradients[vector] =
                        V::load(outer.gradients.add(position * outer.gradient_step + vector * from_step));
                }
                let pixel = outer.pixels.add(position * outer.pixel_step + first);
                for input in 0..AT_ONCE {
                    let number = V::splat(*pixel.add(input));
                    for vector in 0..VECTORS {
                        sums[input][vector] = number.mul_add(gradients[vector], sums[input][vector]);
                    }
                }
            }
            for input in 0..AT_ONCE {
                for vector in 0..VECTORS {
                    sums[input][vector].store(to.add(input * LANES + vector * to_step));
                }
            }
        }
    }
}

/// The taps of a kernel over blocked maps that have room for every tap at every position.
pub(crate) struct TapSums {
    taps: Vec<(usize, usize)>,
    stride: usize,
    outputs: usize,
    inputs: usize,
    /// `[output block, input block, tap, 16 inputs, 16 outputs]`
    sums: Memory,
    begun: bool,
}

impl TapSums {
    /// For some blocks of output and input channels and a kernel whose taps lie at rows and columns of the image.
    pub fn new(taps: Vec<(usize, usize)>, stride: usize, (outputs, inputs): (usize, usize)) -> Self {
        let sums = Memory::take(outputs * inputs * taps.len() * BLOCK);
        TapSums { taps, stride, outputs, inputs, sums, begun: false }
    }

    /// Adds what some images contribute.
    pub fn add(&mut self, image: View<'_>, gradient: View<'_>) {
        let (inputs, outputs, adds) = (self.inputs, self.outputs, self.begun);
        let each = self.taps.len() * BLOCK;
        let to = Pointer::new(self.sums.first());
        let pairs = outputs.div_ceil(2);
        (0..pairs * inputs).into_par_iter().for_each(|task| {
            let (first, input) = (task / inputs * 2, task % inputs);
            let blocks = 2.min(outputs - first);
            // SAFETY: this task's blocks of the sums.
            let to = (unsafe { to.at((first * inputs + input) * each) }, inputs * each);
            let taps = (&self.taps[..], self.stride);
            vector::run(Taps { image, gradient, taps, block: (first, input), blocks, to, adds });
        });
        self.begun = true;
    }

    /// Gives the gradient of each tap `[tap, 16 inputs, 16 outputs]` of each block to `write(output, input, taps)`.
    pub fn taps(&self, write: impl Fn(usize, usize, &[f32]) + Sync) {
        let each = self.taps.len() * BLOCK;
        self.sums.par_chunks_exact(each).enumerate().for_each(|(block, taps)| {
            write(block / self.inputs, block % self.inputs, taps);
        });
    }
}

/// All taps of an input block and one or two output blocks.
struct Taps<'a> {
    image: View<'a>,
    gradient: View<'a>,
    taps: (&'a [(usize, usize)], usize),
    /// Output and input block.
    block: (usize, usize),
    blocks: usize,
    to: (*mut f32, usize),
    adds: bool,
}

impl Kernel for Taps<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (image, gradient, (taps, stride)) = (self.image.sizes, self.gradient.sizes, self.taps);
        let mut adds = self.adds;
        for row in 0..gradient.images * gradient.rows {
            let (n, y) = (row / gradient.rows, row % gradient.rows);
            let gradients = &self.gradient.numbers[gradient.offset(n, self.block.0, (y, 0))..];
            let pixels = &self.image.numbers[image.offset(n, self.block.1, (y * stride, 0))..];
            for (i, &tap) in taps.iter().enumerate() {
                let outer = Outer {
                    pixels: pixels[image.offset(0, 0, tap)..].as_ptr(),
                    pixel_step: stride * LANES,
                    gradients: gradients.as_ptr(),
                    gradient_step: LANES,
                    block_step: gradient.block(),
                    positions: gradient.columns,
                };
                // SAFETY: a row of positions, for every tap of which there is room, and this task's sums.
                unsafe { outer_product::<V>(outer, self.blocks, (self.to.0.add(i * BLOCK), self.to.1), adds) };
            }
            adds = true;
        }
    }
}
