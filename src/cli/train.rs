//! `toonify train`

mod options;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::cli::{Misuse, OutputArgs};
use crate::dataset::{Labels, Mirror, Reader, Selection};
use crate::store::models::ModelFolders;
use crate::train::needs;
use crate::train::plan::options::Options;
use crate::train::plan::{self, DataFacts, Resolved};
use options::TrainOptions;

const EXAMPLES: &str = "\
Examples:
  # Tune a published face model to game characters
  toonify train --cfg paper256 --resume celebahq256 --outdir runs --data game.zip --mirror True --snap 8 --gpus 1 \\
      --target 0.5 --kimg 40 --augpipe custom --freezed 10

  # Only say what would be done
  toonify train --outdir runs --data faces.zip --dry-run";

/// Arguments of `toonify train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    options: TrainOptions,
    /// Print what would be done, and do nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl TrainArgs {
    pub(crate) fn run(self) -> Result<()> {
        let options = Options::from(self.options);
        let plan = plan::resolve(&options, || look_at(&options)).map_err(|error| Misuse(error.to_string()))?;
        let run_folder = plan::run_folder(&options.outdir, &plan.description)?;
        if self.dry_run {
            return announce(&plan, &run_folder, &self.output);
        }
        let folders = ModelFolders::of_this_user();
        needs::detectors(plan.metrics.as_deref().unwrap_or_default(), &folders)?;
        anyhow::bail!("training is not there yet")
    }
}

/// What the plan has to know about the training set.
fn look_at(options: &Options) -> Result<DataFacts> {
    let labels = if options.cond.is_on() { Labels::Read } else { Labels::Ignored };
    let reader = Reader::open(&options.data, Selection { labels, max_size: None, seed: 0, mirror: Mirror::No })?;
    Ok(DataFacts {
        name: reader.name(),
        images: reader.stored(),
        resolution: reader.resolution() as usize,
        channels: reader.channels() as usize,
        label_dim: reader.label_dim(),
    })
}

/// What would be done, for `--json`.
#[derive(Serialize)]
struct Announced<'a> {
    run_folder: &'a std::path::Path,
    options: serde_json::Value,
}

/// Prints the plan as the published trainer does.
fn announce(plan: &Resolved, run_folder: &std::path::Path, output: &OutputArgs) -> Result<()> {
    let announced = Announced { run_folder, options: plan.published_options() };
    let options = serde_json::to_string_pretty(&announced.options)?;
    let lines = ["Training options:", &options, "", &plan.announcement(run_folder), "Dry run; exiting."];
    output.print(&announced, lines.map(str::to_owned))
}
