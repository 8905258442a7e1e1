//! `toonify blend`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use toonify_networks::stylegan2::{Level, Resolution, Side, Slope};

use crate::blend::{self, BlendPlan, CurvePlan, Recipe};
use crate::cli::model_file::model_file;
use crate::cli::{Misuse, OutputArgs, suggest};
use crate::convert;

const EXAMPLES: &str = "\
The rule: layers up to and including --resolution come from the low model, all layers above it from the high model.

Examples:
  # The shapes of the characters with the skin of the photos
  toonify blend --low characters.pkl --high ffhq.pkl --resolution 32 -o toon.safetensors

  # A smooth change, two octaves wide; a list, one share of the high model for 4, 8, 16 … px
  toonify blend --low a.pkl --high b.pkl --resolution 16 --curve logistic --width 2 -o c.safetensors
  toonify blend --low a.pkl --high b.pkl --curve 0,0,0.3,0.7,1,1,1 -o d.safetensors

  # Whole models, a third each
  toonify blend --model a.pkl --model b.pkl --model c.pkl -o mean.safetensors";

/// Arguments of `toonify blend`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BlendArgs {
    /// Model of the low resolutions: pose and shape
    #[arg(long, value_name = "FILE", requires = "high", value_parser = model_file)]
    low: Option<PathBuf>,
    /// Model of the high resolutions: texture and colour
    #[arg(long, value_name = "FILE", requires = "low", value_parser = model_file)]
    high: Option<PathBuf>,
    /// The last resolution from the low model
    #[arg(long, value_name = "PX")]
    resolution: Option<Resolution>,
    /// 1 leaves the next resolution's first convolution to the low model, too
    #[arg(long, value_name = "0|1", default_value = "0", value_parser = ["0", "1"])]
    level: String,
    /// How one model gives way to the other: hard, logistic, linear, or a list of shares, 4 px first
    #[arg(long, value_name = "CURVE", default_value = "hard")]
    curve: String,
    /// Width of a logistic or linear curve, in octaves (Pinkney's script: in layers)
    #[arg(long, value_name = "WIDTH")]
    width: Option<f64>,
    /// Model of the mapping network and the average w
    #[arg(long, value_enum, default_value_t = SideArg::Low)]
    mapping: SideArg,
    /// Reproduce a published script exactly
    #[arg(long, value_enum)]
    compat: Option<Compat>,
    /// A whole model to average, with its share as in FILE=0.5; repeat it
    #[arg(long, value_name = "FILE[=SHARE]", value_parser = parse_model, conflicts_with_all = ["low", "high", "resolution", "compat"])]
    model: Vec<(PathBuf, f64)>,
    /// File to write: .safetensors (toonify) or .pt (rosinality)
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    output_args: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SideArg {
    Low,
    High,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compat {
    /// justinpinkney/stylegan2, blend_models.py
    Pinkney,
    /// dvschultz/stylegan2-ada-pytorch, blend_models.py
    Dvschultz,
}

impl BlendArgs {
    fn recipe(&self) -> Result<Recipe> {
        let misuse = |text: &str| anyhow::Error::from(Misuse(text.to_owned()));
        match (&self.low, &self.high) {
            (Some(low), Some(high)) => Ok(Recipe::Layers {
                low: low.clone(),
                high: high.clone(),
                curve: self.curve()?,
                mapping: match self.mapping {
                    SideArg::Low => Side::Low,
                    SideArg::High => Side::High,
                },
            }),
            _ if self.model.len() > 1 => Ok(Recipe::Models(self.model.clone())),
            _ => Err(misuse("give --low and --high, or --model at least twice")),
        }
    }

    fn curve(&self) -> Result<CurvePlan> {
        let misuse = |text: String| anyhow::Error::from(Misuse(text));
        let level = if self.level == "1" { Level::One } else { Level::Zero };
        let resolution =
            || self.resolution.ok_or_else(|| misuse("give --resolution, as in --resolution 32".to_owned()));
        match self.compat {
            Some(Compat::Pinkney) => {
                return Ok(CurvePlan::Pinkney { resolution: resolution()?, level, width: self.width });
            }
            Some(Compat::Dvschultz) => return Ok(CurvePlan::Dvschultz { resolution: resolution()? }),
            None => {}
        }
        let width = self.width.unwrap_or(1.0);
        let slope = match self.curve.as_str() {
            "hard" => Slope::Hard,
            "logistic" => Slope::Logistic { width },
            "linear" => Slope::Linear { width },
            list => {
                let shares = list.split(',').map(|share| share.trim().parse()).collect::<Result<Vec<f64>, _>>();
                let refused = |_| misuse(unknown_curve(list));
                return Ok(CurvePlan::Shares(shares.map_err(refused)?));
            }
        };
        Ok(CurvePlan::Swap { resolution: resolution()?, level, slope })
    }

    pub(crate) fn run(self) -> Result<()> {
        let plan = BlendPlan { recipe: self.recipe()?, format: convert::format_of(&self.output)?, output: self.output };
        let outcome = blend::run(&plan, &mut self.output_args.sink())?;
        self.output_args.print(&outcome, [outcome.output.display().to_string()])
    }
}

fn unknown_curve(typed: &str) -> String {
    let hint = suggest::hint(typed, &["hard", "logistic", "linear"]);
    format!("unknown curve `{typed}`: {hint} (or shares, as in 0,0,0.5,1)")
}

/// Reads `FILE` or `FILE=SHARE`.
fn parse_model(text: &str) -> Result<(PathBuf, f64), String> {
    match text.rsplit_once('=').and_then(|(file, share)| Some((file, share.parse().ok()?))) {
        Some((file, share)) => Ok((model_file(file)?, share)),
        None => Ok((model_file(text)?, 1.0)),
    }
}
