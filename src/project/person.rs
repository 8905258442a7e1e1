//! Whether the result still shows the person: dlib's face recognition network on target and result.

use std::path::PathBuf;

/// The models that recognise people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonPlan {
    /// `dlib_face_recognition_resnet_model_v1.dat`.
    pub network: PathBuf,
    /// dlib's 68-point landmark model.
    pub landmarks: PathBuf,
}

/// The network's file name, everywhere.
pub const PERSON_MODEL: &str = "dlib_face_recognition_resnet_model_v1.dat";

#[cfg(feature = "dlib")]
mod by_dlib {
    use std::cell::RefCell;

    use anyhow::{Context, Result};
    use image::RgbImage;
    use toonify_align::resample::{Filter, resize};
    use toonify_align::{DlibFinder, DlibIdentity, FaceFinder, Search};

    use super::PersonPlan;

    /// Smaller pictures are enlarged to this side, so that the detector finds their faces.
    const LEAST_PX: u32 = 512;

    /// Compares people.
    pub struct Persons {
        finder: RefCell<DlibFinder>,
        identity: DlibIdentity,
    }

    impl Persons {
        /// Opens detector and models.
        ///
        /// # Errors
        /// When a model is missing or is another one.
        pub fn open(plan: &PersonPlan) -> Result<Persons> {
            let identity = DlibIdentity::open(&plan.network, &plan.landmarks)
                .with_context(|| format!("cannot recognise people by `{}`", plan.network.display()))?;
            Ok(Persons { finder: RefCell::new(DlibFinder::new(Search::default())?), identity })
        }

        /// Distance of the person in `picture` from the one in `target`, which has the same frame; below 0.6 they are
        /// one. `None` when no face is found in the target.
        ///
        /// # Errors
        /// When dlib fails.
        pub fn distance(&self, target: &RgbImage, picture: &RgbImage) -> Result<Option<f64>> {
            let side = target.width().max(LEAST_PX);
            let [target, picture] = [target, picture].map(|image| resize(image, [side, side], Filter::Lanczos));
            let faces = self.finder.borrow_mut().find(&target)?;
            let Some(face) = faces.iter().max_by_key(|face| face.rect.area()) else { return Ok(None) };
            let describe = |image: &RgbImage| self.identity.describe(image, &face.rect);
            Ok(Some(describe(&target)?.distance(&describe(&picture)?)))
        }
    }
}

#[cfg(feature = "dlib")]
pub use by_dlib::Persons;

/// What stands here in a program without dlib.
#[cfg(not(feature = "dlib"))]
pub struct Persons(std::convert::Infallible);

#[cfg(not(feature = "dlib"))]
impl Persons {
    /// Fails: people are recognised by dlib alone.
    ///
    /// # Errors
    /// Always.
    pub fn open(_plan: &PersonPlan) -> anyhow::Result<Persons> {
        anyhow::bail!("this program was built without dlib and cannot recognise people")
    }

    /// Never called, for nobody can be made.
    ///
    /// # Errors
    /// None.
    pub fn distance(&self, _target: &image::RgbImage, _picture: &image::RgbImage) -> anyhow::Result<Option<f64>> {
        match self.0 {}
    }
}
