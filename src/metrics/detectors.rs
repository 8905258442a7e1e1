//! Which network each measure looks with, and where its file is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use toonify_networks::detector::{self, Detector};
use toonify_networks::perceptual::{LinearWeights, Lpips, Perception, Vgg16};

use crate::statistics::measure::{Eye, Measure, Metric};
use crate::store::models::ModelFolders;
use crate::store::weights;

/// A detector with what reports say of it.
pub struct Watcher {
    /// The network.
    pub detector: Box<dyn Detector>,
    /// Distances of images for path lengths, where the file has what that takes.
    lpips: Option<Lpips>,
    /// Which published file it stands for, if it is that network.
    eye: Option<Eye>,
    /// What reports say.
    pub facts: DetectorFacts,
}

/// What reports say of a detector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectorFacts {
    /// Name of the network.
    pub name: String,
    /// Hash of its file.
    pub sha256: String,
    /// Number of features.
    pub features: usize,
    /// How images are brought to the size that it sees.
    pub resize: String,
}

impl Watcher {
    /// Reads the detector file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or holds no detector that is known; the message names it.
    pub fn open(path: &Path) -> Result<Watcher> {
        let (tensors, sha256) = weights::read(path)?;
        let unusable = || format!("`{}` is no detector that is known here", path.display());
        let linear = Vgg16::published_linear_weights(&tensors).with_context(unusable)?;
        let lpips = match linear {
            Some(linear) => Some(lpips(Vgg16::from_tensors(tensors.clone()).with_context(unusable)?, linear)?),
            None => None,
        };
        let detector = detector::from_tensors(tensors).with_context(unusable)?;
        let facts = DetectorFacts {
            name: detector.name().to_owned(),
            sha256,
            features: detector.length(),
            resize: format!("bilinear, as TensorFlow 1, to {} px", detector.seen_px()),
        };
        let eye = match detector.name() {
            "VGG16" => Some(Eye::Vgg16),
            "Inception V3 (2015-12-05)" => Some(Eye::Inception),
            _ => None,
        };
        Ok(Watcher { detector, lpips, eye, facts })
    }

    /// Whether the measure's published numbers are those of this network.
    pub fn is_published_for(&self, measure: Measure) -> bool {
        self.eye.is_some() && self.eye == measure.eye()
    }

    /// The distance of images that path lengths are measured with.
    ///
    /// # Errors
    /// When the file does not hold what that takes.
    pub fn perception(&self) -> Result<&dyn Perception> {
        let missing = "path lengths need the published `vgg16.pt`, which holds the linear weights of LPIPS";
        Ok(self.lpips.as_ref().context(missing)?)
    }

    /// Whether this file will do for a measure.
    fn will_do(&self, measure: Measure) -> bool {
        match measure {
            Measure::Swd => true,
            Measure::PathLength(_) => self.lpips.is_some(),
            Measure::InceptionScore => self.eye == Some(Eye::Inception),
            Measure::Fid | Measure::Kid | Measure::PrecisionRecall => true,
        }
    }
}

fn lpips(vgg16: Vgg16, linear: LinearWeights) -> Result<Lpips> {
    Ok(Lpips::new(Box::new(vgg16), linear)?)
}

/// The detectors that some metrics need.
pub struct Watchers(Vec<Watcher>);

impl Watchers {
    /// Opens the files in `given`, and for measures that none of them will do for, the published files in `folders`.
    ///
    /// # Errors
    /// When a file is missing or is no detector; the message says where to put it.
    pub fn open(metrics: &[Metric], given: &[PathBuf], folders: &ModelFolders) -> Result<Watchers> {
        let mut watchers = Watchers(given.iter().map(|path| Watcher::open(path)).collect::<Result<_>>()?);
        for metric in metrics {
            let Some(eye) = metric.measure.eye() else { continue };
            let has_given = watchers.0[..given.len()].iter().any(|watcher| watcher.will_do(metric.measure));
            let has_published = watchers.0.iter().any(|watcher| watcher.is_published_for(metric.measure));
            if !has_given && !has_published {
                watchers.0.push(Watcher::open(&published_file(*metric, eye, folders)?)?);
            }
        }
        Ok(watchers)
    }

    /// The detector for a measure, by its place: the published one if it is there, any other that will do otherwise.
    pub(super) fn index_for(&self, measure: Measure) -> Option<usize> {
        measure.eye()?;
        let published = self.0.iter().position(|watcher| watcher.is_published_for(measure) && watcher.will_do(measure));
        published.or_else(|| self.0.iter().position(|watcher| watcher.will_do(measure)))
    }

    /// The detector at a place.
    pub(super) fn at(&self, index: usize) -> &Watcher {
        &self.0[index]
    }
}

fn published_file(metric: Metric, eye: Eye, folders: &ModelFolders) -> Result<PathBuf> {
    let name = eye.file_name();
    let Some(path) = folders.find(name) else {
        let place = folders.place_for(name);
        bail!(
            "`{metric}` needs the detector `{name}`, which is not here\n  hint: put it at `{}` or name a detector file \
             of your own with --detector; `swd` needs none",
            place.display()
        );
    };
    Ok(path)
}
