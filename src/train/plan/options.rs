//! What can be typed, typed: the options of the published trainer, and ours.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toonify_networks::augment::AugmentSet;

/// Yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// No.
    #[default]
    Off,
    /// Yes.
    On,
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Switch::On } else { Switch::Off }
    }
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Switch::On
    }
}

/// The base configurations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Config {
    /// Chosen by resolution and devices: a good start for new data.
    #[default]
    Auto,
    /// StyleGAN2's config F at 1024 px.
    Stylegan2,
    /// The ADA paper's for FFHQ and LSUN at 256 px.
    Paper256,
    /// The ADA paper's for BreCaHAD and AFHQ at 512 px.
    Paper512,
    /// The ADA paper's for MetFaces at 1024 px.
    Paper1024,
    /// The ADA paper's for CIFAR-10 at 32 px.
    Cifar,
}

impl Config {
    /// All of them, in the published order.
    pub const ALL: [Config; 6] =
        [Config::Auto, Config::Stylegan2, Config::Paper256, Config::Paper512, Config::Paper1024, Config::Cifar];

    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            Config::Auto => "auto",
            Config::Stylegan2 => "stylegan2",
            Config::Paper256 => "paper256",
            Config::Paper512 => "paper512",
            Config::Paper1024 => "paper1024",
            Config::Cifar => "cifar",
        }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the probability of augmentation is to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AugmentMode {
    /// No augmentation.
    NoAug,
    /// By how much the discriminator overfits.
    Ada,
    /// To one number.
    Fixed,
}

impl AugmentMode {
    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            AugmentMode::NoAug => "noaug",
            AugmentMode::Ada => "ada",
            AugmentMode::Fixed => "fixed",
        }
    }
}

/// Options about augmentation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AugmentOptions {
    /// `--aug`
    pub mode: Option<AugmentMode>,
    /// `--p`
    pub p: Option<f64>,
    /// `--target`
    pub target: Option<f64>,
    /// `--augpipe`
    pub set: Option<AugmentSet>,
}

/// Numbers of the configuration that only ours lets one change.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tweaks {
    /// `--cbase`: channels times resolution.
    pub channel_base: Option<usize>,
    /// `--cmax`: most channels anywhere.
    pub channel_max: Option<usize>,
    /// `--latent`: length of z and w.
    pub latent: Option<usize>,
    /// `--map-layers`: layers of the mapping network.
    pub map_layers: Option<usize>,
    /// `--lr`: learning rate.
    pub rate: Option<f64>,
    /// `--ema`: half-life of the averaged generator.
    pub ema_kimg: Option<f64>,
    /// `--batch-gpu`: images at once.
    pub batch_gpu: Option<usize>,
    /// `--grid`: columns and rows of the pictures.
    pub grid: Option<(usize, usize)>,
}

impl Tweaks {
    /// Whether the shape of the networks was typed; a checkpoint that the training begins with decides it otherwise.
    pub fn shape_networks(&self) -> bool {
        [self.channel_base, self.channel_max, self.latent, self.map_layers].iter().any(Option::is_some)
    }
}

/// Options about the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineOptions {
    /// `--fp32`
    pub fp32: Switch,
    /// `--nhwc`
    pub nhwc: Switch,
    /// `--nobench`
    pub nobench: Switch,
    /// `--allow-tf32`
    pub allow_tf32: Switch,
    /// `--workers`
    pub workers: i64,
}

impl Default for MachineOptions {
    fn default() -> Self {
        let off = Switch::Off;
        MachineOptions { fp32: off, nhwc: off, nobench: off, allow_tf32: off, workers: 3 }
    }
}

/// Everything that can be typed; `None` where nothing was and the name of the run says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `--outdir`
    pub outdir: PathBuf,
    /// `--gpus`
    pub gpus: i64,
    /// `--snap`
    pub snap: i64,
    /// `--metrics`, names joined by commas
    pub metrics: Option<String>,
    /// `--seed`
    pub seed: u32,
    /// `--data`
    pub data: PathBuf,
    /// `--cond`
    pub cond: Switch,
    /// `--subset`
    pub subset: Option<i64>,
    /// `--mirror`
    pub mirror: Switch,
    /// `--cfg`
    pub config: Config,
    /// `--gamma`
    pub gamma: Option<f64>,
    /// `--kimg`
    pub kimg: Option<i64>,
    /// `--batch`
    pub batch: Option<i64>,
    /// What only ours lets one change.
    pub tweaks: Tweaks,
    /// Augmentation.
    pub augment: AugmentOptions,
    /// `--resume`
    pub resume: Option<String>,
    /// `--freezed`
    pub freezed: Option<i64>,
    /// `--freezeg`
    pub freezeg: Option<i64>,
    /// `--freeze-mapping`
    pub freeze_mapping: Switch,
    /// The machine.
    pub machine: MachineOptions,
}

impl Options {
    /// The defaults for a training set and a folder for the results.
    pub fn new(outdir: PathBuf, data: PathBuf) -> Self {
        Options {
            outdir,
            gpus: 1,
            snap: 50,
            metrics: None,
            seed: 0,
            data,
            cond: Switch::Off,
            subset: None,
            mirror: Switch::Off,
            config: Config::Auto,
            gamma: None,
            kimg: None,
            batch: None,
            tweaks: Tweaks::default(),
            augment: AugmentOptions::default(),
            resume: None,
            freezed: None,
            freezeg: None,
            freeze_mapping: Switch::Off,
            machine: MachineOptions::default(),
        }
    }
}
