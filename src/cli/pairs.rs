//! `toonify pairs`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cli::interrupt::stop_at_ctrl_c;
use crate::cli::model_file::model_file;
use crate::cli::{Misuse, OutputArgs};
use crate::pairs::{self, DrawPlan, Layout, PairsPlan};

const EXAMPLES: &str = "\
Examples:
  # Fifty thousand pairs for a student; the same command goes on after Ctrl-C
  toonify pairs --base ffhq.pkl --blended toon.safetensors --count 50000 -o pairs

  # With projected photos among them, and without the worst tenth
  toonify pairs --base ffhq.pkl --blended toon.safetensors --w toons/w/anna_00/projected_w.npz --reject 0.1 -o pairs";

/// Arguments of `toonify pairs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PairsArgs {
    /// The model that knows photos
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    base: PathBuf,
    /// Its blend
    #[arg(long, value_name = "FILE", value_parser = model_file)]
    blended: PathBuf,
    /// Folder for the pairs
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Number of pairs
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    count: u64,
    /// How pairs are stored
    #[arg(long, value_enum, default_value_t = LayoutArg::Folders)]
    layout: LayoutArg,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    /// Least truncation
    #[arg(long, value_name = "PSI", default_value_t = 0.5)]
    trunc_min: f64,
    /// Largest truncation
    #[arg(long, value_name = "PSI", default_value_t = 1.0)]
    trunc_max: f64,
    /// How often the layers of two faces are mixed
    #[arg(long, value_name = "PART", default_value_t = 0.5)]
    mixing: f64,
    /// Latents of a projected photo (.npz); may be given many times
    #[arg(long, value_name = "FILE")]
    w: Vec<PathBuf>,
    /// Share of the faces to leave out, the worst by the base's discriminator
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    reject: f64,
    #[command(flatten)]
    output: OutputArgs,
}

/// Layouts as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutArg {
    /// Folders A and B
    Folders,
    /// One picture, A on the left and B on the right
    SideBySide,
}

impl PairsArgs {
    fn plan(self) -> Result<PairsPlan> {
        let misuse = |text: String| -> Result<PairsPlan> { Err(Misuse(text).into()) };
        for (name, value) in [("--mixing", self.mixing), ("--reject", self.reject)] {
            if !(0.0..=1.0).contains(&value) || (name == "--reject" && value > 0.95) {
                return misuse(format!("{name} {value}: expected a part, from 0 to 1 (0.95 for --reject)"));
            }
        }
        if self.trunc_min > self.trunc_max {
            return misuse(format!("--trunc-min {} is above --trunc-max {}", self.trunc_min, self.trunc_max));
        }
        let truncation = (self.trunc_min, self.trunc_max);
        Ok(PairsPlan {
            base: self.base,
            blended: self.blended,
            out: self.out,
            count: self.count,
            layout: match self.layout {
                LayoutArg::Folders => Layout::Folders,
                LayoutArg::SideBySide => Layout::SideBySide,
            },
            draw: DrawPlan { seed: self.seed, truncation, mixing: self.mixing, projected: self.w },
            reject: self.reject,
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let stop = stop_at_ctrl_c(&mut sink);
        let outcome = pairs::run(&self.plan()?, &stop, &mut sink)?;
        let line = format!(
            "{} pairs in {} ({} of an earlier run, {} faces left out)",
            outcome.pairs,
            outcome.out.display(),
            outcome.reused,
            outcome.rejected
        );
        output.print(&outcome, [line])
    }
}
