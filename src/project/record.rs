//! What is written for each target, and how a finished one is recognised.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Noise;

use crate::chart::{Chart, Line, Scale};
use crate::events::{Event, Sink};
use crate::project::search::{Bench, Found, given};
use crate::project::target::{Target, Task};
use crate::project::{NoiseKept, Settings, TUNED_NETWORK};
use crate::store::{json, latents, picture};

const RECORD: &str = "project.json";
/// The latents in a target's folder.
pub const LATENTS: &str = "projected_w.npz";

/// What was projected.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Projected {
    /// The targets, by name.
    pub targets: Vec<ProjectedTarget>,
    /// Number of pictures that could not be read.
    pub skipped: usize,
    /// Folders with what was found when the search was interrupted; their targets are still to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interrupted: Vec<PathBuf>,
}

/// One target with its result.
#[derive(Clone, Debug, Serialize)]
pub struct ProjectedTarget {
    /// The picture.
    pub target: PathBuf,
    /// Folder of its results.
    pub folder: PathBuf,
    /// Whether an earlier run had finished it.
    pub reused: bool,
    /// What `project.json` says.
    #[serde(flatten)]
    pub record: Record,
}

/// The contents of `project.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the program.
    pub version: String,
    /// Hash of the network's file.
    pub network_sha256: String,
    /// Hash of the target's file.
    pub target_sha256: String,
    /// The settings that decided the result.
    pub settings: Settings,
    /// What made images alike, in words.
    pub perception: String,
    /// Steps taken; fewer than planned when the search ended early.
    pub steps: usize,
    /// How far the face is where the search begins: the average, or what the encoder says.
    pub start: Likeness,
    /// How far `proj.png` is.
    pub reached: Likeness,
    /// How far the person in `proj.png` is from that of the target by dlib's face recognition; below 0.6 they are one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<f64>,
    /// Pivotal tuning, if there was any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tuned: Option<Tuned>,
    /// Seconds that the target took; of a batch, its share.
    pub seconds: f64,
}

/// How far an image is from its target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// Mean squared difference of the pixels, in units of half the range of the colours.
    pub mse: f64,
    /// Distance under the perception.
    pub distance: f64,
}

/// Pivotal tuning of one target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Steps taken.
    pub steps: usize,
    /// How far `tuned.png` is from the target.
    #[serde(flatten)]
    pub reached: Likeness,
    /// How far the person in `tuned.png` is from that of the target.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<f64>,
}

/// What a result must have been made of to count as this run's.
pub struct Identity {
    /// Hash of the network's file.
    pub network_sha256: String,
    settings: Settings,
}

impl Identity {
    pub(super) fn new(settings: &Settings, network_sha256: String) -> Self {
        Identity { network_sha256, settings: settings.clone() }
    }

    /// Sorts tasks into finished ones and those that are still to do.
    ///
    /// # Errors
    /// When a record is there and cannot be read.
    pub(super) fn sort(&self, tasks: Vec<Task>, sink: &mut dyn Sink) -> Result<(Projected, Vec<Task>)> {
        let (mut outcome, mut pending) = (Projected::default(), Vec::new());
        for task in tasks {
            match self.finished(&task)? {
                Some(record) => {
                    let Task { path: target, folder, .. } = task;
                    outcome.targets.push(ProjectedTarget { target, folder, reused: true, record });
                }
                None => pending.push(task),
            }
        }
        if !outcome.targets.is_empty() {
            let count = outcome.targets.len();
            sink.event(&Event::Note(format!(
                "{count} finished before with the same settings, {} to do",
                pending.len()
            )));
        }
        Ok((outcome, pending))
    }

    fn finished(&self, task: &Task) -> Result<Option<Record>> {
        let Some(record) = json::read_if_any::<Record>(&task.folder.join(RECORD))? else { return Ok(None) };
        let same = record.network_sha256 == self.network_sha256
            && record.settings == self.settings
            && record.version == version()
            && task.folder.join(LATENTS).is_file();
        // A target that cannot be read any more is reported when its turn comes.
        let same = same && task.sha256().is_ok_and(|hash| hash == record.target_sha256);
        Ok(same.then_some(record))
    }
}

impl Record {
    /// Measures what was found for a target, and what the average face would have been; the picture is that of `found`.
    ///
    /// # Errors
    /// When the target's file is gone, or what the networks return.
    pub(super) fn of(
        identity: &Identity,
        target: &Target,
        (found, bench): (&Found, &Bench),
    ) -> Result<(Record, RgbImage)> {
        let config = bench.generator.config();
        let begin = bench.start(target, &identity.settings, &mut RandomState::new(identity.settings.seed))?;
        let noise = match identity.settings.noise {
            NoiseKept::No => Noise::Const,
            NoiseKept::Yes => given(&found.noise),
        };
        let (start, _image) = bench.judge(target, &begin.w_plus(config)?, &Noise::Const)?;
        let (reached, image) = bench.judge(target, &found.ws, &noise)?;
        let record = Record {
            version: version(),
            network_sha256: identity.network_sha256.clone(),
            target_sha256: target.task.sha256()?,
            settings: identity.settings.clone(),
            perception: bench.eyes.name.clone(),
            steps: found.losses.len(),
            start,
            reached,
            person: bench.person_distance(target, &image)?,
            tuned: None,
            seconds: 0.0,
        };
        Ok((record, image))
    }

    /// Writes `project.json`, which makes the target a finished one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(self, task: &Task, sink: &mut dyn Sink) -> Result<ProjectedTarget> {
        let path = task.folder.join(RECORD);
        json::write(&path, &self)?;
        sink.event(&Event::Saved { path });
        let Task { path: target, folder, .. } = task.clone();
        Ok(ProjectedTarget { target, folder, reused: false, record: self })
    }
}

/// Takes the mark of a finished target away before its files are replaced, and what may not be replaced: a tuned generator
/// belongs to its search.
///
/// # Errors
/// When a file is there and cannot be removed.
pub fn reopen(folder: &Path) -> Result<()> {
    for name in [RECORD, TUNED_NETWORK, "tuned.png"] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace `{}`", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes latents and pictures of a search, in the published names.
///
/// # Errors
/// When a file cannot be written.
pub fn write_projection(target: &Target, found: &Found, image: &RgbImage, noise: NoiseKept) -> Result<()> {
    let folder = &target.task.folder;
    picture::write(&folder.join("target.png"), &target.image)?;
    picture::write(&folder.join("proj.png"), &image.clone().into())?;
    if noise == NoiseKept::Yes {
        let arrays: Vec<_> =
            found.noise.iter().enumerate().map(|(i, image)| (format!("noise{i}"), image.clone())).collect();
        latents::write_arrays(&folder.join("noise.npz"), &arrays)?;
    }
    latents::write_w_plus(&folder.join(LATENTS), &found.ws)
}

/// Draws the losses over the steps into `loss.png`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_chart(folder: &Path, losses: Vec<Line>) -> Result<()> {
    // A search that begins at its goal has nothing to show.
    let (title, x_caption) = ("Distance from the target".to_owned(), "step".to_owned());
    let chart = Chart { title, x_caption, scale: Scale::Logarithmic, lines: losses };
    if !chart.can_be_shown() {
        return Ok(());
    }
    picture::write(&folder.join("loss.png"), &chart.render()?.into())
}

/// Mean squared difference of two pictures of one size, in units of half the range of the colours.
pub fn mse(a: &RgbImage, b: &RgbImage) -> f64 {
    let squares = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    squares.sum::<f64>() / a.as_raw().len() as f64 / (127.5 * 127.5)
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
