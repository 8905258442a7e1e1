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
        let sampler = Sampler::new(canvas);
        vectorised(
            #[inline(always)]
            || {
                for (lane_idx, row) in rows.enumerate() {
                    let y = row as f64 + 0.5;
                    let down = self.down.map(|a| a * y);
                    for (column, lanes) in self.columns.iter().zip(lanes.as_chunks_mut::<3>().0) {
                        let in_x = column.base[0] + down[0] + column.cross[0] * y;
                        let in_y = column.base[1] + down[1] + column.cross[1] * y;
                        let [r, g, b, _] = sampler.bilinear(in_x, in_y);
                        (lanes[0][lane_idx], lanes[1][lane_idx], lanes[2][lane_idx]) = (r, g, b);
                    }
                }
            },
        );
    }
}

/// A canvas and its size as the sampling needs it.
struct Sampler<'a> {
    pixels: &'a [[u8; 4]],
    stride: usize,
    width: f64,
    height: f64,
}

impl<'a> Sampler<'a> {
    fn new(canvas: &'a Canvas) -> Self {
        let (pixels, stride) = canvas.with_border();
        Sampler { pixels, stride, width: canvas.width as f64, height: canvas.height as f64 }
    }

    /// One sample; in double precision, because the fraction is cut off.
    #[inline(always)]
    fn bilinear(&self, x: f64, y: f64) -> [u8; 4] {
        if !(x >= 0.0 && y >= 0.0 && x < self.width && y < self.height) {
            return [0; 4];
        }
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        // With the border the first pixel of the picture has the index 1, so that -1 exists.
        let first = whole(top + 1.0) * self.stride + whole(left + 1.0);
        let across = |i: usize| {
            let pair = &self.pixels[i..i + 2];
            mix(pair[0].map(f64::from), pair[1].map(f64::from), x - left)
        };
        mix(across(first), across(first + self.stride), y - top).map(|v| whole(v.floor()) as u8)
    }
}

/// A whole number from 0 to 2³² as an integer. Added to 2⁵² it stands in the lowest bits, which is quicker to take than a
/// conversion that minds every other number.
#[inline(always)]
fn whole(value: f64) -> usize {
    (value + 4_503_599_627_370_496.0).to_bits() as u32 as usize
}

#[inline(always)]
fn mix(a: [f64; 4], b: [f64; 4], share: f64) -> [f64; 4] {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}
