//! `toonify generate`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use toonify_networks::latent::Truncation;

use crate::cli::model_file::model_file;
use crate::cli::numbers::NumberList;
use crate::cli::render::RenderArgs;
use crate::cli::{Misuse, OutputArgs};
use crate::events::{Event, Sink};
use crate::generate::{self, GeneratePlan, Grid, Source};
use crate::latents::Preparation;

const EXAMPLES: &str = "\
Examples:
  # Eight faces of a published checkpoint, and all of them on one sheet
  toonify generate --network ffhq.pkl --seeds 0-7 --trunc 0.7 --outdir faces --grid

  # A projected photo through a blended model
  toonify generate --network blended.safetensors --projected-w projected_w.npz --outdir toon";

/// Arguments of `toonify generate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenerateArgs {
    /// Checkpoint file (.pkl, .pt or .safetensors)
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    network: PathBuf,
    /// Seeds of the images, as in 0-7,12
    #[arg(long, value_name = "LIST", required_unless_present = "projected_w")]
    seeds: Option<NumberList>,
    #[command(flatten)]
    render: RenderArgs,
    /// Truncate only the first N layers
    #[arg(long, value_name = "N")]
    trunc_cutoff: Option<usize>,
    /// Render the latents of this .npz file instead of seeds
    #[arg(long, value_name = "FILE")]
    projected_w: Option<PathBuf>,
    /// Folder for the images
    #[arg(long, value_name = "DIR")]
    outdir: PathBuf,
    /// Also write all images into one sheet, grid.png
    #[arg(long)]
    grid: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl GenerateArgs {
    fn plan(self, sink: &mut dyn Sink) -> Result<GeneratePlan> {
        if self.projected_w.is_some() && (self.seeds.is_some() || self.render.class.is_some()) {
            sink.event(&Event::Warning("--seeds and --class are ignored when using --projected-w".to_owned()));
        }
        let source = match (self.projected_w, self.seeds) {
            (Some(path), _) => Source::Projected(path),
            (None, Some(seeds)) => Source::Seeds(seeds.seeds()),
            (None, None) => return Err(Misuse("give --seeds, or --projected-w with a file".to_owned()).into()),
        };
        let truncation = Truncation { psi: self.render.trunc, cutoff: self.trunc_cutoff };
        Ok(GeneratePlan {
            network: self.network,
            source,
            preparation: Preparation { seeds: truncation, files: truncation, class: self.render.class },
            noise: self.render.noise(),
            arithmetic: self.render.arithmetic(),
            outdir: self.outdir,
            grid: if self.grid { Grid::Yes } else { Grid::No },
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let plan = self.plan(&mut sink)?;
        let outcome = generate::run(&plan, &mut sink)?;
        let files = outcome.images.iter().chain(&outcome.grid).map(|path| path.display().to_string());
        output.print(&outcome, files)
    }
}
