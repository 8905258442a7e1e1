//! `toonify apply`

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Args;
use toonify_align::{ColourMatch, Feather};

use crate::align::{FaceSearch, Faces, model};
use crate::apply::pictures::{self, PicturesPlan};
use crate::apply::video::{self, VideoPlan};
use crate::apply::{self, Applied, ApplyPlan, FacesPlan, Scope, Translator, stream};
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::model_file::model_file;
use crate::cli::{Misuse, OutputArgs};
use crate::dataset::video::is_video_name;
use crate::events::Sink;
use crate::photo::{MaskKind, PastePlan};

const EXAMPLES: &str = "\
Examples:
  # A folder, and only the faces of a video, with its sound
  toonify apply student.safetensors holidays -o toons
  toonify apply student.safetensors party.mp4 -o toons.mp4 --faces all

  # Raw frames from pipe to pipe
  ffmpeg -i in.mp4 -f yuv4mpegpipe - | toonify apply student.safetensors - -o - | ffplay -";

/// Arguments of `toonify apply`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApplyArgs {
    /// The student
    #[arg(value_name = "STUDENT", value_parser = model_file)]
    student: PathBuf,
    /// A picture, a folder of pictures, a video, or - for raw frames (YUV4MPEG2)
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// A file for a picture or a video, a folder for a folder, or - for raw frames
    #[arg(long, short, value_name = "OUT")]
    out: PathBuf,
    /// Translate faces only and paste them back: all, largest, or N for the N largest
    #[arg(long, value_name = "WHICH")]
    faces: Option<Faces>,
    /// Against trembling in videos, 0 (off) to 0.99: how much of what is shown of whole frames, or with --faces of the
    /// landmarks, comes from the frames before
    #[arg(long, value_name = "PART", default_value_t = 0.7)]
    smoothing: f64,
    /// Make larger pictures smaller first, to this on their longer side
    #[arg(long, value_name = "PX")]
    max_size: Option<u32>,
    /// Depth for a student trained with it: pictures of the same names, a video, or a file of raw frames [default: the
    /// alpha channel]
    #[arg(long, value_name = "PATH")]
    depth: Option<PathBuf>,
    /// dlib's 68-point landmark model, for --faces
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// The soft rim of a pasted face, as a part of its edge.
const RIM: f64 = 0.1;

impl ApplyArgs {
    fn plan(&self) -> Result<ApplyPlan> {
        if !(0.0..=0.99).contains(&self.smoothing) {
            return Err(Misuse(format!("--smoothing {}: expected 0 to 0.99", self.smoothing)).into());
        }
        let scope = match self.faces {
            None => Scope::Frame { smoothing: self.smoothing },
            Some(faces) => Scope::Faces(FacesPlan {
                model: model::locate(self.model.clone())?,
                search: FaceSearch::usual(faces),
                paste: PastePlan { mask: MaskKind::Head, feather: Feather::new(RIM)?, colour: ColourMatch::Off },
                smoothing: self.smoothing,
            }),
        };
        Ok(ApplyPlan { student: self.student.clone(), scope, depth: self.depth.clone() })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output_args = std::mem::take(&mut self.output);
        let mut sink = output_args.sink();
        let (plan, stop) = (self.plan()?, stop_at_ctrl_c(&mut sink));
        let (input, output) = (self.input, self.out);
        let pipe = Path::new("-");
        if (input == pipe) != (output == pipe) {
            return Err(Misuse("raw frames go from a pipe to a pipe: give - for both".to_owned()).into());
        }
        if input == pipe {
            return piped(&plan, (&stop, &mut sink));
        }
        let outcome = if is_video_name(&input) {
            let ffmpeg = PathBuf::from("ffmpeg");
            video::run(&VideoPlan { apply: plan, input, output: output.clone(), ffmpeg }, &stop, &mut sink)?
        } else {
            let (largest_px, output) = (self.max_size, output.clone());
            pictures::run(&PicturesPlan { apply: plan, input, output, largest_px }, &stop, &mut sink)?
        };
        drop(sink);
        output_args.print(&outcome, [report(&outcome, &output)])?;
        apply::check_complete(&outcome)
    }
}

/// Standard output carries the frames; what there is to say goes to standard error.
fn piped(plan: &ApplyPlan, how: (&AtomicBool, &mut dyn Sink)) -> Result<()> {
    let mut translator = Translator::open(plan)?;
    let mut frames = BufReader::new(std::io::stdin().lock());
    let open = |path: &PathBuf| File::open(path).with_context(|| format!("cannot open depth `{}`", path.display()));
    let mut depth = plan.depth.as_ref().map(open).transpose()?.map(BufReader::new);
    let depth = depth.as_mut().map(|depth| depth as &mut dyn BufRead);
    let frames = stream::Frames::open(&mut frames, depth)?;
    stream::run(&mut translator, (frames, &mut BufWriter::new(std::io::stdout().lock())), None, how)?;
    Ok(())
}

fn report(outcome: &Applied, output: &Path) -> String {
    let faces = if outcome.faces > 0 { format!(", {} faces", outcome.faces) } else { String::new() };
    format!("{} in {}{faces}, {:.1} a second", outcome.done, output.display(), outcome.per_second)
}
