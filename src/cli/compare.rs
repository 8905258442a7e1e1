//! `toonify compare`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use toonify_networks::latent::Truncation;

use crate::align::{FaceSearch, Faces, model};
use crate::cli::OutputArgs;
use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::model_file::model_file;
use crate::cli::project::{NUM_STEPS, SearchArgs};
use crate::compare::{self, ComparePlan, Compared, Framing, Spread};
use crate::eyes::{EyesPlan, Sight};
use crate::photo::{LatentsPlan, Style, StylePlan};
use crate::project::ProjectorPlan;

const EXAMPLES: &str = "\
Examples:
  # How near is a student to the blend that taught it, on photos that neither has seen?
  toonify compare student.safetensors holdout -o compare --base ffhq.pkl --blended toon.safetensors \\
    --squeezenet squeezenet.safetensors

  # Faces that were cut out already, and a shorter search
  toonify compare student.safetensors faces -o compare --base ffhq.pkl --blended toon.safetensors --aligned --num-steps 200";

/// Arguments of `toonify compare`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// The student
    #[arg(value_name = "STUDENT", value_parser = model_file)]
    student: PathBuf,
    /// Photos that were held out, or folders of them
    #[arg(required = true, value_name = "PHOTOS")]
    photos: Vec<PathBuf>,
    /// Folder for the results; projections are kept there
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// The model that knows photos
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    base: PathBuf,
    /// Its blend, of which the student's pairs were made
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    blended: PathBuf,
    /// The photos are framed faces already
    #[arg(long)]
    aligned: bool,
    /// Photos on the sheet; all are measured
    #[arg(long, value_name = "N", default_value_t = 16)]
    shown: usize,
    /// Weights of SqueezeNet, for perceptual distances
    #[arg(long, value_name = "FILE")]
    squeezenet: Option<PathBuf>,
    /// Linear weights of LPIPS that belong to them [default: all channels count the same]
    #[arg(long, value_name = "FILE", requires = "squeezenet")]
    linear: Option<PathBuf>,
    /// dlib's 68-point landmark model
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl CompareArgs {
    fn plan(self) -> Result<ComparePlan> {
        let framing = if self.aligned {
            Framing::Aligned
        } else {
            Framing::Found { model: model::locate(self.model)?, search: FaceSearch::usual(Faces::Largest(1)) }
        };
        let first = self.search.projector(self.base)?;
        let mut second = first.clone();
        second.settings.seed = first.settings.seed.wrapping_add(1);
        // From an encoder's answer every seed finds the same; the published search does not.
        if second.settings.encoder.take().is_some() {
            second.settings.num_steps = NUM_STEPS;
        }
        let teacher = |projector: ProjectorPlan, folder: &str| StylePlan {
            style: Style::Blended(self.blended.clone()),
            latents: LatentsPlan::Projected { projector: Box::new(projector), folder: self.out.join(folder) },
            truncation: Truncation { psi: 1.0, cutoff: None },
        };
        let (linear, sight) = (self.linear, Sight::Squeezenet);
        Ok(ComparePlan {
            teacher: teacher(first, "teacher"),
            again: teacher(second, "again"),
            student: self.student,
            photos: self.photos,
            framing,
            eyes: self.squeezenet.map(|weights| EyesPlan { sight, weights: Some(weights), lpips: linear }),
            shown: self.shown.max(1),
            out: self.out,
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let outcome = compare::run(&self.plan()?, &stop_at_ctrl_c(&mut sink), &mut sink)?;
        drop(sink);
        output.print(&outcome, report(&outcome))
    }
}

fn report(outcome: &Compared) -> Vec<String> {
    let row = |what: &str, spread: &Spread| {
        let Spread { mean, deviation } = spread;
        let seen = mean.perceptual.zip(deviation.perceptual);
        let seen = seen.map(|(mean, deviation)| format!("{mean:>10.4} ± {deviation:.4}")).unwrap_or_default();
        format!("{what:<34} {:.4} ± {:.4} {seen}", mean.l1, deviation.l1)
    };
    let perception = outcome.perception.as_ref().map(|name| format!("           {name}")).unwrap_or_default();
    vec![
        format!("{:<34} L1{perception}", format!("{} faces at {} px", outcome.photos, outcome.side_px)),
        row("student to teacher", &outcome.student),
        row("teacher to itself, searched again", &outcome.again),
        row("photo to teacher", &outcome.photo),
        outcome.sheet.display().to_string(),
    ]
}
