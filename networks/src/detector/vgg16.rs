//! VGG16's features for whole images: those in front of its last layer, which precision and recall compare.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::detector::{Detector, resize_bilinear};
use crate::error::{Error, Result};
use crate::ops::{Edge, MaxPool, max_pool2d};
use crate::perceptual::{Backbone, Vgg16, take};

/// Names of the two fully connected layers, and of the network for reports: the published numbers belong to the published
/// weights.
const LAYERS: [([&str; 2], &str); 2] =
    [(["layers.fc1", "layers.fc2"], "VGG16"), (["classifier.0", "classifier.3"], "VGG16 (torchvision)")];

/// VGG16 up to its second fully connected layer.
pub struct Vgg16Features {
    name: &'static str,
    convolutions: Vgg16,
    layers: [FullyConnected; 2],
}

/// A matrix `[I, O]` and a bias `[1, O]`, followed by a ReLU.
struct FullyConnected {
    matrix: Tensor,
    bias: Tensor,
}

impl FullyConnected {
    fn take(tensors: &mut BTreeMap<String, Tensor>, name: &str, [out, inputs]: [usize; 2]) -> Result<Self> {
        let matrix = take(tensors, &format!("{name}.weight"), &[out, inputs])?.t()?;
        let bias = take(tensors, &format!("{name}.bias"), &[out])?.unsqueeze(0)?;
        Ok(FullyConnected { matrix, bias })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&self.matrix)?.broadcast_add(&self.bias)?.relu()?)
    }
}

impl Vgg16Features {
    /// Whether the tensors look like VGG16's, with its fully connected layers.
    pub fn recognises(tensors: &BTreeMap<String, Tensor>) -> bool {
        LAYERS.iter().any(|(layers, _)| tensors.contains_key(&format!("{}.weight", layers[1])))
    }

    /// Takes the tensors of the published `vgg16.pt` or of torchvision's state dict.
    ///
    /// # Errors
    /// [`Error::Value`] when a tensor is missing, [`Error::Shape`] when it has another shape.
    pub fn from_tensors(mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let found = LAYERS.iter().find(|(layers, _)| tensors.contains_key(&format!("{}.weight", layers[1])));
        let Some(([first, second], name)) = found else {
            return Err(Error::value("weights file", "without fully connected layers", "all of VGG16"));
        };
        let layers = [
            FullyConnected::take(&mut tensors, first, [4096, 512 * 7 * 7])?,
            FullyConnected::take(&mut tensors, second, [4096, 4096])?,
        ];
        Ok(Vgg16Features { name, convolutions: Vgg16::from_tensors(tensors)?, layers })
    }
}

impl Detector for Vgg16Features {
    fn name(&self) -> &'static str {
        self.name
    }

    fn length(&self) -> usize {
        4096
    }

    fn seen_px(&self) -> usize {
        224
    }

    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let maps = self.convolutions.feature_maps(&resize_bilinear(images, self.seen_px())?)?;
        let last = maps.last().ok_or_else(|| Error::value("feature maps", "none", "at least one"))?;
        let pooled = max_pool2d(last, &MaxPool { kernel: 2, stride: 2, edge: Edge::Drop })?; // [N, 512, 7, 7]
        self.layers.iter().try_fold(pooled.flatten_from(1)?, |x, layer| layer.forward(&x))
    }
}
