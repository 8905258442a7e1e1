//! VGG16 (Simonyan and Zisserman 2015, table 1, column D) as far as its last convolution, from torchvision's state dict.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::{Edge, MaxPool, max_pool2d};
use crate::perceptual::Backbone;
use crate::perceptual::scale::{at_least, at_most_256, in_colour};
use crate::perceptual::tensors::{ConvRelu, TORCHVISION, normalised, same};

/// Channels of the five groups of convolutions, and the numbers that torchvision gives the convolutions.
const GROUPS: [(usize, &[usize]); 5] =
    [(64, &[0, 2]), (128, &[5, 7]), (256, &[10, 12, 14]), (512, &[17, 19, 21]), (512, &[24, 26, 28])];

/// The convolutions of VGG16; LPIPS compares the last features of each of the five groups.
pub struct Vgg16 {
    groups: Vec<Vec<ConvRelu>>,
}

impl Vgg16 {
    /// Takes `features.0.weight` and so on from torchvision's `vgg16` state dict.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn from_torchvision(mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let mut inputs = 3;
        let mut groups = Vec::new();
        for (channels, numbers) in GROUPS {
            let mut group = Vec::new();
            for number in numbers {
                let (name, shape) = (format!("features.{number}"), [channels, inputs, 3, 3]);
                group.push(ConvRelu::take(&mut tensors, &name, shape, same(3))?);
                inputs = channels;
            }
            groups.push(group);
        }
        Ok(Vgg16 { groups })
    }
}

impl Backbone for Vgg16 {
    fn channels(&self) -> Vec<usize> {
        GROUPS.iter().map(|(channels, _)| *channels).collect()
    }

    fn feature_maps(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        const LEAST_PX: usize = 32;
        let pool = MaxPool { kernel: 2, stride: 2, edge: Edge::Drop };
        let seen = at_least(&in_colour(&at_most_256(images)?)?, LEAST_PX)?;
        let mut x = normalised(&seen, TORCHVISION.0, TORCHVISION.1)?;
        let mut maps = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            if index > 0 {
                x = max_pool2d(&x, &pool)?;
            }
            for conv in group {
                x = conv.forward(&x)?;
            }
            maps.push(x.clone());
        }
        Ok(maps)
    }
}
