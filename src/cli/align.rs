//! `toonify align`

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::align::{
    self, AlignOutcome, AlignPlan, Crop, Extra, FaceFormat, FaceSearch, Faces, LandmarkKind, Settings, Upsample, model,
};
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::{Misuse, OutputArgs};

const EXAMPLES: &str = "\
Examples:
  # All faces of a folder, with a sheet and a page to check them by
  toonify align photos aligned --size 256 --contact-sheet --report

  # A training set of portraits: one sure face a photo, as the published zip
  toonify align portraits.zip set --faces only --min-score 0.3 --format zip

  # The published script's crops, byte for byte
  toonify align photos ffhq --size 1024 --crop published --landmarks dlib --upsample 1

OUT receives faces/, faces.jsonl (a line for each photo: box, score, landmarks, frame, or why it was left out) and
align.json. The same command again does what is missing; after Ctrl-C it goes on from there.";

/// Arguments of `toonify align`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AlignArgs {
    /// Photo, folder with photos anywhere below, or zip file of photos
    source: PathBuf,
    /// Folder for the faces
    out: PathBuf,
    /// Edge of the faces
    #[arg(long, value_name = "PX", default_value_t = 256, value_parser = clap::value_parser!(u32).range(4..=4096))]
    size: u32,
    /// Which faces of a photo: all, largest, N for the N largest, or only (photos with several are left out)
    #[arg(long, value_name = "WHICH", default_value = "all")]
    faces: Faces,
    /// Detections below this score are no faces; dlib's own threshold is 0, true profiles score about 0.2
    #[arg(long, value_name = "SCORE", default_value_t = 0.0, allow_negative_numbers = true)]
    min_score: f64,
    /// Leave out faces whose box is narrower than this in the photo
    #[arg(long, value_name = "PX", default_value_t = 0)]
    min_size: u32,
    /// Format of the faces
    #[arg(long, value_enum, default_value_t = FormatArg::Png)]
    format: FormatArg,
    /// How the pixels are made
    #[arg(long, value_enum, default_value_t = CropArg::Clean)]
    crop: CropArg,
    /// Whose landmarks place the crop
    #[arg(long, value_enum, default_value_t = LandmarkArg::Ours)]
    landmarks: LandmarkArg,
    /// Times that a photo is doubled in size before faces are looked for
    #[arg(long, value_enum, default_value_t = UpsampleArg::Auto)]
    upsample: UpsampleArg,
    /// Photos to work on at the same time [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Also write sheets with all faces, contact_sheet.png
    #[arg(long)]
    contact_sheet: bool,
    /// Also write report.html: counts, doubtful faces, photos left out
    #[arg(long)]
    report: bool,
    /// dlib's 68-point landmark model [default: in $TOONIFY_MODELS, in models/ beside the program, /usr/share/dlib]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Formats as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// PNG files
    Png,
    /// JPEG files of quality 95
    Jpg,
    /// PNG files, and dataset.zip in the published format of training sets
    Zip,
}

/// Ways to crop as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CropArg {
    /// In one resampling: sharper and faster
    Clean,
    /// As the FFHQ dataset's script does, byte for byte
    Published,
}

/// Kinds of landmarks as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LandmarkArg {
    /// dlib's model in fractions of a pixel: steadier for small faces
    Ours,
    /// dlib's model in whole pixels, as the published script has them
    Dlib,
}

/// Degrees of enlarging as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum UpsampleArg {
    /// As often as it takes to find a face, at most twice
    Auto,
    /// Not at all: finds faces from 80 px on
    #[value(name = "0")]
    Never,
    /// Once: finds faces from 40 px on
    #[value(name = "1")]
    Once,
    /// Twice: finds faces from 20 px on
    #[value(name = "2")]
    Twice,
}

impl AlignArgs {
    fn settings(&self) -> Settings {
        Settings {
            size: self.size,
            search: FaceSearch {
                faces: self.faces,
                min_score: self.min_score,
                min_size: self.min_size,
                landmarks: match self.landmarks {
                    LandmarkArg::Ours => LandmarkKind::Ours,
                    LandmarkArg::Dlib => LandmarkKind::Dlib,
                },
                upsample: match self.upsample {
                    UpsampleArg::Auto => Upsample::Auto,
                    UpsampleArg::Never => Upsample::Never,
                    UpsampleArg::Once => Upsample::Once,
                    UpsampleArg::Twice => Upsample::Twice,
                },
            },
            format: if self.format == FormatArg::Jpg { FaceFormat::Jpg } else { FaceFormat::Png },
            crop: match self.crop {
                CropArg::Clean => Crop::Clean,
                CropArg::Published => Crop::Published,
            },
        }
    }

    fn plan(self) -> Result<AlignPlan> {
        if !self.min_score.is_finite() {
            return Err(Misuse(format!("--min-score {} is not a number", self.min_score)).into());
        }
        if self.format == FormatArg::Zip && !self.size.is_power_of_two() {
            let size = self.size;
            return Err(
                Misuse(format!("--format zip is for training, which needs a power of two, not --size {size}")).into()
            );
        }
        if self.source == self.out {
            return Err(Misuse(format!("OUT is SRC: `{}`, choose another folder", self.out.display())).into());
        }
        let extras = [
            (self.format == FormatArg::Zip, Extra::Zip),
            (self.contact_sheet, Extra::ContactSheet),
            (self.report, Extra::Report),
        ];
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Ok(AlignPlan {
            settings: self.settings(),
            extras: extras.into_iter().filter(|(wanted, _)| *wanted).map(|(_, extra)| extra).collect(),
            jobs: self.jobs.map_or(cores, usize::from),
            model: model::locate(self.model)?,
            source: self.source,
            out: self.out,
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let plan = self.plan()?;
        let outcome = align::run(&plan, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        drop(sink);
        output.print(&outcome, lines(&outcome))?;
        if outcome.counts.aligned == 0 {
            bail!("no photo could be aligned");
        }
        Ok(())
    }
}

fn lines(outcome: &AlignOutcome) -> Vec<String> {
    let counts = &outcome.counts;
    let mut lines = vec![format!("{} of {} photos aligned, {} faces", counts.aligned, counts.photos, outcome.faces)];
    lines.extend(counts.skipped().map(|(count, why)| format!("{count} {why}")));
    if outcome.resumed < counts.photos {
        let steps = outcome.step_seconds;
        lines.push(format!(
            "{:.1} s, {:.1} photos per second; of the threads' time: read {:.1} s, detect {:.1} s, landmarks {:.1} s, crop \
             {:.1} s, write {:.1} s",
            outcome.seconds,
            outcome.photos_per_second(),
            steps.read,
            steps.detect,
            steps.landmarks,
            steps.crop,
            steps.write
        ));
    }
    let files =
        [&outcome.journal].into_iter().chain(&outcome.zip).chain(&outcome.contact_sheets).chain(&outcome.report);
    lines.extend(files.map(|path| path.display().to_string()));
    lines
}
