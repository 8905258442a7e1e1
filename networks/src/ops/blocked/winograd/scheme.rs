//! What a way of filtering with fewer products consists of, and F(4x4, 3x3) as one.

use super::kernels::{kernel_to_points, kernels_to_points};
use super::transforms::{self, PatchToPoints, TILE, TapsToPoints, pixels_to_points, points_to_tile};
use crate::ops::blocked::LANES;
use crate::ops::blocked::finish::{Channels, Finish};
use crate::ops::blocked::product::{Sum, Target, product};
use crate::ops::blocked::weights::{BLOCK, Rows};
use crate::ops::vector::Vector;

/// Points of a kernel of all schemes but one, and of a tile of F(4x4, 3x3).
pub(super) const POINTS: usize = transforms::SIDE * transforms::SIDE;

/// Patches become points, and sums of products of points become pixels. Pairs are rows and columns.
pub(crate) trait Scheme: Copy + Sync {
    /// Points of a patch.
    const POINTS: usize;
    /// Pixels of a patch.
    const PATCH: (usize, usize);
    /// Pixels from one patch to the next.
    const STEP: (usize, usize);
    /// Pixels of the result in a tile.
    const SIDES: (usize, usize);

    /// The point of the kernel that a point of the patch meets.
    fn kernel_point(point: usize) -> usize;

    /// A patch, rows `pixels.1` numbers apart, to points, `points.1` apart; each channel is scaled.
    ///
    /// # Safety
    /// The pixels can be read and the points written.
    unsafe fn enter<V: Vector>(pixels: (*const f32, usize), scale: Option<*const f32>, points: (*mut f32, usize));

    /// Lines from a tile to the next where a tile's points lie one after the other: as many as points, or one more, lest the
    /// same point of many tiles fall on the same place of the cache.
    const LINES: usize = Self::POINTS;

    /// Sums over channels of one point of tiles [`LINES`](Self::LINES) apart.
    ///
    /// # Safety
    /// As [`product`].
    unsafe fn product<V: Vector>(sum: Sum<'_>, tiles: usize, blocks: usize, to: Target);

    /// One vector of each point to a tile, rows `to.1` apart, finished where `place` (image, row and column) is.
    ///
    /// # Safety
    /// The points can be read and the pixels written.
    unsafe fn leave<V: Vector>(
        points: (*const f32, usize),
        finish: Option<(&Finish<'_>, &Channels<V>)>,
        place: (usize, usize, usize),
        to: (*mut f32, usize),
    );
}

/// A scheme that says what becomes of kernels.
pub(crate) trait Filtering: Scheme {
    /// Points of a kernel.
    const KERNEL_POINTS: usize = POINTS;

    /// One vector of each tap, `taps.1` apart, to the points of the kernel.
    ///
    /// # Safety
    /// The taps can be read and the points written.
    unsafe fn kernel<V: Vector>(taps: (*const f32, usize), points: KernelPoints<'_>);

    /// The same for 16 inputs whose taps lie in order, for a vector of outputs from `rows.1` on; also gives the sums of the
    /// squares of the taps, `[16 inputs, 16 outputs]`.
    ///
    /// # Safety
    /// The points can be written.
    unsafe fn kernels<V: Vector>(rows: (Rows<'_>, usize), points: KernelPoints<'_>, squares: &mut [f32; BLOCK]);
}

/// Where the points of kernels go: the first one's place, and the way to the next in numbers.
#[derive(Clone, Copy)]
pub(crate) struct KernelPoints<'a> {
    pub first: *mut f32,
    pub step: usize,
    /// A factor for each point.
    pub scales: &'a Scales,
}

/// Most points of a kernel.
pub(super) const MOST_POINTS: usize = 64;

/// A number for each point of a kernel.
pub(super) type Scales = [f32; MOST_POINTS];

/// F(4x4, 3x3)
#[derive(Clone, Copy)]
pub(crate) struct Same;

impl Scheme for Same {
    const POINTS: usize = POINTS;
    const PATCH: (usize, usize) = (transforms::SIDE, transforms::SIDE);
    const STEP: (usize, usize) = (TILE, TILE);
    const SIDES: (usize, usize) = (TILE, TILE);

    #[inline(always)]
    fn kernel_point(point: usize) -> usize {
        point
    }

    #[inline(always)]
    unsafe fn enter<V: Vector>(pixels: (*const f32, usize), scale: Option<*const f32>, points: (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe {
            pixels_to_points::<PatchToPoints, V, { transforms::SIDE }, { transforms::SIDE }>(pixels, scale, points)
        }
    }

    #[inline(always)]
    unsafe fn product<V: Vector>(sum: Sum<'_>, tiles: usize, blocks: usize, to: Target) {
        // SAFETY: the caller's promise.
        unsafe { product::<V, POINTS>(sum, tiles, blocks, to) }
    }

    #[inline(always)]
    unsafe fn leave<V: Vector>(
        (points, point_step): (*const f32, usize),
        finish: Option<(&Finish<'_>, &Channels<V>)>,
        place: (usize, usize, usize),
        to: (*mut f32, usize),
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let tile = points_to_tile::<V>(points, point_step);
            match finish {
                None => store(tile, to),
                Some((finish, channels)) => store(finish.tile(tile, channels, place), to),
            }
        }
    }
}

impl Filtering for Same {
    #[inline(always)]
    unsafe fn kernel<V: Vector>(taps: (*const f32, usize), points: KernelPoints<'_>) {
        // SAFETY: the caller's promise.
        unsafe { kernel_to_points::<TapsToPoints, V, { transforms::SIDE }>(taps, points) }
    }

    #[inline(always)]
    unsafe fn kernels<V: Vector>(rows: (Rows<'_>, usize), points: KernelPoints<'_>, squares: &mut [f32; BLOCK]) {
        // SAFETY: the caller's promise.
        unsafe { kernels_to_points::<TapsToPoints, V, { transforms::SIDE }>(rows, points, squares) }
    }
}

/// Stores a tile in rows `row_step` numbers apart.
///
/// # Safety
/// The pixels can be written.
#[inline(always)]
pub(super) unsafe fn store<V: Vector>(tile: [[V; TILE]; TILE], (to, row_step): (*mut f32, usize)) {
    for (y, row) in tile.into_iter().enumerate() {
        for (x, number) in row.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { number.store(to.add(y * row_step + x * LANES)) };
        }
    }
}
