//! `toonify encoder`: `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use toonify_networks::checkpoint::Precision;

use crate::cli::eyes::EyesArgs;
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::model_file::model_file;
use crate::cli::train::set::TrainingSet;
use crate::cli::{Misuse, OutputArgs};
use crate::encoder::{self, EncoderPlan};
use crate::train::{DataSettings, Source};

const EXAMPLES: &str = "\
Examples:
  # An encoder for a generator of faces, then a photo projected from its answer
  toonify encoder train --network faces.safetensors --out faces-encoder.safetensors
  toonify project --network faces.safetensors --encoder faces-encoder.safetensors --num-steps 50 \\
      --target face.png --outdir projected

  # With photos beside the generator's own images: what it will be asked about
  toonify encoder train --network faces.safetensors --photos faces64.zip --mirror --out faces-encoder.safetensors

  # A short try
  toonify encoder train --network faces.safetensors --out try.safetensors --kimg 2";

/// What can be done with encoders.
#[derive(Debug, Subcommand)]
pub(crate) enum EncoderCommand {
    /// Train an encoder on a generator's own images, and on photos
    Train(TrainArgs),
}

/// Arguments of `toonify encoder train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TrainArgs {
    /// Checkpoint file of the generator
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    network: PathBuf,
    /// Photos to learn from as well, aligned, as a training set of the network's size
    #[arg(long, value_name = "DIR|ZIP")]
    photos: Option<PathBuf>,
    /// Also learn from the photos' mirror images
    #[arg(long, requires = "photos")]
    mirror: bool,
    /// File for the encoder (.safetensors)
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Thousands of images to learn from
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    kimg: f64,
    /// Images of one step
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Learning rate
    #[arg(long, value_name = "RATE", default_value_t = 0.002)]
    lrate: f64,
    /// Where the random numbers start
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    /// Write half precision: half the size
    #[arg(long)]
    half: bool,
    #[command(flatten)]
    eyes: EyesArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl EncoderCommand {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            EncoderCommand::Train(args) => args.run(),
        }
    }
}

impl TrainArgs {
    fn run(self) -> Result<()> {
        let sound = self.kimg > 0.0 && self.kimg <= 1e6 && self.batch > 0 && self.lrate > 0.0 && self.lrate <= 1.0;
        if !sound {
            return Err(Misuse("--kimg, --batch and --lrate are above 0, --lrate at most 1".to_owned()).into());
        }
        if self.photos.is_some() && self.batch < 2 {
            return Err(
                Misuse("--batch 1 leaves no room for photos beside the generator's own images".to_owned()).into()
            );
        }
        let photos = self.photos.as_ref().map(|path| {
            let data = DataSettings { path: path.clone(), labels: false, mirror: self.mirror, subset: None };
            TrainingSet::open(&data, self.seed)
        });
        let photos = photos.transpose()?;
        let plan = EncoderPlan {
            network: self.network,
            out: self.out,
            images: (self.kimg * 1000.0).ceil() as u64,
            batch_size: self.batch,
            learning_rate: self.lrate,
            seed: self.seed,
            eyes: self.eyes.plan()?,
            precision: if self.half { Precision::Half } else { Precision::Single },
        };
        let mut sink = self.output.sink();
        let stop = stop_at_ctrl_c(&mut sink);
        let photos = photos.as_ref().map(|set| set as &dyn Source);
        let outcome = encoder::run(&plan, photos, (&stop, &mut sink))?;
        let how = if outcome.interrupted { ", stopped early" } else { "" };
        let line = format!(
            "{}: {} images{how}; leaves {:.1} % of the distance from the average image, {:.1} % from the average w",
            outcome.file.display(),
            outcome.images,
            100.0 * outcome.left.unlike,
            100.0 * outcome.left.unexplained
        );
        self.output.print(&outcome, [line])
    }
}
