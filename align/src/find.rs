//! Finding faces: the trait, and the policy around a detector (how large a picture it sees, when it looks twice).
//!
//! A detector for faces of 80 pixels finds smaller ones when the photo is enlarged; that costs four times the time and
//! memory, so it is worth a second look only when the first one found nothing.

use std::borrow::Cow;

use image::RgbImage;

use crate::face::{Face, Rect};
use crate::resample::{Filter, resize};
use crate::{Error, Result};

/// Something that finds faces.
pub trait FaceFinder: Send {
    /// Finds the faces of an upright photo; none is an empty list, not an error. Boxes are in photo pixels.
    ///
    /// # Errors
    /// Whatever stops the detector itself.
    fn find(&mut self, photo: &RgbImage) -> Result<Vec<Face>>;
}

/// Whether the photo is enlarged before the detector looks at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upsampling {
    /// Never: finds faces whose box is at least 80 px wide.
    Never,
    /// Once, to twice the size: finds faces from 40 px on, and takes four times as long.
    Once,
    /// Once, but only for photos where nothing was found without.
    #[default]
    WhenNothingFound,
}

/// How to look for faces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// Whether to enlarge.
    pub upsampling: Upsampling,
    /// Larger photos are shrunk to this many pixels first (before enlarging), which bounds time and memory.
    pub max_pixels: u32,
    /// Detections below this score are dropped; 0 is dlib's own threshold.
    pub min_score: f64,
}

impl Default for Search {
    fn default() -> Self {
        Search { upsampling: Upsampling::default(), max_pixels: 4_000_000, min_score: 0.0 }
    }
}

impl Search {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Value`] for a pixel limit of 0 or over 64 million, or a score that is not a number.
    pub fn validate(&self) -> Result<()> {
        if !(1..=64_000_000).contains(&self.max_pixels) {
            let found = self.max_pixels.to_string();
            return Err(Error::Value { what: "max_pixels", found, expected: "1 to 64000000" });
        }
        if !self.min_score.is_finite() {
            let found = self.min_score.to_string();
            return Err(Error::Value { what: "min_score", found, expected: "a finite number" });
        }
        Ok(())
    }

    /// Looks at the photo once or twice with `detect(picture, upsamplings)`, whose boxes are in the picture's pixels, not
    /// enlarged ones; what every [`FaceFinder`] around a detector does.
    ///
    /// # Errors
    /// Whatever `detect` fails with.
    pub fn run<D>(&self, photo: &RgbImage, mut detect: D) -> Result<Vec<Face>>
    where
        D: FnMut(&RgbImage, u32) -> Result<Vec<Face>>,
    {
        if photo.width() == 0 || photo.height() == 0 {
            return Ok(Vec::new());
        }
        let picture = shrunk(photo, self.max_pixels);
        let mut faces = detect(&picture, u32::from(self.upsampling == Upsampling::Once))?;
        if faces.is_empty() && self.upsampling == Upsampling::WhenNothingFound {
            faces = detect(&picture, 1)?;
        }
        let x_scale = f64::from(photo.width()) / f64::from(picture.width());
        let y_scale = f64::from(photo.height()) / f64::from(picture.height());
        for face in &mut faces {
            face.rect = scaled(face.rect, x_scale, y_scale);
        }
        Ok(faces)
    }
}

/// The photo itself, or a smaller copy with about `max_pixels` pixels.
fn shrunk(photo: &RgbImage, max_pixels: u32) -> Cow<'_, RgbImage> {
    let pixels = f64::from(photo.width()) * f64::from(photo.height());
    let scale = (f64::from(max_pixels) / pixels).sqrt();
    if scale >= 1.0 {
        return Cow::Borrowed(photo);
    }
    let side = |length: u32| ((f64::from(length) * scale).floor() as u32).max(1);
    Cow::Owned(resize(photo, [side(photo.width()), side(photo.height())], Filter::Triangle))
}

/// Scales a box about the corner of the first pixel; the edges move with the pixels they include.
fn scaled(rect: Rect, x_scale: f64, y_scale: f64) -> Rect {
    if x_scale == 1.0 && y_scale == 1.0 {
        return rect;
    }
    let first = |edge: i32, scale: f64| (f64::from(edge) * scale).round() as i32;
    let last = |edge: i32, scale: f64| ((f64::from(edge) + 1.0) * scale).round() as i32 - 1;
    Rect {
        left: first(rect.left, x_scale),
        top: first(rect.top, y_scale),
        right: last(rect.right, x_scale),
        bottom: last(rect.bottom, y_scale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Rect = Rect { left: 10, top: 20, right: 19, bottom: 39 };

    /// Runs the search over a photo of 100x50 with a detector that answers only enlarged pictures when `shy`.
    fn looks(search: Search, shy: bool) -> (Vec<Face>, Vec<(u32, u32, u32)>) {
        let mut seen = Vec::new();
        let faces = search.run(&RgbImage::new(100, 50), |picture, upsamplings| {
            seen.push((picture.width(), picture.height(), upsamplings));
            Ok(if shy && upsamplings == 0 { vec![] } else { vec![Face { rect: BOX, score: 1.0 }] })
        });
        (faces.expect("the detector never fails"), seen)
    }

    #[test]
    fn a_second_look_is_taken_only_when_the_first_found_nothing() {
        let search = Search::default();
        assert_eq!(looks(search, false).1, [(100, 50, 0)]);
        assert_eq!(looks(search, true).1, [(100, 50, 0), (100, 50, 1)]);
        assert_eq!(looks(Search { upsampling: Upsampling::Once, ..search }, false).1, [(100, 50, 1)]);
        let (faces, seen) = looks(Search { upsampling: Upsampling::Never, ..search }, true);
        assert_eq!((faces.len(), seen.len()), (0, 1));
    }

    #[test]
    fn large_photos_are_shrunk_and_boxes_scaled_back() {
        let (faces, seen) = looks(Search { max_pixels: 1250, ..Search::default() }, false);
        assert_eq!(seen, [(50, 25, 0)]);
        assert_eq!(faces[0].rect, Rect { left: 20, top: 40, right: 39, bottom: 79 });
        assert_eq!(looks(Search::default(), false).0[0].rect, BOX);
    }

    #[test]
    fn an_empty_photo_has_no_face() {
        let faces = Search::default().run(&RgbImage::new(0, 7), |_, _| unreachable!("there is nothing to look at"));
        assert_eq!(faces.expect("it is no error"), []);
    }

    #[test]
    fn senseless_settings_are_refused() {
        for search in [
            Search { max_pixels: 0, ..Search::default() },
            Search { max_pixels: u32::MAX, ..Search::default() },
            Search { min_score: f64::NAN, ..Search::default() },
        ] {
            assert!(matches!(search.validate(), Err(Error::Value { .. })));
        }
        assert!(Search::default().validate().is_ok());
    }
}
