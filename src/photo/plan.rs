//! What `toonify photo` is asked to do.

use std::path::PathBuf;

use toonify_align::{ColourMatch, Feather, Mask};
use toonify_networks::latent::Truncation;
use toonify_networks::stylegan2::{Resolution, Slope};

use crate::align::{FaceSearch, FoundFace};
use crate::project::ProjectorPlan;
use crate::store::hash;

/// What to toonify and how; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct PhotoPlan {
    /// Photos, folders with photos anywhere below, zip files of photos.
    pub sources: Vec<PathBuf>,
    /// Folder for the results.
    pub out: PathBuf,
    /// dlib's 68-point landmark model.
    pub model: PathBuf,
    /// Which faces are wanted.
    pub search: FaceSearch,
    /// What makes characters of them.
    pub engine: EnginePlan,
    /// How they come back into the photo.
    pub paste: PastePlan,
    /// Folder for every intermediate picture.
    pub stages: Option<PathBuf>,
}

impl PhotoPlan {
    /// A short name for all that decides a photo's result beside the photo.
    pub(super) fn digest(&self, engine: &str) -> String {
        let all = format!("{} {engine} {:?} {:?}", env!("CARGO_PKG_VERSION"), self.search, self.paste);
        hash::sha256(all)[..16].to_owned()
    }
}

/// What makes characters of faces.
#[derive(Clone, Debug)]
pub enum EnginePlan {
    /// A blended generator renders what was projected.
    Blended(StylePlan),
    /// A student translates: the file of one that was distilled.
    Student(PathBuf),
}

/// How characters are made with a generator.
#[derive(Clone, Debug)]
pub struct StylePlan {
    /// The generator that renders them.
    pub style: Style,
    /// Where the photos' latents come from.
    pub latents: LatentsPlan,
    /// Truncation of the photos' latents.
    pub truncation: Truncation,
}

/// The generator that renders characters.
#[derive(Clone, Debug)]
pub enum Style {
    /// A file of a generator that was blended before.
    Blended(PathBuf),
    /// Blended here.
    Blend(BlendPlan),
}

/// A blend of the base with a model tuned from it.
#[derive(Clone, Debug)]
pub struct BlendPlan {
    /// The model that knows photos.
    pub base: PathBuf,
    /// The model that knows characters.
    pub tuned: PathBuf,
    /// The last resolution from the model of the low resolutions.
    pub resolution: Resolution,
    /// How fast one model gives way to the other.
    pub slope: Slope,
    /// Who gives the low resolutions.
    pub low: Base,
}

/// Where the base stands in a blend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// It gives the low resolutions: shapes of the photo, paint of the characters.
    Low,
    /// It gives the high resolutions: shapes of the characters, skin of the photo.
    High,
}

/// Where the photos' latents come from.
#[derive(Clone, Debug)]
pub enum LatentsPlan {
    /// They are searched for; those that an earlier run kept in `folder` are found again.
    Projected {
        /// Into what, and how.
        projector: Box<ProjectorPlan>,
        /// A folder of results for each face.
        folder: PathBuf,
    },
    /// They are in these files, a `w` for each face of the only photo, largest first.
    Given(Vec<PathBuf>),
}

/// How a character comes into the photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastePlan {
    /// How much of the square shows.
    pub mask: MaskKind,
    /// Width of the soft rim.
    pub feather: Feather,
    /// Whether it takes on the photo's colours.
    pub colour: ColourMatch,
}

/// How much of the square shows in the photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskKind {
    /// The head with its hair, as an ellipse.
    Head,
    /// The face alone, from chin to forehead.
    Face,
    /// All but the rim.
    Square,
}

impl PastePlan {
    pub(super) fn mask_of(&self, found: &FoundFace) -> Mask {
        match self.mask {
            MaskKind::Head => Mask::ellipse(self.feather),
            MaskKind::Face => Mask::hull(&found.landmarks, &found.frame, self.feather),
            MaskKind::Square => Mask::square(self.feather),
        }
    }
}
