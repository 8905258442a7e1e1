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
const DEPARTURE: f32 = 10.0;
/// Pixels to each side over which departures are averaged: grain is none.
const REACH: usize = 2;
/// Below this share of what could be remembered, the picture was cut.
const CUT: f32 = 0.25;
/// The motion is looked for in pictures of at most this on their longer side.
const LARGEST_PX: u32 = 320;
/// Corrections of the flow at each level.
const CORRECTIONS: usize = 3;

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

/// A frame of the original, made smaller.
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
        let small = reduced(original);
        let (gray, now) = (Pyramid::of(&pixels::to_gray(&small)), levels(&small));
        let before = self.before.as_ref().map(|moment| &moment.seen);
        let before = before.filter(|seen| (seen.mean.width, seen.mean.height) == (now.width, now.height));
        let Some(before) = before else { return Some(Seen { gray, mean: now, way: None }) };
        let flow = |from, to| Flow::between(from, to, CORRECTIONS);
        let (to_before, back) = rayon::join(|| flow(&gray, &before.gray), || flow(&before.gray, &gray));
        let mean = Map::from_fn(now.width, now.height, |x, y| {
            let (x, y) = to_before.target(x, y);
            before.mean.cubic(x, y)
        });
        let trust = trust(&now, &mean, (&to_before, &back));
        if trust.iter().sum::<f32>() < CUT * trust.len() as f32 {
            return Some(Seen { gray, mean: now, way: None });
        }
        let shares: Vec<f32> = trust.into_iter().map(|trust| self.part * trust).collect();
        let values =
            now.values.iter().zip(&mean.values).zip(&shares).map(|((now, mean), part)| mix(*now, *mean, *part));
        let mean = Map { values: values.collect(), ..now };
        let ways = to_before.0.values.iter().zip(&shares).map(|([right, down], part)| [*right, *down, *part]);
        let way = Some(Map { values: ways.collect(), width: mean.width, height: mean.height });
        Some(Seen { gray, mean, way })
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

/// From 0 to 1 for each pixel: whether it is found there and back again, and the mean of the original still looks like it.
fn trust(now: &Map<3>, mean: &Map<3>, (to_before, back): (&Flow, &Flow)) -> Vec<f32> {
    let departures = Map::from_fn(now.width, now.height, |x, y| {
        let index = y * now.width + x;
        std::array::from_fn(|colour| mean.values[index][colour] - now.values[index][colour])
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

/// Divided by whole numbers only, so that every pixel of the smaller picture is the mean of equally many.
fn reduced(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    match width.max(height).div_ceil(LARGEST_PX) {
        0 | 1 => picture.clone(),
        factor => imageops::thumbnail(picture, width.div_ceil(factor), height.div_ceil(factor)),
    }
}

fn levels(picture: &RgbImage) -> Map<3> {
    let values = picture.as_raw().par_chunks_exact(3).map(|pixel| [0, 1, 2].map(|colour| f32::from(pixel[colour])));
    Map { values: values.collect(), width: picture.width() as usize, height: picture.height() as usize }
}
