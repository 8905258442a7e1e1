//! What to align and how: everything the workflow needs to know, answered before it starts.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use toonify_align::{CropMethod, Wanted};

use crate::store::hash;

/// Everything that [`run`](super::run) needs to know.
#[derive(Clone, Debug)]
pub struct AlignPlan {
    /// One photo, a folder with photos anywhere below, or a zip file of photos.
    pub source: PathBuf,
    /// Folder for the faces, the journal and what else is asked for.
    pub out: PathBuf,
    /// dlib's 68-point landmark model; [`super::model::locate`] finds it.
    pub model: PathBuf,
    /// What decides how the faces look.
    pub settings: Settings,
    /// Photos that are worked on at the same time.
    pub jobs: usize,
    /// What is made of the faces when all are there.
    pub extras: Vec<Extra>,
}

/// Something made of the aligned faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// `dataset.zip`, the published format of training sets.
    Zip,
    /// `contact_sheet.png`, or several when there are many faces.
    ContactSheet,
    /// `report.html`.
    Report,
}

/// What decides how the faces look; a photo is done again when one of these has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Edge of the faces, in pixels.
    pub size: u32,
    /// What is looked for.
    #[serde(flatten)]
    pub search: FaceSearch,
    /// Format of the files.
    pub format: FaceFormat,
    /// How the pixels are made.
    pub crop: Crop,
}

/// What is looked for in photos, and how closely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceSearch {
    /// Which faces of a photo are wanted.
    pub faces: Faces,
    /// Detections below this score are no faces.
    pub min_score: f64,
    /// Faces whose box is narrower than this are left out, in pixels of the photo.
    pub min_size: u32,
    /// Whose landmarks place the crop.
    pub landmarks: LandmarkKind,
    /// How far photos are enlarged before the detector looks at them.
    pub upsample: Upsample,
}

impl FaceSearch {
    /// The usual search for these faces: whatever the detector finds, of any size, placed by our landmarks.
    pub fn usual(faces: Faces) -> Self {
        FaceSearch { faces, min_score: 0.0, min_size: 0, landmarks: LandmarkKind::Ours, upsample: Upsample::Auto }
    }
}

impl Settings {
    /// A short name of these settings: equal settings have equal names.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("plain settings are JSON");
        hash::sha256(json)[..12].to_owned()
    }

    /// What differs from `before`, as `size 256 → 512`.
    pub fn changes_since(&self, before: &Settings) -> Vec<String> {
        let fields = |settings: &Settings| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => unreachable!("settings are a JSON object"),
        };
        let (now, before) = (fields(self), fields(before));
        let plain = |value: &serde_json::Value| value.to_string().replace('"', "");
        let changed = now.iter().filter(|(name, value)| before.get(*name) != Some(value));
        changed
            .map(|(name, value)| format!("{name} {} → {}", before.get(name).map_or("none".into(), plain), plain(value)))
            .collect()
    }
}

/// Which faces of a photo are wanted, as it is typed: `all`, `largest`, `only`, or how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Faces {
    /// Every one.
    All,
    /// The largest ones, so many.
    Largest(usize),
    /// The only one; photos with more are left out.
    Only,
}

impl Faces {
    /// The same for `toonify_align::face::choose`.
    pub fn wanted(self) -> Wanted {
        match self {
            Faces::All => Wanted::All,
            Faces::Largest(count) => Wanted::Largest(count),
            Faces::Only => Wanted::Only,
        }
    }
}

impl FromStr for Faces {
    type Err = String;

    fn from_str(text: &str) -> Result<Faces, String> {
        match text {
            "all" => Ok(Faces::All),
            "largest" => Ok(Faces::Largest(1)),
            "only" => Ok(Faces::Only),
            number => match number.parse() {
                Ok(count) if count > 0 => Ok(Faces::Largest(count)),
                _ => Err(format!("`{text}` is none of `all`, `largest`, `only`, or a number from 1 on")),
            },
        }
    }
}

impl TryFrom<String> for Faces {
    type Error = String;

    fn try_from(text: String) -> Result<Faces, String> {
        text.parse()
    }
}

impl From<Faces> for String {
    fn from(faces: Faces) -> String {
        faces.to_string()
    }
}

impl fmt::Display for Faces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Faces::All => f.write_str("all"),
            Faces::Largest(1) => f.write_str("largest"),
            Faces::Largest(count) => write!(f, "{count}"),
            Faces::Only => f.write_str("only"),
        }
    }
}

/// Format of the faces' files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaceFormat {
    /// Every pixel as it was made.
    Png,
    /// Smaller, quality 95.
    Jpg,
}

impl FaceFormat {
    /// The extension of such files, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            FaceFormat::Png => "png",
            FaceFormat::Jpg => "jpg",
        }
    }
}

/// How the pixels of a face are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// In one resampling.
    Clean,
    /// As the FFHQ dataset's script does, byte for byte.
    Published,
}

impl Crop {
    /// The same for `toonify_align::crop`.
    pub fn method(self, size_px: u32) -> CropMethod {
        match self {
            Crop::Clean => CropMethod::Clean,
            Crop::Published => CropMethod::published(size_px),
        }
    }
}

/// Whose landmarks place the crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LandmarkKind {
    /// Our evaluation of dlib's model, in fractions of a pixel.
    Ours,
    /// dlib's own, in whole pixels.
    Dlib,
}

/// How far photos are enlarged before the detector looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Upsample {
    /// Not at first, then to twice and to four times the size, until a face is found.
    Auto,
    /// Not at all.
    Never,
    /// To twice the size, always.
    Once,
    /// To four times the size, always.
    Twice,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn settings() -> Settings {
        Settings { size: 256, search: FaceSearch::usual(Faces::All), format: FaceFormat::Png, crop: Crop::Clean }
    }

    #[test]
    fn faces_are_read_as_they_are_shown() {
        for faces in [Faces::All, Faces::Only, Faces::Largest(1), Faces::Largest(12)] {
            assert_eq!(faces.to_string().parse(), Ok(faces));
        }
        for text in ["", "0", "-1", "every", "1.5"] {
            assert!(text.parse::<Faces>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn each_change_of_a_setting_is_named_and_changes_the_digest() {
        let (before, mut now) = (settings(), settings());
        assert_eq!((now.changes_since(&before), now.digest()), (vec![], before.digest()));
        now.size = 512;
        now.search.faces = Faces::Largest(1);
        assert_eq!(now.changes_since(&before), ["faces all → largest", "size 256 → 512"]);
        assert_ne!(now.digest(), before.digest());
    }

    #[test]
    fn settings_survive_json() {
        let json = serde_json::to_string(&settings()).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings());
    }
}
