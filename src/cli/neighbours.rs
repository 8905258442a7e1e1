//! `toonify neighbours`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::cli::eyes::EyesArgs;
use crate::cli::{Misuse, OutputArgs};
use crate::eyes::{EyesPlan, Sight};
use crate::neighbours::{self, Mirrored, NeighboursPlan};

const EXAMPLES: &str = "\
Examples:
  # Did the generator copy? Its images, the most similar of the training set, and how near pictures lie that it never saw
  toonify generate --network faces.safetensors --seeds 0-99 --outdir samples
  toonify neighbours samples --data faces64.zip --mirror --held-out held.zip -o neighbours.png

  # By a classifier's features, which forgive a shift of some pixels
  toonify neighbours samples --data faces64.zip -o neighbours.png --perception squeezenet --weights squeezenet.safetensors";

/// Arguments of `toonify neighbours`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NeighboursArgs {
    /// Folder or zip of the images to look up
    #[arg(value_name = "IMAGES")]
    images: PathBuf,
    /// Folder or zip of the training set
    #[arg(long, value_name = "DIR|ZIP")]
    data: PathBuf,
    /// Folder or zip of images that were not trained on, for comparison
    #[arg(long, value_name = "DIR|ZIP")]
    held_out: Option<PathBuf>,
    /// The training showed every picture in a mirror as well
    #[arg(long)]
    mirror: bool,
    /// Neighbours of each image on the sheet
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
    /// Images on the sheet; all are looked up
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    shown: u32,
    #[command(flatten)]
    eyes: EyesArgs,
    /// The sheet (.png)
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl NeighboursArgs {
    pub(crate) fn run(self) -> Result<()> {
        let eyes = match self.eyes.plan()? {
            // There is no checkpoint to look at.
            EyesPlan { sight: Sight::Auto, weights, lpips } => EyesPlan { sight: Sight::Pixel, weights, lpips },
            EyesPlan { sight: Sight::Discriminator, .. } => {
                let text = "--perception discriminator needs a checkpoint; choose squeezenet, vgg16 or pixel";
                return Err(Misuse(text.to_owned()).into());
            }
            eyes => eyes,
        };
        let plan = NeighboursPlan {
            images: self.images,
            data: self.data,
            held_out: self.held_out,
            mirrored: if self.mirror { Mirrored::Yes } else { Mirrored::No },
            eyes,
            count: self.count as usize,
            shown: self.shown as usize,
            out: self.out,
        };
        let outcome = neighbours::run(&plan, &mut self.output.sink())?;
        let held_out = outcome.held_out_median.map(|median| format!("; of images held out {median:.3}"));
        let line = format!("median distance to the nearest {:.3}{}", outcome.median, held_out.unwrap_or_default());
        self.output.print(&outcome, [outcome.sheet.display().to_string(), line])
    }
}
