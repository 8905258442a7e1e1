//! `toonify report`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::cli::OutputArgs;
use crate::report;

const EXAMPLES: &str = "\
Examples:
  # Curves, page and film of a run, also while it is under way
  toonify report runs/00003-game-mirror-paper256

  # Of every run of the published trainer in a folder
  for run in training-runs/*/; do toonify report \"$run\" --quiet; done";

/// Arguments of `toonify report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReportArgs {
    /// Folder of a run, ours or the published trainer's
    run: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl ReportArgs {
    pub(crate) fn run(self) -> Result<()> {
        let reported = report::run(&self.run, &mut self.output.sink())?;
        let files = reported.plots.iter().chain(&reported.film).chain([&reported.page]);
        self.output.print(&reported, files.map(|path| path.display().to_string()))
    }
}
