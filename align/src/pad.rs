//! What the published FFHQ recipe invents beyond the photo's edge: mirrored, blurred more and more, faded to the median
//! colour.
//!
//! Byte-identical to the published script on NumPy and SciPy. What that takes: `numpy.pad`'s reflection has the edge pixel
//! once and repeats for ever; `scipy.ndimage.gaussian_filter` has the edge pixel twice, stops at four sigma, sums in `f64`
//! and stores `f32`; the fade is computed in `f64`; halves round to even. The blur is computed only where the fade shows it.

use std::ops::Range;

use rayon::prelude::*;

use crate::canvas::Canvas;
use crate::simd::vectorised;

/// Pixels to add at each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Padding {
    pub left: usize,
    pub top: usize,
    pub right: usize,
    pub bottom: usize,
}

/// A picture of `f32` RGB rows while it is blurred and faded.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<f32>,
}

/// Mirrors the picture by `padding` (at least 1 pixel a side), then blurs with `sigma` pixels and fades towards the edges.
pub(crate) fn pad(canvas: &Canvas, padding: Padding, sigma: f64) -> Canvas {
    let mut picture = reflect(canvas, padding);
    let fade = Fade::new(&picture, padding);
    let blurred = blur(&picture, &fade, &gaussian(sigma));
    fade.apply(&mut picture, |x, y, mask| {
        let share = (mask * 3.0 + 1.0).clamp(0.0, 1.0);
        (share > 0.0).then(|| (share, blurred.pixel(x, y)))
    });
    let median = [0, 1, 2].map(|channel| median(&picture, channel));
    fade.apply(&mut picture, |_, _, mask| (mask > 0.0).then(|| (mask.min(1.0), median)));
    Canvas::from_rows(picture.width, picture.height, |y, out| {
        let row = picture.row(y).as_chunks::<3>().0;
        out.iter_mut().zip(row).for_each(|(out, &[r, g, b])| *out = [level(r), level(g), level(b), 0]);
    })
}

fn level(value: f32) -> u8 {
    value.round_ties_even().clamp(0.0, 255.0) as u8
}

impl Picture {
    fn row(&self, y: usize) -> &[f32] {
        &self.pixels[y * self.width * 3..(y + 1) * self.width * 3]
    }

    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        let i = (y * self.width + x) * 3;
        [self.pixels[i], self.pixels[i + 1], self.pixels[i + 2]]
    }
}

/// `numpy.pad(…, mode="reflect")`.
fn reflect(canvas: &Canvas, padding: Padding) -> Picture {
    let width = padding.left + canvas.width + padding.right;
    let height = padding.top + canvas.height + padding.bottom;
    let columns: Vec<usize> = (0..width).map(|x| mirrored(x as i64 - padding.left as i64, canvas.width)).collect();
    let mut pixels = vec![0.0; width * height * 3];
    pixels.par_chunks_exact_mut(width * 3).enumerate().for_each(|(y, out)| {
        let row = canvas.row(mirrored(y as i64 - padding.top as i64, canvas.height));
        for (out, &x) in out.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            let [r, g, b, _] = row[x].map(f32::from);
            *out = [r, g, b];
        }
    });
    Picture { width, height, pixels }
}

/// The index inside `0..len` when both ends are mirrors in the middle of a pixel.
pub(crate) fn mirrored(i: i64, len: usize) -> usize {
    let period = (2 * (len as i64 - 1)).max(1);
    let i = i.rem_euclid(period);
    i.min(period - i) as usize % len
}

/// How far each pixel lies on the way from the photo (below 0) to the edge (1).
struct Fade {
    columns: Vec<f64>,
    rows: Vec<f64>,
}

impl Fade {
    fn new(picture: &Picture, padding: Padding) -> Self {
        let line = |len: usize, before: usize, after: usize| {
            let distance = |i: usize| (i as f64 / before as f64).min((len - 1 - i) as f64 / after as f64);
            (0..len).map(|i| 1.0 - distance(i)).collect()
        };
        Fade {
            columns: line(picture.width, padding.left, padding.right),
            rows: line(picture.height, padding.top, padding.bottom),
        }
    }

    /// Pixels of a line where the blur shows, as the part before and the part after; `across` is the other line's value.
    fn shown(line: &[f64], across: f64) -> [Range<usize>; 2] {
        let shows = |mask: &f64| mask.max(across) * 3.0 + 1.0 > 0.0;
        let before = line.iter().take_while(|mask| shows(mask)).count();
        let after = line[before..].iter().rev().take_while(|mask| shows(mask)).count();
        [0..before, line.len() - after..line.len()]
    }

    /// Moves each pixel towards a colour by a share in `f64`; `towards(x, y, mask)` says which, or `None` for not at all.
    fn apply(&self, picture: &mut Picture, towards: impl Fn(usize, usize, f64) -> Option<(f64, [f32; 3])> + Sync) {
        let width = picture.width;
        picture.pixels.par_chunks_exact_mut(width * 3).enumerate().for_each(|(y, row)| {
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let Some((share, colour)) = towards(x, y, self.columns[x].max(self.rows[y])) else { continue };
                for (value, target) in pixel.iter_mut().zip(colour) {
                    *value = (f64::from(*value) + f64::from(target - *value) * share) as f32;
                }
            }
        });
    }
}

/// Half of SciPy's Gaussian kernel, from the middle outwards.
fn gaussian(sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as i32;
    let weights: Vec<f64> = (0..=radius).map(|x| (-0.5 / (sigma * sigma) * f64::from(x * x)).exp()).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.iter().map(|w| w / sum).collect()
}

/// The Gaussian of the picture where `fade` shows it; columns first, then rows, as SciPy goes. Elsewhere it is nonsense.
fn blur(picture: &Picture, fade: &Fade, kernel: &[f64]) -> Picture {
    let down = blur_columns(picture, fade, kernel);
    blur_rows(&down, fade, kernel)
}

/// The index inside `0..len` when both ends are mirrors between pixels.
fn bounced(i: i64, len: usize) -> usize {
    let len = len as i64;
    let i = i.rem_euclid(2 * len);
    i.min(2 * len - 1 - i) as usize
}

fn blur_columns(picture: &Picture, fade: &Fade, kernel: &[f64]) -> Picture {
    let radius = kernel.len() as i64 - 1;
    let mut pixels = vec![0.0; picture.pixels.len()];
    pixels.par_chunks_exact_mut(picture.width * 3).enumerate().for_each_init(Vec::new, |rows, (y, out)| {
        rows.clear();
        rows.extend((-radius..=radius).map(|offset| picture.row(bounced(y as i64 + offset, picture.height))));
        // The horizontal pass reads a kernel's radius beyond what is shown.
        for shown in Fade::shown(&fade.columns, fade.rows[y]).into_iter().filter(|shown| !shown.is_empty()) {
            let first = shown.start.saturating_sub(kernel.len()) * 3;
            let last = (shown.end + kernel.len()).min(picture.width) * 3;
            weigh(kernel, &mut out[first..last], |tap| &rows[tap][first..last]);
        }
    });
    Picture { pixels, ..*picture }
}

fn blur_rows(picture: &Picture, fade: &Fade, kernel: &[f64]) -> Picture {
    let (width, radius) = (picture.width, kernel.len() - 1);
    let mut pixels = vec![0.0; picture.pixels.len()];
    pixels.par_chunks_exact_mut(width * 3).enumerate().for_each_init(
        || vec![[0.0f32; 3]; width + 2 * radius],
        |line, (y, out)| {
            let row = picture.row(y).as_chunks::<3>().0;
            for (i, pixel) in line.iter_mut().enumerate() {
                *pixel = row[bounced(i as i64 - radius as i64, width)];
            }
            let line = line.as_flattened();
            for shown in Fade::shown(&fade.columns, fade.rows[y]) {
                let out = &mut out[shown.start * 3..shown.end * 3];
                weigh(kernel, out, |tap| &line[(shown.start + tap) * 3..(shown.end + tap) * 3]);
            }
        },
    );
    Picture { pixels, ..*picture }
}

/// Sums that are kept in registers at a time.
const BLOCK: usize = 16;

/// Weighs `2 * radius + 1` lines, each as long as `out`, from the outermost pair to the middle, as SciPy does.
fn weigh<'a>(kernel: &[f64], out: &mut [f32], line: impl Fn(usize) -> &'a [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
            for (i, out) in blocks.iter_mut().enumerate() {
                *out = weigh_block(kernel, |tap| line(tap).as_chunks().0[i]);
            }
            let first = blocks.len() * BLOCK;
            for (i, out) in rest.iter_mut().enumerate() {
                [*out] = weigh_block(kernel, |tap| [line(tap)[first + i]]);
            }
        },
    );
}

#[inline(always)]
fn weigh_block<const N: usize>(kernel: &[f64], line: impl Fn(usize) -> [f32; N]) -> [f32; N] {
    let radius = kernel.len() - 1;
    let mut sums = line(radius).map(|value| f64::from(value) * kernel[0]);
    for (offset, &weight) in kernel.iter().enumerate().skip(1).rev() {
        let (before, after) = (line(radius - offset), line(radius + offset));
        for i in 0..N {
            sums[i] += (f64::from(before[i]) + f64::from(after[i])) * weight;
        }
    }
    sums.map(|sum| sum as f32)
}

/// `numpy.median` of one channel.
fn median(picture: &Picture, channel: usize) -> f32 {
    let mut values: Vec<f32> = picture.pixels.iter().skip(channel).step_by(3).copied().collect();
    let half = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, &mut middle, _) = values.select_nth_unstable_by(half, f32::total_cmp);
    if odd {
        return middle;
    }
    let lower = below.iter().copied().max_by(f32::total_cmp).unwrap_or(middle);
    (lower + middle) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_mirrors_repeat_for_ever() {
        let row = |f: fn(i64, usize) -> usize, len| (-5..6).map(|i| f(i, len)).collect::<Vec<_>>();
        assert_eq!(row(mirrored, 3), [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1].map(|i| i)); // … 2 1 | 0 1 2 | 1 0 …
        assert_eq!(row(bounced, 3), [1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0]); // … 1 0 | 0 1 2 | 2 1 …
        assert_eq!(row(mirrored, 1), [0; 11]);
        assert_eq!(row(bounced, 1), [0; 11]);
    }

    #[test]
    fn the_kernel_sums_to_one() {
        let kernel = gaussian(1.5);
        assert_eq!(kernel.len(), 7);
        let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f64>();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_flat_picture_stays_flat_when_padded() {
        let canvas = Canvas::from_rows(7, 5, |_, row| row.fill([9, 200, 0, 0]));
        let padded = pad(&canvas, Padding { left: 3, top: 20, right: 1, bottom: 4 }, 0.8);
        assert_eq!((padded.width, padded.height), (11, 29));
        assert!((0..29).all(|y| padded.row(y).iter().all(|p| *p == [9, 200, 0, 0])));
    }

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        let pixels = [4.0, 1.0, 9.0, 2.0].iter().flat_map(|&v| [v, 0.0, 0.0]).collect();
        assert_eq!(median(&Picture { width: 2, height: 2, pixels }, 0), 3.0);
    }
}
