//! What a clean crop shows beyond the photo's edge: much the same as the published recipe invents (mirrored, blurred more
//! and more, faded to the median colour), but made in the crop's own pixels, so that its cost does not grow with the
//! photo's, and without touching what is photo: the published blur begins well inside.

use rayon::prelude::*;

use crate::canvas::Canvas;
use crate::geometry::{Affine, Point};
use crate::pad::{Padding, mirrored};
use crate::warp::{Pixel, Source, Warped, level, warp};

/// A canvas that goes on as its own mirror image.
struct Mirrored<'a> {
    canvas: &'a Canvas,
    padding: Padding,
    columns: Vec<usize>,
}

impl<'a> Mirrored<'a> {
    fn new(canvas: &'a Canvas, padding: Padding) -> Self {
        let width = padding.left + canvas.width + padding.right;
        let columns = (0..width).map(|x| mirrored(x as i64 - padding.left as i64, canvas.width)).collect();
        Mirrored { canvas, padding, columns }
    }

    /// How far a place lies on the way from the photo (below 0) to the end of the padding (1).
    fn fade(&self, at: Point) -> f32 {
        let [width, height] = self.size().map(|len| len as f64 - 1.0);
        let Padding { left, top, right, bottom } = self.padding;
        let x = (at.x / left as f64).min((width - at.x) / right as f64);
        let y = (at.y / top as f64).min((height - at.y) / bottom as f64);
        (1.0 - x.min(y)) as f32
    }
}

impl Source for Mirrored<'_> {
    fn size(&self) -> [usize; 2] {
        [self.columns.len(), self.padding.top + self.canvas.height + self.padding.bottom]
    }

    fn read_row(&self, y: usize, out: &mut [Pixel]) {
        let row = self.canvas.row(mirrored(y as i64 - self.padding.top as i64, self.canvas.height));
        out.iter_mut().zip(&self.columns).for_each(|(out, &x)| *out = row[x].map(f32::from));
    }
}

/// Blur of the invented part, as a part of the crop's edge.
const SIGMA: f64 = 0.02;

/// Warps a canvas with `padding` around it to a square; `padded_from_out` counts from the padding's corner.
pub(crate) fn warp_padded(canvas: &Canvas, padding: Padding, padded_from_out: &Affine, size_px: u32) -> Warped {
    let source = Mirrored::new(canvas, padding);
    let mut out = warp(&source, padded_from_out, [size_px, size_px]);
    let fade = |x: usize, y: usize| source.fade(*padded_from_out * Point::new(x as f64, y as f64));
    let blurred = blur(&out);
    mix(&mut out, |x, y| {
        let share = (fade(x, y) * 3.0).clamp(0.0, 1.0);
        (share > 0.0).then(|| (share, blurred.pixels[y * blurred.width + x]))
    });
    let [r, g, b] = [0, 1, 2].map(|channel| median(&out, channel));
    mix(&mut out, |x, y| {
        let share = fade(x, y).clamp(0.0, 1.0);
        (share > 0.0).then_some((share, [r, g, b, 0.0]))
    });
    out
}

/// Moves pixels towards a colour; `towards(x, y)` says by which share and to which, or `None` for not at all.
fn mix(picture: &mut Warped, towards: impl Fn(usize, usize) -> Option<(f32, Pixel)> + Sync) {
    let width = picture.width;
    picture.pixels.par_chunks_exact_mut(width).enumerate().for_each(|(y, row)| {
        for (x, pixel) in row.iter_mut().enumerate() {
            if let Some((share, colour)) = towards(x, y) {
                *pixel = std::array::from_fn(|i| pixel[i] + (colour[i] - pixel[i]) * share);
            }
        }
    });
}

/// Edge of the picture that is blurred; what is larger is first made smaller, which a blur of five pixels hides.
const BLUR_PX: u32 = 256;

/// A Gaussian blur of a square picture.
fn blur(picture: &Warped) -> Warped {
    let size_px = picture.width as u32;
    let small_px = size_px.min(BLUR_PX);
    let kernel = gaussian(SIGMA * f64::from(small_px));
    if small_px == size_px {
        return blur_columns(&blur_rows(picture, &kernel), &kernel);
    }
    let small = warp(picture, &rescaling(small_px, size_px), [small_px, small_px]);
    let blurred = blur_columns(&blur_rows(&small, &kernel), &kernel);
    warp(&blurred, &rescaling(size_px, small_px), [size_px, size_px])
}

/// The map from the pixels of a square to those of another that shows the same.
fn rescaling(from_px: u32, to_px: u32) -> Affine {
    let scale = f64::from(to_px) / f64::from(from_px);
    let origin = Point::new(0.5, 0.5) * (scale - 1.0);
    Affine { origin, x_step: Point::new(scale, 0.0), y_step: Point::new(0.0, scale) }
}

/// Half of a Gaussian that ends at three sigma, from the middle outwards.
fn gaussian(sigma: f64) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as i32;
    let weights: Vec<f64> = (0..=radius).map(|x| (-0.5 * (f64::from(x) / sigma).powi(2)).exp()).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// The horizontal half of the blur; the picture's edge goes on for ever.
fn blur_rows(picture: &Warped, kernel: &[f32]) -> Warped {
    let (width, radius) = (picture.width, kernel.len() - 1);
    let mut pixels = vec![[0.0; 4]; picture.pixels.len()];
    pixels.par_chunks_exact_mut(width).zip(picture.pixels.par_chunks_exact(width)).for_each_init(
        || vec![[0.0; 4]; width + 2 * radius],
        |line, (out, row)| {
            line[..radius].fill(row[0]);
            line[radius..radius + width].copy_from_slice(row);
            line[radius + width..].fill(row[width - 1]);
            for (out, taps) in out.iter_mut().zip(line.windows(2 * radius + 1)) {
                *out = taps[radius].map(|value| value * kernel[0]);
                for (offset, &weight) in kernel.iter().enumerate().skip(1) {
                    let (before, after) = (taps[radius - offset], taps[radius + offset]);
                    *out = std::array::from_fn(|i| out[i] + (before[i] + after[i]) * weight);
                }
            }
        },
    );
    Warped { pixels, ..*picture }
}

/// The vertical half.
fn blur_columns(picture: &Warped, kernel: &[f32]) -> Warped {
    let (width, last) = (picture.width, picture.height - 1);
    let row = |y: usize| &picture.pixels[y * width..(y + 1) * width];
    let mut pixels = vec![[0.0; 4]; picture.pixels.len()];
    pixels.par_chunks_exact_mut(width).enumerate().for_each(|(y, out)| {
        for (offset, &weight) in kernel.iter().enumerate() {
            // The middle is its own partner, so it counts twice.
            let weight = if offset == 0 { weight / 2.0 } else { weight };
            let pairs = row(y.saturating_sub(offset)).iter().zip(row((y + offset).min(last)));
            for (out, (above, below)) in out.iter_mut().zip(pairs) {
                *out = std::array::from_fn(|i| out[i] + (above[i] + below[i]) * weight);
            }
        }
    });
    Warped { pixels, ..*picture }
}

/// The median of a channel, to the level.
fn median(picture: &Warped, channel: usize) -> f32 {
    let mut counts = [0usize; 256];
    picture.pixels.iter().for_each(|pixel| counts[usize::from(level(pixel[channel]))] += 1);
    let half = picture.pixels.len() / 2;
    let mut below = 0;
    let reaches_half = |&count: &usize| {
        below += count;
        below > half
    };
    counts.iter().position(reaches_half).unwrap_or(0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_the_photo_nothing_changes_and_far_outside_is_the_median() {
        let canvas = Canvas::from_rows(60, 60, |y, row| {
            row.iter_mut().enumerate().for_each(|(x, out)| *out = [(x * 4) as u8, (y * 4) as u8, 77, 0]);
        });
        let padding = Padding { left: 30, top: 30, right: 30, bottom: 30 };
        let out = warp_padded(&canvas, padding, &Affine::translation(Point::default()), 120);
        let pixel = |x: usize, y: usize| out.pixels[y * 120 + x];
        for (x, y) in [(60, 45), (31, 31), (88, 31), (31, 88)] {
            assert_eq!(pixel(x, y)[..3], [(x - 30) as f32 * 4.0, (y - 30) as f32 * 4.0, 77.0], "{x}, {y}");
        }
        let median = [0, 1, 2].map(|channel| median(&out, channel));
        assert!((pixel(0, 0)[0] - median[0]).abs() < 12.0 && pixel(0, 0)[2] == 77.0, "{:?} {median:?}", pixel(0, 0));
        assert!(out.pixels.iter().flatten().all(|value| value.is_finite()));
    }

    #[test]
    fn the_median_is_the_middle_level() {
        let pixels = [4.0, 1.0, 9.0].map(|v| [v, 0.0, 0.0, 0.0]).to_vec();
        assert_eq!(median(&Warped { width: 3, height: 1, pixels }, 0), 4.0);
    }
}
