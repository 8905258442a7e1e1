//! Resizing as Pillow does it, bit for bit: an antialiasing filter in two passes with 22-bit fixed-point weights and an
//! 8-bit picture between them (`Image.resize` of Pillow 13; the filters are documented in its handbook).
//!
//! Takes and gives `u8` RGB. Rows run in parallel; no sum depends on how.

use std::f64::consts::PI;

use image::RgbImage;
use rayon::prelude::*;

use crate::simd::vectorised;

/// An antialiasing filter; it is stretched when the picture shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Windowed sinc with three lobes: sharp, Pillow's `LANCZOS` (once `ANTIALIAS`).
    Lanczos,
    /// A triangle: soft and quick, Pillow's `BILINEAR`.
    Triangle,
    /// The mean of the pixels that fall into one: Pillow's `BOX`.
    Box,
}

impl Filter {
    /// Where the filter ends, in pixels of the coarser picture.
    fn support(self) -> f64 {
        match self {
            Filter::Lanczos => LANCZOS_SUPPORT,
            Filter::Triangle => 1.0,
            Filter::Box => 0.5,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Filter::Lanczos => lanczos(x),
            Filter::Triangle => (1.0 - x.abs()).max(0.0),
            // Half open, so that a pixel on the border of two counts in one of them.
            Filter::Box => f64::from(-0.5 < x && x <= 0.5),
        }
    }
}

/// Where the Lanczos filter ends.
pub(crate) const LANCZOS_SUPPORT: f64 = 3.0;

/// `sinc(x) · sinc(x / 3)` inside the support.
pub(crate) fn lanczos(x: f64) -> f64 {
    if (-LANCZOS_SUPPORT..LANCZOS_SUPPORT).contains(&x) { sinc(x) * sinc(x / LANCZOS_SUPPORT) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// Resizes a picture to `size` (width, height) pixels, at least 1 each.
///
/// # Panics
/// When the picture or the size is empty.
pub fn resize(image: &RgbImage, size: [u32; 2], filter: Filter) -> RgbImage {
    let [width, height] = size;
    resize_region(image, size, filter, Region { left: 0, top: 0, width, height })
}

/// A rectangle of whole pixels inside a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// The part `region` of `resize(image, size, filter)`, without the work for the rest.
pub(crate) fn resize_region(image: &RgbImage, size: [u32; 2], filter: Filter, region: Region) -> RgbImage {
    assert!(image.width() > 0 && image.height() > 0, "an empty picture cannot be resized");
    let columns = Kernel::new(image.width(), size[0], filter).part(region.left, region.width);
    let rows = Kernel::new(image.height(), size[1], filter).part(region.top, region.height);
    let needed = rows.reach();
    let width = image.width() as usize;
    let source = &image.as_raw()[needed.start * width * 3..needed.end * width * 3];
    let rows = rows.shifted(needed.start);
    let pixels = if is_vertical_first([image.width(), image.height()], size) {
        resize_rows(&resize_columns(source, width * 3, &rows), width, &columns)
    } else {
        resize_columns(&resize_rows(source, width, &columns), region.width as usize * 3, &rows)
    };
    RgbImage::from_raw(region.width, region.height, pixels).expect("every row was written")
}

/// Which pass comes first. Both round to 8 bits, so that the order shows in the last bits of a pixel.
///
/// Pillow takes rows first, until version 12 always; since 13 it takes columns first when the height shrinks by more than
/// twice what the width does (python-pillow/Pillow#9549; the factor was found by comparing some 10,000 sizes).
fn is_vertical_first([width, height]: [u32; 2], [out_width, out_height]: [u32; 2]) -> bool {
    u64::from(height.saturating_sub(out_height)) > 2 * u64::from(width.saturating_sub(out_width))
}

/// The weights of one pass: for each output pixel where its input pixels start, and a weight for each of them.
pub(crate) struct Kernel {
    spans: Vec<Span>,
    weights: Vec<i32>,
}

struct Span {
    start: usize,
    weights: std::ops::Range<usize>,
}

/// Weights are integers of this many bits after the point.
const PRECISION: u32 = 22;

impl Kernel {
    /// The weights from `in_len` to `out_len` pixels.
    pub(crate) fn new(in_len: u32, out_len: u32, filter: Filter) -> Self {
        assert!(out_len > 0, "a picture cannot be resized to nothing");
        let scale = f64::from(in_len) / f64::from(out_len);
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let mut kernel = Kernel { spans: Vec::with_capacity(out_len as usize), weights: Vec::new() };
        for i in 0..out_len {
            let center = (f64::from(i) + 0.5) * scale;
            let start = ((center - support + 0.5) as i64).max(0);
            let end = ((center + support + 0.5) as i64).min(i64::from(in_len));
            let weights = (start..end).map(|x| filter.weight((x as f64 - center + 0.5) * (1.0 / stretch)));
            kernel.push(start as usize, &weights.collect::<Vec<f64>>());
        }
        kernel
    }

    fn push(&mut self, start: usize, weights: &[f64]) {
        let sum: f64 = weights.iter().fold(0.0, |sum, w| sum + w);
        let first = self.weights.len();
        self.weights.extend(weights.iter().map(|w| fixed(if sum == 0.0 { *w } else { w / sum })));
        self.spans.push(Span { start, weights: first..self.weights.len() });
    }

    /// Keeps `count` output pixels from `first` on.
    fn part(mut self, first: u32, count: u32) -> Self {
        self.spans.truncate((first + count) as usize);
        self.spans.drain(..first as usize);
        self
    }

    /// The input pixels that are used at all.
    fn reach(&self) -> std::ops::Range<usize> {
        let start = self.spans.iter().map(|span| span.start).min().unwrap_or(0);
        let end = self.spans.iter().map(|span| span.start + span.weights.len()).max().unwrap_or(0);
        start..end
    }

    /// The same weights for an input that begins `by` pixels later.
    fn shifted(mut self, by: usize) -> Self {
        self.spans.iter_mut().for_each(|span| span.start -= by);
        self
    }

    /// How many pixels come out.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }
}

/// Rounds a weight to fixed point, halves away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION);
    (scaled + 0.5f64.copysign(scaled)) as i32
}

/// Drops the fraction (the rounding half is in the sum already) and clips to 8 bits.
#[inline(always)]
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

/// The same byte of 16 neighbouring rows: the unit that the horizontal pass works on, so that it is as parallel as the
/// vertical one.
pub(crate) type Lane = [u8; LANES];

/// Rows in a [`Lane`].
pub(crate) const LANES: usize = 16;

/// The horizontal pass over rows of `width` pixels.
fn resize_rows(source: &[u8], width: usize, kernel: &Kernel) -> Vec<u8> {
    let out_bytes = kernel.len() * 3;
    let mut out = vec![0; source.len() / (width * 3) * out_bytes];
    out.par_chunks_mut(LANES * out_bytes).zip(source.par_chunks(LANES * width * 3)).for_each_init(
        || (vec![[0; LANES]; width * 3], vec![[0; LANES]; out_bytes]),
        |(wide, narrow), (out, source)| {
            for (i, row) in source.chunks_exact(width * 3).enumerate() {
                wide.iter_mut().zip(row).for_each(|(lane, &value)| lane[i] = value);
            }
            resize_lanes(wide, kernel, narrow);
            store_lanes(narrow, out);
        },
    );
    out
}

/// The horizontal pass over 16 rows at once; a pixel is three lanes.
pub(crate) fn resize_lanes(wide: &[Lane], kernel: &Kernel, narrow: &mut [Lane]) {
    vectorised(|| {
        for (span, out) in kernel.spans.iter().zip(narrow.chunks_exact_mut(3)) {
            let weights = &kernel.weights[span.weights.clone()];
            let taps = &wide[span.start * 3..(span.start + weights.len()) * 3];
            let mut sums = [[HALF; LANES]; 3];
            for (pixel, &weight) in taps.chunks_exact(3).zip(weights) {
                for (sum, lane) in sums.iter_mut().zip(pixel) {
                    add_lane(sum, lane, weight);
                }
            }
            for (lane, sum) in out.iter_mut().zip(&sums) {
                *lane = sum.map(clip);
            }
        }
    });
}

#[inline(always)]
fn add_lane(sums: &mut [i32; LANES], lane: &Lane, weight: i32) {
    for (sum, &value) in sums.iter_mut().zip(lane) {
        *sum += i32::from(value) * weight;
    }
}

/// Writes lanes back as rows; `out` holds up to 16 rows.
pub(crate) fn store_lanes(lanes: &[Lane], out: &mut [u8]) {
    for (i, row) in out.chunks_exact_mut(lanes.len()).enumerate() {
        row.iter_mut().zip(lanes).for_each(|(value, lane)| *value = lane[i]);
    }
}

/// The vertical pass over rows of `row_bytes` bytes.
pub(crate) fn resize_columns(source: &[u8], row_bytes: usize, kernel: &Kernel) -> Vec<u8> {
    let mut out = vec![0; kernel.len() * row_bytes];
    out.par_chunks_mut(row_bytes).zip(&kernel.spans).for_each_init(
        || vec![0; row_bytes],
        |sums: &mut Vec<i32>, (out, span)| {
            let rows = source[span.start * row_bytes..].chunks_exact(row_bytes);
            vectorised(|| {
                sums.fill(HALF);
                for (row, &weight) in rows.zip(&kernel.weights[span.weights.clone()]) {
                    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += i32::from(value) * weight);
                }
                out.iter_mut().zip(sums.iter()).for_each(|(value, &sum)| *value = clip(sum));
            });
        },
    );
    out
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use proptest::prelude::*;

    use super::*;

    const ALL: [Filter; 3] = [Filter::Lanczos, Filter::Triangle, Filter::Box];

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 37 + y * 11) as u8, (x * y) as u8, (x ^ y) as u8]))
    }

    #[test]
    fn resizing_to_the_same_size_changes_nothing() {
        let image = picture(37, 21);
        for filter in ALL {
            assert_eq!(resize(&image, [37, 21], filter), image);
        }
    }

    #[test]
    fn the_order_of_passes_is_pillows() {
        assert!(is_vertical_first([33, 34], [32, 24]) && is_vertical_first([10, 60], [2, 24]));
        assert!(is_vertical_first([20, 20], [30, 19]));
        assert!(!is_vertical_first([40, 41], [39, 39]) && !is_vertical_first([20, 20], [30, 30]));
        assert!(!is_vertical_first([1024, 1024], [256, 256]) && !is_vertical_first([58, 26], [45, 15]));
    }

    #[test]
    fn a_box_takes_means_of_whole_blocks() {
        let image = RgbImage::from_fn(4, 2, |x, y| Rgb([(10 * x + 100 * y) as u8, 7, x as u8]));
        let small = resize(&image, [2, 1], Filter::Box);
        assert_eq!(small.into_raw(), [55, 7, 1, 75, 7, 3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_flat_picture_stays_flat(w in 1u32..40, h in 1u32..40, out_w in 1u32..60, out_h in 1u32..60, level: u8) {
            let flat = RgbImage::from_pixel(w, h, Rgb([level, 7, 255]));
            for filter in ALL {
                prop_assert!(resize(&flat, [out_w, out_h], filter).pixels().all(|p| p.0 == [level, 7, 255]));
            }
        }

        #[test]
        fn a_region_equals_the_same_part_of_the_whole(
            (out, left, top) in (1u32..50, 1u32..50).prop_flat_map(|(w, h)| (Just([w, h]), 0..w, 0..h)),
            size in 1u32..9,
        ) {
            let image = picture(43, 29);
            let region = Region { left, top, width: size.min(out[0] - left), height: size.min(out[1] - top) };
            let whole = resize(&image, out, Filter::Lanczos);
            let part = image::imageops::crop_imm(&whole, left, top, region.width, region.height).to_image();
            prop_assert_eq!(resize_region(&image, out, Filter::Lanczos, region), part);
        }
    }
}
