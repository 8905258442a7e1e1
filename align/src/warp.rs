//! An affine resampling of Lanczos quality in two passes, horizontal and vertical (Catmull and Smith, "3-D transformations
//! of images in scanline order", SIGGRAPH 1980), with `f32` between them, so that nothing is rounded on the way.
//!
//! A turn by more than 45° is done on the transposed square, so that neither pass throws detail away.

use image::RgbImage;
use rayon::prelude::*;

use crate::canvas::Canvas;
use crate::geometry::{Affine, Point};
use crate::resample::{LANCZOS_SUPPORT, lanczos};

/// A picture of `f32` pixels (red, green, blue, unused) in levels of 0 to 255, slightly beyond at sharp edges.
pub(crate) struct Warped {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<Pixel>,
}

/// Four lanes, three of them colours.
pub(crate) type Pixel = [f32; 4];

/// What can be warped: a picture that gives its rows as `f32` pixels.
pub(crate) trait Source: Sync {
    /// Width and height, at least 1 each.
    fn size(&self) -> [usize; 2];

    /// Writes a row to `out`, which is as long as the picture is wide.
    fn read_row(&self, y: usize, out: &mut [Pixel]);
}

impl Source for Canvas {
    fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    fn read_row(&self, y: usize, out: &mut [Pixel]) {
        out.iter_mut().zip(self.row(y)).for_each(|(out, pixel)| *out = pixel.map(f32::from));
    }
}

impl Source for Warped {
    fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    fn read_row(&self, y: usize, out: &mut [Pixel]) {
        out.copy_from_slice(&self.pixels[y * self.width..(y + 1) * self.width]);
    }
}

impl Warped {
    /// Rounds to 8 bits.
    pub(crate) fn to_image(&self) -> RgbImage {
        let mut bytes = vec![0; self.pixels.len() * 3];
        bytes.par_chunks_mut(self.width * 3).zip(self.pixels.par_chunks(self.width)).for_each(|(out, row)| {
            for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(row) {
                *out = [pixel[0], pixel[1], pixel[2]].map(level);
            }
        });
        RgbImage::from_raw(self.width as u32, self.height as u32, bytes).expect("three bytes a pixel")
    }

    fn transposed(&self) -> Warped {
        let mut pixels = vec![[0.0; 4]; self.pixels.len()];
        pixels.par_chunks_exact_mut(self.height).enumerate().for_each(|(x, column)| {
            column.iter_mut().enumerate().for_each(|(y, out)| *out = self.pixels[y * self.width + x]);
        });
        Warped { width: self.height, height: self.width, pixels }
    }
}

/// The nearest level of 8 bits.
pub(crate) fn level(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// Makes a picture of `size` (width, height) pixels, each from where `source_from_out` says. The edge pixels of the source
/// go on for ever.
pub(crate) fn warp(source: &impl Source, source_from_out: &Affine, size: [u32; 2]) -> Warped {
    if source_from_out.y_step.y.abs() < source_from_out.x_step.y.abs() {
        return warp_upright(source, &source_from_out.transposed(), [size[1], size[0]]).transposed();
    }
    warp_upright(source, source_from_out, size)
}

/// The same for a map that keeps down more down than sideways.
fn warp_upright(source: &impl Source, map: &Affine, [width, height]: [u32; 2]) -> Warped {
    let (width, height) = (width as usize, height as usize);
    let across = Lanczos::new(map.determinant() / map.y_step.y);
    let down = Lanczos::new(map.y_step.y);
    let [source_width, source_height] = source.size();
    let (first_row, rows) = rows_needed(map, [width, height], &down, source_height);
    let mut narrow = vec![[0.0; 4]; rows * width];
    narrow.par_chunks_exact_mut(width).enumerate().for_each_init(
        || vec![[0.0; 4]; source_width],
        |line, (i, out)| {
            let y = first_row + i;
            source.read_row(y, line);
            // Where in this row the output column 0 lies, and how far a step to the next column leads.
            let turn = (y as f64 - map.origin.y) / map.y_step.y;
            let start = map.origin.x + map.y_step.x * turn;
            let step = map.x_step.x - map.x_step.y / map.y_step.y * map.y_step.x;
            across.resample_line(line, start, step, out);
        },
    );
    let mut pixels = vec![[0.0; 4]; width * height];
    pixels.par_chunks_exact_mut(width).enumerate().for_each(|(v, out)| {
        let start = (*map * Point::new(0.0, v as f64)).y - first_row as f64;
        down.resample_columns(&narrow, start, map.x_step.y, out);
    });
    Warped { width, height, pixels }
}

/// The rows of the source that the vertical pass reads: the first and how many.
fn rows_needed(map: &Affine, [width, height]: [usize; 2], filter: &Lanczos, source_rows: usize) -> (usize, usize) {
    let (right, bottom) = (width as f64 - 1.0, height as f64 - 1.0);
    let corners = [[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]].map(|p| (*map * Point::from(p)).y);
    let reach = filter.reach as f64 + 1.0;
    let low = corners.into_iter().fold(f64::INFINITY, f64::min) - reach;
    let high = corners.into_iter().fold(f64::NEG_INFINITY, f64::max) + reach;
    let last = source_rows as f64 - 1.0;
    let first = low.clamp(0.0, last) as usize;
    (first, high.clamp(0.0, last) as usize - first + 1)
}

/// A Lanczos filter for one scale, tabulated for fractions of a pixel.
struct Lanczos {
    /// Taps on either side of a position.
    reach: usize,
    /// How many fractions of a pixel are told apart.
    phases: usize,
    /// `2 * reach` weights for each fraction from 0 to 1; each set sums to one.
    weights: Vec<f32>,
}

/// Fractions of a pixel that an unstretched filter tells apart; half of one moves a level by hundredths on ordinary edges.
const PHASES: f64 = 512.0;

impl Lanczos {
    /// The filter for steps of `scale` source pixels; it is stretched when they are longer than one.
    fn new(scale: f64) -> Self {
        let stretch = scale.abs().max(1.0);
        let reach = (LANCZOS_SUPPORT * stretch).ceil() as usize;
        let phases = (PHASES / stretch).ceil().max(8.0) as usize;
        let mut weights = Vec::with_capacity((phases + 1) * 2 * reach);
        for phase in 0..=phases {
            let fraction = phase as f64 / phases as f64;
            let at = |tap: usize| lanczos((tap as f64 + 1.0 - reach as f64 - fraction) / stretch);
            let sum: f64 = (0..2 * reach).map(at).sum();
            weights.extend((0..2 * reach).map(|tap| (at(tap) / sum) as f32));
        }
        Lanczos { reach, phases, weights }
    }

    /// The first tap for a position, and the weights from there on.
    #[inline(always)]
    fn taps(&self, position: f64) -> (i64, &[f32]) {
        let floor = position.floor();
        let phase = ((position - floor) * self.phases as f64 + 0.5) as usize;
        let count = 2 * self.reach;
        (floor as i64 + 1 - self.reach as i64, &self.weights[phase * count..(phase + 1) * count])
    }

    /// Samples a line at `start`, `start + step`, …
    fn resample_line(&self, line: &[Pixel], start: f64, step: f64, out: &mut [Pixel]) {
        let last = line.len() as i64 - 1;
        for (u, out) in out.iter_mut().enumerate() {
            let (first, weights) = self.taps(start + step * u as f64);
            let inside = usize::try_from(first).ok().and_then(|first| line.get(first..first + weights.len()));
            *out = match inside {
                Some(taps) => taps.iter().zip(weights).fold([0.0; 4], |sum, (tap, &w)| add(sum, tap, w)),
                None => {
                    (first..).zip(weights).fold([0.0; 4], |sum, (i, &w)| add(sum, &line[i.clamp(0, last) as usize], w))
                }
            };
        }
    }

    /// Samples the columns of a picture as wide as `out`: column u at the row `start + step · u`.
    fn resample_columns(&self, picture: &[Pixel], start: f64, step: f64, out: &mut [Pixel]) {
        let width = out.len();
        let last = (picture.len() / width) as i64 - 1;
        for (u, out) in out.iter_mut().enumerate() {
            let (first, weights) = self.taps(start + step * u as f64);
            *out = (first..)
                .zip(weights)
                .fold([0.0; 4], |sum, (y, &weight)| add(sum, &picture[y.clamp(0, last) as usize * width + u], weight));
        }
    }
}

#[inline(always)]
fn add(sum: Pixel, tap: &Pixel, weight: f32) -> Pixel {
    std::array::from_fn(|i| sum[i] + tap[i] * weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canvas(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 3] + Sync) -> Canvas {
        Canvas::from_rows(width, height, |y, row| {
            row.iter_mut().enumerate().for_each(|(x, out)| {
                let [r, g, b] = pixel(x, y);
                *out = [r, g, b, 0];
            });
        })
    }

    fn noise(x: usize, y: usize) -> [u8; 3] {
        [(x * 91 + y * 57) as u8, (x * x + y * 7) as u8, ((x * 13) ^ (y * 29)) as u8]
    }

    #[test]
    fn whole_steps_and_quarter_turns_are_exact() {
        let source = canvas(20, 12, noise);
        let origin = Point::new(5.0, 6.0);
        let right = Point::new(1.0, 0.0);
        for (x_step, y_step) in [
            (right, right.rot90()),
            (right.rot90(), right * -1.0),
            (right * -1.0, right.rot90() * -1.0),
            (right.rot90() * -1.0, right),
        ] {
            let out = warp(&source, &Affine { origin, x_step, y_step }, [5, 4]).to_image();
            for (u, v, pixel) in out.enumerate_pixels() {
                let from = origin + x_step * u.into() + y_step * v.into();
                assert_eq!(pixel.0, noise(from.x as usize, from.y as usize), "{x_step:?} at {u}, {v}");
            }
        }
    }

    #[test]
    fn a_slope_stays_a_slope_at_any_angle_and_scale() {
        let source = canvas(120, 120, |x, y| [(x + 60) as u8, (y + 60) as u8, (x / 2 + y) as u8]);
        for (degrees, scale) in [(0.0f64, 0.3), (20.0, 1.0), (44.0, 2.5), (100.0, 0.7), (200.0, 1.9), (300.0, 1.2)] {
            let x_step = Point::new(degrees.to_radians().cos(), degrees.to_radians().sin()) * scale;
            let map = Affine { origin: Point::new(60.0, 60.0), x_step, y_step: x_step.rot90() };
            let out = warp(&source, &map, [12, 12]);
            for (i, pixel) in out.pixels.iter().enumerate() {
                let from = map * Point::new((i % 12) as f64, (i / 12) as f64);
                assert!(
                    (f64::from(pixel[0]) - from.x - 60.0).abs() < 0.1,
                    "{degrees}° x{scale}: {pixel:?} at {from:?}"
                );
                assert!(
                    (f64::from(pixel[1]) - from.y - 60.0).abs() < 0.1,
                    "{degrees}° x{scale}: {pixel:?} at {from:?}"
                );
            }
        }
    }

    #[test]
    fn beyond_the_edge_lies_the_edge() {
        let source = canvas(3, 3, |_, _| [40, 50, 60]);
        let map = Affine::translation(Point::new(-500.0, 900.0));
        assert!(warp(&source, &map, [4, 2]).to_image().pixels().all(|p| p.0 == [40, 50, 60]));
    }
}
