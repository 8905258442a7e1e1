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
            let linear = lpips(plan, (net.name(), &net))?;
            classifier(net.name(), Box::new(net), linear)
        }
        Sight::Vgg16 => {
            let (path, tensors) = weights(plan)?;
            // The published detector brings linear weights of its own.
            let own = Vgg16::published_linear_weights(&tensors).with_context(|| not_usable(path))?;
            let net = Vgg16::from_tensors(tensors).with_context(|| not_usable(path))?;
            let linear = lpips(plan, ("VGG16", &net))?.or(own);
            classifier("VGG16", Box::new(net), linear)
        }
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

/// A network's perception: LPIPS with linear weights, every layer alike without.
fn classifier(name: &str, net: Box<dyn Backbone>, linear: Option<LinearWeights>) -> Result<Eyes> {
    let channels = net.channels();
    let (name, linear) = match linear {
        None => (name.to_owned(), LinearWeights::by_layer(&channels, &vec![1.0; channels.len()])?),
        Some(linear) => (format!("LPIPS ({name})"), linear),
    };
    Ok(Eyes { name, perception: Box::new(Lpips::new(net, linear)?) })
}

/// The linear weights that the plan names.
fn lpips(plan: &EyesPlan, (name, net): (&str, &dyn Backbone)) -> Result<Option<LinearWeights>> {
    let Some(path) = &plan.lpips else { return Ok(None) };
    let linear = LinearWeights::published(&net.channels(), read(path)?);
    let linear =
        linear.with_context(|| format!("`{}` does not hold the linear weights of LPIPS for {name}", path.display()));
    linear.map(Some)
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device};

    use super::*;

    /// VGG16 under the names of the published detector, with or without its linear weights, all of them 0.
    fn published(folder: &Path, name: &str, linear: &[(&str, usize)]) -> PathBuf {
        let widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
        let inputs = std::iter::once(3).chain(widths);
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let mut tensors = HashMap::new();
        for (index, (out, inputs)) in widths.into_iter().zip(inputs).enumerate() {
            tensors.insert(format!("layers.conv{}.weight", index + 1), zeros(&[out, inputs, 3, 3]));
            tensors.insert(format!("layers.conv{}.bias", index + 1), zeros(&[out]));
        }
        tensors.extend(linear.iter().map(|(name, channels)| (name.to_string(), zeros(&[1, *channels, 1, 1]))));
        let path = folder.join(name);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        path
    }

    #[test]
    fn the_published_detector_brings_its_linear_weights() {
        let folder = tempfile::tempdir().unwrap();
        let layers = [("lpips0", 64), ("lpips1", 128), ("lpips2", 256), ("lpips3", 512), ("lpips4", 512)];
        let name_of = |weights: PathBuf| {
            alone(&EyesPlan { sight: Sight::Vgg16, weights: Some(weights), lpips: None }).unwrap().name
        };
        assert_eq!(name_of(published(folder.path(), "with", &layers)), "LPIPS (VGG16)");
        assert_eq!(name_of(published(folder.path(), "without", &[])), "VGG16");
        let damaged = published(folder.path(), "damaged", &layers[..3]);
        let plan = EyesPlan { sight: Sight::Vgg16, weights: Some(damaged), lpips: None };
        let error = format!("{:#}", alone(&plan).map(|eyes| eyes.name).unwrap_err());
        assert!(error.contains("damaged"), "{error}");
    }
}
