//! The options of `toonify train` as they are typed.

use std::path::{Path, PathBuf};

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
    outdir: Option<PathBuf>,
    /// Training set: a zip or a folder, see `toonify dataset build`
    #[arg(long, value_name = "FILE|DIR")]
    data: Option<PathBuf>,
    /// Devices that a batch is divided among; on one machine one after the other
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    gpus: i64,
    /// Ticks from one snapshot to the next
    #[arg(long, value_name = "TICKS", default_value_t = 50, allow_negative_numbers = true)]
    snap: i64,
    /// What to measure at each snapshot, joined by commas, or `none` [default: what can be measured]
    #[arg(long, value_name = "NAMES")]
    metrics: Option<String>,
    /// Where the random numbers start
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    #[command(flatten)]
    data_options: DataArgs,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    augment: AugmentArgs,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Training set")]
struct DataArgs {
    /// Train with the labels in dataset.json
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_parser = switch)]
    cond: Switch,
    /// Use only N images
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    subset: Option<i64>,
    /// Show every image in a mirror as well
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_parser = switch)]
    mirror: Switch,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Base configuration")]
struct BaseArgs {
    /// auto, stylegan2, paper256, paper512, paper1024 or cifar
    #[arg(long = "cfg", value_name = "NAME", default_value = "auto", value_parser = config)]
    config: Config,
    /// Weight of R1 instead of the configuration's
    #[arg(long, allow_negative_numbers = true)]
    gamma: Option<f64>,
    /// Thousands of images to train for
    #[arg(long, value_name = "KIMG", allow_negative_numbers = true)]
    kimg: Option<i64>,
    /// Images in a step
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch: Option<i64>,
    #[command(flatten)]
    tweaks: TweakArgs,
}

#[derive(Debug, Args)]
struct TweakArgs {
    /// Images at once; less memory, the same step
    #[arg(long, value_name = "N")]
    batch_gpu: Option<usize>,
    /// Learning rate of both networks
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Half-life of the averaged generator in thousands of images
    #[arg(long, value_name = "KIMG", allow_negative_numbers = true)]
    ema: Option<f64>,
    /// Channels at resolution r: N / r … (16384 or 32768 in published networks)
    #[arg(long, value_name = "N")]
    cbase: Option<usize>,
    /// … but at most so many (512 in published networks)
    #[arg(long, value_name = "N")]
    cmax: Option<usize>,
    /// Length of z and w (512 in published networks)
    #[arg(long, value_name = "N")]
    latent: Option<usize>,
    /// Layers of the mapping network
    #[arg(long, value_name = "N")]
    map_layers: Option<usize>,
    /// Columns and rows of the pictures [default: as many as fill a large screen]
    #[arg(long, value_name = "COLSxROWS", value_parser = columns_and_rows)]
    grid: Option<(usize, usize)>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Augmentation")]
struct AugmentArgs {
    /// noaug, ada or fixed [default: ada]
    #[arg(long = "aug", value_name = "MODE", value_parser = mode)]
    mode: Option<AugmentMode>,
    /// Probability, with --aug=fixed
    #[arg(long, allow_negative_numbers = true)]
    p: Option<f64>,
    /// Mean sign of the discriminator's answer to real images that ada aims at [default: 0.6]
    #[arg(long, allow_negative_numbers = true)]
    target: Option<f64>,
    /// A set (blit, geom, color, filter, noise, cutout, bg, bgc, bgcf, bgcfn, bgcfnc, custom) or a list such as
    /// scale=1,xflip=1,noise=0.5 [default: bgc]
    #[arg(long = "augpipe", value_name = "SET", value_parser = augment_set)]
    set: Option<AugmentSet>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Transfer learning")]
struct TransferArgs {
    /// Begin with a checkpoint: portraits64, ffhq256, ffhq512, ffhq1024, celebahq256, lsundog256, a file or an address
    /// (its networks decide channels, latents and mapping layers); or go on with the run in a folder
    #[arg(long, value_name = "MODEL|RUN_FOLDER")]
    resume: Option<String>,
    /// Layers of the discriminator, from the image inwards, that do not learn
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    freezed: Option<i64>,
    /// Blocks of the generator, from 4 px upwards, that do not learn
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    freezeg: Option<i64>,
    /// Keep the mapping network, and with it the meaning of every w
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_parser = switch)]
    freeze_mapping: Switch,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
struct MachineArgs {
    /// Leave out half precision and, with it, the clamps (on the CPU everything is single precision anyway)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_parser = switch)]
    fp32: Switch,
    /// Accepted and written down; changes nothing here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_parser = switch)]
    nhwc: Switch,
    /// Accepted and written down; changes nothing here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_parser = switch)]
    nobench: Switch,
    /// Accepted and written down; changes nothing here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false", default_missing_value = "true", value_parser = switch)]
    allow_tf32: Switch,
    /// Accepted and written down; images are read by all threads here
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true)]
    workers: i64,
}

impl TrainOptions {
    /// The folder of a run that `--resume` names.
    pub(super) fn run_to_go_on_with(&self) -> Option<PathBuf> {
        self.transfer.resume.as_ref().map(PathBuf::from).filter(|path| path.is_dir())
    }

    /// `--kimg`
    pub(super) fn kimg(&self) -> Option<i64> {
        self.base.kimg
    }

    /// `--data`
    pub(super) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

impl TryFrom<TrainOptions> for Options {
    type Error = Misuse;

    fn try_from(typed: TrainOptions) -> Result<Self, Misuse> {
        let missing =
            |option: &str| Misuse(format!("{option} is missing; only going on with --resume RUN_FOLDER does without"));
        let AugmentArgs { mode, p, target, set } = typed.augment;
        let MachineArgs { fp32, nhwc, nobench, allow_tf32, workers } = typed.machine;
        let BaseArgs { config, gamma, kimg, batch, tweaks } = typed.base;
        Ok(Options {
            outdir: typed.outdir.ok_or_else(|| missing("--outdir"))?,
            gpus: typed.gpus,
            snap: typed.snap,
            metrics: typed.metrics,
            seed: typed.seed,
            data: typed.data.ok_or_else(|| missing("--data"))?,
            cond: typed.data_options.cond,
            subset: typed.data_options.subset,
            mirror: typed.data_options.mirror,
            config,
            gamma,
            kimg,
            batch,
            tweaks: tweaks.into(),
            augment: AugmentOptions { mode, p, target, set },
            resume: typed.transfer.resume,
            freezed: typed.transfer.freezed,
            freezeg: typed.transfer.freezeg,
            freeze_mapping: typed.transfer.freeze_mapping,
            machine: MachineOptions { fp32, nhwc, nobench, allow_tf32, workers },
        })
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
