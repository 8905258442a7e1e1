//! A run that goes on: options that may be given anew, and those that must be what they were.

use std::fmt::Display;
use std::path::Path;

use anyhow::Result;
use toonify_networks::augment::Probability;

use crate::cli::Misuse;
use crate::cli::train::absolute;
use crate::cli::train::options::{AugmentArgs, TrainOptions, TransferArgs, TweakArgs};
use crate::train::Settings;
use crate::train::plan::Anew;
use crate::train::plan::options::{AugmentMode, Switch};
use crate::train::recipes::freeze::Mapping;

/// The settings of the run in `folder` with what was typed anew.
///
/// # Errors
/// When an option was typed that would change what is learnt; the message names each such option and what the run has.
pub(super) fn settings(typed: &TrainOptions, folder: &Path, run: &Settings) -> Result<Settings> {
    let mut differences = Differences::default();
    differences.of_place(typed, folder);
    differences.of_training(typed, run);
    differences.of_augmentation(&typed.augment, run);
    differences.of_transfer(&typed.transfer, run);
    differences.of_widths(&typed.base.tweaks, run);
    differences.refuse(folder)?;
    let anew = Anew {
        kimg: typed.base.kimg,
        snap: typed.snap,
        metrics: typed.metrics.clone(),
        grid: typed.base.tweaks.grid,
        data: typed.data.as_deref().map(absolute).transpose()?,
    };
    Ok(anew.apply(run).map_err(|error| Misuse(error.to_string()))?)
}

/// What was typed and is not what the run has, a line each.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Display>(&mut self, option: &str, typed: Option<T>, run: T) {
        if let Some(typed) = typed.filter(|typed| *typed != run) {
            self.0.push(format!("--{option} {typed}, but the run has {run}"));
        }
    }

    fn of_place(&mut self, typed: &TrainOptions, folder: &Path) {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let lies_in = real(folder).parent().map(Path::to_owned).unwrap_or_default();
        let outdir = typed.outdir.as_deref().map(|outdir| real(outdir).display().to_string());
        self.compare("outdir", outdir, lies_in.display().to_string());
    }

    fn of_training(&mut self, typed: &TrainOptions, run: &Settings) {
        let on = |switch: Option<Switch>| switch.map(Switch::is_on);
        if let Some(asked) = run.asked {
            self.compare("cfg", typed.base.config, asked.config);
            self.compare("gpus", typed.gpus, asked.gpus as i64);
            self.compare("cbase", typed.base.tweaks.cbase, asked.channel_base);
            self.compare("cmax", typed.base.tweaks.cmax, asked.channel_max);
        }
        self.compare("seed", typed.seed, run.seed);
        self.compare("cond", on(typed.data_options.cond), run.data.labels);
        self.compare("mirror", on(typed.data_options.mirror), run.data.mirror);
        let subset = run.data.subset.map_or("all images".to_owned(), |subset| subset.to_string());
        self.compare("subset", typed.data_options.subset.map(|subset| subset.to_string()), subset);
        self.compare("gamma", typed.base.gamma, run.loss.gamma);
        self.compare("batch", typed.base.batch, run.batch_size as i64);
        self.compare("fp32", on(typed.machine.fp32), run.generator.num_fp16_res == 0);
    }

    fn of_augmentation(&mut self, typed: &AugmentArgs, run: &Settings) {
        let (mode, p, target) = match run.augment.probability {
            Probability::None => (AugmentMode::NoAug, None, None),
            Probability::Fixed(p) => (AugmentMode::Fixed, Some(p), None),
            Probability::Adaptive(adaptive) => (AugmentMode::Ada, None, Some(adaptive.target)),
        };
        let shown = |number: Option<f64>| number.map_or("none".to_owned(), |number| number.to_string());
        self.compare("aug", typed.mode.map(AugmentMode::name), mode.name());
        self.compare("p", typed.p.map(|p| p.to_string()), shown(p));
        self.compare("target", typed.target.map(|target| target.to_string()), shown(target));
        self.compare("augpipe", typed.set.as_ref(), &run.augment.set);
    }

    fn of_transfer(&mut self, typed: &TransferArgs, run: &Settings) {
        let freeze = run.loss.freeze;
        self.compare("freezed", typed.freezed, run.discriminator.freeze_layers as i64);
        self.compare("freezeg", typed.freezeg, freeze.generator_blocks as i64);
        self.compare("freeze-mapping", typed.freeze_mapping.map(Switch::is_on), freeze.mapping == Mapping::Frozen);
    }

    fn of_widths(&mut self, typed: &TweakArgs, run: &Settings) {
        self.compare("batch-gpu", typed.batch_gpu.map(|n| n as u64), run.batch_gpu);
        self.compare("lr", typed.lr, run.loss.learning_rate);
        self.compare("ema", typed.ema, run.loss.ema.half_life_kimg);
        self.compare("latent", typed.latent, run.generator.z_dim);
        self.compare("map-layers", typed.map_layers, run.generator.mapping.num_layers);
    }

    fn refuse(self, folder: &Path) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let lines = self.0.join("\n  ");
        let text = format!(
            "a run goes on as it was begun:\n  {lines}\n  hint: --kimg, --snap, --metrics, --grid and --data may be given \
             anew; for other options begin a new run with `--resume {}/network-snapshot-….safetensors`",
            folder.display()
        );
        Err(Misuse(text).into())
    }
}
