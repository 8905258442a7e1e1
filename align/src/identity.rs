//! Whether two pictures show the same person: dlib's face recognition network (feature `dlib`).
//!
//! The network gives 128 numbers for a face; its author calls faces less than 0.6 apart the same person
//! (`dlib_face_recognition_resnet_model_v1.dat`, which dlib's author publishes and no package of Debian's holds).

use std::path::Path;

use dlib_face_recognition::{
    FaceEncoderNetwork, FaceEncoderTrait, ImageMatrix, LandmarkPredictor, LandmarkPredictorTrait, Rectangle,
};
use image::RgbImage;

use crate::error::ModelError;
use crate::face::Rect;
use crate::{Error, Result};

/// The network, and the landmarks by which it cuts faces.
pub struct DlibIdentity {
    network: FaceEncoderNetwork,
    landmarks: LandmarkPredictor,
}

/// What makes a person: distances below 0.6 are small.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity(Vec<f64>);

impl DlibIdentity {
    /// Lets dlib open both model files; dlib takes nothing but paths.
    ///
    /// # Errors
    /// [`ModelError::Refused`] when one is missing or dlib cannot read it.
    pub fn open(network: &Path, landmarks: &Path) -> Result<Self> {
        for path in [network, landmarks] {
            if path.to_str().is_none_or(|text| text.contains('\0')) {
                return Err(
                    ModelError::Refused(format!("`{}` is not a path that dlib can take", path.display())).into()
                );
            }
        }
        let refused = |text: String| Error::Model(ModelError::Refused(text));
        Ok(DlibIdentity {
            network: FaceEncoderNetwork::open(network).map_err(refused)?,
            landmarks: LandmarkPredictor::open(landmarks).map_err(refused)?,
        })
    }

    /// Describes the face in a box of the picture.
    ///
    /// # Errors
    /// [`Error::Detector`] when dlib returns no description.
    pub fn describe(&self, picture: &RgbImage, rect: &Rect) -> Result<Identity> {
        // SAFETY: the picture holds `3 * width * height` bytes, and the matrix is a copy of them.
        let matrix = unsafe { ImageMatrix::new(picture.width() as usize, picture.height() as usize, picture.as_ptr()) };
        let [left, top, right, bottom] = [rect.left, rect.top, rect.right, rect.bottom].map(Into::into);
        let points = self.landmarks.face_landmarks(&matrix, &Rectangle { left, top, right, bottom });
        let described = self.network.get_face_encodings(&matrix, &[points], 0);
        let numbers = described.first().map(|numbers| numbers.as_ref().to_vec());
        numbers.map(Identity).ok_or_else(|| Error::Detector("dlib gave no description of the face".into()))
    }
}

impl Identity {
    /// Euclidean distance: 0 for the same picture, below 0.6 for the same person.
    pub fn distance(&self, other: &Identity) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_model_is_a_clear_error() {
        let Err(error) = DlibIdentity::open(Path::new("no such.dat"), Path::new("other.dat")) else { panic!("opened") };
        assert!(error.to_string().contains("no such.dat"), "{error}");
    }

    #[test]
    fn distances_are_euclidean() {
        let [a, b] = [vec![0.0, 3.0], vec![4.0, 0.0]].map(Identity);
        assert_eq!((a.distance(&b), a.distance(&a)), (5.0, 0.0));
    }
}
