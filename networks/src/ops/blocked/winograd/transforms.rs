//! The transforms of F(4x4, 3x3) and their adjoints, on vectors of channels.
//!
//! Loops count and take no closures: only what is inlined as a whole may use the processor's vectors.
//!
//! Points 0, ±1, ±2 and infinity; the matrices are Bᵀ, G and Aᵀ of Lavin and Gray 2016, section 4.3.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use crate::ops::blocked::LANES;
use crate::ops::vector::Vector;

/// Points along a side.
pub(super) const SIDE: usize = 6;
/// Pixels of the result along a side of a tile.
pub(crate) const TILE: usize = 4;

/// Bᵀ · d: pixels to points.
pub(super) struct PatchToPoints;

impl Along<6, 6> for PatchToPoints {
    #[inline(always)]
    fn turn<V: Vector>(d: [V; 6]) -> [V; 6] {
        let (two, four, minus_five) = (V::splat(2.0), V::splat(4.0), V::splat(-5.0));
        let minus_four = V::splat(-4.0);
        let (even, odd) = (d[2].mul_add(minus_four, d[4]), d[1].mul_add(minus_four, d[3]));
        let (near, far) = (d[4].sub(d[2]), d[3].sub(d[1]).mul(two));
        [
            d[0].mul_add(four, d[2].mul_add(minus_five, d[4])),
            even.add(odd),
            even.sub(odd),
            near.add(far),
            near.sub(far),
            d[1].mul_add(four, d[3].mul_add(minus_five, d[5])),
        ]
    }
}

/// Aᵀ · m: points to pixels.
struct PointsToTile;

impl Along<6, 4> for PointsToTile {
    #[inline(always)]
    fn turn<V: Vector>(m: [V; 6]) -> [V; 4] {
        let (sum1, difference1) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(sum1).add(sum2),
            difference2.mul_add(V::splat(2.0), difference1),
            sum2.mul_add(V::splat(4.0), sum1),
            difference2.mul_add(V::splat(8.0), difference1).add(m[5]),
        ]
    }
}

/// A · y: gradients of pixels to points.
pub(super) struct TileToPoints;

impl Along<4, 6> for TileToPoints {
    #[inline(always)]
    fn turn<V: Vector>(y: [V; 4]) -> [V; 6] {
        let (even1, odd1) = (y[0].add(y[2]), y[1].add(y[3]));
        let even2 = y[2].mul_add(V::splat(4.0), y[0]);
        let odd2 = y[3].mul_add(V::splat(8.0), y[1].mul(V::splat(2.0)));
        [y[0], even1.add(odd1), even1.sub(odd1), even2.add(odd2), even2.sub(odd2), y[3]]
    }
}

/// G · g: taps to points.
pub(super) struct TapsToPoints;

impl Along<3, 6> for TapsToPoints {
    #[inline(always)]
    fn turn<V: Vector>(g: [V; 3]) -> [V; 6] {
        let (sixth, twelfth, twenty_fourth) = (V::splat(1.0 / 6.0), V::splat(1.0 / 12.0), V::splat(1.0 / 24.0));
        let outer1 = g[0].add(g[2]).mul(V::splat(-1.0 / 6.0));
        let (inner1, inner2) = (g[1].mul(sixth), g[1].mul(twelfth));
        let outer2 = g[2].mul_add(sixth, g[0].mul(twenty_fourth));
        [g[0].mul(V::splat(0.25)), outer1.sub(inner1), outer1.add(inner1), outer2.add(inner2), outer2.sub(inner2), g[2]]
    }
}

/// Gᵀ · u: gradients of points to taps.
struct PointsToTaps;

impl Along<6, 3> for PointsToTaps {
    #[inline(always)]
    fn turn<V: Vector>(u: [V; 6]) -> [V; 3] {
        let (sum1, difference1) = (u[1].add(u[2]), u[2].sub(u[1]));
        let (sum2, difference2) = (u[3].add(u[4]), u[3].sub(u[4]));
        let minus_sixth = V::splat(-1.0 / 6.0);
        let near = sum1.mul(minus_sixth);
        [
            sum2.mul_add(V::splat(1.0 / 24.0), u[0].mul_add(V::splat(0.25), near)),
            difference2.mul_add(V::splat(1.0 / 12.0), difference1.mul(V::splat(1.0 / 6.0))),
            sum2.mul_add(V::splat(1.0 / 6.0), near).add(u[5]),
        ]
    }
}

/// Reads a matrix as columns; the steps lead from row to row and from column to column.
///
/// # Safety
/// It can be read.
#[inline(always)]
pub(super) unsafe fn load<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    from: *const f32,
    (row_step, column_step): (usize, usize),
) -> [[V; ROWS]; COLUMNS] {
    let mut columns = [[V::splat(0.0); ROWS]; COLUMNS];
    for x in 0..COLUMNS {
        for y in 0..ROWS {
            // SAFETY: the caller's promise.
            columns[x][y] = unsafe { V::load(from.add(y * row_step + x * column_step)) };
        }
    }
    columns
}

#[inline(always)]
pub(super) fn transposed<V: Vector, const ROWS: usize, const COLUMNS: usize>(
    columns: [[V; ROWS]; COLUMNS],
) -> [[V; COLUMNS]; ROWS] {
    let mut rows = [[V::splat(0.0); COLUMNS]; ROWS];
    for x in 0..COLUMNS {
        for y in 0..ROWS {
            rows[y][x] = columns[x][y];
        }
    }
    rows
}

/// A transform of a line of numbers; a square of them takes it along both axes.
///
/// A trait and not a closure, so that everything is inlined as a whole.
pub(super) trait Along<const FROM: usize, const TO: usize> {
    fn turn<V: Vector>(line: [V; FROM]) -> [V; TO];
}

/// The transform of every column, as rows.
#[inline(always)]
pub(super) fn along_columns<A: Along<FROM, TO>, V: Vector, const FROM: usize, const TO: usize>(
    columns: [[V; FROM]; FROM],
) -> [[V; FROM]; TO] {
    let mut turned = [[V::splat(0.0); TO]; FROM];
    for x in 0..FROM {
        turned[x] = A::turn(columns[x]);
    }
    transposed(turned)
}

/// Transforms a square along both axes and writes it; the steps lead from row to row and from column to column.
///
/// # Safety
/// The result can be written.
#[inline(always)]
pub(super) unsafe fn write_turned<A: Along<FROM, TO>, V: Vector, const FROM: usize, const TO: usize>(
    columns: [[V; FROM]; FROM],
    to: *mut f32,
    (row_step, column_step): (usize, usize),
) {
    let rows = along_columns::<A, V, FROM, TO>(columns);
    for y in 0..TO {
        let row = A::turn(rows[y]);
        for x in 0..TO {
            // SAFETY: the caller's promise.
            unsafe { row[x].store(to.add(y * row_step + x * column_step)) };
        }
    }
}

/// A square of pixels, rows `row_step` numbers apart, to points, `point_step` apart; each channel is scaled. Points that are
/// not neighbours are asked for where the next tile's come, behind these.
///
/// # Safety
/// The pixels can be read and the points written.
#[inline(always)]
pub(super) unsafe fn pixels_to_points<A: Along<FROM, TO>, V: Vector, const FROM: usize, const TO: usize>(
    (pixels, row_step): (*const f32, usize),
    scale: Option<*const f32>,
    (points, point_step): (*mut f32, usize),
) {
    for lane in (0..LANES).step_by(V::LANES) {
        // SAFETY: one vector of each pixel's line, for which the caller vouches.
        unsafe {
            let mut columns = load::<V, FROM, FROM>(pixels.add(lane), (row_step, LANES));
            if let Some(scale) = scale {
                let scale = V::load(scale.add(lane));
                for x in 0..FROM {
                    for y in 0..FROM {
                        columns[x][y] = columns[x][y].mul(scale);
                    }
                }
            }
            let rows = along_columns::<A, V, FROM, TO>(columns);
            for y in 0..TO {
                let row = A::turn(rows[y]);
                for x in 0..TO {
                    let point = points.add((y * TO + x) * point_step + lane);
                    row[x].store(point);
                    if point_step != LANES {
                        V::prefetch(point.wrapping_add(LANES));
                    }
                }
            }
        }
    }
}

/// 36 points to the 4x4 pixels of one vector of channels, `[row][column]`.
///
/// # Safety
/// The points can be read.
#[inline(always)]
pub(super) unsafe fn points_to_tile<V: Vector>(points: *const f32, point_step: usize) -> [[V; 4]; 4] {
    // SAFETY: the caller's promise.
    let rows = along_columns::<PointsToTile, V, 6, 4>(unsafe { load(points, (SIDE * point_step, point_step)) });
    let mut tile = [[V::splat(0.0); 4]; 4];
    for y in 0..TILE {
        tile[y] = PointsToTile::turn(rows[y]);
    }
    tile
}

/// Gradients of 36 points to those of 3x3 taps: the adjoint of what takes kernels to points.
///
/// # Safety
/// The points can be read and the taps written.
#[inline(always)]
pub(super) unsafe fn points_to_kernel<V: Vector>(
    (points, point_step): (*const f32, usize),
    (taps, tap_step): (*mut f32, usize),
) {
    // SAFETY: the caller's promise.
    unsafe {
        let points = load(points, (SIDE * point_step, point_step));
        write_turned::<PointsToTaps, V, 6, 3>(points, taps, (3 * tap_step, tap_step));
    }
}
