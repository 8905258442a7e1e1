//! VGG16 (Simonyan and Zisserman 2015, table 1, column D) as far as its last convolution.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::perceptual_distance::{Classifier, Colours, Target};
use crate::ops::{Edge, MaxPool, max_pool2d};
use crate::perceptual::scale::{at_least, at_most_256, in_colour};
use crate::perceptual::tensors::{ConvRelu, TORCHVISION, normalised, same};
use crate::perceptual::{Backbone, Comparison, LinearWeights};

/// Channels of the five groups of convolutions, and the numbers that torchvision gives the convolutions.
const GROUPS: [(usize, &[usize]); 5] =
    [(64, &[0, 2]), (128, &[5, 7]), (256, &[10, 12, 14]), (512, &[17, 19, 21]), (512, &[24, 26, 28])];

/// The convolutions of VGG16; LPIPS compares the last features of each of the five groups.
pub struct Vgg16 {
    groups: Vec<Vec<ConvRelu>>,
}

impl Vgg16 {
    /// Takes `features.0.weight` and so on from torchvision's `vgg16` state dict, or `layers.conv1.weight` and so on from
    /// the published `vgg16.pt`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn from_tensors(mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let published = tensors.contains_key("layers.conv1.weight");
        let (mut inputs, mut index) = (3, 0);
        let mut groups = Vec::new();
        for (channels, numbers) in GROUPS {
            let mut group = Vec::new();
            for number in numbers {
                index += 1;
                let name = if published { format!("layers.conv{index}") } else { format!("features.{number}") };
                group.push(ConvRelu::take(&mut tensors, &name, [channels, inputs, 3, 3], same(3))?);
                inputs = channels;
            }
            groups.push(group);
        }
        Ok(Vgg16 { groups })
    }

    /// Takes the linear weights of LPIPS out of the published `vgg16.pt`: `lpips0` to `lpips4`; `None` when the tensors are
    /// another file's.
    ///
    /// # Errors
    /// When one is missing or has another number of channels.
    pub fn published_linear_weights(tensors: &BTreeMap<String, Tensor>) -> Result<Option<LinearWeights>> {
        if !tensors.contains_key("lpips0") {
            return Ok(None);
        }
        let channels: Vec<usize> = GROUPS.iter().map(|(channels, _)| *channels).collect();
        let mut renamed = BTreeMap::new();
        for (layer, &channels) in channels.iter().enumerate() {
            let Some(tensor) = tensors.get(&format!("lpips{layer}")) else { continue };
            let fits = tensor.elem_count() == channels;
            let tensor = if fits { tensor.reshape((1, channels, 1, 1))? } else { tensor.clone() };
            renamed.insert(format!("lin{layer}.model.1.weight"), tensor);
        }
        LinearWeights::published(&channels, renamed).map(Some)
    }
}

impl Vgg16 {
    /// The network with linear weights as one operator, if it is of the kind that has one.
    fn classifier(&self, linear: &LinearWeights) -> Result<Option<Classifier>> {
        let mut groups = Vec::new();
        for (group, weights) in self.groups.iter().zip(linear.layers()) {
            let Some(layers) = ConvRelu::all_plain(group) else { return Ok(None) };
            groups.push((layers, weights.flatten_all()?));
        }
        let (shift, scale) = (TORCHVISION.0.to_vec(), TORCHVISION.1.to_vec());
        Ok(Some(Classifier::new(groups, Colours { shift, scale })?))
    }
}

/// As the network sees images, before they are normalised.
fn seen(images: &Tensor) -> Result<Tensor> {
    in_colour(&at_most_256(images)?)
}

/// A target that the network has looked at.
struct Compared(Target);

impl Comparison for Compared {
    fn distance(&self, images: &Tensor) -> Result<Tensor> {
        self.0.distance(&seen(images)?)
    }
}

impl Backbone for Vgg16 {
    fn channels(&self) -> Vec<usize> {
        GROUPS.iter().map(|(channels, _)| *channels).collect()
    }

    fn feature_maps(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        const LEAST_PX: usize = 32;
        let pool = MaxPool { kernel: 2, stride: 2, edge: Edge::Drop };
        let seen = at_least(&seen(images)?, LEAST_PX)?;
        let mut x = normalised(&seen, TORCHVISION.0, TORCHVISION.1)?;
        let mut maps = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            if index > 0 {
                x = max_pool2d(&x, &pool)?;
            }
            x = ConvRelu::forward_all(group, &x)?;
            maps.push(x.clone());
        }
        Ok(maps)
    }

    fn look_at(&self, target: &Tensor, linear: &LinearWeights) -> Result<Option<Box<dyn Comparison + '_>>> {
        let target = seen(target)?;
        match self.classifier(linear)? {
            Some(classifier) if classifier.serves(&target) => {
                Ok(Some(Box::new(Compared(Arc::new(classifier).look_at(&target)?))))
            }
            _ => Ok(None),
        }
    }
}
