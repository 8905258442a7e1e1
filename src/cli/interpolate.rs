//! `toonify interpolate`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::cli::faces::FaceList;
use crate::cli::model_file::model_file;
use crate::cli::render::RenderArgs;
use crate::cli::{Misuse, OutputArgs};
use crate::interpolate::{self, Film, InterpolatePlan, Way};

const EXAMPLES: &str = "\
Examples:
  # From one projected photo to another, as characters, as a film that repeats
  toonify interpolate --network toon.safetensors --faces anna/projected_w.npz,ben/projected_w.npz --outdir way \\
      --round-trip --gif

  # Past five seeds
  toonify interpolate --network ffhq.pkl --faces 85,100,75,458,1500 --trunc 0.7 --frames 24 --outdir seeds";

/// Arguments of `toonify interpolate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InterpolateArgs {
    /// Checkpoint file (.pkl, .pt or .safetensors)
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    network: PathBuf,
    /// The faces to pass: seeds and .npz files of latents, as in 3,7-9,anna/projected_w.npz
    #[arg(long, value_name = "LIST")]
    faces: FaceList,
    /// Pictures from one face to the next
    #[arg(long, value_name = "N", default_value_t = 30)]
    frames: usize,
    /// Go on to the first face again
    #[arg(long)]
    round_trip: bool,
    /// Also write the pictures as an animated GIF
    #[arg(long)]
    gif: bool,
    /// Pictures a second of the GIF
    #[arg(long, value_name = "RATE", default_value_t = 20.0)]
    fps: f64,
    #[command(flatten)]
    render: RenderArgs,
    /// Folder for the pictures
    #[arg(long, value_name = "DIR")]
    outdir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

impl InterpolateArgs {
    fn plan(self) -> Result<InterpolatePlan> {
        if self.frames == 0 {
            return Err(Misuse("--frames counts from 1".to_owned()).into());
        }
        if !(0.1..=50.0).contains(&self.fps) {
            return Err(Misuse(format!("--fps {}: a GIF shows 0.1 to 50 pictures a second", self.fps)).into());
        }
        Ok(InterpolatePlan {
            network: self.network,
            faces: self.faces.sources(),
            preparation: self.render.preparation(),
            frames: self.frames,
            way: if self.round_trip { Way::RoundTrip } else { Way::ThereOnly },
            film: if self.gif { Film::Gif(self.fps) } else { Film::No },
            noise: self.render.noise(),
            arithmetic: self.render.arithmetic(),
            outdir: self.outdir,
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let outcome = interpolate::run(&self.plan()?, &mut output.sink())?;
        let files = outcome.images.iter().chain(&outcome.film).map(|path| path.display().to_string());
        output.print(&outcome, files)
    }
}
