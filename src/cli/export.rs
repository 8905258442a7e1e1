//! `toonify export`

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use clap::{Args, ValueEnum};
use toonify_networks::latent::Truncation;
use toonify_networks::onnx::{Size, Storage};

use crate::cli::OutputArgs;
use crate::export::{self, Comparison, ExportPlan, Exported, Part};

const EXAMPLES: &str = "\
Examples:
  # A student for a game engine, and for a web page at half the size
  toonify export student.safetensors student.onnx --size 256
  toonify export student.safetensors student-web.onnx --size dynamic --half

  # Both halves of a blended generator
  toonify export blended.safetensors synthesis.onnx
  toonify export blended.safetensors mapping.onnx --part mapping --trunc 0.7";

/// Arguments of `toonify export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// A student, or a checkpoint of any kind
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// File to write, .onnx
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Network to export; a student has only one
    #[arg(long, value_enum)]
    part: Option<PartArg>,
    /// Image size of a student: a side, WIDTHxHEIGHT, or dynamic
    #[arg(long, value_name = "SIZE", default_value = "dynamic")]
    size: SizeArg,
    /// Truncation that the mapping network applies
    #[arg(long, value_name = "PSI", default_value_t = 1.0, allow_negative_numbers = true)]
    trunc: f64,
    /// Store weights in half precision
    #[arg(long)]
    half: bool,
    #[command(flatten)]
    output_args: OutputArgs,
}

/// Parts as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PartArg {
    /// The student: photo to picture
    Student,
    /// The synthesis network: ws to image
    Synthesis,
    /// The mapping network: z to ws
    Mapping,
}

/// Sizes as they are typed.
#[derive(Clone, Copy, Debug)]
struct SizeArg(Size);

impl FromStr for SizeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "dynamic" {
            return Ok(SizeArg(Size::Dynamic));
        }
        let (width, height) = text.split_once('x').unwrap_or((text, text));
        match (width.parse(), height.parse()) {
            (Ok(width), Ok(height)) => Ok(SizeArg(Size::Fixed(height, width))),
            _ => Err("expected a side as in 256, WIDTHxHEIGHT, or dynamic".to_owned()),
        }
    }
}

impl ExportArgs {
    pub(crate) fn run(self) -> Result<()> {
        let part = match self.part {
            None => export::usual_part(&self.model, self.size.0)?,
            Some(PartArg::Student) => Part::Student(self.size.0),
            Some(PartArg::Synthesis) => Part::Synthesis,
            Some(PartArg::Mapping) => Part::Mapping(Truncation { psi: self.trunc, cutoff: None }),
        };
        let storage = if self.half { Storage::Half } else { Storage::Single };
        let plan = ExportPlan { model: self.model, output: self.output, part, storage };
        let outcome = export::run(&plan, &mut self.output_args.sink())?;
        self.output_args.print(&outcome, report(&outcome))
    }
}

fn report(outcome: &Exported) -> Vec<String> {
    let mut lines = vec![
        outcome.output.display().to_string(),
        format!("  {:.2} MB, opset {}, {} operations", outcome.bytes as f64 / 1e6, outcome.opset, outcome.nodes),
        format!("  operators: {}", outcome.operators.join(", ")),
    ];
    for Comparison { runtime, largest, mean, tolerance } in &outcome.comparisons {
        lines.push(format!(
            "  run in {runtime}: off by at most {largest:.1e} ({tolerance:.0e} allowed), {mean:.1e} on average"
        ));
    }
    if outcome.comparisons.is_empty() {
        lines.push(format!("  {}", export::NOT_RUN));
    }
    lines
}
