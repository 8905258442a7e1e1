//! A transposed convolution in steps of 2 with fewer products: 81 for 64 results, where the direct way takes 144.
//!
//! Along an axis, even results see two taps and odd ones a single tap. F(4, 2) computes four even results from five pixels by
//! five products (points 0, ±1, 2 and infinity, after Lavin and Gray 2016, section 4.1); the four odd results take one
//! product each, with the same tap. Both axes together make 9 x 9 products with 6 x 6 different kernel points.

use std::marker::PhantomData;

use super::edges::Edges;
use super::grid::Grid;
use super::kernels::{kernel_to_points, kernels_to_points};
use super::scheme::{Filtering, KernelPoints, Scheme};
use super::transforms::{Along, TILE, load, pixels_to_points, write_turned};
use super::{After, IN_ORDER};
use crate::ops::blocked::LANES;
use crate::ops::blocked::demodulation::Demodulation;
use crate::ops::blocked::finish::{Channels, Finish};
use crate::ops::blocked::maps::{Sizes, View};
use crate::ops::blocked::memory::Pointer;
use crate::ops::blocked::product::{Sum, Target, product};
use crate::ops::blocked::weights::{BLOCK, Rows, Weights};
use crate::ops::blocked::winograd::Winograd;
use crate::ops::vector::Vector;

/// Points along a side of a patch.
pub(super) const SIDE: usize = 9;
/// Pixels along a side of a patch.
pub(super) const PATCH: usize = 5;
/// Points along a side of a kernel.
pub(super) const KERNEL: usize = 6;
/// Results along a side of a tile.
pub(super) const RESULTS: usize = 8;

/// The scheme.
#[derive(Clone, Copy)]
pub(crate) struct Doubling;

/// The point of the kernel that a point of the patch meets.
#[inline(always)]
pub(super) fn kernel_point(point: usize) -> usize {
    (point / SIDE).min(KERNEL - 1) * KERNEL + (point % SIDE).min(KERNEL - 1)
}

/// Five pixels to the five points of F(4, 2).
#[inline(always)]
pub(super) fn to_five_points<V: Vector>(d: [V; PATCH]) -> [V; 5] {
    let two = V::splat(2.0);
    let far = d[3].sub(d[1]);
    let minus_two = V::splat(-2.0);
    [
        d[0].sub(d[2]).mul_add(two, far),
        d[1].mul_add(minus_two, d[3].sub(d[2])),
        d[2].mul_add(V::splat(-3.0), d[1].mul_add(two, d[3])),
        far,
        far.mul_add(minus_two, d[4].sub(d[2])),
    ]
}

/// Five pixels to the points of F(4, 2), and the last four pixels themselves.
pub(super) struct PatchToPoints;

impl Along<PATCH, SIDE> for PatchToPoints {
    #[inline(always)]
    fn turn<V: Vector>(d: [V; PATCH]) -> [V; SIDE] {
        let points = to_five_points(d);
        [points[0], points[1], points[2], points[3], points[4], d[1], d[2], d[3], d[4]]
    }
}

/// Three taps to the five points of the outer two, the later pixel's tap first, and the middle tap itself.
pub(super) struct TapsToPoints;

impl Along<3, KERNEL> for TapsToPoints {
    #[inline(always)]
    fn turn<V: Vector>(w: [V; 3]) -> [V; KERNEL] {
        let (half, sixth, third) = (V::splat(0.5), V::splat(1.0 / 6.0), V::splat(1.0 / 3.0));
        let minus_half = V::splat(-0.5);
        [
            w[2].mul(half),
            w[0].add(w[2]).mul(minus_half),
            w[0].sub(w[2]).mul(sixth),
            w[0].mul_add(third, w[2].mul(sixth)),
            w[0],
            w[1],
        ]
    }
}

/// Five products to the four results of F(4, 2).
#[inline(always)]
pub(super) fn to_four_results<V: Vector>(m: [V; 5]) -> [V; 4] {
    let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
    [
        m[0].add(sum).add(m[3]),
        m[3].mul_add(V::splat(2.0), difference),
        m[3].mul_add(V::splat(4.0), sum),
        m[3].mul_add(V::splat(8.0), difference).add(m[4]),
    ]
}

/// Nine products to eight results, even and odd ones in turn.
pub(super) struct PointsToResults;

impl Along<SIDE, RESULTS> for PointsToResults {
    #[inline(always)]
    fn turn<V: Vector>(m: [V; SIDE]) -> [V; RESULTS] {
        let even = to_four_results([m[0], m[1], m[2], m[3], m[4]]);
        [even[0], m[5], even[1], m[6], even[2], m[7], even[3], m[8]]
    }
}

impl Scheme for Doubling {
    const POINTS: usize = SIDE * SIDE;
    const PATCH: (usize, usize) = (PATCH, PATCH);
    const STEP: (usize, usize) = (TILE, TILE);
    const SIDES: (usize, usize) = (RESULTS, RESULTS);

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
            write_turned::<PointsToResults, V, SIDE, RESULTS>(points, to, (row_step, LANES));
        }
    }
}

impl Filtering for Doubling {
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

/// A transposed 3x3 convolution in steps of 2: `[h, w]`, multiples of 4, to `[2h + 1, 2w + 1]`.
#[derive(Clone, Copy)]
pub(crate) struct Doubled<'a> {
    /// Pixel (1, 1) is the images' first; what lies around is zero.
    pub source: View<'a>,
    /// A factor for each image and input channel, blocks filled up.
    pub scales: Option<&'a [f32]>,
    pub weights: Weights<'a>,
    /// Height and width of the images.
    pub size: (usize, usize),
    /// Where the first pixel goes in the result.
    pub corner: (usize, usize),
    /// Factors to be found out on the way.
    pub demodulation: Option<Demodulation<'a>>,
}

impl Doubled<'_> {
    /// Writes every pixel to maps of these sizes: all but the last row and column by tiles of 8x8, those by tiles of 8.
    pub fn write(&self, (sizes, to): (Sizes, Pointer)) {
        self.winograd().write_with(&After { edges: Some(self.edges()), then: None }, (sizes, Some(to)));
    }

    /// Whether images are large and kernels few.
    pub fn goes_by_tile(&self) -> bool {
        self.winograd().goes_by_tile()
    }

    /// All but the edges.
    pub(super) fn winograd(&self) -> Winograd<'_, Doubling> {
        let (h, w) = self.size;
        Winograd {
            scheme: PhantomData,
            source: self.source,
            scales: self.scales,
            weights: self.weights,
            taps: IN_ORDER,
            tiles: (h / TILE, w / TILE),
            corner: self.corner,
            finish: None,
            demodulation: self.demodulation,
        }
    }

    pub(super) fn edges(&self) -> Edges<'_> {
        let (h, w) = self.size;
        // One tile more for the corner.
        Edges { row: self.edge((h, 0), (1, w / TILE + 1)), column: self.edge((0, w), (h / TILE, 1)) }
    }

    /// Tiles of an edge that begins behind so many pixels.
    fn edge<S>(&self, (rows, columns): (usize, usize), tiles: (usize, usize)) -> Grid<'_, S> {
        let (h, w) = self.size;
        let corner = (self.source.corner.0 + rows as isize, self.source.corner.1 + columns as isize);
        Grid {
            scheme: PhantomData,
            source: View { corner, ..self.source },
            scales: self.scales,
            tiles,
            corner: (self.corner.0 + 2 * rows, self.corner.1 + 2 * columns),
            size: (2 * (h - rows) + 1, 2 * (w - columns) + 1),
        }
    }
}
