//! Gradients that go back through a ReLU as they are written: in place of what the ReLU has given.

use super::scheme::{Filtering, KernelPoints, Same, Scheme, store};
use super::transforms::points_to_tile;
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::{Channels, Finish};
use crate::ops::blocked::product::{Sum, Target};
use crate::ops::blocked::weights::{BLOCK, Rows};
use crate::ops::vector::Vector;

/// F(4x4, 3x3) into maps of whole tiles that say where results count: they replace positive numbers, and 0 the others.
#[derive(Clone, Copy)]
pub(crate) struct WherePositive;

impl Scheme for WherePositive {
    const POINTS: usize = Same::POINTS;
    const PATCH: (usize, usize) = Same::PATCH;
    const STEP: (usize, usize) = Same::STEP;
    const SIDES: (usize, usize) = Same::SIDES;

    #[inline(always)]
    fn kernel_point(point: usize) -> usize {
        Same::kernel_point(point)
    }

    #[inline(always)]
    unsafe fn enter<V: Vector>(pixels: (*const f32, usize), scale: Option<*const f32>, points: (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe { Same::enter::<V>(pixels, scale, points) }
    }

    #[inline(always)]
    unsafe fn product<V: Vector>(sum: Sum<'_>, tiles: usize, blocks: usize, to: Target) {
        // SAFETY: the caller's promise.
        unsafe { Same::product::<V>(sum, tiles, blocks, to) }
    }

    #[inline(always)]
    unsafe fn leave<V: Vector>(
        (points, point_step): (*const f32, usize),
        _finish: Option<(&Finish<'_>, &Channels<V>)>,
        _place: (usize, usize, usize),
        (to, row_step): (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise; what can be written can be read.
        unsafe {
            let mut tile = points_to_tile::<V>(points, point_step);
            for (y, row) in tile.iter_mut().enumerate() {
                for (x, number) in row.iter_mut().enumerate() {
                    let given = V::load(to.add(y * row_step + x * LANES));
                    *number = given.where_positive(*number, V::splat(0.0));
                }
            }
            store(tile, (to, row_step));
        }
    }
}

impl Filtering for WherePositive {
    #[inline(always)]
    unsafe fn kernel<V: Vector>(taps: (*const f32, usize), points: KernelPoints<'_>) {
        // SAFETY: the caller's promise.
        unsafe { Same::kernel::<V>(taps, points) }
    }

    #[inline(always)]
    unsafe fn kernels<V: Vector>(rows: (Rows<'_>, usize), points: KernelPoints<'_>, squares: &mut [f32; BLOCK]) {
        // SAFETY: the caller's promise.
        unsafe { Same::kernels::<V>(rows, points, squares) }
    }
}
