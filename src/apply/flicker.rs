//! How much a video flickers (`toonify flicker`): what is left of the difference between its frames when the motion of
//! the original is taken out (Lai et al. 2018, "Learning Blind Video Temporal Consistency", section 4.2, temporal loss
//! between frames as a metric), and how much more that is than in the original itself.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use super::flow::{Flow, Pyramid};
use super::video;
use crate::events::{Event, Sink};
use crate::pixels;
use crate::store::folder;
use crate::store::photo::Photo;

/// Two videos, or two folders of frames.
#[derive(Clone, Debug)]
pub struct FlickerPlan {
    /// The original, whose motion is taken out of both.
    pub before: PathBuf,
    /// What was made of it, frame by frame.
    pub after: PathBuf,
    /// The program that decodes videos.
    pub ffmpeg: PathBuf,
}

/// How much two videos flicker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flicker {
    /// Frames of each.
    pub frames: u64,
    /// Mean squared difference between neighbouring frames, motion taken out, of levels from 0 to 1: in the original.
    pub before: f64,
    /// The same in what was made of it.
    pub after: f64,
    /// The second over the first; `None` where nothing changes in the original but its motion.
    pub ratio: Option<f64>,
    /// Share of the pixels that could be followed, and were counted.
    pub followed: f64,
}

/// Pairs of frames that are measured at the same time.
const AT_ONCE: usize = 8;
/// Corrections of the flow at each level.
const CORRECTIONS: usize = 8;

/// Measures.
///
/// # Errors
/// When a frame cannot be read, or the two differ in the number or size of their frames.
pub fn run(plan: &FlickerPlan, sink: &mut dyn Sink) -> Result<Flicker> {
    let (before, after) = (frames(&plan.before, plan)?, frames(&plan.after, plan)?);
    sink.event(&Event::Started { what: format!("measuring `{}`", plan.after.display()) });
    let (mut sums, mut waiting, mut count) = (Sums::default(), Vec::new(), 0);
    let mut measure = |waiting: &mut Vec<Moment>| {
        let parts: Vec<Sums> = waiting.par_windows(2).map(|pair| Sums::of(&pair[0], &pair[1])).collect();
        parts.into_iter().for_each(|part| sums.add(&part));
        // The last frame is the first of the next pair.
        waiting.drain(..waiting.len().saturating_sub(1));
    };
    for (before, after) in (Together { before, after }) {
        waiting.push(moment((before?, after?), plan)?);
        count += 1;
        if waiting.len() > AT_ONCE {
            measure(&mut waiting);
            sink.event(&Event::Status(format!("{count} frames")));
        }
    }
    measure(&mut waiting);
    ensure!(count > 1, "`{}` has {count} frames, expected at least two", plan.before.display());
    Ok(sums.flicker(count))
}

type FrameIterator = Box<dyn Iterator<Item = Result<RgbImage>>>;

fn frames(path: &Path, plan: &FlickerPlan) -> Result<FrameIterator> {
    if path.is_dir() {
        return Ok(Box::new(folder::images(path)?.into_iter().map(|file| Ok(Photo::read(file)?.pixels))));
    }
    Ok(Box::new(video::Decoded::open(&plan.ffmpeg, path)?))
}

/// Two iterators side by side, which must end together.
struct Together {
    before: FrameIterator,
    after: FrameIterator,
}

impl Iterator for Together {
    type Item = (Result<RgbImage>, Result<RgbImage>);

    fn next(&mut self) -> Option<Self::Item> {
        let ended = || anyhow::anyhow!("one of the two has fewer frames than the other");
        match (self.before.next(), self.after.next()) {
            (None, None) => None,
            (before, after) => Some((before.unwrap_or_else(|| Err(ended())), after.unwrap_or_else(|| Err(ended())))),
        }
    }
}

/// A frame of both.
struct Moment {
    before: RgbImage,
    after: RgbImage,
}

fn moment((before, mut after): (RgbImage, RgbImage), plan: &FlickerPlan) -> Result<Moment> {
    let ((width, height), (other_width, other_height)) = (before.dimensions(), after.dimensions());
    // Encoders that halve the chroma have made odd sizes even.
    if (other_width, other_height) == (width.next_multiple_of(2), height.next_multiple_of(2)) {
        after = image::imageops::crop_imm(&after, 0, 0, width, height).to_image();
    }
    if after.dimensions() != (width, height) {
        let path = plan.after.display();
        bail!("`{path}` has frames of {other_width}x{other_height}, expected those of the original, {width}x{height}");
    }
    Ok(Moment { before, after })
}

/// Squared differences of the pixels that could be followed.
#[derive(Clone, Debug, Default)]
struct Sums {
    before: f64,
    after: f64,
    followed: u64,
    pixels: u64,
}

impl Sums {
    fn of(first: &Moment, second: &Moment) -> Sums {
        let [here, there] = [first, second].map(|moment| Pyramid::of(&pixels::to_gray(&moment.before)));
        let flow = |from, to| Flow::between(from, to, CORRECTIONS);
        let (forth, back) = rayon::join(|| flow(&here, &there), || flow(&there, &here));
        let (width, height) = first.before.dimensions();
        let mut sums = Sums { pixels: u64::from(width) * u64::from(height), ..Sums::default() };
        for (x, y, _) in first.before.enumerate_pixels() {
            let place = (x as usize, y as usize);
            if is_followed(&forth, &back, place) {
                let target = forth.target(place.0, place.1);
                sums.followed += 1;
                sums.before += squared(first.before.get_pixel(x, y).0, &second.before, target);
                sums.after += squared(first.after.get_pixel(x, y).0, &second.after, target);
            }
        }
        sums
    }

    fn add(&mut self, other: &Sums) {
        self.before += other.before;
        self.after += other.after;
        self.followed += other.followed;
        self.pixels += other.pixels;
    }

    fn flicker(&self, frames: u64) -> Flicker {
        let each = self.followed.max(1) as f64;
        let (before, after) = (self.before / each, self.after / each);
        let followed = self.followed as f64 / self.pixels as f64;
        Flicker { frames, before, after, ratio: (before > 0.0).then(|| after / before), followed }
    }
}

/// Whether the way there and back again ends where it began, within the frame, and the neighbours go the same way.
fn is_followed(forth: &Flow, back: &Flow, place: (usize, usize)) -> bool {
    forth.mismatch(back, place).is_some_and(|mismatch| mismatch <= 1.0) && !forth.parts(place)
}

/// Mean over the colours of the squared difference between a pixel and the place where it has gone.
fn squared(here: [u8; 3], picture: &RgbImage, (x, y): (f32, f32)) -> f64 {
    let (left, top) = (x.floor(), y.floor());
    let (across, down) = (f64::from(x - left), f64::from(y - top));
    let pixel = |right: u32, below: u32| {
        let (x, y) = ((left as u32 + right).min(picture.width() - 1), (top as u32 + below).min(picture.height() - 1));
        picture.get_pixel(x, y).0.map(f64::from)
    };
    let [a, b, c, d] = [pixel(0, 0), pixel(1, 0), pixel(0, 1), pixel(1, 1)];
    let difference = |i: usize| {
        let (upper, lower) = (a[i] * (1.0 - across) + b[i] * across, c[i] * (1.0 - across) + d[i] * across);
        (upper * (1.0 - down) + lower * down - f64::from(here[i])) / 255.0
    };
    (0..3).map(|i| difference(i).powi(2)).sum::<f64>() / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use image::Rgb;

    /// A texture that moves by 1.5 px to the right and 0.5 px down from frame to frame, brighter by `light` in every other.
    fn film(folder: &Path, light: f64) {
        for frame in 0..6 {
            let (right, down) = (1.5 * f64::from(frame), 0.5 * f64::from(frame));
            let picture = RgbImage::from_fn(72, 56, |x, y| {
                let (x, y) = (f64::from(x) - right, f64::from(y) - down);
                let wave = (0.3 * x + 0.2 * y).sin() + (0.1 * x - 0.4 * y).sin() + (0.5 * x + 0.05 * y).cos();
                let level = 128.0 + 30.0 * wave + if frame % 2 == 0 { light } else { 0.0 };
                Rgb([level as u8, (level * 0.8) as u8, (level * 0.6) as u8])
            });
            picture.save(folder.join(format!("{frame:03}.png"))).unwrap();
        }
    }

    fn measured(light: f64) -> Flicker {
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        film(before.path(), 0.0);
        film(after.path(), light);
        let (before, after) = (before.path().to_owned(), after.path().to_owned());
        run(&FlickerPlan { before, after, ffmpeg: "ffmpeg".into() }, &mut Silent).unwrap()
    }

    #[test]
    fn what_moves_with_the_picture_does_not_flicker() {
        let still = measured(0.0);
        assert_eq!((still.frames, still.ratio), (6, Some(1.0)));
        // Motion taken out, little more than rounding is left; without that it would be a hundred times as much.
        assert!(still.before < 1e-4, "{still:?}");
        assert!(still.followed > 0.6, "{still:?}");
    }

    #[test]
    fn light_that_comes_and_goes_flickers_by_its_square() {
        let flicker = measured(20.0);
        let expected = (20.0f64 / 255.0).powi(2) * (1.0 + 0.8f64.powi(2) + 0.6f64.powi(2)) / 3.0;
        let extra = flicker.after - flicker.before;
        assert!((extra / expected - 1.0).abs() < 0.1, "{extra}, expected {expected}");
    }

    #[test]
    fn films_of_other_lengths_or_sizes_are_refused() {
        let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        film(before.path(), 0.0);
        film(after.path(), 0.0);
        let plan =
            FlickerPlan { before: before.path().to_owned(), after: after.path().to_owned(), ffmpeg: "ffmpeg".into() };
        std::fs::remove_file(after.path().join("005.png")).unwrap();
        assert!(run(&plan, &mut Silent).unwrap_err().to_string().contains("fewer frames"));
        RgbImage::new(30, 30).save(after.path().join("000.png")).unwrap();
        assert!(run(&plan, &mut Silent).unwrap_err().to_string().contains("30x30"));
    }
}
