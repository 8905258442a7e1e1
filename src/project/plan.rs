//! What a projection is asked to do.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use toonify_networks::projection::Space;
use toonify_networks::stylegan2::Resolution;

use crate::eyes::EyesPlan;
use crate::project::{FilmKind, PersonPlan};

/// What to project; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct ProjectPlan {
    /// A picture, or a folder of pictures.
    pub target: PathBuf,
    /// Folder for the results, or for a folder of results for each picture of a folder.
    pub outdir: PathBuf,
    /// Into what, and how.
    pub projector: ProjectorPlan,
}

/// Into what is projected, and how; the same for all targets.
#[derive(Clone, Debug)]
pub struct ProjectorPlan {
    /// Checkpoint file.
    pub network: PathBuf,
    /// What decides the result.
    pub settings: Settings,
    /// Pictures that are searched for at once; `None` chooses by the network's size.
    pub batch: Option<usize>,
    /// Whether the search is shown as a film.
    pub film: FilmKind,
    /// Whether, and by what, it is measured how much the result is the same person.
    pub person: Option<PersonPlan>,
}

impl ProjectorPlan {
    /// Pictures that are searched for at once: small ones keep the processor busier together, large ones do not and would
    /// need more memory.
    pub fn images_at_once(&self, size: Resolution) -> usize {
        self.batch.unwrap_or_else(|| (256 / size.px()).clamp(1, 8))
    }
}

/// Everything beside network and target that decides the result; results of the same settings are not made twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Steps of the search.
    pub num_steps: usize,
    /// Where the random numbers start, for each target anew.
    pub seed: u32,
    /// Which latents are free.
    pub space: Space,
    /// Steps of pivotal tuning after the search; 0 for none.
    pub tune_steps: usize,
    /// Whether other faces are kept as they are while tuning.
    pub keep_others: bool,
    /// The search ends early when the distance has not improved over so many steps.
    pub patience: Option<usize>,
    /// What makes images alike.
    pub eyes: EyesPlan,
    /// Class of a conditional network.
    pub class: Option<usize>,
    /// Whether the noise images that were found along with `w` are kept.
    pub noise: NoiseKept,
    /// Encoder whose answer the search starts from; without one it starts from the average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
}

/// What becomes of the noise images that are searched for along with `w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseKept {
    /// They are dropped; images are rendered with the checkpoint's own noise.
    No,
    /// They are saved as `noise.npz`, and `proj.png` is rendered with them.
    Yes,
}

impl Settings {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.num_steps > 0, "a projection needs at least one step");
        ensure!(self.patience != Some(0), "a patience of 0 steps would end every search at once");
        Ok(())
    }
}
