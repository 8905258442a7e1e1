//! A photo to its faces, looking closer until one is found: as it is, at twice the size, at four times the size.
//!
//! dlib's detector was trained on faces of 80 px; each enlarging halves the smallest face that it finds and takes four
//! times as long, so most photos must be done with at the first look.

use std::borrow::Cow;

use image::RgbImage;
use toonify_align::resample::{Filter, resize};
use toonify_align::{Face, FaceFinder, Rect, Result};

use super::plan::Upsample;

/// Photos are enlarged to at most this many pixels here; the finder that enlarges doubles their sides once more.
const MAX_ENLARGED_PIXELS: f64 = 4e6;

/// The detectors of one thread.
pub(super) struct Eyes {
    /// Looks at a picture as it is.
    pub plain: Box<dyn FaceFinder>,
    /// Looks at a picture at twice its size.
    pub enlarging: Box<dyn FaceFinder>,
}

/// What was seen.
#[derive(Debug, PartialEq)]
pub(super) struct Sight {
    /// Detections that score high enough, in photo pixels.
    pub faces: Vec<Face>,
    /// Highest score of those that do not.
    pub best_rejected: Option<f64>,
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Closeness {
    AsItIs,
    Twice,
    FourTimes,
}

impl Eyes {
    /// Looks at a photo.
    ///
    /// # Errors
    /// Whatever stops the detector.
    pub fn look(&mut self, photo: &RgbImage, upsample: Upsample, min_score: f64) -> Result<Sight> {
        let looks: &[Closeness] = match upsample {
            Upsample::Auto => &[Closeness::AsItIs, Closeness::Twice, Closeness::FourTimes],
            Upsample::Never => &[Closeness::AsItIs],
            Upsample::Once => &[Closeness::Twice],
            Upsample::Twice => &[Closeness::FourTimes],
        };
        let mut best_rejected: Option<f64> = None;
        for &closeness in looks {
            let (faces, rejected): (Vec<Face>, Vec<Face>) =
                self.look_once(photo, closeness)?.into_iter().partition(|face| face.score >= min_score);
            best_rejected = rejected.iter().map(|face| face.score).chain(best_rejected).reduce(f64::max);
            if !faces.is_empty() {
                return Ok(Sight { faces, best_rejected });
            }
        }
        Ok(Sight { faces: Vec::new(), best_rejected })
    }

    fn look_once(&mut self, photo: &RgbImage, closeness: Closeness) -> Result<Vec<Face>> {
        match closeness {
            Closeness::AsItIs => self.plain.find(photo),
            Closeness::Twice => self.enlarging.find(photo),
            Closeness::FourTimes => {
                let picture = enlarged(photo);
                let x_scale = f64::from(picture.width()) / f64::from(photo.width());
                let y_scale = f64::from(picture.height()) / f64::from(photo.height());
                let mut faces = self.enlarging.find(&picture)?;
                faces.iter_mut().for_each(|face| face.rect = reduced(face.rect, x_scale, y_scale));
                Ok(faces)
            }
        }
    }
}

/// The photo at twice its size, less when it would become too large to handle.
fn enlarged(photo: &RgbImage) -> Cow<'_, RgbImage> {
    let pixels = f64::from(photo.width()) * f64::from(photo.height());
    let scale = (MAX_ENLARGED_PIXELS / pixels).sqrt().min(2.0);
    if scale <= 1.0 || pixels == 0.0 {
        return Cow::Borrowed(photo);
    }
    let side = |length: u32| (f64::from(length) * scale).round() as u32;
    Cow::Owned(resize(photo, [side(photo.width()), side(photo.height())], Filter::Triangle))
}

/// A box of the enlarged picture in the photo; the edges move with the pixels that they include.
fn reduced(rect: Rect, x_scale: f64, y_scale: f64) -> Rect {
    let first = |edge: i32, scale: f64| (f64::from(edge) / scale).round() as i32;
    let last = |edge: i32, scale: f64| ((f64::from(edge) + 1.0) / scale).round() as i32 - 1;
    Rect {
        left: first(rect.left, x_scale),
        top: first(rect.top, y_scale),
        right: last(rect.right, x_scale),
        bottom: last(rect.bottom, y_scale),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::*;

    /// Sees one face, of the given score, in pictures that are wide enough; says how wide each picture is that it gets.
    struct Fake {
        wide_enough: u32,
        score: f64,
        seen: Sender<u32>,
    }

    impl FaceFinder for Fake {
        fn find(&mut self, photo: &RgbImage) -> Result<Vec<Face>> {
            self.seen.send(photo.width()).expect("somebody counts");
            let rect = Rect { left: 40, top: 20, right: 79, bottom: 59 };
            Ok(if photo.width() < self.wide_enough { vec![] } else { vec![Face { rect, score: self.score }] })
        }
    }

    fn eyes(plain: (u32, f64), enlarging: (u32, f64)) -> (Eyes, Receiver<u32>) {
        let (seen, widths) = mpsc::channel();
        let fake = |(wide_enough, score), seen| Box::new(Fake { wide_enough, score, seen });
        (Eyes { plain: fake(plain, seen.clone()), enlarging: fake(enlarging, seen) }, widths)
    }

    const BLIND: (u32, f64) = (u32::MAX, 0.0);

    #[track_caller]
    fn check(plain: (u32, f64), enlarging: (u32, f64), upsample: Upsample, expected: (usize, Option<f64>, &[u32])) {
        let (mut eyes, widths) = eyes(plain, enlarging);
        let sight = eyes.look(&RgbImage::new(100, 60), upsample, 0.3).expect("no detector fails");
        let seen: Vec<u32> = widths.try_iter().collect();
        assert_eq!((sight.faces.len(), sight.best_rejected, seen.as_slice()), expected);
    }

    #[test]
    fn it_looks_no_closer_than_it_must() {
        check((0, 1.0), BLIND, Upsample::Auto, (1, None, &[100]));
        check(BLIND, (0, 1.0), Upsample::Auto, (1, None, &[100, 100]));
        check(BLIND, (200, 1.0), Upsample::Auto, (1, None, &[100, 100, 200]));
        check(BLIND, BLIND, Upsample::Auto, (0, None, &[100, 100, 200]));
    }

    #[test]
    fn a_doubtful_face_does_not_end_the_search() {
        check((0, 0.1), (0, 0.9), Upsample::Auto, (1, Some(0.1), &[100, 100]));
        check((0, 0.2), (0, 0.1), Upsample::Auto, (0, Some(0.2), &[100, 100, 200]));
    }

    #[test]
    fn a_fixed_enlarging_is_the_only_look() {
        check((0, 1.0), (0, 1.0), Upsample::Never, (1, None, &[100]));
        check((0, 1.0), (0, 1.0), Upsample::Once, (1, None, &[100]));
        check((0, 1.0), (0, 1.0), Upsample::Twice, (1, None, &[200]));
    }

    #[test]
    fn boxes_come_back_in_photo_pixels() {
        let (mut eyes, _widths) = eyes(BLIND, (200, 1.0));
        let sight = eyes.look(&RgbImage::new(100, 60), Upsample::Auto, 0.0).expect("no detector fails");
        assert_eq!(sight.faces[0].rect, Rect { left: 20, top: 10, right: 39, bottom: 29 });
    }

    #[test]
    fn large_photos_are_enlarged_less_or_not() {
        assert_eq!(enlarged(&RgbImage::new(2000, 1000)).dimensions(), (2828, 1414));
        assert_eq!(enlarged(&RgbImage::new(2000, 2000)).dimensions(), (2000, 2000));
        assert_eq!(enlarged(&RgbImage::new(0, 9)).dimensions(), (0, 9));
    }
}
