//! What a training is asked to do: everything that decides its result, and where it begins and ends.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use toonify_networks::stylegan2::{DiscriminatorConfig, GeneratorConfig};

use crate::statistics::Metric;
use crate::train::plan::Config;
use crate::train::recipes::augmenter::AugmentSettings;
use crate::train::recipes::stylegan2::LossSettings;

/// Everything that decides the result; the same settings and the same images give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The training set.
    pub data: DataSettings,
    /// What the generator looks like.
    pub generator: GeneratorConfig,
    /// What the discriminator looks like, frozen layers included.
    pub discriminator: DiscriminatorConfig,
    /// Losses and learning rates.
    pub loss: LossSettings,
    /// Augmentation.
    pub augment: AugmentSettings,
    /// Images a step.
    pub batch_size: u64,
    /// Images at once; their gradients add up to those of a step.
    pub batch_gpu: u64,
    /// Thousands of images after which the training is finished.
    pub total_kimg: u64,
    /// Ticks between snapshots.
    pub snapshot_ticks: u64,
    /// What is measured at each snapshot; runs of before it was measured take the default.
    #[serde(default = "Metric::default_while_training")]
    pub metrics: Vec<Metric>,
    /// Columns and rows of the pictures `reals.png` and `fakes*.png`.
    pub grid: (usize, usize),
    /// Where all random numbers start.
    pub seed: u32,
    /// What the numbers above were taken from; runs of before this was kept do not know.
    #[serde(default)]
    pub asked: Option<Asked>,
}

/// What numbers of the settings were taken from: decides nothing by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The base configuration.
    pub config: Config,
    /// Devices that the batch is divided among.
    pub gpus: usize,
    /// Channels times resolution of both networks.
    pub channel_base: usize,
    /// Most channels anywhere.
    pub channel_max: usize,
}

/// Which images of which set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSettings {
    /// Folder or zip.
    pub path: PathBuf,
    /// Whether each image comes once more as in a mirror.
    pub mirror: bool,
    /// Whether labels are used.
    pub labels: bool,
    /// At most so many images, chosen by the seed.
    pub subset: Option<usize>,
}

/// A training from its beginning to its end; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct TrainPlan {
    /// Everything that decides the result.
    pub settings: Settings,
    /// What it begins with.
    pub start: Start,
    /// Where it writes.
    pub place: Place,
    /// At least so often the state is saved, so that a killed run loses no more. It has no influence on the result.
    pub save_every: Duration,
}

/// What a training begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Random networks.
    Scratch,
    /// The networks of a checkpoint file.
    Checkpoint(PathBuf),
    /// Where the training in [`Place::Existing`] was left.
    Continue,
}

/// Where a training writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A new folder with the next free number: `OUTDIR/00000-NAME`.
    New {
        /// The folder of all runs.
        outdir: PathBuf,
        /// What is said about the run behind its number.
        name: String,
    },
    /// The folder of a run.
    Existing(PathBuf),
}

impl Settings {
    /// Checks what can be checked without looking at the images.
    ///
    /// # Errors
    /// When a number is out of range or two do not fit together; the message names the option.
    pub fn check(&self) -> Result<()> {
        self.generator.check()?;
        self.discriminator.check()?;
        let (batch, round) = (self.batch_size, self.batch_gpu);
        ensure!(batch > 0 && round > 0, "a step needs at least one image");
        ensure!(batch.is_multiple_of(round), "a batch of {batch} images cannot be taken {round} at a time");
        if let Some(group) = self.discriminator.mbstd_group_size.filter(|_| self.discriminator.mbstd_num_channels > 0) {
            let group = (group as u64).min(round);
            ensure!(
                round.is_multiple_of(group),
                "{round} images at a time do not divide into groups of {group} for the minibatch standard deviation: \
                 choose a multiple of {group}"
            );
        }
        ensure!(self.total_kimg > 0 && self.snapshot_ticks > 0, "--kimg and --snap count from 1");
        ensure!(self.grid.0 > 0 && self.grid.1 > 0, "the grid of pictures needs at least one column and one row");
        let loss = &self.loss;
        ensure!(loss.learning_rate > 0.0 && loss.learning_rate.is_finite(), "--lr must be positive");
        ensure!(loss.gamma >= 0.0 && loss.gamma.is_finite(), "--gamma must be non-negative");
        ensure!(loss.ema.half_life_kimg >= 0.0, "--ema must be non-negative");
        let pairs = [
            ("resolution", self.generator.resolution.px(), self.discriminator.resolution.px()),
            ("channels", self.generator.img_channels, self.discriminator.img_channels),
            ("labels", self.generator.c_dim, self.discriminator.c_dim),
        ];
        for (what, generator, judge) in pairs {
            ensure!(generator == judge, "the generator has {what} {generator}, the discriminator {judge}");
        }
        Ok(())
    }
}
