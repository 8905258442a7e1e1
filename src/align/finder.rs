//! A photo to its faces, each with landmarks and frame: what aligning a folder and toonifying a photo have in common.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use image::RgbImage;
use toonify_align::{CropFrame, CropGeometry, Error, Face, LandmarkSource, Landmarks, Rect, face, frame};

use super::journal::{Skipped, Why};
use super::look::{Eyes, Sight};
use super::model::Engine;
use super::plan::FaceSearch;

/// A face that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundFace {
    /// The detector's box, in photo pixels.
    pub rect: Rect,
    /// The detector's score.
    pub score: f64,
    /// 68 points, in photo pixels.
    pub landmarks: Landmarks,
    /// The square to crop, and the way back into the photo.
    pub frame: CropFrame,
}

/// What was seen in a photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sighting {
    /// The wanted faces, largest first.
    pub faces: Vec<FoundFace>,
    /// Faces that were wanted and cannot be cropped, and why.
    pub left_out: Vec<String>,
    /// Why there are no faces.
    pub skipped: Option<Skipped>,
}

/// Detector and landmarks, opened once for many photos.
pub struct Finder {
    eyes: Eyes,
    landmarks: Arc<LandmarkSource>,
    search: FaceSearch,
}

impl Finder {
    /// Opens the detector and the landmark model at `model`.
    ///
    /// # Errors
    /// When the model is not the published one, or the program was built without dlib.
    pub fn open(model: &Path, search: &FaceSearch) -> Result<Finder> {
        Ok(Finder::crew(model, search, 1)?.remove(0))
    }

    /// Opens both once for `n` threads, each with a finder of its own.
    ///
    /// # Errors
    /// As [`Finder::open`].
    pub fn crew(model: &Path, search: &FaceSearch, n: usize) -> Result<Vec<Finder>> {
        let engine = Engine::open(model, search.landmarks, search.min_score)?;
        let eyes: Vec<Eyes> = (0..n).map(|_| engine.eyes()).collect();
        let landmarks = Arc::new(engine.landmarks);
        let finder = |eyes| Finder { eyes, landmarks: Arc::clone(&landmarks), search: search.clone() };
        Ok(eyes.into_iter().map(finder).collect())
    }

    /// Finds the faces of an upright photo; none is a [`Sighting`] that says why.
    ///
    /// # Errors
    /// When the models cannot be used at all.
    pub fn look(&mut self, photo: &RgbImage) -> Result<Sighting> {
        let mut sighting = Sighting::default();
        let chosen = match choose(&mut self.eyes, photo, &self.search) {
            Ok(chosen) => chosen,
            Err(Failure::Skip(skipped)) => return Ok(Sighting { skipped: Some(skipped), ..sighting }),
            Err(Failure::Stop(error)) => return Err(error),
        };
        let mut first_reason = None;
        for face in chosen {
            match place(&self.landmarks, photo, face) {
                Ok(found) => sighting.faces.push(found),
                Err(Failure::Skip(skipped)) => {
                    sighting.left_out.push(format!("the face at {:?}: {}", face.rect, skipped.detail));
                    first_reason.get_or_insert(skipped);
                }
                Err(Failure::Stop(error)) => return Err(error),
            }
        }
        sighting.skipped = first_reason.filter(|_| sighting.faces.is_empty());
        Ok(sighting)
    }
}

/// The faces of a photo that the search wants, largest first.
pub(super) fn choose(eyes: &mut Eyes, photo: &RgbImage, search: &FaceSearch) -> Result<Vec<Face>, Failure> {
    let Sight { faces, best_rejected } = eyes.look(photo, search.upsample, search.min_score)?;
    match best_rejected {
        Some(best) if faces.is_empty() => {
            let detail = format!("the best detection scores {best:.2}, expected at least {}", search.min_score);
            Err(Failure::skip(Why::LowScore, detail))
        }
        _ => Ok(face::choose(&faces, search.faces.wanted(), search.min_size)?),
    }
}

/// Landmarks and frame of a face.
pub(super) fn place(source: &LandmarkSource, photo: &RgbImage, face: Face) -> Result<FoundFace, Failure> {
    let landmarks = source.landmarks(photo, &face.rect)?;
    let frame = frame(&landmarks, CropGeometry::FFHQ)?;
    Ok(FoundFace { rect: face.rect, score: face.score, landmarks, frame })
}

/// A photo that yields no face, or a reason to stop altogether.
pub(super) enum Failure {
    Skip(Skipped),
    Stop(anyhow::Error),
}

impl Failure {
    pub(super) fn skip(why: Why, detail: impl Display) -> Failure {
        Failure::Skip(Skipped { why, detail: detail.to_string() })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::NoFace => Failure::skip(Why::NoFace, error),
            Error::SeveralFaces { .. } => Failure::skip(Why::SeveralFaces, error),
            Error::TooSmall { .. } => Failure::skip(Why::TooSmall, error),
            Error::Degenerate | Error::OutsidePhoto { .. } | Error::Detector(_) => Failure::skip(Why::Unusable, error),
            Error::Value { .. } | Error::Model(_) => Failure::Stop(error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Stop(error)
    }
}
