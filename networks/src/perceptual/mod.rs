//! What makes two images alike: images to vectors whose squared distance grows with the difference that people see.
//!
//! | perception | looks at | needs |
//! |---|---|---|
//! | [`Pixels`] | colours at several scales | nothing |
//! | [`Lpips`] over a [`Judge`] | features of a checkpoint's own discriminator | a checkpoint that has one |
//! | [`Lpips`] over [`SqueezeNet`] or [`Vgg16`] | features of an image classifier | a weights file |
//! | [`Combined`] | all of the above at once | |
//!
//! The distance of features is LPIPS (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a
//! Perceptual Metric", equation 1).

mod judge;
mod lpips;
mod pixels;
pub(crate) mod scale;
mod squeezenet;
mod tensors;
mod vgg16;

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::distance::squared_distance;

pub use judge::Judge;
pub use lpips::{Backbone, LinearWeights, Lpips};
pub use pixels::Pixels;
pub(crate) use scale::in_colour;
pub use squeezenet::SqueezeNet;
pub(crate) use tensors::{ConvRelu, take};
pub use vgg16::Vgg16;

/// What makes two images alike: images to vectors whose squared distance is the loss.
pub trait Perception: Send + Sync {
    /// Describes images.
    ///
    /// # Shapes
    /// `images` `[N, 1 or 3, R, R]` with 0 for black and 255 for white, not clamped → `[N, F]`
    ///
    /// # Errors
    /// Whatever the network behind it cannot do.
    fn features(&self, images: &Tensor) -> Result<Tensor>;

    /// Looks at the images that others will be compared with, once for many comparisons; no gradient flows into them.
    ///
    /// # Errors
    /// As [`features`](Perception::features).
    fn look_at(&self, target: &Tensor) -> Result<Box<dyn Comparison + '_>> {
        Ok(Box::new(ByFeatures { perception: self, target: self.features(target)?.detach() }))
    }
}

/// Images that others are compared with.
pub trait Comparison: Send + Sync {
    /// Squared distances of images from those that were looked at; gradients flow into the images.
    ///
    /// # Shapes
    /// as those → `[N]`
    ///
    /// # Errors
    /// When there are others in number or size, and as [`Perception::features`].
    fn distance(&self, images: &Tensor) -> Result<Tensor>;
}

/// The comparison of all features at once.
struct ByFeatures<'a, P: ?Sized> {
    perception: &'a P,
    target: Tensor,
}

impl<P: Perception + ?Sized> Comparison for ByFeatures<'_, P> {
    fn distance(&self, images: &Tensor) -> Result<Tensor> {
        squared_distance(&self.perception.features(images)?, &self.target)
    }
}

/// Several perceptions at once: distances are added.
pub struct Combined(pub Vec<Box<dyn Perception>>);

impl Perception for Combined {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let parts = self.0.iter().map(|part| part.features(images)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 1)?)
    }

    fn look_at(&self, target: &Tensor) -> Result<Box<dyn Comparison + '_>> {
        let parts = self.0.iter().map(|part| part.look_at(target)).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(Sum(parts)))
    }
}

/// The sum of several comparisons.
struct Sum<'a>(Vec<Box<dyn Comparison + 'a>>);

impl Comparison for Sum<'_> {
    fn distance(&self, images: &Tensor) -> Result<Tensor> {
        let mut sum = Tensor::zeros(images.dim(0)?, images.dtype(), images.device())?;
        for part in &self.0 {
            sum = (sum + part.distance(images)?)?;
        }
        Ok(sum)
    }
}

/// Squared distances of two batches of images, `[N]`; gradients flow into both.
///
/// # Errors
/// When the batches differ in shape, or as [`Perception::features`].
pub fn distance(perception: &dyn Perception, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    squared_distance(&perception.features(a)?, &perception.features(b)?)
}

/// [`distance`] as numbers.
///
/// # Errors
/// As [`distance`].
pub fn distances(perception: &dyn Perception, a: &Tensor, b: &Tensor) -> Result<Vec<f64>> {
    Ok(distance(perception, a, b)?.to_dtype(candle_core::DType::F64)?.to_vec1()?)
}
