//! Training: images to a generator.
//!
//! [`plan`] turns what was typed into settings, as the published trainer does. [`fit`](mod@fit) is the loop, [`schedule`] says which phases a step has, [`recipes`] hold the networks and their losses.
//! [`keeper`] looks after the run: what it prints, what it writes, and what a run that was stopped needs to go on.

pub mod ema;
pub mod fit;
pub mod health;
pub mod keeper;
pub mod pictures;
pub mod plan;
pub mod profile;
pub mod recipes;
pub mod run_folder;
pub mod schedule;
pub mod settings;
pub mod snapshot;
pub mod source;
pub mod start;
pub mod statistics;
pub mod tally;
pub mod tensorboard;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde::Serialize;
use toonify_networks::checkpoint::Checkpoint;
use toonify_networks::grad;
use toonify_networks::random::RandomState;

pub use profile::Share;
pub use run_folder::state_in;
pub use settings::{Asked, DataSettings, Place, Settings, Start, TrainPlan};
pub use source::{Source, SourceShape};

use crate::events::{Event, Sink};
use crate::store::lock::FolderLock;
use crate::store::{atomic, json};
use fit::{FitPlan, Log, Progress};
use keeper::{Keeper, Pictures, Run};
use pictures::Grid;
use recipes::augmenter::Augmenter;
use run_folder::RunFolder;
use snapshot::{Saved, Trainee};

/// What came of a training.
#[derive(Clone, Debug, Serialize)]
pub struct Trained {
    /// The folder of the run.
    pub folder: PathBuf,
    /// Thousands of images seen.
    pub kimg: f64,
    /// Whether it went to its end.
    pub finished: bool,
    /// Where the time went.
    pub profile: Vec<Share>,
    /// Share of the time that was not spent in the networks.
    pub overhead: f64,
}

/// Trains until the end of the plan, or until `stop` is set; then the state is saved and the training can go on later.
///
/// # Errors
/// When gradients of gradients are wrong on this machine, when the images or the checkpoint do not fit the settings, and when
/// a file cannot be read or written.
pub fn run(plan: &TrainPlan, source: &dyn Source, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Trained> {
    let settings = &plan.settings;
    settings.check()?;
    source::check_fit(source, settings)?;
    grad::canary().context("gradients of gradients are wrong, training would go astray")?;
    let (start, mut saved) = start(plan, sink)?;
    let mut trainee = prepare(&start, settings, source)?;
    if let Some(saved) = &mut saved {
        saved.restore(&mut trainee)?;
    }
    let folder = RunFolder::open(&plan.place)?;
    let _lock = FolderLock::take(folder.path())?;
    atomic::sweep(folder.path());
    sink.event(&Event::Note(format!("writing to `{}`", folder.path().display())));
    json::write(&folder.options(), settings)?;
    let pictures = open_pictures(source, settings, (&folder, &trainee, saved.is_some()))?;
    let provenance = start.provenance;
    let state = saved.as_ref().map(|saved| &saved.state);
    let run = Run { settings, folder: &folder, provenance, pictures, save_every: plan.save_every };
    let mut keeper = Keeper::new(run, state, (stop, sink))?;
    let at = state.map_or_else(Progress::default, |state| state.at);
    let (at, log) = train(&mut trainee, (source, settings), at, &mut keeper)?;
    keeper.finish(&trainee, at)?;
    let profile = log.profile;
    Ok(Trained {
        folder: folder.path().to_owned(),
        kimg: at.kimg(),
        finished: at.images >= settings.total_kimg * 1000,
        overhead: profile.overhead(),
        profile: profile.shares(),
    })
}

/// What a run that can go on was asked to do, and how far it has come.
///
/// # Errors
/// When the folder holds no state, or a damaged one.
pub fn saved(folder: &Path) -> Result<(Settings, Progress)> {
    let run = RunFolder::open(&Place::Existing(folder.to_owned()))?;
    let state = snapshot::load(&run.state())?.state;
    Ok((state.settings, state.at))
}

fn start(plan: &TrainPlan, sink: &mut dyn Sink) -> Result<(Checkpoint, Option<Saved>)> {
    match (&plan.start, &plan.place) {
        (Start::Continue, place) => {
            let saved = snapshot::load(&RunFolder::open(place)?.state())?;
            sink.event(&Event::Note(format!("going on at {:.1} kimg", saved.state.at.kimg())));
            Ok((saved.checkpoint.clone(), Some(saved)))
        }
        (Start::Checkpoint(path), _) => Ok((start::from_file(path, &plan.settings, sink)?, None)),
        (Start::Scratch, _) => Ok((start::scratch(&plan.settings)?, None)),
    }
}

fn prepare(start: &Checkpoint, settings: &Settings, source: &dyn Source) -> Result<Trainee> {
    let augmenter = Augmenter::new(settings.augment.clone());
    let labels = source::labels(source)?;
    let random = RandomState::new(settings.seed);
    let trainee = Trainee::new(start, settings.loss.clone(), augmenter, (labels, random))?;
    // A set that these images cannot be augmented with is refused here, not hours later.
    let images = source::batch(source, &[0])?.images;
    trainee.augmenter().draw(&images, &mut RandomState::new(0))?;
    Ok(trainee)
}

/// Chooses the grid of pictures; a new run shows it before its first step.
fn open_pictures(
    source: &dyn Source,
    settings: &Settings,
    (folder, trainee, goes_on): (&RunFolder, &Trainee, bool),
) -> Result<Pictures> {
    let grid = Grid::new(source, settings)?;
    if !goes_on {
        grid.write_reals(source, &folder.reals())?;
        grid.write_fakes(trainee.average(), trainee.generator_config(), &folder.first_fakes())?;
    }
    Ok(Pictures { spread: grid.reals_spread(source)?, grid })
}

fn train(
    trainee: &mut Trainee,
    (source, settings): (&dyn Source, &Settings),
    at: Progress,
    keeper: &mut Keeper<'_>,
) -> Result<(Progress, Log)> {
    let plan = FitPlan { start: at, total_images: settings.total_kimg * 1000, batch_size: settings.batch_size };
    let mut steps = source::steps(source, settings, at.images);
    fit::fit(trainee, &mut steps, plan, keeper)
}
