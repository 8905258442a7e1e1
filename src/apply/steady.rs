//! Against trembling of whole frames: what was shown a moment ago is drawn along with the motion of the original and mixed
//! with the new result.
//!
//! A student answers small changes of its input, grain and compression among them, with larger ones of its output. So each
//! pixel of the result is a running mean along its path through the video (Lai et al. 2018, "Learning Blind Video Temporal
//! Consistency", has a network learn this; Bonneel et al. 2015, "Blind Video Temporal Consistency", asks the same of
//! gradients). The same mean is taken of the original itself, and where it departs from the original, it is not to be
//! trusted for the result either: what is left of former pictures there can never be more than a few levels.

use image::{RgbImage, imageops};
use rayon::prelude::*;

use super::flow::{Flow, Map, Pyramid, mix, scale};
use crate::pixels;

/// A departure of the original from its own mean, in levels of 255, at which a pixel remembers little more than a third of
/// what it would without.
const DEPARTURE: f32 = 14.0;
/// Pixels to each side over which departures are averaged: grain is none.
const REACH: usize = 2;
/// Below this share of what could be remembered, the picture was cut.
const CUT: f32 = 0.5;
/// The motion is looked for in pictures of at most this on their longer side, but not in smaller ones than a part of the
/// original: a student, too, takes the longer the larger the frame is.
const LARGEST_PX: u32 = 240;
const MOST_REDUCED: u32 = 4;
/// Corrections of the flow at each level.
const CORRECTIONS: usize = 2;

/// What is remembered from frame to frame.
pub(super) struct Steady {
    /// Share of the frames before in what is shown, where nothing else changes than places.
    part: f32,
    before: Option<Moment>,
}

struct Moment {
    seen: Seen,
    /// What was shown, in levels that are not rounded: else every frame would add its error.
    shown: Map<3>,
}

/// What was found out about a frame of the original, made smaller.
pub(super) struct Seen {
    gray: Pyramid,
    /// The running mean of the original.
    mean: Map<3>,
    /// For each pixel the way to where it was, right and down, and the share of what was shown there. `None` where nothing
    /// came before.
    way: Option<Map<3>>,
}

impl Steady {
    /// Has `part` of what is shown come from the frames before, from 0 (none) to below 1.
    pub fn new(part: f64) -> Self {
        Steady { part: part as f32, before: None }
    }

    /// What comes next has nothing to do with what was before.
    pub fn forget(&mut self) {
        self.before = None;
    }

    /// Finds where the pixels of the next original were in the one before, and how far what was shown there is to be
    /// trusted. `None` where nothing is to be held.
    pub fn look(&self, original: &RgbImage) -> Option<Seen> {
        if self.part <= 0.0 {
            return None;
        }
        let seen = Seen::of(original);
        Some(match &self.before {
            Some(before) => seen.after(&before.seen, self.part),
            None => seen,
        })
    }

    /// Gives what is to be shown for a result, with what was seen of its original.
    pub fn show(&mut self, seen: Option<Seen>, result: RgbImage) -> RgbImage {
        let Some(seen) = seen else { return result };
        let mut shown = levels(&result);
        if let (Some(before), Some(way)) = (&self.before, &seen.way)
            && (before.shown.width, before.shown.height) == (shown.width, shown.height)
        {
            hold(&mut shown, &before.shown, way);
        }
        let bytes = shown.values.par_iter().flat_map_iter(|levels| levels.map(|level| level.round() as u8)).collect();
        self.before = Some(Moment { seen, shown });
        RgbImage::from_raw(result.width(), result.height(), bytes).expect("three bytes a pixel")
    }
}

impl Seen {
    /// A frame that nothing came before.
    fn of(original: &RgbImage) -> Seen {
        let small = reduced(original);
        Seen { gray: Pyramid::of(&pixels::to_gray(&small)), mean: levels(&small), way: None }
    }

    /// The same frame with its way to the one before, if they show the same.
    fn after(self, before: &Seen, part: f32) -> Seen {
        let (width, height) = (self.mean.width, self.mean.height);
        if (before.mean.width, before.mean.height) != (width, height) {
            return self;
        }
        let flow = |from, to| Flow::between(from, to, CORRECTIONS);
        let (to_before, back) = rayon::join(|| flow(&self.gray, &before.gray), || flow(&before.gray, &self.gray));
        let held = Map::from_fn(width, height, |x, y| {
            let (x, y) = to_before.target(x, y);
            before.mean.cubic(x, y)
        });
        let trust = trust(&self.mean, &held, (&to_before, &back));
        if trust.iter().sum::<f32>() < CUT * trust.len() as f32 {
            return self;
        }
        let way = to_before.0.values.iter().zip(trust).map(|([right, down], trust)| [*right, *down, part * trust]);
        let way = Map { width, height, values: way.collect() };
        let mean = Map::from_fn(width, height, |x, y| {
            let index = y * width + x;
            mix(self.mean.values[index], held.values[index], way.values[index][2])
        });
        Seen { mean, way: Some(way), ..self }
    }
}

/// Mixes what was shown into the result, each pixel from where it was.
fn hold(result: &mut Map<3>, before: &Map<3>, way: &Map<3>) {
    let (width, height) = (result.width, result.height);
    let (x_small, y_small) = (scale(width, way.width), scale(height, way.height));
    let (wider, higher) = (width as f32 / way.width as f32, height as f32 / way.height as f32);
    result.values.par_chunks_mut(width).enumerate().for_each(|(y, row)| {
        for (x, pixel) in row.iter_mut().enumerate() {
            let [right, down, part] = way.between(x_small(x), y_small(y));
            if part > 0.0 {
                let held = before.cubic(x as f32 + right * wider, y as f32 + down * higher);
                *pixel = mix(*pixel, held, part);
            }
        }
    });
}

/// From 0 to 1 for each pixel: whether it is found there and back again, and the mean of the originals before still looks
/// like it.
fn trust(now: &Map<3>, held: &Map<3>, (to_before, back): (&Flow, &Flow)) -> Vec<f32> {
    let departures = Map::from_fn(now.width, now.height, |x, y| {
        let index = y * now.width + x;
        std::array::from_fn(|colour| held.values[index][colour] - now.values[index][colour])
    });
    let departures = departures.averaged(REACH);
    let trust = |(index, departures): (usize, &[f32; 3])| {
        let mismatch = to_before.mismatch(back, (index % now.width, index / now.width));
        let found = mismatch.map_or(0.0, |mismatch| (2.0 - mismatch).clamp(0.0, 1.0));
        let farthest = departures.iter().fold(0f32, |farthest, departure| farthest.max(departure.abs()));
        found * (-(farthest / DEPARTURE).powi(2)).exp()
    };
    departures.values.iter().enumerate().map(trust).collect()
}

/// The picture in which motion is looked for.
fn reduced(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    match width.max(height).div_ceil(LARGEST_PX).min(MOST_REDUCED) {
        0 | 1 => picture.clone(),
        factor => imageops::thumbnail(picture, width.div_ceil(factor), height.div_ceil(factor)),
    }
}

fn levels(picture: &RgbImage) -> Map<3> {
    let values = picture.as_raw().par_chunks_exact(3).map(|pixel| [0, 1, 2].map(|colour| f32::from(pixel[colour])));
    Map { values: values.collect(), width: picture.width() as usize, height: picture.height() as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    const SIZE: (u32, u32) = (72, 56);

    /// A texture that goes to the right by `moved` pixels, `lighter` by so many levels.
    fn texture(moved: f64, lighter: f64) -> RgbImage {
        texture_of(SIZE, moved, lighter)
    }

    fn texture_of(size: (u32, u32), moved: f64, lighter: f64) -> RgbImage {
        RgbImage::from_fn(size.0, size.1, |x, y| {
            let (x, y) = (f64::from(x) - moved, f64::from(y));
            let wave = (0.3 * x + 0.2 * y).sin() + (0.1 * x - 0.4 * y).sin() + (0.7 * x + 0.05 * y).cos();
            let level = 118.0 + 30.0 * wave + lighter;
            Rgb([level, level * 0.8, level * 0.6].map(|level| level.round() as u8))
        })
    }

    /// The picture with grain of its own in every frame.
    fn grainy(picture: &RgbImage, frame: u32) -> RgbImage {
        let mut state = 12_345 + frame;
        let mut grain = picture.clone();
        for level in grain.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *level = level.saturating_add((state >> 24) as u8 / 8).saturating_sub(16);
        }
        grain
    }

    /// Mean squared difference, away from the border, over which pixels come and go.
    fn apart(a: &RgbImage, b: &RgbImage) -> f64 {
        let (width, height) = a.dimensions();
        let inside =
            |x: u32, y: u32| (width / 6..width * 5 / 6).contains(&x) && (height / 6..height * 5 / 6).contains(&y);
        let pixels: Vec<_> = a.enumerate_pixels().filter(|(x, y, _)| inside(*x, *y)).collect();
        let count = 3.0 * pixels.len() as f64;
        let squares = pixels.into_iter().flat_map(|(x, y, pixel)| {
            let other = b.get_pixel(x, y).0;
            (0..3).map(move |colour| (f64::from(pixel.0[colour]) - f64::from(other[colour])).powi(2))
        });
        squares.sum::<f64>() / count
    }

    fn next(steady: &mut Steady, original: &RgbImage, result: &RgbImage) -> RgbImage {
        let seen = steady.look(original);
        steady.show(seen, result.clone())
    }

    #[test]
    fn grain_goes_from_what_moves_and_what_moves_stays_where_it_is() {
        // The motion in the larger one is looked for at a third of its size, which does not divide it.
        for (size, frames) in [(SIZE, 16), ((530, 301), 8)] {
            let (mut steady, mut without, mut with) = (Steady::new(0.7), 0.0, 0.0);
            for frame in 0..frames {
                let clean = texture_of(size, 1.3 * f64::from(frame), 0.0);
                let result = grainy(&clean, frame);
                let shown = next(&mut steady, &clean, &result);
                if frame >= 5 {
                    (without, with) = (without + apart(&result, &clean), with + apart(&shown, &clean));
                }
            }
            // By arithmetic 0.3 / 1.7 of the grain is left, and a little is lost of the texture.
            assert!(with < 0.25 * without, "{size:?}: {with} of {without}");
        }
    }

    #[test]
    fn what_is_drawn_along_by_parts_of_pixels_does_not_blur() {
        let mut steady = Steady::new(0.7);
        let contrast = |picture: &RgbImage| apart(picture, &imageops::blur(picture, 3.0));
        for frame in 0..16 {
            let clean = texture(0.5 * f64::from(frame), 0.0);
            let shown = next(&mut steady, &clean, &clean);
            let kept = contrast(&shown) / contrast(&clean);
            assert!((0.96..1.04).contains(&kept), "frame {frame}: {kept}");
        }
    }

    #[test]
    fn a_cut_is_shown_at_once() {
        let mut steady = Steady::new(0.9);
        let other = imageops::rotate180(&texture(31.0, 20.0));
        (0..4).for_each(|_| drop(next(&mut steady, &texture(0.0, 0.0), &texture(0.0, 40.0))));
        let black = RgbImage::new(SIZE.0, SIZE.1);
        assert_eq!(next(&mut steady, &other, &black), black);
    }

    #[test]
    fn light_that_changes_arrives() {
        // All at once, in steps, and so slowly that no two frames differ by much: never more than a few levels behind.
        for step in [60.0, 8.0, 1.5] {
            let mut steady = Steady::new(0.7);
            for frame in 0..(90.0 / step) as u32 {
                let now = texture(0.0, step * f64::from(frame) - 20.0);
                let behind = apart(&next(&mut steady, &now, &now), &now).sqrt();
                assert!(behind < 0.43 * 0.7 * f64::from(DEPARTURE) + 0.5, "steps of {step}, frame {frame}: {behind}");
            }
        }
    }

    #[test]
    fn what_jumps_leaves_no_ghost() {
        let mut steady = Steady::new(0.7);
        let with_square = |left: u32| {
            let mut picture = texture(0.0, 0.0);
            (0..100).for_each(|index| picture.put_pixel(left + index % 10, 20 + index / 10, Rgb([250, 40, 250])));
            picture
        };
        for frame in 0..6 {
            let now = with_square(if frame % 2 == 0 { 14 } else { 44 });
            let shown = next(&mut steady, &now, &now);
            let farthest = shown.iter().zip(now.iter()).map(|(shown, now)| shown.abs_diff(*now)).max();
            assert!(farthest < Some(20), "frame {frame}: {farthest:?} levels of a jump by up to 200");
        }
    }

    #[test]
    fn what_has_nothing_before_it_is_shown_as_it_is() {
        let (original, mut steady) = (texture(0.0, 0.0), Steady::new(0.7));
        let results: Vec<RgbImage> = (0..4).map(|frame| grainy(&original, frame)).collect();
        assert_eq!(next(&mut steady, &original, &results[0]), results[0], "the first");
        assert_ne!(next(&mut steady, &original, &results[1]), results[1]);
        steady.forget();
        assert_eq!(next(&mut steady, &original, &results[2]), results[2], "another video");
        let smaller = imageops::crop_imm(&results[3], 0, 0, 40, 30).to_image();
        assert_eq!(next(&mut steady, &smaller, &smaller), smaller, "another size");
        let mut off = Steady::new(0.0);
        for result in &results {
            assert_eq!(next(&mut off, &original, result), *result, "no smoothing");
        }
        let dot = RgbImage::from_pixel(1, 1, Rgb([9; 3]));
        (0..3).for_each(|_| assert_eq!(next(&mut steady, &dot, &dot), dot));
    }
}
