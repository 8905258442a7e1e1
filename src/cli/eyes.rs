//! The options that choose what makes images alike.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cli::Misuse;
use crate::eyes::{EyesPlan, Sight};

/// What images are compared by.
#[derive(Clone, Debug, Args)]
pub(crate) struct EyesArgs {
    /// What makes images alike
    #[arg(long, value_enum, default_value_t = SightArg::Auto)]
    perception: SightArg,
    /// Weights of SqueezeNet or VGG16
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Linear weights of LPIPS for them
    #[arg(long, value_name = "FILE", requires = "weights")]
    lpips: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum SightArg {
    /// The checkpoint's discriminator, or pixels when it has none
    Auto,
    /// The checkpoint's discriminator
    Discriminator,
    /// SqueezeNet, with --weights
    Squeezenet,
    /// VGG16 from torchvision's state dict, with --weights
    Vgg16,
    /// Pixels at several scales
    Pixel,
}

impl EyesArgs {
    pub(crate) fn plan(&self) -> Result<EyesPlan> {
        let needs_weights = matches!(self.perception, SightArg::Squeezenet | SightArg::Vgg16);
        if needs_weights != self.weights.is_some() {
            let text = "--weights goes with --perception squeezenet or vgg16, and each of them needs it";
            return Err(Misuse(text.to_owned()).into());
        }
        let sight = match self.perception {
            SightArg::Auto => Sight::Auto,
            SightArg::Discriminator => Sight::Discriminator,
            SightArg::Squeezenet => Sight::Squeezenet,
            SightArg::Vgg16 => Sight::Vgg16,
            SightArg::Pixel => Sight::Pixel,
        };
        Ok(EyesPlan { sight, weights: self.weights.clone(), lpips: self.lpips.clone() })
    }
}
