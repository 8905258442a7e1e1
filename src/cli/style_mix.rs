//! `toonify style-mix`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::cli::OutputArgs;
use crate::cli::faces::FaceList;
use crate::cli::model_file::model_file;
use crate::cli::numbers::NumberList;
use crate::cli::render::RenderArgs;
use crate::style_mix::{self, StyleMixPlan};

const EXAMPLES: &str = "\
Examples:
  # The pose and shape of the columns on the faces of the rows
  toonify style-mix --network ffhq.pkl --rows 85,100,75 --cols 55,821 --styles 0-3 --outdir mix

  # Only the colours, on a projected photo
  toonify style-mix --network ffhq.pkl --rows anna/projected_w.npz --cols 55-58 --styles 8-13 --outdir colours";

/// Arguments of `toonify style-mix`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StyleMixArgs {
    /// Checkpoint file (.pkl, .pt or .safetensors)
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    network: PathBuf,
    /// Faces that give all other layers: seeds and .npz files of latents, as in 85,100,anna/projected_w.npz
    #[arg(long, value_name = "LIST")]
    rows: FaceList,
    /// Faces that give the layers in --styles
    #[arg(long, value_name = "LIST")]
    cols: FaceList,
    /// Layers taken from the columns
    #[arg(long, value_name = "LIST", default_value = "0-6")]
    styles: NumberList,
    #[command(flatten)]
    render: RenderArgs,
    /// Folder for the images
    #[arg(long, value_name = "DIR")]
    outdir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl StyleMixArgs {
    pub(crate) fn run(self) -> Result<()> {
        let plan = StyleMixPlan {
            network: self.network,
            rows: self.rows.sources(),
            cols: self.cols.sources(),
            styles: self.styles.indices(),
            preparation: self.render.preparation(),
            noise: self.render.noise(),
            arithmetic: self.render.arithmetic(),
            outdir: self.outdir,
        };
        let outcome = style_mix::run(&plan, &mut self.output.sink())?;
        let files = outcome.images.iter().chain([&outcome.grid]).map(|path| path.display().to_string());
        self.output.print(&outcome, files)
    }
}
