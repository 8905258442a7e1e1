//! The filter behind a transposed convolution, as two passes of four taps, and the end of the layer.

use std::ops::Range;

use rayon::prelude::*;

use super::LANES;
use super::finish::Finish;
use super::maps::{Maps, Sizes};
use super::memory::{Memory, Pointer};
use super::styled::{BORDER, inner};
use crate::ops::vector::{self, Kernel, Vector};

/// Taps along an axis.
pub(super) const TAPS: usize = 4;
/// Rows that one task filters.
const STRIP: usize = 32;
/// Pixels of the result that are asked for before they are written.
const AHEAD: usize = 16;

/// What becomes of sharp maps, which are one pixel larger than the result along each axis and have a border like its own.
#[derive(Clone, Copy)]
pub(crate) struct Blur<'a> {
    /// Vertical and horizontal taps in the order in which pixels meet them.
    pub taps: [[f32; TAPS]; 2],
    pub finish: Finish<'a>,
    /// The result, with a border.
    pub to: (Sizes, Pointer),
}

impl Blur<'_> {
    /// Filters sharp maps and finishes the layer.
    pub fn apply(&self, sharp: &Maps) {
        let (sizes, rows) = (self.to.0, inner(self.to.0).0);
        let strips = rows.div_ceil(STRIP);
        (0..sizes.images * sizes.blocks * strips).into_par_iter().for_each(|task| {
            let (block, strip) = (task / strips, task % strips);
            let place = (block / sizes.blocks, block % sizes.blocks);
            vector::run(Strip { blur: self, sharp, place, rows: strip * STRIP..((strip + 1) * STRIP).min(rows) });
        });
    }

    /// Numbers of a row of the result.
    pub fn row(&self) -> usize {
        inner(self.to.0).1 * LANES
    }

    /// Filters a row of sharp pixels, its border included, along x.
    ///
    /// # Safety
    /// Three pixels more than a row of the result can be read, and as many as it has written.
    #[inline(always)]
    pub unsafe fn filter_row<V: Vector>(&self, pixels: *const f32, to: *mut f32) {
        let taps = splats::<V>(self.taps[1]);
        for lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                // The pixels that the next one of the result sees again.
                let first = pixels.add(lane);
                let mut seen = [V::load(first), V::load(first.add(LANES)), V::load(first.add(2 * LANES))];
                for number in (lane..self.row()).step_by(LANES) {
                    let next = V::load(pixels.add((TAPS - 1) * LANES + number));
                    let [a, b, c] = seen;
                    let sum = c.mul_add(taps[2], b.mul_add(taps[1], a.mul(taps[0])));
                    next.mul_add(taps[3], sum).store(to.add(number));
                    seen = [b, c, next];
                }
            }
        }
    }

    /// Sums four rows that have been filtered along x to row `y` of a block, (image, block), of the result.
    ///
    /// # Safety
    /// The rows are as long as the result's, which is the caller's alone.
    #[inline(always)]
    pub unsafe fn finish_row<V: Vector>(&self, (image, block): (usize, usize), y: usize, rows: [*const f32; TAPS]) {
        let ((sizes, to), taps) = (self.to, splats::<V>(self.taps[0]));
        let columns = inner(sizes).1;
        let noise = self.finish.noise_row(image, y, columns);
        // SAFETY: this row of the result.
        let to = unsafe { to.at(sizes.offset(image, block, (y + BORDER, BORDER))) };
        for lane in (0..LANES).step_by(V::LANES) {
            let channels = self.finish.channels::<V>((image, block, sizes.blocks), lane);
            for x in 0..columns {
                let number = x * LANES + lane;
                V::prefetch(to.wrapping_add(AHEAD * LANES + number));
                // SAFETY: the caller's promise.
                unsafe {
                    let mut sum = V::load(rows[0].add(number)).mul(taps[0]);
                    for i in 1..TAPS {
                        sum = V::load(rows[i].add(number)).mul_add(taps[i], sum);
                    }
                    let noise = if let Some(noise) = noise { noise[x] } else { 0.0 };
                    channels.finish(sum, noise).store(to.add(number));
                }
            }
        }
    }
}

/// Each tap in every place of a vector.
#[inline(always)]
fn splats<V: Vector>(taps: [f32; TAPS]) -> [V; TAPS] {
    [V::splat(taps[0]), V::splat(taps[1]), V::splat(taps[2]), V::splat(taps[3])]
}

/// Some rows of one block, (image, block).
struct Strip<'a> {
    blur: &'a Blur<'a>,
    sharp: &'a Maps,
    place: (usize, usize),
    rows: Range<usize>,
}

impl Kernel for Strip<'_> {
    type Output = ();

    /// Rows are filtered along x into a ring, from which each row of the result is summed.
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (blur, sizes) = (self.blur, self.sharp.sizes);
        let mut ring = Memory::take(TAPS * blur.row());
        let ring = ring.first();
        let row_of = |y: usize| ring.wrapping_add(y % TAPS * blur.row());
        for y in self.rows.start..self.rows.end + TAPS - 1 {
            let pixels = &self.sharp.memory[sizes.offset(self.place.0, self.place.1, (y, 0))..][..sizes.row()];
            // SAFETY: a row of pixels, and this row of the ring.
            unsafe { blur.filter_row::<V>(pixels.as_ptr(), row_of(y)) };
            if y < self.rows.start + TAPS - 1 {
                continue;
            }
            let row = y + 1 - TAPS;
            let rows = [0, 1, 2, 3].map(|i| row_of(row + i).cast_const());
            // SAFETY: four rows of the ring, and this task's row of the result.
            unsafe { blur.finish_row::<V>(self.place, row, rows) };
        }
    }
}
