//! Feature detectors: classifiers whose inner features tell how alike sets of images are.
//!
//! | detector | file | features | sees |
//! |---|---|---|---|
//! | [`Inception`] | the published `inception-2015-12-05.pt`, or a state dict in torchvision's names | 2048 | 299 px |
//! | [`Vgg16Features`] | the published `vgg16.pt`, or torchvision's `vgg16` | 4096 | 224 px |
//! | [`SqueezeNetFeatures`] | any SqueezeNet 1.0 or 1.1 | 512 | 224 px |
//!
//! Numbers of different detectors cannot be compared with each other.

mod average_pool;
mod inception;
mod resize;
mod squeezenet;
mod vgg16;

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::{Error, Result};

pub use inception::Inception;
pub use resize::resize_bilinear;
pub use squeezenet::SqueezeNetFeatures;
pub use vgg16::Vgg16Features;

/// A network that describes images by features.
pub trait Detector: Send + Sync {
    /// Name of the network, for reports.
    fn name(&self) -> &'static str;

    /// Number of features.
    fn length(&self) -> usize;

    /// Side to which images are brought, in pixels, by [`resize_bilinear`].
    fn seen_px(&self) -> usize;

    /// Describes images.
    ///
    /// # Shapes
    /// `images` `[N, 1 or 3, R, R]`, 0 to 255 → `[N, length]`
    ///
    /// # Errors
    /// When the images have another shape.
    fn features(&self, images: &Tensor) -> Result<Tensor>;

    /// Class probabilities for the features `[N, length]`, computed as for the inception score, or `None` when the
    /// detector is not one that the score is defined for.
    ///
    /// # Errors
    /// When the features have another shape.
    fn probabilities(&self, _features: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Builds the detector that the tensors of a file belong to.
///
/// # Errors
/// [`Error::Value`] when they belong to none, or a tensor is missing; [`Error::Shape`] when one has another shape.
pub fn from_tensors(tensors: BTreeMap<String, Tensor>) -> Result<Box<dyn Detector>> {
    if Inception::recognises(&tensors) {
        return Ok(Box::new(Inception::from_tensors(tensors)?));
    }
    if Vgg16Features::recognises(&tensors) {
        return Ok(Box::new(Vgg16Features::from_tensors(tensors)?));
    }
    if SqueezeNetFeatures::recognises(&tensors) {
        return Ok(Box::new(SqueezeNetFeatures::from_tensors(tensors)?));
    }
    let found = tensors.keys().next().map_or("no tensors".to_owned(), |name| format!("`{name}` …"));
    Err(Error::value("detector file", found, "Inception V3, VGG16 or SqueezeNet"))
}
