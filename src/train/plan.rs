//! From what was typed to a plan in which nothing is left to ask: the options of the published trainer, with its
//! defaults, its configurations, its checks in their order, and the names that it gives to run folders.
//!
//! Nothing here opens a file: what the training set is comes in as [`DataFacts`].

mod augmentation;
mod config;
mod metric;
mod name;
mod networks;
pub mod options;
mod published;

use std::path::PathBuf;

use toonify_networks::augment::{AugmentSet, Probability};
use toonify_networks::stylegan2::{DiscriminatorConfig, GeneratorConfig};

use crate::store::models::{self, Source};
use config::Base;
use name::Description;
use options::{Options, Switch};

pub use metric::{Detector, Metric};
pub use name::run_folder;
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
    /// Devices that the batch is divided among; here one does the work of all, one after the other.
    pub gpus: usize,
    /// Ticks from one snapshot to the next.
    pub snapshot_ticks: usize,
    /// What is measured at each snapshot; `None` leaves the choice to what can be measured.
    pub metrics: Option<Vec<Metric>>,
    /// The images.
    pub data: DataPlan,
    /// The generator, as it is built when no checkpoint is given.
    pub generator: GeneratorConfig,
    /// The discriminator, likewise, and with the layers that do not learn.
    pub discriminator: DiscriminatorConfig,
    /// Channels times resolution, and most channels, of both networks.
    pub channels: (usize, usize),
    /// What does not learn of the generator.
    pub frozen: FrozenParts,
    /// Losses and optimisers.
    pub learning: Learning,
    /// Thousands of images until the end.
    pub total_kimg: usize,
    /// Images in a step.
    pub batch_size: usize,
    /// Images in one round of a phase.
    pub batch_gpu: usize,
    /// How the probability of augmentation is set.
    pub probability: Probability,
    /// What augmentation does; `None` without any.
    pub augment: Option<AugmentSet>,
    /// Where the weights come from.
    pub start: Start,
    /// Threads that read images.
    pub workers: usize,
}

/// Which images of a set are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlan {
    /// Folder or zip.
    pub path: PathBuf,
    /// Side of the images in pixels.
    pub resolution: usize,
    /// Images used, before mirroring.
    pub max_size: usize,
    /// Where the choice of a part of the set starts; `None` uses all.
    pub subset_seed: Option<u32>,
    /// Whether the networks see labels.
    pub labels: Switch,
    /// Whether every image is also seen in a mirror.
    pub mirror: Switch,
}

/// What of the generator does not learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrozenParts {
    /// Blocks of the synthesis network, from 4 px upwards.
    pub generator_blocks: usize,
    /// Whether the mapping network stays as it is.
    pub mapping: Switch,
}

/// Losses and optimisers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    /// Learning rate of both networks, before lazy regularisation.
    pub rate: f64,
    /// Weight of R1.
    pub gamma: f64,
    /// Weight of path length regularisation.
    pub path_length_weight: f64,
    /// Probability that a batch mixes styles.
    pub style_mixing: f64,
    /// Thousands of images after which the averaged generator has forgotten half.
    pub ema_kimg: f64,
    /// At the start that is at most this share of the images seen so far.
    pub ema_rampup: Option<f64>,
}

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Random numbers.
    Fresh,
    /// A checkpoint.
    From(Source),
}

/// Turns options into a plan. The training set is looked at by `data` when the options before it are sound.
///
/// # Errors
/// The published text for the first option that cannot be what it is.
pub fn resolve(
    options: &Options,
    data: impl FnOnce() -> Result<DataFacts, anyhow::Error>,
) -> Result<Resolved, PlanError> {
    let gpus = usize::try_from(options.gpus).unwrap_or(0);
    require(gpus.is_power_of_two(), "--gpus must be a power of two")?;
    let snapshot_ticks = at_least_1(options.snap, "--snap must be at least 1")?;
    let metrics = options.metrics.as_deref().map(metric::parse).transpose()?;
    let facts = data().map_err(|error| PlanError(format!("--data: {error:#}")))?;
    let mut description = Description::new(&facts.name);
    let data = data_plan(options, &facts, &mut description)?;
    description.config(options.config, gpus);
    let mut base = Base::new(options.config, facts.resolution, gpus);
    overrides(options, (&mut base, gpus), &mut description)?;
    let (mut probability, augment) = augmentation::resolve(&options.augment, &mut description)?;
    let start = start(options.resume.as_deref(), &mut description);
    if let Start::From(_) = start {
        augmentation::hurry(&mut probability);
        base.ema_rampup = None;
    }
    let frozen = frozen(options, &mut description)?;
    let workers = at_least_1(options.machine.workers, "--workers must be at least 1")?;
    widths(options, &mut base, &mut description)?;
    let (generator, discriminator) = networks::configs(options, &base, &facts)?;
    Ok(Resolved {
        options: options.clone(),
        description: description.finish(),
        gpus,
        snapshot_ticks,
        metrics,
        data,
        generator,
        discriminator,
        channels: (base.channel_base, base.channel_max),
        frozen,
        learning: base.learning(),
        total_kimg: base.kimg,
        batch_size: base.batch_size,
        batch_gpu: base.batch_gpu,
        probability,
        augment,
        start,
        workers,
    })
}

fn at_least_1(number: i64, text: &str) -> Result<usize, PlanError> {
    usize::try_from(number).ok().filter(|&number| number >= 1).ok_or_else(|| PlanError(text.to_owned()))
}

fn data_plan(options: &Options, facts: &DataFacts, description: &mut Description) -> Result<DataPlan, PlanError> {
    if options.cond == Switch::On {
        require(facts.label_dim > 0, "--cond=True requires labels specified in dataset.json")?;
        description.add("cond");
    }
    let mut plan = DataPlan {
        path: options.data.clone(),
        resolution: facts.resolution,
        max_size: facts.images,
        subset_seed: None,
        labels: options.cond,
        mirror: options.mirror,
    };
    if let Some(subset) = options.subset {
        let size = usize::try_from(subset).ok().filter(|size| (1..=facts.images).contains(size));
        let size = size.ok_or_else(|| PlanError(format!("--subset must be between 1 and {}", facts.images)))?;
        description.add(&format!("subset{size}"));
        if size < facts.images {
            plan = DataPlan { max_size: size, subset_seed: Some(options.seed), ..plan };
        }
    }
    if options.mirror == Switch::On {
        description.add("mirror");
    }
    Ok(plan)
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

fn widths(options: &Options, base: &mut Base, description: &mut Description) -> Result<(), PlanError> {
    let options::Widths { base: channel_base, max: channel_max } = options.widths;
    require(channel_max != Some(0), "--channel-max must be at least 1")?;
    if let Some(channel_base) = channel_base {
        base.channel_base = channel_base;
        description.add(&format!("cbase{channel_base}"));
    }
    if let Some(channel_max) = channel_max {
        base.channel_max = channel_max;
        description.add(&format!("cmax{channel_max}"));
    }
    Ok(())
}

fn start(resume: Option<&str>, description: &mut Description) -> Start {
    let Some(resume) = resume else { return Start::Fresh };
    if resume == "noresume" {
        description.add(resume);
        return Start::Fresh;
    }
    let source = models::source(resume);
    description.add(&match &source {
        Source::Published(model) => format!("resume{}", model.name),
        Source::Url(_) | Source::File(_) => "resumecustom".to_owned(),
    });
    Start::From(source)
}

fn frozen(options: &Options, description: &mut Description) -> Result<FrozenParts, PlanError> {
    if let Some(freezed) = options.freezed {
        require(freezed >= 0, "--freezed must be non-negative")?;
        description.add(&format!("freezed{freezed}"));
    }
    let blocks = options.freezeg.unwrap_or(0);
    let generator_blocks = usize::try_from(blocks).map_err(|_| PlanError("--freezeg must be non-negative".into()))?;
    if options.freezeg.is_some() {
        description.add(&format!("freezeg{blocks}"));
    }
    if options.freeze_mapping == Switch::On {
        description.add("freezemapping");
    }
    Ok(FrozenParts { generator_blocks, mapping: options.freeze_mapping })
}
