//! `toonify demo`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use toonify_networks::stylegan2::Resolution;

use crate::cli::OutputArgs;
use crate::demo::{self, DemoPlan};

const EXAMPLES: &str = "\
Examples:
  # demo/blend_grid.png, and two networks to try the other commands on
  toonify demo

  # Somewhere else, with larger images
  toonify demo --outdir /tmp/blend --resolution 128";

/// Arguments of `toonify demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Folder for the networks and the grid
    #[arg(long, value_name = "DIR", default_value = "demo")]
    outdir: PathBuf,
    /// Side of the images: a power of two from 4 to 1024
    #[arg(long, value_name = "PX", default_value = "64")]
    resolution: Resolution,
    #[command(flatten)]
    output: OutputArgs,
}

impl DemoArgs {
    pub(crate) fn run(self) -> Result<()> {
        let plan = DemoPlan { outdir: self.outdir, resolution: self.resolution };
        let outcome = demo::run(&plan, &mut self.output.sink())?;
        let files = outcome.networks.iter().chain([&outcome.grid]).map(|path| path.display().to_string());
        self.output.print(&outcome, files)
    }
}
