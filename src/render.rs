//! What every workflow that renders has in common: a generator from a file, its labels, and the noise it is given.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use toonify_networks::checkpoint::Parts;
use toonify_networks::latent::one_hot;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, GeneratorConfig, Noise};

use crate::events::{Event, Sink};
use crate::store::checkpoint;

/// Builds the averaged generator of a checkpoint file.
///
/// # Errors
/// When the file is no checkpoint that is known; the message names it.
pub fn generator(path: &Path) -> Result<Generator> {
    let checkpoint = checkpoint::read(path, Parts::GeneratorEma)?;
    Generator::from_weights(&checkpoint.config, &checkpoint.ema)
        .with_context(|| format!("cannot build the generator of `{}`", path.display()))
}

/// Noise of the synthesis network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseMode {
    /// The fixed noise images of the checkpoint.
    Const,
    /// Fresh noise for every image, drawn from a sequence that starts with the image's seed (or its index).
    Random,
    /// No noise.
    None,
}

/// The noise for one image; random noise starts from `seed`.
///
/// # Errors
/// Only when the device refuses a tensor.
pub fn noise(mode: NoiseMode, config: &GeneratorConfig, seed: u32) -> Result<Noise> {
    Ok(match mode {
        NoiseMode::Const => Noise::Const,
        NoiseMode::None => Noise::None,
        NoiseMode::Random => Noise::random(config, 1, &mut RandomState::new(seed), &Device::Cpu)?,
    })
}

/// One-hot labels `[count, c_dim]` of a conditional network, `None` for an unconditional one.
///
/// # Errors
/// When a conditional network gets no class, or one that it does not have.
pub fn label(
    class: Option<usize>,
    config: &GeneratorConfig,
    count: usize,
    sink: &mut dyn Sink,
) -> Result<Option<Tensor>> {
    match (class, config.c_dim) {
        (None, 0) => Ok(None),
        (Some(_), 0) => {
            sink.event(&Event::Warning("--class is ignored, the network is unconditional".to_owned()));
            Ok(None)
        }
        (None, classes) => {
            bail!("the network is conditional, choose one of its {classes} classes with --class 0 … {}", classes - 1)
        }
        (Some(class), classes) => Ok(Some(one_hot(&vec![class; count], classes, &Device::Cpu)?)),
    }
}
