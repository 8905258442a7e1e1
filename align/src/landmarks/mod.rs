//! From a face's box to its 68 landmarks, by dlib's published model: an ensemble of regression trees (Kazemi and Sullivan,
//! "One millisecond face alignment with an ensemble of regression trees", CVPR 2014).
//!
//! dlib rounds its points to whole pixels, which moves the corners of a small face's crop by more than two pixels of 256.
//! [`LandmarkModel`] reads the same file and keeps the fractions; rounded, its points equal dlib's.

mod model;
mod predict;
mod reader;

use image::RgbImage;

pub use self::model::{LandmarkModel, PUBLISHED_SHA256};
use crate::Result;
#[cfg(feature = "dlib")]
use crate::dlib::DlibLandmarks;
use crate::face::{Landmarks, Rect};

/// Where landmarks come from. Share one among threads.
pub enum LandmarkSource {
    /// Our evaluation of the model, in fractions of a pixel.
    Fractional(Box<LandmarkModel>),
    /// dlib's own, in whole pixels.
    #[cfg(feature = "dlib")]
    Dlib(DlibLandmarks),
}

impl LandmarkSource {
    /// Finds the landmarks of the face in a box, in photo pixels.
    ///
    /// # Errors
    /// [`crate::Error::Value`] when dlib's model has another number of points than 68.
    pub fn landmarks(&self, photo: &RgbImage, rect: &Rect) -> Result<Landmarks> {
        match self {
            LandmarkSource::Fractional(model) => Ok(model.landmarks(photo, rect)),
            #[cfg(feature = "dlib")]
            LandmarkSource::Dlib(predictor) => predictor.landmarks(photo, rect),
        }
    }
}
