//! `toonify train`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use toonify_networks::augment::{Adaptive, AugmentSet, Probability};
use toonify_networks::stylegan2::Resolution;

use crate::cli::{Misuse, OutputArgs};
use crate::dataset::{Labels, Mirror, Reader, Sampler, Selection};
use crate::events::{Event, Sink};
use crate::train::config::{self, Configuration, Named, Sizes};
use crate::train::ema::EmaConfig;
use crate::train::pictures::published_grid;
use crate::train::recipes::augmenter::AugmentSettings;
use crate::train::recipes::freeze::{self, Freeze};
use crate::train::recipes::stylegan2::LossSettings;
use crate::train::{self, DataSettings, Place, Settings, Source, SourceShape, Start, TrainPlan, Trained};

const EXAMPLES: &str = "\
Examples:
  # From scratch, with everything chosen by the size of the images
  toonify train --outdir runs --data faces64.zip --mirror

  # Tune a network to a few game characters: frozen discriminator layers, mild augmentation
  toonify train --outdir runs --data game.zip --mirror --resume faces.safetensors --freezed 10 --augpipe custom \\
      --target 0.5 --kimg 40 --snap 2

  # Go on with a run that was stopped or killed, to the same end
  toonify train --resume runs/00001-game-mirror-auto1";

/// Arguments of `toonify train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// Folder of all runs; each run gets a numbered folder in it
    #[arg(long, value_name = "DIR")]
    outdir: Option<PathBuf>,
    /// Training set: a zip or a folder, see `toonify dataset build`
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Base configuration
    #[arg(long, value_enum, value_name = "NAME", default_value_t = CfgArg::Auto)]
    cfg: CfgArg,
    /// Begin with the networks of a checkpoint file, or go on with the run in a folder
    #[arg(long, value_name = "FILE|RUN_FOLDER")]
    resume: Option<PathBuf>,
    /// Length of the training in thousands of images
    #[arg(long, value_name = "N")]
    kimg: Option<u64>,
    /// Ticks (of 4 kimg) between snapshots
    #[arg(long, value_name = "N", default_value_t = 50)]
    snap: u64,
    /// Also train on mirror images
    #[arg(long, num_args = 0..=1, require_equals = false, default_missing_value = "true", value_parser = truth, value_name = "BOOL")]
    mirror: Option<bool>,
    /// Use the set's labels
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_parser = truth, value_name = "BOOL")]
    cond: Option<bool>,
    /// Train on so many images of the set, chosen by the seed
    #[arg(long, value_name = "N")]
    subset: Option<usize>,
    /// Images a step
    #[arg(long, value_name = "N")]
    batch: Option<u64>,
    /// Images at once; less memory, the same step [default: that of the configuration]
    #[arg(long, value_name = "N")]
    batch_gpu: Option<u64>,
    /// Weight of R1
    #[arg(long, value_name = "GAMMA")]
    gamma: Option<f64>,
    /// Learning rate of both networks
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Half-life of the averaged generator in thousands of images
    #[arg(long, value_name = "KIMG")]
    ema: Option<f64>,
    /// Augmentation
    #[arg(long, value_enum, value_name = "MODE", default_value_t = AugArg::Ada)]
    aug: AugArg,
    /// Probability of augmentation, with --aug fixed
    #[arg(long, value_name = "P")]
    p: Option<f64>,
    /// What the mean sign of the discriminator's output is held at, with --aug ada [default: 0.6]
    #[arg(long, value_name = "T")]
    target: Option<f64>,
    /// Augmentations: a set (bgc, custom, …) or a list such as scale=1,xflip=1,noise=0.5 [default: bgc]
    #[arg(long, value_name = "SET", value_parser = augment_set)]
    augpipe: Option<AugmentSet>,
    /// Layers of the discriminator, counted from the image, that do not learn
    #[arg(long, value_name = "N", default_value_t = 0)]
    freezed: usize,
    /// Blocks of the generator, counted from 4 px, that do not learn
    #[arg(long, value_name = "N", default_value_t = 0)]
    freezeg: usize,
    /// The mapping network does not learn
    #[arg(long)]
    freeze_mapping: bool,
    /// Feature maps at resolution r: N / r … [default: 16384 below 512 px, 32768 from there on]
    #[arg(long, value_name = "N")]
    cbase: Option<usize>,
    /// … but at most so many
    #[arg(long, value_name = "N", default_value_t = 512)]
    cmax: usize,
    /// Length of z and w
    #[arg(long, value_name = "N", default_value_t = 512)]
    latent: usize,
    /// Layers of the mapping network
    #[arg(long, value_name = "N")]
    map_layers: Option<usize>,
    /// Where all random numbers start
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    /// Columns and rows of the pictures [default: as many as fill a large screen]
    #[arg(long, value_name = "COLSxROWS", value_parser = columns_and_rows)]
    grid: Option<(usize, usize)>,
    /// Minutes after which the state is saved at the latest; a killed run loses no more
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    save_every: f64,
    /// Say at the end where the time went
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CfgArg {
    /// Chosen by resolution
    Auto,
    /// StyleGAN2, config F
    Stylegan2,
    /// 256 px
    Paper256,
    /// 512 px
    Paper512,
    /// 1024 px
    Paper1024,
    /// 32 px
    Cifar,
}

impl CfgArg {
    fn named(self) -> Named {
        match self {
            CfgArg::Auto => Named::Auto,
            CfgArg::Stylegan2 => Named::Stylegan2,
            CfgArg::Paper256 => Named::Paper256,
            CfgArg::Paper512 => Named::Paper512,
            CfgArg::Paper1024 => Named::Paper1024,
            CfgArg::Cifar => Named::Cifar,
        }
    }

    /// As it stands in the name of a run.
    fn text(self) -> &'static str {
        match self {
            CfgArg::Auto => "auto1",
            CfgArg::Stylegan2 => "stylegan2",
            CfgArg::Paper256 => "paper256",
            CfgArg::Paper512 => "paper512",
            CfgArg::Paper1024 => "paper1024",
            CfgArg::Cifar => "cifar",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AugArg {
    /// None
    Noaug,
    /// With the probability of --p
    Fixed,
    /// With a probability that follows the discriminator
    Ada,
}

/// The words for true and false that the published trainer takes.
fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Ok(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("expected a number of minutes, at least 0".to_owned()),
    }
}

fn augment_set(text: &str) -> Result<AugmentSet, String> {
    text.parse().map_err(|error: toonify_networks::Error| error.to_string())
}

fn columns_and_rows(text: &str) -> Result<(usize, usize), String> {
    let pair = text.split_once('x').and_then(|(columns, rows)| Some((columns.parse().ok()?, rows.parse().ok()?)));
    pair.ok_or_else(|| "expected two numbers, such as 8x4".to_owned())
}

/// A training set of `dataset`, as training sees it.
struct TrainingSet(Reader);

impl TrainingSet {
    fn open(data: &DataSettings, seed: u32) -> Result<TrainingSet> {
        let selection = Selection {
            labels: if data.labels { Labels::Read } else { Labels::Ignored },
            max_size: data.subset,
            seed,
            mirror: if data.mirror { Mirror::Double } else { Mirror::No },
        };
        Ok(TrainingSet(Reader::open(&data.path, selection)?))
    }
}

impl Source for TrainingSet {
    fn name(&self) -> String {
        self.0.name()
    }

    fn shape(&self) -> SourceShape {
        SourceShape {
            count: self.0.len(),
            resolution: self.0.resolution() as usize,
            channels: self.0.channels() as usize,
            c_dim: self.0.label_dim(),
        }
    }

    fn pixels(&self, index: usize) -> Result<Vec<u8>> {
        Ok(self.0.get(index)?.pixels)
    }

    fn label(&self, index: usize) -> Vec<f32> {
        self.0.label(index)
    }

    fn order(&self, seed: u32) -> Box<dyn Iterator<Item = usize> + '_> {
        Box::new(Sampler::new(self.0.len(), seed))
    }
}

impl TrainArgs {
    /// The plan for the run in `folder`, with what is typed in addition.
    fn go_on(&self, folder: &Path) -> Result<(TrainPlan, TrainingSet)> {
        let mut settings = train::saved_settings(folder)?;
        if let Some(kimg) = self.kimg {
            settings.total_kimg = kimg;
        }
        if let Some(data) = &self.data {
            settings.data.path = absolute(data)?;
        }
        let set = TrainingSet::open(&settings.data, settings.seed)?;
        let place = Place::Existing(folder.to_owned());
        Ok((TrainPlan { settings, start: Start::Continue, place, save_every: self.save_every() }, set))
    }

    fn plan(&self) -> Result<(TrainPlan, TrainingSet)> {
        if let Some(folder) = self.resume.as_deref().filter(|path| path.is_dir()) {
            return self.go_on(folder);
        }
        let (Some(outdir), Some(data)) = (&self.outdir, &self.data) else {
            return Err(
                Misuse("--outdir and --data are needed, unless --resume names the folder of a run".into()).into()
            );
        };
        let data = DataSettings {
            path: absolute(data)?,
            mirror: self.mirror.unwrap_or(false),
            labels: self.cond.unwrap_or(false),
            subset: self.subset,
        };
        let set = TrainingSet::open(&data, self.seed)?;
        if data.labels && set.shape().c_dim == 0 {
            return Err(Misuse("--cond=True requires labels specified in dataset.json".into()).into());
        }
        let name = self.run_name(&set.name());
        let settings = self.settings(data, set.shape())?;
        let start = self.resume.clone().map_or(Start::Scratch, Start::Checkpoint);
        let place = Place::New { outdir: outdir.clone(), name };
        Ok((TrainPlan { settings, start, place, save_every: self.save_every() }, set))
    }

    fn save_every(&self) -> Duration {
        Duration::from_secs_f64(60.0 * self.save_every)
    }

    fn run_name(&self, set: &str) -> String {
        let mut name = set.to_owned();
        if self.mirror.unwrap_or(false) {
            name.push_str("-mirror");
        }
        name.push('-');
        name.push_str(self.cfg.text());
        if self.resume.is_some() {
            name.push_str("-resumecustom");
        }
        name
    }

    fn settings(&self, data: DataSettings, shape: SourceShape) -> Result<Settings> {
        let resolution = Resolution::new(shape.resolution).context("the training set has images of another size")?;
        let (named, gpus) = (self.cfg.named(), 1);
        let base = named.resolve(resolution, gpus);
        let sizes = Sizes {
            resolution,
            img_channels: shape.channels,
            c_dim: shape.c_dim,
            channel_base: self.cbase.unwrap_or((base.fmaps * 32_768.0) as usize),
            channel_max: self.cmax,
            latent_dim: self.latent,
        };
        let batch_size = self.batch.unwrap_or(base.batch_size);
        let batch_gpu = self.batch_gpu.unwrap_or_else(|| match self.batch {
            Some(batch) => batch,
            None => base.batch_size / base.ref_gpus,
        });
        Ok(Settings {
            data,
            generator: config::generator(&sizes, self.map_layers.unwrap_or(base.map_layers)),
            discriminator: config::discriminator(&sizes, named.discriminator(), base.mbstd_group, self.freezed),
            loss: self.loss(named, &base),
            augment: self.augment()?,
            batch_size,
            batch_gpu,
            total_kimg: self.kimg.unwrap_or(base.kimg),
            snapshot_ticks: self.snap,
            grid: self.grid.unwrap_or_else(|| published_grid(shape.resolution)),
            seed: self.seed,
        })
    }

    fn loss(&self, named: Named, base: &Configuration) -> LossSettings {
        // A network that is tuned is not in a hurry to forget where it began.
        let rampup = base.ema.rampup.filter(|_| self.resume.is_none());
        LossSettings {
            learning_rate: self.lr.unwrap_or(base.learning_rate),
            gamma: self.gamma.unwrap_or(base.gamma),
            style_mixing: named.style_mixing(),
            path_length_weight: named.path_length_weight(),
            path_length_shrink: 2,
            generator_interval: 4,
            discriminator_interval: 16,
            ema: EmaConfig { half_life_kimg: self.ema.unwrap_or(base.ema.half_life_kimg), rampup },
            freeze: Freeze {
                generator_blocks: self.freezeg,
                mapping: if self.freeze_mapping { freeze::Mapping::Frozen } else { freeze::Mapping::Learns },
            },
        }
    }

    fn augment(&self) -> Result<AugmentSettings> {
        let misuse = |text: &str| Err(Misuse(text.to_owned()).into());
        let probability = match (self.aug, self.p, self.target) {
            (AugArg::Noaug | AugArg::Ada, Some(_), _) => return misuse("--p can only be specified with --aug=fixed"),
            (AugArg::Noaug | AugArg::Fixed, _, Some(_)) => {
                return misuse("--target can only be specified with --aug=ada");
            }
            (AugArg::Fixed, None, _) => return misuse("--aug=fixed requires specifying --p"),
            (_, Some(p), _) if !(0.0..=1.0).contains(&p) => return misuse("--p must be between 0 and 1"),
            (_, _, Some(t)) if !(0.0..=1.0).contains(&t) => return misuse("--target must be between 0 and 1"),
            (AugArg::Noaug, ..) if self.augpipe.is_some() => {
                return misuse("--augpipe cannot be specified with --aug=noaug");
            }
            (AugArg::Noaug, ..) => return Ok(AugmentSettings::OFF),
            (AugArg::Fixed, Some(p), _) => Probability::Fixed(p),
            (AugArg::Ada, _, target) => Probability::Adaptive(Adaptive {
                target: target.unwrap_or(Adaptive::PUBLISHED.target),
                speed_kimg: if self.resume.is_some() { 100.0 } else { Adaptive::PUBLISHED.speed_kimg },
                ..Adaptive::PUBLISHED
            }),
        };
        let set = match &self.augpipe {
            Some(set) => set.clone(),
            None => augment_set("bgc").map_err(anyhow::Error::msg)?,
        };
        Ok(AugmentSettings { set, probability })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let (plan, set) = self.plan()?;
        let mut sink = output.sink();
        let trained = train::run(&plan, &set, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        drop(sink);
        output.print(&trained, lines(&trained, self.profile))
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` has no place", path.display()))
}

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second one ends the program at once.
fn stop_at_ctrl_c(sink: &mut dyn Sink) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let installed = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    if let Err(error) = installed {
        sink.event(&Event::Warning(format!("Ctrl-C will end the program without saving: {error}")));
    }
    stop
}

fn lines(trained: &Trained, profile: bool) -> Vec<String> {
    let folder = trained.folder.display();
    let mut lines = vec![format!("{folder}: {:.1} kimg", trained.kimg)];
    if !trained.finished {
        lines.push(format!("stopped and saved; go on with: toonify train --resume {folder}"));
    }
    if profile {
        let row = |share: &train::Share| {
            format!("{:<14} {:>9.1} s {:>6.1} %", share.part, share.seconds, 100.0 * share.share)
        };
        lines.extend(trained.profile.iter().map(row));
        lines.push(format!("{:<14} {:>18.1} %", "the loop itself", 100.0 * trained.overhead));
    }
    lines
}
