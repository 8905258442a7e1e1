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
pub trait Perception {
    /// Describes images.
    ///
    /// # Shapes
    /// `images` `[N, 1 or 3, R, R]` with 0 for black and 255 for white, not clamped → `[N, F]`
    ///
    /// # Errors
    /// Whatever the network behind it cannot do.
    fn features(&self, images: &Tensor) -> Result<Tensor>;
}

/// Several perceptions at once: distances are added.
pub struct Combined(pub Vec<Box<dyn Perception>>);

impl Perception for Combined {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let parts = self.0.iter().map(|part| part.features(images)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 1)?)
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
