//! From features to images of a few colours and back.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result as CandleResult, Shape, Tensor};

use super::Features;
use super::node::{Backward, Node};
use super::numbers::{cut_off, filled_up, numbers_of, slice, tensor};
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::palette::Palette;
use crate::ops::expect_shape;
use crate::timing::timed;

impl Features {
    /// Sums the channels of each image with weights of its own.
    ///
    /// # Shapes
    /// weights `[N, K, C]` → `[N, K, H, W]`
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when they do not fit.
    pub fn mix(&self, weights: &Dual) -> Result<Dual> {
        let colours = weights.dims().get(1).copied().unwrap_or(0);
        expect_shape("weights of colours", weights.value(), &[self.size().0, colours, self.channels])?;
        let mix = |x: &Node, weights: &Tensor| x.token().apply_op2(&weights.contiguous()?, Mix(x.clone()));
        let value = mix(&self.value, weights.value())?;
        let left = self.tangent.as_ref().map(|x| mix(x, weights.value())).transpose()?;
        let right = weights.tangent().map(|weights| mix(&self.value, weights)).transpose()?;
        match (left, right) {
            (Some(left), Some(right)) => Dual::with_tangent(value, (left + right)?),
            (None, None) => Ok(value.into()),
            (left, right) => Dual::with_tangent(value, left.or(right).expect("one of the two is there")),
        }
    }

    /// Makes features of images with the same weights for all.
    ///
    /// # Shapes
    /// image `[N, K, H, W]`, weights `[1, K, C]`
    ///
    /// # Errors
    /// [`Error::Value`] when they do not fit, or for weights with a tangent.
    pub fn paint(image: &Dual, weights: &Dual) -> Result<Features> {
        let ([1, colours, channels], None) = (weights.dims(), weights.tangent()) else {
            let found = format!("{:?}, tangent: {}", weights.dims(), weights.tangent().is_some());
            return Err(Error::value("weights of colours", found, "[1, colours, channels] without a tangent"));
        };
        let (n, _, h, w) = image.dims4()?;
        expect_shape("image", image.value(), &[n, *colours, h, w])?;
        let weights = weights.value().contiguous()?;
        let paint = |image: &Tensor| -> Result<Node> {
            let image = image.contiguous()?;
            Ok(Node::new(painted(&image, &weights)?, Paint, &[&image, &weights])?)
        };
        let tangent = image.tangent().map(paint).transpose()?;
        Ok(Features { value: paint(image.value())?, tangent, channels: *channels })
    }
}

/// (colours, weights) → features
fn painted(image: &Tensor, weights: &Tensor) -> CandleResult<Maps> {
    let ((sets, colours, channels), (n, _, rows, columns)) = (weights.dims3()?, image.dims4()?);
    let palette = Palette { sizes: Sizes::of(n, channels, (rows, columns)), colours, sets };
    let weights = filled_up(&numbers_of(weights)?, channels);
    let image = numbers_of(image)?;
    Ok(timed("colours to features", 0, || palette.paint(&image, &weights)))
}

/// (features, weights) → colours
fn mixed(maps: &Maps, weights: &[f32], (sets, colours, channels): (usize, usize, usize)) -> (Vec<f32>, [usize; 4]) {
    let sizes = maps.sizes;
    let weights = filled_up(weights, channels);
    let mix = || Palette { sizes, colours, sets }.mix(&maps.memory, &weights);
    (timed("features to colours", 0, mix), [sizes.images, colours, sizes.rows, sizes.columns])
}

/// (features, colours) → weights
fn compared(maps: &Maps, image: &Tensor, weights: &Tensor) -> CandleResult<Tensor> {
    let (sets, colours, channels) = weights.dims3()?;
    let image = numbers_of(image)?;
    let palette = Palette { sizes: maps.sizes, colours, sets };
    let numbers = timed("features against colours", 0, || palette.compare(&maps.memory, &image));
    tensor(cut_off(&numbers, channels), weights.shape())
}

struct Mix(Node);

impl CustomOp2 for Mix {
    fn name(&self) -> &'static str {
        "features to colours"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        weights: &CpuStorage,
        layout: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let (numbers, shape) = mixed(self.0.maps(), slice(weights, layout)?, layout.shape().dims3()?);
        Ok((CpuStorage::F32(numbers), Shape::from(&shape)))
    }

    fn bwd(
        &self,
        _: &Tensor,
        weights: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let of_x = match self.0.is_followed() {
            true => self.0.give(painted(&gradient, weights)?)?,
            false => None,
        };
        let of_weights = weights.track_op().then(|| compared(self.0.maps(), &gradient, weights)).transpose()?;
        Ok((of_x, of_weights))
    }
}

struct Paint;

impl Backward for Paint {
    fn name(&self) -> &'static str {
        "colours to features"
    }

    fn backward(&self, gradient: Arc<Maps>, arguments: &[&Tensor]) -> CandleResult<Vec<Option<Tensor>>> {
        let [image, weights] = arguments else { candle_core::bail!("colours and weights") };
        let of_image = image.track_op().then(|| {
            let (numbers, shape) = mixed(&gradient, &numbers_of(weights)?, weights.dims3()?);
            tensor(numbers, &shape)
        });
        let of_weights = weights.track_op().then(|| compared(&gradient, image, weights));
        Ok(vec![of_image.transpose()?, of_weights.transpose()?])
    }
}
