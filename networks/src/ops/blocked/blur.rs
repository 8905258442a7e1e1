//! The filter behind a transposed convolution, as two passes of four taps, and the end of the layer.

use rayon::prelude::*;

use super::LANES;
use super::finish::Finish;
use super::maps::{Maps, Sizes};
use super::memory::{Memory, Pointer};
use super::styled::{BORDER, inner};
use crate::ops::vector::{self, Kernel, Vector};

/// Rows that one task filters.
const STRIP: usize = 32;

/// Filters maps with a border, one pixel larger than the result on each axis, and finishes the layer.
pub(super) fn blur(sharp: &Maps, filter: [[f32; 4]; 2], finish: &Finish<'_>, y: &mut Maps) {
    let (sizes, (rows, _)) = (y.sizes, inner(y.sizes));
    let to = Pointer::new(y.memory.first());
    let strips = rows.div_ceil(STRIP);
    (0..sizes.images * sizes.blocks * strips).into_par_iter().for_each(|task| {
        let (block, strip) = (task / strips, task % strips);
        let place = (block / sizes.blocks, block % sizes.blocks, sizes.blocks);
        let rows = strip * STRIP..((strip + 1) * STRIP).min(rows);
        vector::run(Blur { sharp, filter, finish, place, rows, to: (sizes, to) });
    });
}

/// Some rows of one block.
struct Blur<'a> {
    sharp: &'a Maps,
    /// Vertical and horizontal taps in the order in which pixels meet them.
    filter: [[f32; 4]; 2],
    finish: &'a Finish<'a>,
    place: (usize, usize, usize),
    rows: std::ops::Range<usize>,
    to: (Sizes, Pointer),
}

impl Kernel for Blur<'_> {
    type Output = ();

    /// Rows are filtered along x into a ring of four, from which each row of the result is summed.
    #[inline(always)]
    fn run<V: Vector>(self) {
        let (from, columns) = (self.sharp.sizes, inner(self.to.0).1);
        let mut ring = Memory::take(4 * columns * LANES);
        let ring = ring.first();
        let row_of = |y: usize| ring.wrapping_add(y % 4 * columns * LANES);
        for y in self.rows.start..self.rows.end + 3 {
            let pixels = &self.sharp.memory[from.offset(self.place.0, self.place.1, (y, 0))..][..from.row()];
            // SAFETY: `columns` + 3 pixels of a row, and this row of the ring.
            unsafe {
                sum_of_four::<V>(
                    [0, 1, 2, 3].map(|x| pixels.as_ptr().wrapping_add(x * LANES)),
                    self.filter[1],
                    (row_of(y), columns),
                )
            };
            if y < self.rows.start + 3 {
                continue;
            }
            let row = y - 3;
            let rows = [row_of(row), row_of(row + 1), row_of(row + 2), row_of(row + 3)].map(<*mut f32>::cast_const);
            // SAFETY: four rows of the ring, and this task's row of the result.
            unsafe { self.finish_row::<V>(rows, row) };
        }
    }
}

impl Blur<'_> {
    /// # Safety
    /// The rows are as long as the result's, which is the caller's alone.
    #[inline(always)]
    unsafe fn finish_row<V: Vector>(&self, rows: [*const f32; 4], y: usize) {
        let (sizes, to) = self.to;
        let taps = self.filter[0];
        for lane in (0..LANES).step_by(V::LANES) {
            let channels = self.finish.channels::<V>(self.place, lane);
            for x in 0..inner(sizes).1 {
                let noise = self.finish.noise_at(self.place.0, (y, x));
                // SAFETY: the caller's promise.
                unsafe {
                    let mut sum = V::splat(0.0);
                    for (row, tap) in rows.into_iter().zip(taps) {
                        sum = V::load(row.add(x * LANES + lane)).mul_add(V::splat(tap), sum);
                    }
                    let place = sizes.offset(self.place.0, self.place.1, (y + BORDER, x + BORDER)) + lane;
                    channels.finish(sum, noise).store(to.at(place));
                }
            }
        }
    }
}

/// Writes the weighted sum of four rows of pixels.
///
/// # Safety
/// `to.1` pixels of each can be read and written.
#[inline(always)]
unsafe fn sum_of_four<V: Vector>(from: [*const f32; 4], taps: [f32; 4], (to, pixels): (*mut f32, usize)) {
    for number in (0..pixels * LANES).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sum = V::splat(0.0);
            for (row, tap) in from.into_iter().zip(taps) {
                sum = V::load(row.add(number)).mul_add(V::splat(tap), sum);
            }
            sum.store(to.add(number));
        }
    }
}
