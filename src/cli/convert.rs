//! `toonify convert`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use toonify_networks::checkpoint::{Parts, Unused};

use crate::cli::OutputArgs;
use crate::convert::{self, ConvertPlan};
use crate::store::checkpoint::Format;

const EXAMPLES: &str = "\
Examples:
  # NVIDIA's pickle to a file that no program has to trust
  toonify convert ffhq.pkl ffhq.safetensors

  # For the encoders and editors of the rosinality family; for rendering alone, in half the space
  toonify convert network-snapshot-000040.pkl toon.pt
  toonify convert --ema-only --half toon.pt toon.safetensors

  # A student in half the space
  toonify convert --half student/student.safetensors student.safetensors";

/// Arguments of `toonify convert`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConvertArgs {
    /// Checkpoint of any kind, or a student
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File to write: .safetensors (toonify) or .pt (rosinality)
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Leave out the generator in training and the discriminator
    #[arg(long)]
    ema_only: bool,
    /// Store in half precision (.safetensors only)
    #[arg(long)]
    half: bool,
    /// Leave out tensors that have no place in the networks, instead of refusing the file
    #[arg(long)]
    allow_unused: bool,
    #[command(flatten)]
    output_args: OutputArgs,
}

impl ConvertArgs {
    pub(crate) fn run(self) -> Result<()> {
        let format = match (convert::format_of(&self.output)?, self.half) {
            (Format::Toonify, true) => Format::ToonifyHalf,
            (Format::Rosinality, true) => anyhow::bail!("--half is for .safetensors: .pt files are read in f32"),
            (format, _) => format,
        };
        let plan = ConvertPlan {
            input: self.input,
            output: self.output,
            format,
            parts: if self.ema_only { Parts::GeneratorEma } else { Parts::All },
            unused: if self.allow_unused { Unused::Allow } else { Unused::Refuse },
        };
        let outcome = convert::run(&plan, &mut self.output_args.sink())?;
        self.output_args.print(&outcome, [outcome.output.display().to_string()])
    }
}
