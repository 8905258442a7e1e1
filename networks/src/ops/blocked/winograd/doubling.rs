//! A transposed convolution in steps of 2 with fewer products: 81 for 64 results, where the direct way takes 144.
//!
//! Along an axis, even results see two taps and odd ones a single tap. F(4, 2) computes four even results from five pixels by
//! five products (points 0, ±1, 2 and infinity, after Lavin and Gray 2016, section 4.1); the four odd results take one
//! product each, with the same tap. Both axes together make 9 x 9 products with 6 x 6 different kernel points.

use std::marker::PhantomData;

use super::transforms::{Along, load, pixels_to_points, write_turned};
use super::{Channels, Finish, Scheme, TILE};
use crate::ops::blocked::LANES;
use crate::ops::blocked::demodulation::Demodulation;
use crate::ops::blocked::maps::{Maps, Sizes, View};
use crate::ops::blocked::memory::Pointer;
use crate::ops::blocked::streamed::{Run, Streamed};
use crate::ops::blocked::weights::Weights;
use crate::ops::blocked::winograd::Winograd;
use crate::ops::vector::Vector;

/// Points along a side of a patch.
pub(super) const SIDE: usize = 9;
/// Pixels along a side of a patch.
const PATCH: usize = 5;
/// Points along a side of a kernel.
pub(super) const KERNEL: usize = 6;
/// Results along a side of a tile.
const RESULTS: usize = 8;

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
struct PatchToPoints;

impl Along<PATCH, SIDE> for PatchToPoints {
    #[inline(always)]
    fn turn<V: Vector>(d: [V; PATCH]) -> [V; SIDE] {
        let points = to_five_points(d);
        [points[0], points[1], points[2], points[3], points[4], d[1], d[2], d[3], d[4]]
    }
}

/// Three taps to the five points of the outer two, the later pixel's tap first, and the middle tap itself.
struct TapsToPoints;

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
struct PointsToResults;

impl Along<SIDE, RESULTS> for PointsToResults {
    #[inline(always)]
    fn turn<V: Vector>(m: [V; SIDE]) -> [V; RESULTS] {
        let even = to_four_results([m[0], m[1], m[2], m[3], m[4]]);
        [even[0], m[5], even[1], m[6], even[2], m[7], even[3], m[8]]
    }
}

/// Columns of taps to the points of a kernel.
///
/// # Safety
/// The points can be written.
#[inline(always)]
pub(super) unsafe fn kernel_to_points<V: Vector>(taps: [[V; 3]; 3], (points, point_step): (*mut f32, usize)) {
    // SAFETY: the caller's promise.
    unsafe { write_turned::<TapsToPoints, V, 3, KERNEL>(taps, points, (KERNEL * point_step, point_step)) };
}

impl Scheme for Doubling {
    const POINTS: usize = SIDE * SIDE;
    const PATCH: usize = PATCH;
    const STEP: usize = TILE;
    const SIDE: usize = RESULTS;

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
    unsafe fn kernel<V: Vector>((taps, tap_step): (*const f32, usize), points: (*mut f32, usize)) {
        // SAFETY: the caller's promise.
        unsafe { kernel_to_points(load::<V, 3, 3>(taps, (3 * tap_step, tap_step)), points) }
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

/// A transposed 3x3 convolution in steps of 2: `[h, w]`, multiples of 4, to `[2h + 1, 2w + 1]`.
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

/// The order of the taps of the last row, 6 to 8, and of the last column, 2, 5 and 8: those of even results are neighbours.
const EDGE_TAPS: [usize; 5] = [6, 8, 2, 7, 5];

impl Doubled<'_> {
    /// Writes every pixel to maps of these sizes: all but the last row and column by tiles, those directly.
    pub fn write(&self, to: (Sizes, Pointer)) {
        let (h, w) = self.size;
        let winograd = Winograd::<Doubling> {
            scheme: PhantomData,
            source: self.source,
            scales: self.scales,
            weights: self.weights,
            taps: [0, 1, 2, 3, 4, 5, 6, 7, 8],
            tiles: (h / TILE, w / TILE),
            corner: self.corner,
            finish: None,
            demodulation: self.demodulation,
        };
        winograd.write(to);
        let (row, column) = (self.strip((h, 0), (1, w + 2)), self.strip((0, w), (h + 2, 1)));
        let place = |pixel: (usize, usize)| to.0.offset(0, 0, (self.corner.0 + pixel.0, self.corner.1 + pixel.1));
        let run = |source, first_tap: usize, sees: &[usize], pixels: usize, (to, unit): (usize, usize)| Run {
            source,
            sees: sees.iter().map(|place| place * LANES).collect(),
            first_tap,
            pixels,
            to,
            step: 2 * unit,
        };
        let (along, down) = (LANES, to.0.row());
        // Even results see the pixel before and their own, the last one in the corner too; odd ones their own.
        let runs = [
            run(&row, 0, &[1, 0], w + 1, (place((2 * h, 0)), along)),
            run(&row, 3, &[1], w, (place((2 * h, 1)), along)),
            run(&column, 1, &[0, 1], h, (place((0, 2 * w)), down)),
            run(&column, 4, &[1], h, (place((1, 2 * w)), down)),
        ];
        Streamed { weights: self.weights, taps: &EDGE_TAPS, runs: &runs, demodulation: None }.write(to);
    }

    /// A few rows or columns of the source, scaled, from pixel `first` on.
    fn strip(&self, first: (usize, usize), (rows, columns): (usize, usize)) -> Maps {
        let sizes = Sizes { rows, columns, ..self.source.sizes };
        let mut maps = Maps::new(sizes);
        for (i, line) in maps.memory.chunks_exact_mut(LANES).enumerate() {
            let (block, pixel) = (i / (rows * columns), i % (rows * columns));
            let (image, within) = (block / sizes.blocks, block % sizes.blocks);
            let row = (first.0 + pixel / columns) as isize + self.source.corner.0;
            let column = (first.1 + pixel % columns) as isize + self.source.corner.1;
            let from = self.source.sizes;
            if !(0..from.rows as isize).contains(&row) || !(0..from.columns as isize).contains(&column) {
                line.fill(0.0);
                continue;
            }
            let offset = from.offset(image, within, (row as usize, column as usize));
            line.copy_from_slice(&self.source.numbers[offset..][..LANES]);
            if let Some(scales) = self.scales {
                line.iter_mut().zip(&scales[block * LANES..]).for_each(|(number, scale)| *number *= scale);
            }
        }
        maps
    }
}
