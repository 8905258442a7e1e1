//! Chooses what makes images alike: from the checkpoint itself, or from a file of weights that the user points at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use toonify_networks::checkpoint::{Checkpoint, read_state_dict};
use toonify_networks::perceptual::{
    Backbone, Combined, Judge, LinearWeights, Lpips, Perception, Pixels, SqueezeNet, Vgg16,
};
use toonify_networks::stylegan2::Discriminator;

use crate::events::{Event, Sink};
use crate::store::photo;

/// What to look with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EyesPlan {
    /// Which perception.
    pub sight: Sight,
    /// Weights of SqueezeNet or VGG16.
    pub weights: Option<PathBuf>,
    /// Linear weights of LPIPS for them.
    pub lpips: Option<PathBuf>,
}

/// The perceptions that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// The discriminator where the checkpoint has one, pixels otherwise.
    Auto,
    /// Features of the checkpoint's discriminator, and pixels.
    Discriminator,
    /// Features of SqueezeNet.
    Squeezenet,
    /// Features of VGG16.
    Vgg16,
    /// Pixels at several scales.
    Pixel,
}

/// A perception with its name for reports.
pub struct Eyes {
    /// What it is made of, in words.
    pub name: String,
    /// The perception.
    pub perception: Box<dyn Perception>,
}

/// How much the discriminator's features count beside the pixels; docs/projecting.md says how it was found.
const JUDGE_WEIGHT: f64 = 0.3;

/// Reads what the plan needs.
///
/// # Errors
/// When a file is missing or does not hold what it should, or the checkpoint has no discriminator and one is asked for.
pub fn open(plan: &EyesPlan, checkpoint: &Checkpoint, sink: &mut dyn Sink) -> Result<Eyes> {
    match plan.sight {
        Sight::Auto if checkpoint.discriminator.is_none() => {
            let note = "the checkpoint has no discriminator: images are compared by their pixels alone";
            sink.event(&Event::Note(note.to_owned()));
            Ok(pixels())
        }
        Sight::Auto | Sight::Discriminator => judge(checkpoint),
        Sight::Pixel | Sight::Squeezenet | Sight::Vgg16 => alone(plan),
    }
}

/// [`open`] where there is no checkpoint to look at.
///
/// # Errors
/// As [`open`], and when the plan asks for the checkpoint's discriminator.
pub fn alone(plan: &EyesPlan) -> Result<Eyes> {
    match plan.sight {
        Sight::Auto | Sight::Discriminator => bail!("there is no checkpoint whose discriminator could compare images"),
        Sight::Pixel => Ok(pixels()),
        Sight::Squeezenet => {
            let net = squeezenet(plan)?;
            classifier(net.name(), Box::new(net), plan)
        }
        Sight::Vgg16 => classifier("VGG16", Box::new(vgg16(plan)?), plan),
    }
}

fn pixels() -> Eyes {
    Eyes { name: "pixels at several scales".to_owned(), perception: Box::new(Pixels::MULTI_SCALE) }
}

fn judge(checkpoint: &Checkpoint) -> Result<Eyes> {
    let judge = the_judge(checkpoint)?;
    let channels = judge.channels();
    let each = JUDGE_WEIGHT / channels.len() as f64;
    let linear = LinearWeights::by_layer(&channels, &vec![each; channels.len()])?;
    let parts: Vec<Box<dyn Perception>> =
        vec![Box::new(Lpips::new(Box::new(judge), linear)?), Box::new(Pixels::MULTI_SCALE)];
    Ok(Eyes { name: "the checkpoint's discriminator and pixels".to_owned(), perception: Box::new(Combined(parts)) })
}

fn the_judge(checkpoint: &Checkpoint) -> Result<Judge> {
    let Some(found) = &checkpoint.discriminator else {
        bail!("the checkpoint has no discriminator: leave --perception out, or choose another one");
    };
    Ok(Judge::new(Discriminator::from_weights(&found.config, &found.weights)?))
}

/// The network behind a perception, for those who want its feature maps; `None` where it looks at pixels alone.
///
/// # Errors
/// As [`open`].
pub fn backbone(plan: &EyesPlan, checkpoint: &Checkpoint) -> Result<Option<Box<dyn Backbone>>> {
    Ok(match plan.sight {
        Sight::Auto if checkpoint.discriminator.is_none() => None,
        Sight::Pixel => None,
        Sight::Auto | Sight::Discriminator => Some(Box::new(the_judge(checkpoint)?)),
        Sight::Squeezenet => Some(Box::new(squeezenet(plan)?)),
        Sight::Vgg16 => Some(Box::new(vgg16(plan)?)),
    })
}

fn squeezenet(plan: &EyesPlan) -> Result<SqueezeNet> {
    let (path, tensors) = weights(plan)?;
    SqueezeNet::from_tensors(tensors).with_context(|| not_usable(path))
}

fn vgg16(plan: &EyesPlan) -> Result<Vgg16> {
    let (path, tensors) = weights(plan)?;
    Vgg16::from_tensors(tensors).with_context(|| not_usable(path))
}

fn classifier(name: &str, net: Box<dyn Backbone>, plan: &EyesPlan) -> Result<Eyes> {
    let channels = net.channels();
    let (name, linear) = match &plan.lpips {
        None => (name.to_owned(), LinearWeights::by_layer(&channels, &vec![1.0; channels.len()])?),
        Some(path) => {
            let linear = LinearWeights::published(&channels, read(path)?).with_context(|| {
                format!("`{}` does not hold the linear weights of LPIPS for {name}", path.display())
            })?;
            (format!("LPIPS ({name})"), linear)
        }
    };
    Ok(Eyes { name, perception: Box::new(Lpips::new(net, linear)?) })
}

fn weights(plan: &EyesPlan) -> Result<(&Path, BTreeMap<String, Tensor>)> {
    let Some(path) = &plan.weights else {
        bail!("this perception needs its weights: point at the file with --weights")
    };
    Ok((path, read(path)?))
}

fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = photo::read_bytes(path)?;
    read_state_dict(&bytes).with_context(|| format!("cannot read weights from `{}`", path.display()))
}

fn not_usable(path: &Path) -> String {
    format!("`{}` does not hold the weights that are needed", path.display())
}
