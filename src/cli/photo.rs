//! `toonify photo`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use toonify_align::{ColourMatch, Feather};
use toonify_networks::latent::Truncation;
use toonify_networks::stylegan2::{Resolution, Slope};

use crate::align::{FaceSearch, Faces, LandmarkKind, Upsample, model};
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::model_file::model_file;
use crate::cli::project::SearchArgs;
use crate::cli::{Misuse, OutputArgs};
use crate::photo::{
    self, Base, BlendPlan, EnginePlan, Fate, LatentsPlan, MaskKind, PastePlan, PhotoPlan, PhotoRecord, ShippedStyle,
    Style, StylePlan,
};
use crate::store::models::ModelFolders;

const EXAMPLES: &str = "\
Examples:
  # All faces of a photo as the characters that come with the program
  toonify photo party.jpg -o toons

  # The same in a moment, by the student that comes with the program
  toonify photo party.jpg -o quick --student characters64-student

  # By a blend of two models at 32 px
  toonify photo party.jpg -o toons --base ffhq.pkl --tuned characters.pkl --resolution 32

  # A folder, with a blend made before; then another style from the same w, which costs seconds
  toonify photo holidays -o toons --base ffhq.pkl --blended toon.safetensors
  toonify photo holidays -o others --base ffhq.pkl --blended other.safetensors --w toons/w

  # By a student that was distilled from a blend
  toonify photo holidays -o quick --student student.safetensors

OUT receives photos/ (the photos with the characters in them), toons/ (the square characters), w/ (the latents that were
found, with project.json) and photos.json (what became of each photo). The same command again does what is missing.";

/// Arguments of `toonify photo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PhotoArgs {
    /// Photos, folders with photos anywhere below, zip files of photos
    #[arg(required = true, value_name = "IN")]
    sources: Vec<PathBuf>,
    /// Folder for the results
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// The model that knows photos: they are projected into it
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    base: Option<PathBuf>,
    /// A model tuned from it that knows the characters, to blend with at --resolution
    #[arg(long, value_name = "FILE", requires_all = ["base", "resolution"], conflicts_with = "blended")]
    #[arg(value_parser = model_file)]
    tuned: Option<PathBuf>,
    /// The last resolution from the model of the low resolutions
    #[arg(long, value_name = "PX", conflicts_with_all = ["blended", "student"])]
    resolution: Option<Resolution>,
    /// Which of the two gives the low resolutions: pose and shape
    #[arg(long, value_enum, default_value_t = LowArg::Tuned)]
    low: LowArg,
    /// Width of the change in octaves, 0 for a hard swap
    #[arg(long, value_name = "OCTAVES", default_value_t = 0.0)]
    width: f64,
    /// A generator that was blended before
    #[arg(long, value_name = "FILE")]
    #[arg(value_parser = model_file)]
    blended: Option<PathBuf>,
    /// A student instead: no search, so seconds instead of minutes
    #[arg(long, value_name = "FILE", conflicts_with_all = ["base", "tuned", "blended", "w"])]
    #[arg(value_parser = model_file)]
    student: Option<PathBuf>,
    /// Latents found before: the folder in which an earlier run kept them [default: OUT/w], or a .npz for each face
    #[arg(long, value_name = "DIR|FILE")]
    w: Vec<PathBuf>,
    /// Truncation of the photos' latents: 1 as found, 0 the average face
    #[arg(long, value_name = "PSI", default_value_t = 1.0, allow_negative_numbers = true)]
    trunc: f64,
    /// Which faces of a photo: all, largest, N for the N largest, or only (photos with several are left out)
    #[arg(long, value_name = "WHICH", default_value = "all")]
    faces: Faces,
    /// Detections below this score are no faces
    #[arg(long, value_name = "SCORE", default_value_t = 0.0, allow_negative_numbers = true)]
    min_score: f64,
    /// Leave out faces whose box is narrower than this in the photo
    #[arg(long, value_name = "PX", default_value_t = 0)]
    min_size: u32,
    /// How much of the character shows in the photo
    #[arg(long, value_enum, default_value_t = MaskArg::Head)]
    mask: MaskArg,
    /// Width of the soft rim, as a part of the character's edge: 0.01 to 0.5
    #[arg(long, value_name = "PART", default_value_t = 0.1)]
    feather: f64,
    /// Give the character the colours of the face that it replaces
    #[arg(long)]
    match_colours: bool,
    /// Also write every intermediate picture, a folder for each photo
    #[arg(long, value_name = "DIR")]
    stages: Option<PathBuf>,
    /// dlib's 68-point landmark model [default: in $TOONIFY_MODELS, in models/ beside the program, /usr/share/dlib]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LowArg {
    /// Shapes of the characters, skin of the photo
    Tuned,
    /// Shapes of the photo, paint of the characters
    Base,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MaskArg {
    /// The head with its hair
    Head,
    /// The face from chin to forehead
    Face,
    /// The whole square but its rim
    Square,
}

fn misuse(text: &str) -> anyhow::Error {
    Misuse(text.to_owned()).into()
}

impl PhotoArgs {
    fn style(&self) -> Result<Style> {
        if !(0.0..=16.0).contains(&self.width) {
            return Err(misuse(&format!("--width {}: expected 0 to 16 octaves", self.width)));
        }
        match (&self.blended, &self.base, &self.tuned, self.resolution) {
            (Some(path), ..) => Ok(Style::Blended(path.clone())),
            (None, Some(base), Some(tuned), Some(resolution)) => Ok(Style::Blend(BlendPlan {
                base: base.clone(),
                tuned: tuned.clone(),
                resolution,
                slope: if self.width == 0.0 { Slope::Hard } else { Slope::Logistic { width: self.width } },
                low: match self.low {
                    LowArg::Tuned => Base::High,
                    LowArg::Base => Base::Low,
                },
            })),
            _ => Err(misuse("give --blended, or --base, --tuned and --resolution")),
        }
    }

    /// The latents to use: files of them, or a folder where they are kept and added to.
    fn latents(w: Vec<PathBuf>, kept: PathBuf, base: Option<PathBuf>, search: SearchArgs) -> Result<LatentsPlan> {
        let is_file = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "npz");
        let folder = match w.as_slice() {
            [] => kept,
            [folder] if !is_file(folder) => folder.clone(),
            files if files.iter().all(is_file) => return Ok(LatentsPlan::Given(w)),
            _ => return Err(misuse("--w takes one folder, or a .npz file for each face")),
        };
        let base = base.ok_or_else(|| misuse("give --base, the model to project into, or --w with .npz files"))?;
        Ok(LatentsPlan::Projected { projector: Box::new(search.projector(base)?), folder })
    }

    fn plan(self) -> Result<PhotoPlan> {
        let feather = Feather::new(self.feather).map_err(|error| misuse(&format!("--feather: {error}")))?;
        if !self.min_score.is_finite() {
            return Err(misuse(&format!("--min-score {} is not a number", self.min_score)));
        }
        let engine = match self.student.clone() {
            Some(student) => EnginePlan::Student(student),
            None => {
                let style = self.style()?;
                let latents = Self::latents(self.w, self.out.join("w"), self.base, self.search)?;
                let truncation = Truncation { psi: self.trunc, cutoff: None };
                EnginePlan::Blended(can_be_tuned(StylePlan { style, latents, truncation })?)
            }
        };
        Ok(PhotoPlan {
            sources: self.sources,
            out: self.out,
            model: model::locate(self.model)?,
            search: FaceSearch {
                faces: self.faces,
                min_score: self.min_score,
                min_size: self.min_size,
                landmarks: LandmarkKind::Ours,
                upsample: Upsample::Auto,
            },
            engine,
            paste: PastePlan {
                mask: match self.mask {
                    MaskArg::Head => MaskKind::Head,
                    MaskArg::Face => MaskKind::Face,
                    MaskArg::Square => MaskKind::Square,
                },
                feather,
                colour: if self.match_colours { ColourMatch::MeanAndSpread } else { ColourMatch::Off },
            },
            stages: self.stages,
        })
    }

    /// Names the models that come with the program where no model is named.
    fn with_models(mut self) -> Result<Self> {
        if [&self.base, &self.tuned, &self.blended, &self.student].into_iter().all(Option::is_none) {
            let shipped = ShippedStyle::unpack(&ModelFolders::of_this_user())?;
            self.resolution.get_or_insert(shipped.resolution);
            self.search.suit(&shipped);
            (self.base, self.tuned) = (Some(shipped.base), Some(shipped.tuned));
        }
        Ok(self)
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let plan = self.with_models()?.plan()?;
        let outcome = photo::run(&plan, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        drop(sink);
        let lines = outcome.photos.iter().filter(|photo| !matches!(photo.fate, Fate::Failed { .. }));
        output.print(&outcome, lines.flat_map(|photo| files(photo, &plan)))?;
        photo::check_complete(&outcome)
    }
}

/// Refuses to tune the base for a generator that was blended without it.
fn can_be_tuned(plan: StylePlan) -> Result<StylePlan> {
    if let (Style::Blended(_), LatentsPlan::Projected { projector, .. }) = (&plan.style, &plan.latents)
        && projector.settings.tune_steps > 0
    {
        return Err(misuse("--tune-steps changes the base before it is blended: give --tuned instead of --blended"));
    }
    Ok(plan)
}

/// The files of a photo, one a line.
fn files(photo: &PhotoRecord, plan: &PhotoPlan) -> Vec<String> {
    photo.photo.iter().chain(&photo.toons).map(|file| plan.out.join(file).display().to_string()).collect()
}
