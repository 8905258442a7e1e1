//! `toonify train`

mod going_on;
mod measuring;
mod options;
mod reporting;
pub(super) mod set;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::{Misuse, OutputArgs};
use crate::events::{Event, Sink};
use crate::store::models::{self, ModelFolders};
use crate::train::plan::options::Options;
use crate::train::plan::{self, Resolved};
use crate::train::{self, Place, Start, TrainPlan, Trained, run_folder};
use measuring::{Instruments, Measuring};
use options::TrainOptions;
use reporting::Reporting;
use set::TrainingSet;

const EXAMPLES: &str = "\
Examples:
  # From scratch, with everything chosen by the size of the images
  toonify train --outdir runs --data faces64.zip --mirror

  # Tune a published network to a few game characters
  toonify train --cfg paper256 --resume celebahq256 --outdir runs --data game.zip --mirror True --snap 8 \\
      --target 0.5 --kimg 40 --augpipe custom --freezed 10

  # Only say what would be done
  toonify train --outdir runs --data game.zip --dry-run

  # Go on with a run that was stopped or killed, to the same end; with --kimg, beyond it
  toonify train --resume runs/00001-game-mirror-auto1";

/// Arguments of `toonify train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    options: TrainOptions,
    /// Print what would be done, and do nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Minutes after which the state is saved at the latest; a killed run loses no more
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    save_every: f64,
    /// Say at the end where the time went
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A training with all that it needs.
struct Work {
    plan: TrainPlan,
    set: TrainingSet,
    instruments: Option<Instruments>,
    /// Thousands of images that the run has seen.
    kimg: f64,
}

impl TrainArgs {
    pub(crate) fn run(self) -> Result<()> {
        let mut sink = self.output.sink();
        let work = match self.options.run_to_go_on_with() {
            Some(folder) if self.dry_run => {
                let (saved, _at) = train::saved(&folder)?;
                let settings = going_on::settings(&self.options, &folder, &saved)?;
                return self.output.print(&settings, [format!("{} would go on", folder.display())]);
            }
            Some(folder) => self.go_on(&folder)?,
            None => {
                let (save_every, detectors) = (self.save_every(), self.options.detector.clone());
                let resolved = resolve(self.options.try_into()?)?;
                if self.dry_run {
                    return announce(&resolved, (&self.output, &mut sink));
                }
                begin(&resolved, &detectors, save_every, &mut sink)?
            }
        };
        let stop = stop_at_ctrl_c(&mut sink);
        let trained = work.train(&stop, &mut sink)?;
        drop(sink);
        self.output.print(&trained, lines(&trained, self.profile))
    }
}

impl TrainArgs {
    /// The run in `folder`, with what is typed in addition.
    fn go_on(&self, folder: &Path) -> Result<Work> {
        let (saved, at) = train::saved(folder)?;
        let settings = going_on::settings(&self.options, folder, &saved)?;
        let instruments = Instruments::open(&settings, &self.options.detector)?;
        let set = TrainingSet::open(&settings.data, settings.seed)?;
        let place = Place::Existing(folder.to_owned());
        let plan = TrainPlan { settings, start: Start::Continue, place, save_every: self.save_every() };
        Ok(Work { plan, set, instruments, kimg: at.kimg() })
    }

    fn save_every(&self) -> Duration {
        Duration::from_secs_f64(60.0 * self.save_every)
    }
}

impl Work {
    fn train(&self, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Trained> {
        let probe = self.instruments.as_ref().map(Instruments::probe).transpose()?;
        let mut measuring = Measuring { probe, stop, sink };
        if let Place::Existing(folder) = &self.plan.place {
            measuring.catch_up(folder, self.kimg);
        }
        train::run(&self.plan, &self.set, stop, &mut Reporting(&mut measuring))
    }
}

fn resolve(options: Options) -> Result<Resolved> {
    Ok(plan::resolve(&options, || set::look_at(&options)).map_err(|error| Misuse(error.to_string()))?)
}

/// A new run: what it needs is here, or is downloaded now.
fn begin(resolved: &Resolved, detectors: &[PathBuf], save_every: Duration, sink: &mut dyn Sink) -> Result<Work> {
    let mut settings = resolved.settings.clone();
    settings.data.path = absolute(&settings.data.path)?;
    let instruments = Instruments::open(&settings, detectors)?;
    let set = TrainingSet::open(&settings.data, settings.seed)?;
    let start = match &resolved.origin {
        None => Start::Scratch,
        Some(origin) => {
            let path = models::locate(origin, &ModelFolders::of_this_user(), sink)?;
            if !resolved.options.tweaks.shape_networks() {
                train::start::take_shape(&path, &mut settings)?;
            }
            Start::Checkpoint(path)
        }
    };
    let place = Place::New { outdir: resolved.options.outdir.clone(), name: resolved.description.clone() };
    Ok(Work { plan: TrainPlan { settings, start, place, save_every }, set, instruments, kimg: 0.0 })
}

/// What would be done, for `--json`.
#[derive(Serialize)]
struct Announced<'a> {
    run_folder: &'a Path,
    options: serde_json::Value,
}

/// Prints the plan as the published trainer does.
fn announce(resolved: &Resolved, (output, sink): (&OutputArgs, &mut dyn Sink)) -> Result<()> {
    if resolved.options.metrics.is_none() {
        let text =
            "`metrics` below is the published trainer's default; here a training measures swd unless told otherwise";
        sink.event(&Event::Note(text.to_owned()));
    }
    let run_folder = &run_folder::next(&resolved.options.outdir, &resolved.description)?;
    let announced = Announced { run_folder, options: resolved.published_options() };
    let options = serde_json::to_string_pretty(&announced.options)?;
    let lines = ["Training options:", &options, "", &resolved.announcement(run_folder), "Dry run; exiting."];
    output.print(&announced, lines.map(str::to_owned))
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("expected a number of minutes, at least 0".to_owned()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` has no place", path.display()))
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
