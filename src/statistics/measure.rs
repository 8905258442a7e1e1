//! What can be measured, by its published name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// One measure with its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// What is measured.
    pub measure: Measure,
    /// Generated images, at most.
    pub fakes: usize,
    /// Real images, at most; `None` for all.
    pub reals: Option<usize>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Sliced Wasserstein distance.
    Swd,
    /// Fréchet distance.
    Fid,
    /// Kernel distance.
    Kid,
    /// Precision and recall.
    PrecisionRecall,
    /// Inception score.
    InceptionScore,
    /// Perceptual path length.
    PathLength(Path),
}

/// Along which paths lengths are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Where paths are straight.
    pub space: PathSpace,
    /// Where on the path the step is.
    pub sampling: PathSampling,
    /// What is looked at.
    pub view: View,
}

/// Where paths are straight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathSpace {
    /// Great circles in `z`.
    Z,
    /// Lines in `w`.
    W,
}

/// Where on the path the step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathSampling {
    /// Anywhere.
    Full,
    /// At its beginning.
    End,
}

/// What of an image is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// All of it.
    Whole,
    /// The middle of a face.
    Face,
}

/// The published path lengths.
const PATHS: [(&str, Path); 5] = [
    ("ppl2_wend", Path { space: PathSpace::W, sampling: PathSampling::End, view: View::Whole }),
    ("ppl_zfull", Path { space: PathSpace::Z, sampling: PathSampling::Full, view: View::Face }),
    ("ppl_wfull", Path { space: PathSpace::W, sampling: PathSampling::Full, view: View::Face }),
    ("ppl_zend", Path { space: PathSpace::Z, sampling: PathSampling::End, view: View::Face }),
    ("ppl_wend", Path { space: PathSpace::W, sampling: PathSampling::End, view: View::Face }),
];

/// Generated images of the published measures.
const FAKES: usize = 50_000;
/// Images of each set for the sliced Wasserstein distance, as published.
const SWD_IMAGES: usize = 16_384;

/// Images of each set for the sliced Wasserstein distance at a snapshot of a training.
const SWD_IMAGES_WHILE_TRAINING: usize = 2_000;

/// All names that are understood: those of the published trainer in its order, the one that needs no detector, short ones.
pub const NAMES: [&str; 18] = [
    "fid50k_full",
    "kid50k_full",
    "pr50k3_full",
    "ppl2_wend",
    "is50k",
    "fid50k",
    "kid50k",
    "pr50k3",
    "ppl_zfull",
    "ppl_wfull",
    "ppl_zend",
    "ppl_wend",
    "swd",
    "fid",
    "kid",
    "pr",
    "is",
    "ppl",
];

/// How many of [`NAMES`] are the published trainer's.
const PUBLISHED_NAMES: usize = 12;

impl Metric {
    /// Names that a training takes: the published trainer's in its order, and `swd`.
    pub fn names_while_training() -> &'static [&'static str] {
        &NAMES[..=PUBLISHED_NAMES]
    }

    /// What a training measures unless it is told otherwise: what needs no detector and little time.
    pub fn default_while_training() -> Vec<Metric> {
        vec![Metric::published(Measure::Swd)]
    }

    /// As it is measured at each snapshot of a training: as published, but patches of fewer images.
    pub fn while_training(self) -> Metric {
        match self.measure {
            Measure::Swd => Metric { fakes: SWD_IMAGES_WHILE_TRAINING, reals: Some(SWD_IMAGES_WHILE_TRAINING), ..self },
            _ => self,
        }
    }

    /// As the published code measures it, against all real images that it takes.
    pub fn published(measure: Measure) -> Metric {
        let (fakes, reals) = match measure {
            Measure::Swd => (SWD_IMAGES, Some(SWD_IMAGES)),
            Measure::Kid => (FAKES, Some(1_000_000)),
            Measure::PrecisionRecall => (FAKES, Some(200_000)),
            Measure::Fid | Measure::InceptionScore | Measure::PathLength(_) => (FAKES, None),
        };
        Metric { measure, fakes, reals }
    }

    /// With another number of generated images.
    pub fn with_fakes(self, fakes: usize) -> Metric {
        Metric { fakes, ..self }
    }

    /// Whether real images are taken as the training saw them, mirrored ones among them, and not all: the older metrics.
    pub fn takes_mirrored(self) -> bool {
        self.reals == Some(FAKES) && matches!(self.measure, Measure::Fid | Measure::Kid | Measure::PrecisionRecall)
    }
}

/// The published name, with the real number of generated images in it.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = match self.fakes {
            fakes if fakes.is_multiple_of(1000) => format!("{}k", fakes / 1000),
            fakes => fakes.to_string(),
        };
        let full = if self.takes_mirrored() { "" } else { "_full" };
        match self.measure {
            Measure::Swd => f.write_str("swd"),
            Measure::Fid => write!(f, "fid{count}{full}"),
            Measure::Kid => write!(f, "kid{count}{full}"),
            Measure::PrecisionRecall => write!(f, "pr{count}3{full}"),
            Measure::InceptionScore => write!(f, "is{count}"),
            Measure::PathLength(path) => {
                let name = PATHS.iter().find(|(_, known)| *known == path).map_or("ppl", |(name, _)| name);
                // The published names of path lengths do not tell the count.
                if self.fakes == FAKES { f.write_str(name) } else { write!(f, "{name}_{count}") }
            }
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(name: &str) -> Result<Metric, String> {
        let balanced = |measure| Metric { reals: Some(FAKES), ..Metric::published(measure) };
        Ok(match name {
            "swd" => Metric::published(Measure::Swd),
            "fid" | "fid50k_full" => Metric::published(Measure::Fid),
            "kid" | "kid50k_full" => Metric::published(Measure::Kid),
            "pr" | "pr50k3_full" => Metric::published(Measure::PrecisionRecall),
            "is" | "is50k" => Metric::published(Measure::InceptionScore),
            "fid50k" => balanced(Measure::Fid),
            "kid50k" => balanced(Measure::Kid),
            "pr50k3" => balanced(Measure::PrecisionRecall),
            "ppl" => Metric::published(Measure::PathLength(PATHS[0].1)),
            _ => match PATHS.iter().find(|(known, _)| *known == name) {
                Some((_, path)) => Metric::published(Measure::PathLength(*path)),
                None => return Err(format!("`{name}` is no metric, expected one of {}", NAMES.join(", "))),
            },
        })
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From its name, with the published counts.
impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The network that a measure is published with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Eye {
    /// Inception V3 of 2015.
    Inception,
    /// VGG16, for path lengths with the linear weights of LPIPS.
    Vgg16,
}

impl Eye {
    /// Name of the published file.
    pub fn file_name(self) -> &'static str {
        match self {
            Eye::Inception => "inception-2015-12-05.pt",
            Eye::Vgg16 => "vgg16.pt",
        }
    }
}

impl Measure {
    /// The network that the measure is published with; `None` when it needs none.
    pub fn eye(self) -> Option<Eye> {
        match self {
            Measure::Swd => None,
            Measure::Fid | Measure::Kid | Measure::InceptionScore => Some(Eye::Inception),
            Measure::PrecisionRecall | Measure::PathLength(_) => Some(Eye::Vgg16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_survive_the_way_in_and_out() {
        for name in &NAMES[..13] {
            assert_eq!(name.parse::<Metric>().unwrap().to_string(), **name);
        }
        for (short, full) in [("fid", "fid50k_full"), ("pr", "pr50k3_full"), ("ppl", "ppl2_wend"), ("is", "is50k")] {
            assert_eq!(short.parse::<Metric>().unwrap().to_string(), full);
        }
        assert!("fid5k".parse::<Metric>().unwrap_err().contains("kid50k_full"));
    }

    #[test]
    fn names_tell_how_many_images_were_generated() {
        let name = |metric: &str, fakes| metric.parse::<Metric>().unwrap().with_fakes(fakes).to_string();
        assert_eq!(name("fid", 10_000), "fid10k_full");
        assert_eq!(name("kid50k", 500), "kid500");
        assert_eq!(name("pr", 1000), "pr1k3_full");
        assert_eq!(name("ppl_zend", 64), "ppl_zend_64");
        assert_eq!(name("swd", 64), "swd");
    }
}
