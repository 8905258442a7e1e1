//! SqueezeNet's features for whole images: those of its last fire module, averaged over all places.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::detector::{Detector, resize_bilinear};
use crate::error::{Error, Result};
use crate::perceptual::{Backbone, SqueezeNet};

/// A detector for those who have none of the published ones: small and free.
pub struct SqueezeNetFeatures(SqueezeNet);

impl SqueezeNetFeatures {
    /// Whether the tensors look like SqueezeNet's.
    pub fn recognises(tensors: &BTreeMap<String, Tensor>) -> bool {
        ["fire9/conv1x1_1.weight", "features.12.squeeze.weight"].iter().any(|name| tensors.contains_key(*name))
    }

    /// Takes the tensors of a state dict, named as Caffe's or torchvision's.
    ///
    /// # Errors
    /// As [`SqueezeNet::from_tensors`].
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        Ok(SqueezeNetFeatures(SqueezeNet::from_tensors(tensors)?))
    }
}

impl Detector for SqueezeNetFeatures {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn length(&self) -> usize {
        512
    }

    fn seen_px(&self) -> usize {
        224
    }

    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let maps = self.0.feature_maps(&resize_bilinear(images, self.seen_px())?)?;
        let last = maps.last().ok_or_else(|| Error::value("feature maps", "none", "at least one"))?;
        Ok(last.mean((2, 3))?) // [N, 512]
    }
}
