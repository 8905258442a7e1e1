//! A 3x3 convolution in steps of 2 with fewer products: 81 for 16 results, where the direct way takes 144. It is the adjoint
//! of [`doubling`](super::doubling).
//!
//! Along an axis, a result sees two taps on even pixels and one on an odd pixel. F(4, 2) computes four results from five
//! even pixels by five products; the four odd pixels take one product each, with the same tap.

use super::doubling::{self, KERNEL, SIDE, kernel_point, to_five_points, to_four_results};
use super::gradient::Adjoint;
use super::kernels::{kernel_to_points, kernels_to_points};
use super::scheme::{Filtering, KernelPoints, Scheme};
use super::transforms::{Along, TILE, load, pixels_to_points, write_turned};
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::{Channels, Finish};
use crate::ops::blocked::product::{Sum, Target, product};
use crate::ops::blocked::weights::{BLOCK, Rows};
use crate::ops::vector::Vector;

/// Pixels along a side of a patch.
const PATCH: usize = 2 * TILE + 1;

/// The scheme.
#[derive(Clone, Copy)]
pub(crate) struct Shrinking;

/// Nine pixels to the five points of the even ones, and the odd ones themselves.
struct PatchToPoints;

impl Along<PATCH, SIDE> for PatchToPoints {
    #[inline(always)]
    fn turn<V: Vector>(d: [V; PATCH]) -> [V; SIDE] {
        let even = to_five_points([d[0], d[2], d[4], d[6], d[8]]);
        [even[0], even[1], even[2], even[3], even[4], d[1], d[3], d[5], d[7]]
    }
}

/// Three taps to the points of a kernel, as for doubling but turned round.
struct TapsToPoints;

impl Along<3, KERNEL> for TapsToPoints {
    #[inline(always)]
    fn turn<V: Vector>([a, b, c]: [V; 3]) -> [V; KERNEL] {
        doubling::TapsToPoints::turn([c, b, a])
    }
}

/// Nine products to four results.
struct PointsToResults;

impl Along<SIDE, TILE> for PointsToResults {
    #[inline(always)]
    fn turn<V: Vector>(m: [V; SIDE]) -> [V; TILE] {
        let even = to_four_results([m[0], m[1], m[2], m[3], m[4]]);
        [even[0].add(m[5]), even[1].add(m[6]), even[2].add(m[7]), even[3].add(m[8])]
    }
}

/// Gradients of four results to those of nine products: the adjoint of [`PointsToResults`].
struct ResultsToPoints;

impl Along<TILE, SIDE> for ResultsToPoints {
    #[inline(always)]
    fn turn<V: Vector>(y: [V; TILE]) -> [V; SIDE] {
        let (even, odd) = (y[0].add(y[2]), y[1].add(y[3]));
        let far = y[3].mul_add(V::splat(4.0), y[1]);
        let far = far.mul_add(V::splat(2.0), y[2].mul_add(V::splat(4.0), y[0]));
        [y[0], even.add(odd), even.sub(odd), far, y[3], y[0], y[1], y[2], y[3]]
    }
}

/// Gradients of the kernel's points to those of its taps.
struct PointsToTaps;

impl Along<KERNEL, 3> for PointsToTaps {
    #[inline(always)]
    fn turn<V: Vector>(u: [V; KERNEL]) -> [V; 3] {
        let (half, sixth, third) = (V::splat(0.5), V::splat(1.0 / 6.0), V::splat(1.0 / 3.0));
        let (minus_half, minus_sixth) = (V::splat(-0.5), V::splat(-1.0 / 6.0));
        let near = u[1].mul(minus_half);
        [
            u[0].mul_add(half, u[2].mul_add(minus_sixth, u[3].mul_add(sixth, near))),
            u[5],
            u[2].mul_add(sixth, u[3].mul_add(third, near)).add(u[4]),
        ]
    }
}

impl Scheme for Shrinking {
    const POINTS: usize = SIDE * SIDE;
    const PATCH: (usize, usize) = (PATCH, PATCH);
    const STEP: (usize, usize) = (2 * TILE, 2 * TILE);
    const SIDES: (usize, usize) = (TILE, TILE);

    #[inline(always)]
    fn kernel_point(point: usize) -> usize {
        kernel_point(point)
    }

    #[inline(always)]
    unsafe fn enter<V: Vector>(
        (pixels, row_step): (*const f32, usize),
        scale: Option<*const f32>,
        (points, point_step): (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise.
        unsafe { pixels_to_points::<PatchToPoints, V, PATCH, SIDE>((pixels, row_step), scale, (points, point_step)) }
    }

    #[inline(always)]
    unsafe fn product<V: Vector>(sum: Sum<'_>, tiles: usize, blocks: usize, to: Target) {
        // SAFETY: the caller's promise.
        unsafe { product::<V, { SIDE * SIDE }>(sum, tiles, blocks, to) }
    }

    #[inline(always)]
    unsafe fn leave<V: Vector>(
        (points, point_step): (*const f32, usize),
        _finish: Option<(&Finish<'_>, &Channels<V>)>,
        _place: (usize, usize, usize),
        (to, row_step): (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let points = load(points, (SIDE * point_step, point_step));
            write_turned::<PointsToResults, V, SIDE, TILE>(points, to, (row_step, LANES));
        }
    }
}

impl Filtering for Shrinking {
    #[inline(always)]
    unsafe fn kernel<V: Vector>(taps: (*const f32, usize), points: KernelPoints<'_>) {
        // SAFETY: the caller's promise.
        unsafe { kernel_to_points::<TapsToPoints, V, KERNEL>(taps, points) }
    }

    #[inline(always)]
    unsafe fn kernels<V: Vector>(rows: (Rows<'_>, usize), points: KernelPoints<'_>, squares: &mut [f32; BLOCK]) {
        // SAFETY: the caller's promise.
        unsafe { kernels_to_points::<TapsToPoints, V, KERNEL>(rows, points, squares) }
    }
}

impl Adjoint for Shrinking {
    #[inline(always)]
    unsafe fn gather<V: Vector>(
        (pixels, row_step): (*const f32, usize),
        scale: Option<*const f32>,
        (points, point_step): (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise.
        unsafe { pixels_to_points::<ResultsToPoints, V, TILE, SIDE>((pixels, row_step), scale, (points, point_step)) }
    }

    #[inline(always)]
    unsafe fn taps<V: Vector>((points, point_step): (*const f32, usize), (taps, tap_step): (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe {
            let points = load(points, (KERNEL * point_step, point_step));
            write_turned::<PointsToTaps, V, KERNEL, 3>(points, taps, (3 * tap_step, tap_step));
        }
    }
}
