//! From what was typed to settings in which nothing is left to ask: the options of the published trainer, with its
//! defaults, its configurations, its checks in their order, and the names that it gives to run folders.
//!
//! Nothing here opens a file: what the training set is comes in as [`DataFacts`].

mod anew;
mod augmentation;
mod config;
mod metric;
mod name;
mod networks;
pub mod options;
mod published;

use toonify_networks::augment::AugmentSet;

use crate::statistics::Metric;
use crate::store::models::{self, Origin};
use crate::train::ema::EmaConfig;
use crate::train::pictures::published_grid;
use crate::train::recipes::augmenter::AugmentSettings;
use crate::train::recipes::freeze::{Freeze, Mapping};
use crate::train::recipes::stylegan2::LossSettings;
use crate::train::settings::{Asked, DataSettings, Settings};
use config::Base;
use name::Description;
use options::{Options, Switch, Tweaks};

pub use anew::Anew;
pub use options::Config;

/// An option that cannot be what it is; the text names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub String);

/// Returns the error unless the condition holds.
fn require(condition: bool, text: impl Into<String>) -> Result<(), PlanError> {
    if condition { Ok(()) } else { Err(PlanError(text.into())) }
}

/// What is known about a training set before training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFacts {
    /// Its name: that of the file or folder, without the ending.
    pub name: String,
    /// Images in it.
    pub images: usize,
    /// Side of the images in pixels.
    pub resolution: usize,
    /// 1 or 3.
    pub channels: usize,
    /// Length of a label; 0 without labels.
    pub label_dim: usize,
}

/// All decisions about one training.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What was typed.
    pub options: Options,
    /// Name of the run, without its number.
    pub description: String,
    /// Everything that decides the result.
    pub settings: Settings,
    /// Images that are used, before mirroring.
    pub images: usize,
    /// Base configuration, devices, channels; here one device does the work of all, one after the other.
    pub asked: Asked,
    /// Where the weights come from; `None` for random ones.
    pub origin: Option<Origin>,
    /// Threads that read images.
    pub workers: usize,
}

/// Turns options into decisions. The training set is looked at by `data` when the options before it are sound.
///
/// # Errors
/// The published text for the first option that cannot be what it is.
pub fn resolve(
    options: &Options,
    data: impl FnOnce() -> Result<DataFacts, anyhow::Error>,
) -> Result<Resolved, PlanError> {
    let gpus = usize::try_from(options.gpus).unwrap_or(0);
    require(gpus.is_power_of_two(), "--gpus must be a power of two")?;
    let snapshot_ticks = at_least_1(options.snap, "--snap must be at least 1")? as u64;
    let metrics = options.metrics.as_deref().map(metric::parse).transpose()?;
    let facts = data().map_err(|error| PlanError(format!("--data: {error:#}")))?;
    let mut description = Description::new(&facts.name);
    let data = data_settings(options, &facts, &mut description)?;
    description.config(options.config, gpus);
    let mut base = Base::new(options.config, facts.resolution, gpus);
    overrides(options, (&mut base, gpus), &mut description)?;
    let (mut probability, set) = augmentation::resolve(&options.augment, &mut description)?;
    let origin = origin(options.resume.as_deref(), &mut description);
    if origin.is_some() {
        augmentation::hurry(&mut probability);
        base.ema_rampup = None;
    }
    let freeze = freeze(options, &mut description)?;
    let workers = at_least_1(options.machine.workers, "--workers must be at least 1")?;
    tweak(&options.tweaks, &mut base, &mut description)?;
    let (generator, discriminator) = networks::configs(options, &base, &facts)?;
    let images = data.subset.unwrap_or(facts.images);
    let (channel_base, channel_max) = (base.channel_base, base.channel_max);
    let asked = Asked { config: options.config, gpus, channel_base, channel_max };
    let settings = Settings {
        data,
        generator,
        discriminator,
        loss: loss(&base, freeze),
        augment: AugmentSettings { set: set.unwrap_or(AugmentSet::NONE), probability },
        batch_size: base.batch_size as u64,
        batch_gpu: base.batch_gpu as u64,
        total_kimg: base.kimg as u64,
        snapshot_ticks,
        metrics: metrics.unwrap_or_else(Metric::default_while_training),
        grid: options.tweaks.grid.unwrap_or_else(|| published_grid(facts.resolution)),
        seed: options.seed,
        asked: Some(asked),
    };
    let (options, description) = (options.clone(), description.finish());
    Ok(Resolved { options, description, settings, images, asked, origin, workers })
}

fn at_least_1(number: i64, text: &str) -> Result<usize, PlanError> {
    usize::try_from(number).ok().filter(|&number| number >= 1).ok_or_else(|| PlanError(text.to_owned()))
}

fn data_settings(
    options: &Options,
    facts: &DataFacts,
    description: &mut Description,
) -> Result<DataSettings, PlanError> {
    if options.cond.is_on() {
        require(facts.label_dim > 0, "--cond=True requires labels specified in dataset.json")?;
        description.add("cond");
    }
    let mut subset = None;
    if let Some(size) = options.subset {
        let size = usize::try_from(size).ok().filter(|size| (1..=facts.images).contains(size));
        let size = size.ok_or_else(|| PlanError(format!("--subset must be between 1 and {}", facts.images)))?;
        description.add(&format!("subset{size}"));
        subset = Some(size).filter(|&size| size < facts.images);
    }
    if options.mirror.is_on() {
        description.add("mirror");
    }
    let (mirror, labels) = (options.mirror.is_on(), options.cond.is_on());
    Ok(DataSettings { path: options.data.clone(), mirror, labels, subset })
}

/// What was typed instead of numbers of the configuration.
fn overrides(
    options: &Options,
    (base, gpus): (&mut Base, usize),
    description: &mut Description,
) -> Result<(), PlanError> {
    if let Some(gamma) = options.gamma {
        require(gamma >= 0.0 && gamma.is_finite(), "--gamma must be non-negative")?;
        description.number("gamma", gamma);
        base.gamma = gamma;
    }
    if let Some(kimg) = options.kimg {
        base.kimg = at_least_1(kimg, "--kimg must be at least 1")?;
        description.add(&format!("kimg{kimg}"));
    }
    if let Some(batch) = options.batch {
        let text = "--batch must be at least 1 and divisible by --gpus";
        base.batch_size = at_least_1(batch, text)?;
        require(base.batch_size.is_multiple_of(gpus), text)?;
        description.add(&format!("batch{batch}"));
        base.batch_gpu = base.batch_size / gpus;
    }
    Ok(())
}

fn origin(resume: Option<&str>, description: &mut Description) -> Option<Origin> {
    let resume = resume?;
    if resume == "noresume" {
        description.add(resume);
        return None;
    }
    let origin = models::origin(resume);
    description.add(&match &origin {
        Origin::Published(model) => format!("resume{}", model.name),
        Origin::Url(_) | Origin::File(_) => "resumecustom".to_owned(),
    });
    Some(origin)
}

fn freeze(options: &Options, description: &mut Description) -> Result<Freeze, PlanError> {
    if let Some(freezed) = options.freezed {
        require(freezed >= 0, "--freezed must be non-negative")?;
        description.add(&format!("freezed{freezed}"));
    }
    let blocks = options.freezeg.unwrap_or(0);
    let generator_blocks = usize::try_from(blocks).map_err(|_| PlanError("--freezeg must be non-negative".into()))?;
    if options.freezeg.is_some() {
        description.add(&format!("freezeg{blocks}"));
    }
    let mapping = match options.freeze_mapping {
        Switch::Off => Mapping::Learns,
        Switch::On => Mapping::Frozen,
    };
    if mapping == Mapping::Frozen {
        description.add("freezemapping");
    }
    Ok(Freeze { generator_blocks, mapping })
}

/// What only ours lets one change, last in the name.
fn tweak(tweaks: &Tweaks, base: &mut Base, description: &mut Description) -> Result<(), PlanError> {
    let Tweaks { channel_base, channel_max, latent, map_layers, rate, ema_kimg, batch_gpu, grid: _ } = *tweaks;
    let counts = [
        ("cbase", channel_base, &mut base.channel_base),
        ("cmax", channel_max, &mut base.channel_max),
        ("latent", latent, &mut base.latent_dim),
        ("map", map_layers, &mut base.mapping_layers),
    ];
    for (name, typed, value) in counts {
        if let Some(typed) = typed {
            description.add(&format!("{name}{typed}"));
            *value = typed;
        }
    }
    for (name, typed, value) in [("lr", rate, &mut base.rate), ("ema", ema_kimg, &mut base.ema_kimg)] {
        if let Some(typed) = typed {
            require(typed >= 0.0 && typed.is_finite(), format!("--{name} must be non-negative"))?;
            description.number(name, typed);
            *value = typed;
        }
    }
    base.batch_gpu = batch_gpu.unwrap_or(base.batch_gpu);
    Ok(())
}

/// Path lengths are measured on so small a part of a batch, and regularisation is so lazy (Karras et al. 2020,
/// "Analyzing and Improving the Image Quality of StyleGAN", section 3 and appendix B).
const PATH_LENGTH_SHRINK: usize = 2;
const GENERATOR_INTERVAL: u64 = 4;
const DISCRIMINATOR_INTERVAL: u64 = 16;

fn loss(base: &Base, freeze: Freeze) -> LossSettings {
    let (path_length_weight, style_mixing) = base.regularisers();
    LossSettings {
        learning_rate: base.rate,
        gamma: base.gamma,
        style_mixing,
        path_length_weight,
        path_length_shrink: PATH_LENGTH_SHRINK,
        generator_interval: GENERATOR_INTERVAL,
        discriminator_interval: DISCRIMINATOR_INTERVAL,
        ema: EmaConfig { half_life_kimg: base.ema_kimg, rampup: base.ema_rampup },
        freeze,
    }
}
