//! Pillow's `Image.transform(size, QUAD, BILINEAR)`, byte for byte: a quadrilateral stretched over a square, sampled
//! bilinearly, fractions cut off, black outside the picture.
//!
//! Sixteen rows are made at a time, in the layout that the horizontal pass of [`crate::resample`] reads, so that the
//! published recipe's 4096 × 4096 pixels never have to be kept.

use std::ops::Range;

use crate::canvas::Canvas;
use crate::geometry::Quad;
use crate::resample::Lane;
use crate::simd::vectorised;

/// Where each pixel of the square comes from: `a₀ + a₁x + a₂y + a₃xy` for both coordinates, in Pillow's order of sums.
pub(crate) struct QuadMap {
    columns: Vec<Column>,
    /// Coefficients of y.
    down: [f64; 2],
}

/// What depends on x alone, horizontally and vertically: `a₀ + a₁x` and `a₃x`.
struct Column {
    base: [f64; 2],
    cross: [f64; 2],
}

impl QuadMap {
    /// The map for a square of `size` pixels; the quad is in Pillow's coordinates, where the first pixel's corner is (0, 0).
    pub(crate) fn new(quad: &Quad, size: u32) -> Self {
        let step = 1.0 / f64::from(size);
        let [nw, sw, se, ne] = quad.0.map(<[f64; 2]>::from);
        let column = |x: u32| {
            let x = f64::from(x) + 0.5;
            let base = |i: usize| nw[i] + (ne[i] - nw[i]) * step * x;
            let cross = |i: usize| (se[i] - sw[i] - ne[i] + nw[i]) * step * step * x;
            Column { base: [base(0), base(1)], cross: [cross(0), cross(1)] }
        };
        QuadMap { columns: (0..size).map(column).collect(), down: [0, 1].map(|i| (sw[i] - nw[i]) * step) }
    }

    /// Width of the square.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Samples up to 16 rows into lanes, three for each pixel.
    pub(crate) fn sample_rows(&self, canvas: &Canvas, rows: Range<usize>, lanes: &mut [Lane]) {
        vectorised(|| {
            for (lane_idx, row) in rows.enumerate() {
                let y = row as f64 + 0.5;
                let down = self.down.map(|a| a * y);
                for (column, lanes) in self.columns.iter().zip(lanes.chunks_exact_mut(3)) {
                    let in_x = column.base[0] + down[0] + column.cross[0] * y;
                    let in_y = column.base[1] + down[1] + column.cross[1] * y;
                    let pixel = bilinear(canvas, in_x, in_y);
                    lanes.iter_mut().zip(pixel).for_each(|(lane, value)| lane[lane_idx] = value);
                }
            }
        });
    }
}

/// One sample; in double precision, because the fraction is cut off.
#[inline(always)]
fn bilinear(canvas: &Canvas, x: f64, y: f64) -> [u8; 4] {
    if !(x >= 0.0 && y >= 0.0 && x < canvas.width as f64 && y < canvas.height as f64) {
        return [0; 4];
    }
    let (left, dx) = split(x - 0.5);
    let (top, dy) = split(y - 0.5);
    let columns = [left.max(0) as usize, ((left + 1) as usize).min(canvas.width - 1)];
    let upper = canvas.row(top.max(0) as usize);
    let lower = canvas.row(((top + 1) as usize).min(canvas.height - 1));
    let across = |row: &[[u8; 4]]| mix(row[columns[0]].map(f64::from), row[columns[1]].map(f64::from), dx);
    mix(across(upper), across(lower), dy).map(|v| v as u8)
}

/// The whole number below and the rest.
#[inline(always)]
fn split(value: f64) -> (i32, f64) {
    let floor = value.floor();
    (floor as i32, value - floor)
}

#[inline(always)]
fn mix(a: [f64; 4], b: [f64; 4], share: f64) -> [f64; 4] {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}
