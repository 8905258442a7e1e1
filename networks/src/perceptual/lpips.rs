//! LPIPS: the distance of a network's features, each position's vector brought to length 1 first (Zhang et al. 2018,
//! "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", section 3, equation 1).

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::ops::distance::{of_length_one, squared_distance};
use crate::perceptual::tensors::take;
use crate::perceptual::{Comparison, Perception};

/// A network whose intermediate features can be compared.
pub trait Backbone: Send + Sync {
    /// Channels of each of the feature maps.
    fn channels(&self) -> Vec<usize>;

    /// Computes the feature maps, first layer first.
    ///
    /// # Shapes
    /// `images` `[N, 1 or 3, R, R]`, 0 to 255 → `[N, C, h, w]` for each of the [`channels`](Backbone::channels)
    ///
    /// # Errors
    /// Whatever the network cannot do.
    fn feature_maps(&self, images: &Tensor) -> Result<Vec<Tensor>>;

    /// Looks at a target in a way of its own, for comparing with these linear weights, if it has one that serves such images.
    ///
    /// # Errors
    /// As [`feature_maps`](Backbone::feature_maps).
    fn look_at(&self, target: &Tensor, linear: &LinearWeights) -> Result<Option<Box<dyn Comparison + '_>>> {
        let _ = (target, linear);
        Ok(None)
    }
}

/// How much each channel of each layer counts, `[1, C, 1, 1]` and none negative.
#[derive(Clone, Debug)]
pub struct LinearWeights(Vec<Tensor>);

impl LinearWeights {
    /// Lets every channel of a layer count the same: `weights[layer]` times its squared difference.
    ///
    /// # Errors
    /// [`Error::Value`] when there is not one weight a layer.
    pub fn by_layer(channels: &[usize], weights: &[f64]) -> Result<Self> {
        if channels.len() != weights.len() {
            return Err(Error::value("number of layer weights", weights.len(), channels.len()));
        }
        let layer = |(&channels, &weight): (&usize, &f64)| {
            Ok(Tensor::full(weight as f32, (1, channels, 1, 1), &candle_core::Device::Cpu)?)
        };
        Ok(LinearWeights(channels.iter().zip(weights).map(layer).collect::<Result<_>>()?))
    }

    /// Takes the published linear layers, `lin0.model.1.weight` `[1, C, 1, 1]` and so on.
    ///
    /// # Errors
    /// [`Error::Value`] when one is missing, [`Error::Shape`] when they belong to another network.
    pub fn published(channels: &[usize], mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let layers = channels.iter().enumerate().map(|(layer, &channels)| {
            Ok(take(&mut tensors, &format!("lin{layer}.model.1.weight"), &[1, channels, 1, 1])?.relu()?)
        });
        Ok(LinearWeights(layers.collect::<Result<_>>()?))
    }

    /// The weights of each layer, `[1, C, 1, 1]`.
    pub(crate) fn layers(&self) -> &[Tensor] {
        &self.0
    }
}

/// The distance of features under linear weights.
pub struct Lpips {
    backbone: Box<dyn Backbone>,
    linear: LinearWeights,
}

impl Lpips {
    /// Joins a network with the weights of its layers.
    ///
    /// # Errors
    /// [`Error::Shape`] when they do not belong together.
    pub fn new(backbone: Box<dyn Backbone>, linear: LinearWeights) -> Result<Self> {
        let expected = backbone.channels();
        let found: Vec<usize> = linear.0.iter().map(|weights| weights.dims()[1]).collect();
        if expected != found {
            return Err(Error::Shape { name: "channels of the linear weights".to_owned(), expected, found });
        }
        Ok(Lpips { backbone, linear })
    }
}

impl Lpips {
    /// Vectors `[N, F]` of each layer whose squared differences are added.
    fn layers(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        let maps = self.backbone.feature_maps(images)?;
        let layers = maps.iter().zip(&self.linear.0).map(|(map, weights)| {
            let (_n, _c, h, w) = map.dims4()?;
            let weights = (weights.flatten_all()?.sqrt()? / ((h * w) as f64).sqrt())?;
            Ok(of_length_one(map, &weights)?.flatten_from(1)?)
        });
        layers.collect()
    }
}

impl Perception for Lpips {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        Ok(Tensor::cat(&self.layers(images)?, 1)?)
    }

    fn look_at(&self, target: &Tensor) -> Result<Box<dyn Comparison + '_>> {
        if let Some(comparison) = self.backbone.look_at(target, &self.linear)? {
            return Ok(comparison);
        }
        let target = self.layers(target)?.iter().map(Tensor::detach).collect();
        Ok(Box::new(ByLayer { lpips: self, target }))
    }
}

/// The comparison of one layer after the other, without joining their features.
struct ByLayer<'a> {
    lpips: &'a Lpips,
    target: Vec<Tensor>,
}

impl Comparison for ByLayer<'_> {
    fn distance(&self, images: &Tensor) -> Result<Tensor> {
        let mut sum = Tensor::zeros(images.dim(0)?, images.dtype(), images.device())?;
        for (features, target) in self.lpips.layers(images)?.iter().zip(&self.target) {
            sum = (sum + squared_distance(features, target)?)?;
        }
        Ok(sum)
    }
}
