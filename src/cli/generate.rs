//! `toonify generate`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use toonify_networks::latent::Truncation;
use toonify_networks::stylegan2::Arithmetic;

use crate::cli::numbers::NumberList;
use crate::cli::{Misuse, OutputArgs};
use crate::events::{Event, Sink};
use crate::generate::{self, GeneratePlan, Grid, Source};
use crate::latents::Preparation;
use crate::render::NoiseMode;

const EXAMPLES: &str = "\
Examples:
  # Eight faces of a published checkpoint, and all of them on one sheet
  toonify generate --network ffhq.pkl --seeds 0-7 --trunc 0.7 --outdir faces --grid

  # A projected photo through a blended model
  toonify generate --network blended.safetensors --projected-w projected_w.npz --outdir toon";

/// Arguments of `toonify generate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenerateArgs {
    /// Checkpoint file (.pkl, .pt or .safetensors)
    #[arg(long, value_name = "FILE")]
    network: PathBuf,
    /// Seeds of the images, as in 0-7,12
    #[arg(long, value_name = "LIST", required_unless_present = "projected_w")]
    seeds: Option<NumberList>,
    /// Truncation: 1 as drawn or found, 0 the average face
    #[arg(long, value_name = "PSI", default_value_t = 1.0, allow_negative_numbers = true)]
    trunc: f64,
    /// Truncate only the first N layers
    #[arg(long, value_name = "N")]
    trunc_cutoff: Option<usize>,
    /// Class of a conditional network
    #[arg(long, value_name = "INDEX")]
    class: Option<usize>,
    /// Noise of the synthesis network
    #[arg(long, value_enum, default_value_t = NoiseArg::Const)]
    noise_mode: NoiseArg,
    /// Arithmetic of the blocks that the checkpoint marks for half precision
    #[arg(long, value_enum, default_value_t = PrecisionArg::Single)]
    precision: PrecisionArg,
    /// Render the latents of this .npz file instead of seeds
    #[arg(long, value_name = "FILE")]
    projected_w: Option<PathBuf>,
    /// Folder for the images
    #[arg(long, value_name = "DIR")]
    outdir: PathBuf,
    /// Also write all images into one sheet, grid.png
    #[arg(long)]
    grid: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Noise modes as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum NoiseArg {
    /// The fixed noise images of the checkpoint
    Const,
    /// Fresh noise, drawn from each image's seed
    Random,
    /// No noise
    None,
}

impl From<NoiseArg> for NoiseMode {
    fn from(arg: NoiseArg) -> NoiseMode {
        match arg {
            NoiseArg::Const => NoiseMode::Const,
            NoiseArg::Random => NoiseMode::Random,
            NoiseArg::None => NoiseMode::None,
        }
    }
}

/// Precisions as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PrecisionArg {
    /// Single precision throughout
    Single,
    /// The published tools' roundings on a CPU; slower
    Half,
}

impl From<PrecisionArg> for Arithmetic {
    fn from(arg: PrecisionArg) -> Arithmetic {
        match arg {
            PrecisionArg::Single => Arithmetic::Single,
            PrecisionArg::Half => Arithmetic::Half,
        }
    }
}

impl GenerateArgs {
    fn plan(self, sink: &mut dyn Sink) -> Result<GeneratePlan> {
        if self.projected_w.is_some() && (self.seeds.is_some() || self.class.is_some()) {
            sink.event(&Event::Warning("--seeds and --class are ignored when using --projected-w".to_owned()));
        }
        let source = match (self.projected_w, self.seeds) {
            (Some(path), _) => Source::Projected(path),
            (None, Some(seeds)) => Source::Seeds(seeds.seeds()),
            (None, None) => return Err(Misuse("give --seeds, or --projected-w with a file".to_owned()).into()),
        };
        let truncation = Truncation { psi: self.trunc, cutoff: self.trunc_cutoff };
        Ok(GeneratePlan {
            network: self.network,
            source,
            preparation: Preparation { seeds: truncation, files: truncation, class: self.class },
            noise: self.noise_mode.into(),
            arithmetic: self.precision.into(),
            outdir: self.outdir,
            grid: if self.grid { Grid::Yes } else { Grid::No },
        })
    }

    pub(crate) fn run(mut self) -> Result<()> {
        let output = std::mem::take(&mut self.output);
        let mut sink = output.sink();
        let plan = self.plan(&mut sink)?;
        let outcome = generate::run(&plan, &mut sink)?;
        let files = outcome.images.iter().chain(&outcome.grid).map(|path| path.display().to_string());
        output.print(&outcome, files)
    }
}
