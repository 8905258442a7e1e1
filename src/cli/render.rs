//! Arguments of every command that renders latents with a generator.

use clap::{Args, ValueEnum};
use toonify_networks::ops::Arithmetic;

use crate::latents::Preparation;
use crate::render::NoiseMode;

/// How latents become images.
#[derive(Debug, Args)]
pub(crate) struct RenderArgs {
    /// Truncation: 1 as drawn or found, 0 the average face
    #[arg(long, value_name = "PSI", default_value_t = 1.0, allow_negative_numbers = true)]
    pub trunc: f64,
    /// Class of a conditional network
    #[arg(long, value_name = "INDEX")]
    pub class: Option<usize>,
    /// Noise of the synthesis network
    #[arg(long, value_enum, default_value_t = NoiseArg::Const)]
    noise_mode: NoiseArg,
    /// Arithmetic of the blocks that the checkpoint marks for half precision
    #[arg(long, value_enum, default_value_t = PrecisionArg::Single)]
    precision: PrecisionArg,
}

impl RenderArgs {
    /// Truncation of all layers, and the class.
    pub fn preparation(&self) -> Preparation {
        Preparation { class: self.class, ..Preparation::truncated(self.trunc) }
    }

    /// `--noise-mode`
    pub fn noise(&self) -> NoiseMode {
        match self.noise_mode {
            NoiseArg::Const => NoiseMode::Const,
            NoiseArg::Random => NoiseMode::Random,
            NoiseArg::None => NoiseMode::None,
        }
    }

    /// `--precision`
    pub fn arithmetic(&self) -> Arithmetic {
        match self.precision {
            PrecisionArg::Single => Arithmetic::Single,
            PrecisionArg::Half => Arithmetic::Half,
        }
    }
}

/// Noise modes as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum NoiseArg {
    /// The fixed noise images of the checkpoint
    Const,
    /// Fresh noise, drawn from each image's seed
    Random,
    /// No noise
    None,
}

/// Precisions as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PrecisionArg {
    /// Single precision throughout
    Single,
    /// The published tools' roundings on a CPU; slower
    Half,
}
