//! The last row and the last column of a doubled image, which whole tiles leave out. They see the image's last pixels by the
//! kernel's last taps alone, whose points along the axis across are the first ones of all kernels, halved.

use super::doubling::{KERNEL, PATCH, PatchToPoints, PointsToResults, RESULTS, SIDE};
use super::grid::Grid;
use super::scheme::Scheme;
use super::transforms::{Along, TILE};
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::{Channels, Finish};
use crate::ops::blocked::product::{Sum, Target, product};
use crate::ops::vector::Vector;

/// Both edges.
pub(super) struct Edges<'a> {
    /// The corner is here.
    pub row: Grid<'a, LastRow>,
    pub column: Grid<'a, LastColumn>,
}

/// Nine points for eight results side by side.
pub(super) type LastRow = Line<true>;

/// Nine points for eight results below each other.
pub(super) type LastColumn = Line<false>;

/// Eight results in a line, which lies along the rows or across them.
#[derive(Clone, Copy)]
pub(super) struct Line<const ALONG: bool>;

/// The taps' factor in the first point of a kernel is one half.
const GAIN: f32 = 2.0;

impl<const ALONG: bool> Line<ALONG> {
    /// Rows and columns of so many things in a line.
    const fn of(count: usize) -> (usize, usize) {
        if ALONG { (1, count) } else { (count, 1) }
    }

    /// Numbers from one pixel to the next.
    #[inline(always)]
    fn step(row_step: usize) -> usize {
        if ALONG { LANES } else { row_step }
    }
}

impl<const ALONG: bool> Scheme for Line<ALONG> {
    const POINTS: usize = SIDE;
    const PATCH: (usize, usize) = Self::of(PATCH);
    const STEP: (usize, usize) = Self::of(TILE);
    const SIDES: (usize, usize) = Self::of(RESULTS);

    #[inline(always)]
    fn kernel_point(point: usize) -> usize {
        point.min(KERNEL - 1) * if ALONG { 1 } else { KERNEL }
    }

    #[inline(always)]
    unsafe fn enter<V: Vector>(
        (pixels, row_step): (*const f32, usize),
        scale: Option<*const f32>,
        points: (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise.
        unsafe { enter_line::<V>((pixels, Self::step(row_step)), scale, points) }
    }

    #[inline(always)]
    unsafe fn product<V: Vector>(sum: Sum<'_>, tiles: usize, blocks: usize, to: Target) {
        // SAFETY: the caller's promise.
        unsafe { product::<V, SIDE>(sum, tiles, blocks, to) }
    }

    #[inline(always)]
    unsafe fn leave<V: Vector>(
        points: (*const f32, usize),
        _finish: Option<(&Finish<'_>, &Channels<V>)>,
        _place: (usize, usize, usize),
        (to, row_step): (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise.
        unsafe { leave_line::<V>(points, (to, Self::step(row_step))) }
    }
}

/// Five pixels, `pixels.1` numbers apart, to nine points.
///
/// # Safety
/// The pixels can be read and the points written.
#[inline(always)]
unsafe fn enter_line<V: Vector>(
    (pixels, pixel_step): (*const f32, usize),
    scale: Option<*const f32>,
    (points, point_step): (*mut f32, usize),
) {
    for lane in (0..LANES).step_by(V::LANES) {
        // SAFETY: one vector of each line, for which the caller vouches.
        unsafe {
            let mut line = [V::splat(0.0); PATCH];
            for (i, number) in line.iter_mut().enumerate() {
                *number = V::load(pixels.add(i * pixel_step + lane));
            }
            let scale = match scale {
                Some(scale) => V::load(scale.add(lane)).mul(V::splat(GAIN)),
                None => V::splat(GAIN),
            };
            for (i, point) in PatchToPoints::turn(line).into_iter().enumerate() {
                point.mul(scale).store(points.add(i * point_step + lane));
            }
        }
    }
}

/// One vector of nine points to eight results, `to.1` numbers apart.
///
/// # Safety
/// The points can be read and the results written.
#[inline(always)]
unsafe fn leave_line<V: Vector>((points, point_step): (*const f32, usize), (to, step): (*mut f32, usize)) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut line = [V::splat(0.0); SIDE];
        for (i, number) in line.iter_mut().enumerate() {
            *number = V::load(points.add(i * point_step));
        }
        for (i, result) in PointsToResults::turn(line).into_iter().enumerate() {
            result.store(to.add(i * step));
        }
    }
}
