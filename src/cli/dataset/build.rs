//! `toonify dataset build`

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::{Misuse, OutputArgs};
use crate::dataset::build::{self, Bad, BuildPlan, Built};
use crate::dataset::picture::Channels;
use crate::dataset::transform::{Crop, Filter, Transform};
use crate::dataset::video::Frames;

const EXAMPLES: &str = "\
Examples:
  # Aligned faces of any size to a training set of 256 px
  toonify dataset build --source faces --dest toons256.zip --width 256 --height 256

  # Photos of all shapes: the square in the middle, bad files named and left out
  toonify dataset build --source photos.zip --dest cars512.zip --transform center-crop --width 512 --height 512 --skip-bad

  # Two pictures a second of a film (needs ffmpeg)
  toonify dataset build --source film.mp4 --dest film256 --transform center-crop --width 256 --height 256 --fps 2";

/// Arguments of `toonify dataset build`; those of the published tool have its names and meaning.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BuildArgs {
    /// Folder, zip or video
    #[arg(long, value_name = "PATH")]
    source: PathBuf,
    /// Zip (by its name) or empty folder to make
    #[arg(long, value_name = "PATH")]
    // Not a `PathBuf`: the published tool has words of its own for an empty one.
    dest: OsString,
    /// What to do with other proportions; they are stretched without it
    #[arg(long, value_enum)]
    transform: Option<TransformArg>,
    /// Width of the images in pixels; as it is without
    #[arg(long, value_name = "PX")]
    width: Option<u32>,
    /// Height of the images in pixels; as it is without
    #[arg(long, value_name = "PX")]
    height: Option<u32>,
    /// How to resize
    #[arg(long, value_enum, default_value_t = FilterArg::Lanczos)]
    resize_filter: FilterArg,
    /// Look at no more than the first N pictures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_images: Option<u64>,
    /// Make all images gray (1) or RGB (3); as they are without
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    channels: Option<u8>,
    /// Leave out pictures that cannot be read or do not fit, instead of stopping
    #[arg(long)]
    skip_bad: bool,
    /// Of a video: so many pictures a second
    #[arg(long, value_name = "RATE", conflicts_with = "every")]
    fps: Option<f64>,
    /// Of a video: every Nth picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    every: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Transformations as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TransformArg {
    /// The largest square in the middle
    CenterCrop,
    /// The middle in the wanted proportions, on a black square
    CenterCropWide,
}

/// Filters as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FilterArg {
    /// Means of blocks
    Box,
    /// Sharp
    Lanczos,
}

impl BuildArgs {
    fn plan(self) -> Result<BuildPlan> {
        if self.dest.is_empty() {
            return Err(misuse("--dest output filename or directory must not be an empty string"));
        }
        let crop = match self.transform {
            None => Crop::None,
            Some(TransformArg::CenterCrop) => Crop::Center,
            Some(TransformArg::CenterCropWide) => Crop::CenterWide,
        };
        let filter = match self.resize_filter {
            FilterArg::Box => Filter::Box,
            FilterArg::Lanczos => Filter::Lanczos,
        };
        let channels = match self.channels {
            None => Channels::Kept,
            Some(1) => Channels::Gray,
            Some(3) => Channels::Rgb,
            Some(other) => return Err(misuse(&format!("--channels is 1 or 3, found {other}"))),
        };
        let frames = match (self.fps, self.every) {
            (Some(rate), _) if rate > 0.0 && rate.is_finite() => Frames::PerSecond(rate),
            (Some(rate), _) => return Err(misuse(&format!("--fps must be above 0, found {rate}"))),
            (None, Some(n)) => Frames::EveryNth(n),
            (None, None) => Frames::All,
        };
        Ok(BuildPlan {
            source: self.source,
            dest: self.dest.into(),
            transform: Transform::new(crop, [self.width, self.height], filter)?,
            channels,
            max_images: self.max_images.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            frames,
            bad: if self.skip_bad { Bad::Skipped } else { Bad::Stops },
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let (mut sink, plan) = (output.sink(), self.plan()?);
        let built = build::run(&plan, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        output.print(&built, [line(&built)])
    }
}

fn misuse(text: &str) -> anyhow::Error {
    Misuse(text.to_owned()).into()
}

fn line(built: &Built) -> String {
    let Built { dest, images, shape, labeled, too_small, skipped } = built;
    let labels = if *labeled { "with labels" } else { "no labels" };
    let left_out = match (too_small, skipped) {
        (0, 0) => String::new(),
        (small, 0) => format!("; {small} too small"),
        (0, bad) => format!("; {bad} bad"),
        (small, bad) => format!("; {small} too small, {bad} bad"),
    };
    format!("{}: {images} images, {shape}, {labels}{left_out}", dest.display())
}
