//! The options of `toonify train` as they are typed.

use std::path::PathBuf;

use clap::Args;
use toonify_networks::augment::AugmentSet;

use crate::cli::{Misuse, suggest};
use crate::train::plan::Config;
use crate::train::plan::options::{AugmentMode, AugmentOptions, MachineOptions, Options, Switch, Tweaks};

/// The published options with their published defaults, and ours. Numbers are checked against each other by the plan.
#[derive(Debug, Args)]
pub(super) struct TrainOptions {
    /// Folder of all runs; each run gets a numbered folder in it
    #[arg(long, value_name = "DIR")]
    pub(super) outdir: Option<PathBuf>,
    /// Training set: a zip or a folder, see `toonify dataset build`
    #[arg(long, value_name = "FILE|DIR")]
    pub(super) data: Option<PathBuf>,
    /// Devices that a batch is divided among; on one machine one after the other [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) gpus: Option<i64>,
    /// Ticks from one snapshot to the next [default: 50]
    #[arg(long, value_name = "TICKS", allow_negative_numbers = true)]
    pub(super) snap: Option<i64>,
    /// What to measure at each snapshot, joined by commas, or `none` [default: swd, which needs no detector]
    #[arg(long, value_name = "NAMES")]
    pub(super) metrics: Option<String>,
    /// Detector file for the metrics (TorchScript, .pth or .safetensors) in place of the published one; repeat it for
    /// several
    #[arg(long, value_name = "FILE")]
    pub(super) detector: Vec<PathBuf>,
    /// Where the random numbers start [default: 0]
    #[arg(long, value_name = "SEED")]
    pub(super) seed: Option<u32>,
    #[command(flatten)]
    pub(super) data_options: DataArgs,
    #[command(flatten)]
    pub(super) base: BaseArgs,
    #[command(flatten)]
    pub(super) augment: AugmentArgs,
    #[command(flatten)]
    pub(super) transfer: TransferArgs,
    #[command(flatten)]
    pub(super) machine: MachineArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Training set")]
pub(super) struct DataArgs {
    /// Train with the labels in dataset.json
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) cond: Option<Switch>,
    /// Use only N images
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) subset: Option<i64>,
    /// Show every image in a mirror as well
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) mirror: Option<Switch>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Base configuration")]
pub(super) struct BaseArgs {
    /// auto, stylegan2, paper256, paper512, paper1024 or cifar [default: auto]
    #[arg(long = "cfg", value_name = "NAME", value_parser = config)]
    pub(super) config: Option<Config>,
    /// Weight of R1 instead of the configuration's
    #[arg(long, allow_negative_numbers = true)]
    pub(super) gamma: Option<f64>,
    /// Thousands of images to train for
    #[arg(long, value_name = "KIMG", allow_negative_numbers = true)]
    pub(super) kimg: Option<i64>,
    /// Images in a step
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) batch: Option<i64>,
    #[command(flatten)]
    pub(super) tweaks: TweakArgs,
}

#[derive(Debug, Args)]
pub(super) struct TweakArgs {
    /// Images at once; less memory, the same step
    #[arg(long, value_name = "N")]
    pub(super) batch_gpu: Option<usize>,
    /// Learning rate of both networks
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(super) lr: Option<f64>,
    /// Half-life of the averaged generator in thousands of images
    #[arg(long, value_name = "KIMG", allow_negative_numbers = true)]
    pub(super) ema: Option<f64>,
    /// Channels at resolution r: N / r … (16384 or 32768 in published networks)
    #[arg(long, value_name = "N")]
    pub(super) cbase: Option<usize>,
    /// … but at most so many (512 in published networks)
    #[arg(long, value_name = "N")]
    pub(super) cmax: Option<usize>,
    /// Length of z and w (512 in published networks)
    #[arg(long, value_name = "N")]
    pub(super) latent: Option<usize>,
    /// Layers of the mapping network
    #[arg(long, value_name = "N")]
    pub(super) map_layers: Option<usize>,
    /// Columns and rows of the pictures [default: as many as fill a large screen]
    #[arg(long, value_name = "COLSxROWS", value_parser = columns_and_rows)]
    pub(super) grid: Option<(usize, usize)>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Augmentation")]
pub(super) struct AugmentArgs {
    /// noaug, ada or fixed [default: ada]
    #[arg(long = "aug", value_name = "MODE", value_parser = mode)]
    pub(super) mode: Option<AugmentMode>,
    /// Probability, with --aug=fixed
    #[arg(long, allow_negative_numbers = true)]
    pub(super) p: Option<f64>,
    /// Mean sign of the discriminator's answer to real images that ada aims at [default: 0.6]
    #[arg(long, allow_negative_numbers = true)]
    pub(super) target: Option<f64>,
    /// A set (blit, geom, color, filter, noise, cutout, bg, bgc, bgcf, bgcfn, bgcfnc, custom) or a list such as
    /// scale=1,xflip=1,noise=0.5 [default: bgc]
    #[arg(long = "augpipe", value_name = "SET", value_parser = augment_set)]
    pub(super) set: Option<AugmentSet>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Transfer learning")]
pub(super) struct TransferArgs {
    /// Begin with a checkpoint: ffhq256, ffhq512, ffhq1024, celebahq256, lsundog256, a file or an address
    /// (its networks decide channels, latents and mapping layers); or go on with the run in a folder
    #[arg(long, value_name = "MODEL|RUN_FOLDER")]
    pub(super) resume: Option<String>,
    /// Layers of the discriminator, from the image inwards, that do not learn
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) freezed: Option<i64>,
    /// Blocks of the generator, from 4 px upwards, that do not learn
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) freezeg: Option<i64>,
    /// Keep the mapping network, and with it the meaning of every w
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) freeze_mapping: Option<Switch>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub(super) struct MachineArgs {
    /// Leave out half precision and, with it, the clamps (on the CPU everything is single precision anyway)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) fp32: Option<Switch>,
    /// Accepted and written down; changes nothing here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) nhwc: Option<Switch>,
    /// Accepted and written down; changes nothing here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) nobench: Option<Switch>,
    /// Accepted and written down; changes nothing here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) allow_tf32: Option<Switch>,
    /// Accepted and written down; images are read by all threads here [default: 3]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(super) workers: Option<i64>,
}

impl TrainOptions {
    /// The folder of a run that `--resume` names.
    pub(super) fn run_to_go_on_with(&self) -> Option<PathBuf> {
        self.transfer.resume.as_ref().map(PathBuf::from).filter(|path| path.is_dir())
    }
}

impl TryFrom<TrainOptions> for Options {
    type Error = Misuse;

    fn try_from(typed: TrainOptions) -> Result<Self, Misuse> {
        let missing =
            |option: &str| Misuse(format!("{option} is missing; only going on with --resume RUN_FOLDER does without"));
        let AugmentArgs { mode, p, target, set } = typed.augment;
        let outdir = typed.outdir.ok_or_else(|| missing("--outdir"))?;
        let defaults = Options::new(outdir, typed.data.ok_or_else(|| missing("--data"))?);
        let BaseArgs { config, gamma, kimg, batch, tweaks } = typed.base;
        Ok(Options {
            gpus: typed.gpus.unwrap_or(defaults.gpus),
            snap: typed.snap.unwrap_or(defaults.snap),
            metrics: typed.metrics,
            seed: typed.seed.unwrap_or(defaults.seed),
            cond: typed.data_options.cond.unwrap_or_default(),
            subset: typed.data_options.subset,
            mirror: typed.data_options.mirror.unwrap_or_default(),
            config: config.unwrap_or_default(),
            gamma,
            kimg,
            batch,
            tweaks: tweaks.into(),
            augment: AugmentOptions { mode, p, target, set },
            resume: typed.transfer.resume,
            freezed: typed.transfer.freezed,
            freezeg: typed.transfer.freezeg,
            freeze_mapping: typed.transfer.freeze_mapping.unwrap_or_default(),
            machine: typed.machine.into(),
            ..defaults
        })
    }
}

impl From<MachineArgs> for MachineOptions {
    fn from(typed: MachineArgs) -> Self {
        let MachineArgs { fp32, nhwc, nobench, allow_tf32, workers } = typed;
        let [fp32, nhwc, nobench, allow_tf32] = [fp32, nhwc, nobench, allow_tf32].map(Option::unwrap_or_default);
        MachineOptions { fp32, nhwc, nobench, allow_tf32, workers: workers.unwrap_or(Self::default().workers) }
    }
}

impl From<TweakArgs> for Tweaks {
    fn from(typed: TweakArgs) -> Self {
        let TweakArgs { batch_gpu, lr, ema, cbase, cmax, latent, map_layers, grid } = typed;
        let (channel_base, channel_max) = (cbase, cmax);
        Tweaks { channel_base, channel_max, latent, map_layers, rate: lr, ema_kimg: ema, batch_gpu, grid }
    }
}

fn columns_and_rows(text: &str) -> Result<(usize, usize), String> {
    let pair = text.split_once('x').and_then(|(columns, rows)| Some((columns.parse().ok()?, rows.parse().ok()?)));
    pair.ok_or_else(|| "expected two numbers, such as 8x4".to_owned())
}

/// The spellings that the published trainer takes.
fn switch(text: &str) -> Result<Switch, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(Switch::On),
        "0" | "false" | "f" | "no" | "n" | "off" | "" => Ok(Switch::Off),
        _ => Err("expected true or false, 1 or 0, yes or no, on or off".to_owned()),
    }
}

fn config(text: &str) -> Result<Config, String> {
    let found = Config::ALL.into_iter().find(|config| config.name() == text);
    found.ok_or_else(|| suggest::hint(text, &Config::ALL.map(Config::name)))
}

fn mode(text: &str) -> Result<AugmentMode, String> {
    let modes = [AugmentMode::NoAug, AugmentMode::Ada, AugmentMode::Fixed];
    let found = modes.into_iter().find(|mode| mode.name() == text);
    found.ok_or_else(|| suggest::hint(text, &modes.map(AugmentMode::name)))
}

fn augment_set(text: &str) -> Result<AugmentSet, String> {
    text.parse().map_err(|error: toonify_networks::Error| error.to_string())
}
