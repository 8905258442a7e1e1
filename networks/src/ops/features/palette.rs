//! From features to images of a few colours and back.

use candle_core::{CpuStorage, CustomOp2, Layout, Result as CandleResult, Shape, Tensor};

use super::numbers::{cut_off, filled_up, result, slice};
use super::{Features, shape, sizes};
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::blocked::maps::Sizes;
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
    /// [`Error::Shape`] when they do not fit.
    pub fn mix(&self, weights: &Dual) -> Result<Dual> {
        let colours = weights.dims().get(1).copied().unwrap_or(0);
        expect_shape("weights of colours", weights.value(), &[self.size().0, colours, self.channels])?;
        self.x.bilinear(weights, |x, weights| Kind::Mix.apply(x, weights))
    }

    /// Makes features of images with the same weights for all.
    ///
    /// # Shapes
    /// image `[N, K, H, W]`, weights `[1, K, C]`
    ///
    /// # Errors
    /// [`Error::Value`] when they do not fit.
    pub fn paint(image: &Dual, weights: &Dual) -> Result<Features> {
        let [1, colours, channels] = *weights.dims() else {
            return Err(Error::value("weights of colours", format!("{:?}", weights.dims()), "[1, colours, channels]"));
        };
        let (n, _, h, w) = image.dims4()?;
        expect_shape("image", image.value(), &[n, colours, h, w])?;
        let x = image.bilinear(weights, |image, weights| Kind::Paint.apply(image, weights))?;
        Ok(Features { x, channels })
    }
}

/// The three operators.
#[derive(Clone, Copy)]
enum Kind {
    /// (features, weights `[1 or N, K, C]`) → colours
    Mix,
    /// (colours, weights) → features
    Paint,
    /// (features, colours) → weights of so many sets and channels
    Compare { sets: usize, channels: usize },
}

impl Kind {
    fn apply(self, first: &Tensor, second: &Tensor) -> CandleResult<Tensor> {
        first.contiguous()?.apply_op2(&second.contiguous()?, self)
    }

    fn compute(self, (first, l1): (&[f32], &Layout), (second, l2): (&[f32], &Layout)) -> Result<(CpuStorage, Shape)> {
        Ok(match self {
            Kind::Mix => {
                let (sets, colours, channels) = l2.shape().dims3()?;
                let sizes = sizes(l1.dims())?;
                let numbers = Palette { sizes, colours, sets }.mix(first, &filled_up(second, channels));
                result(numbers, (sizes.images, colours, sizes.rows, sizes.columns))
            }
            Kind::Paint => {
                let (sets, colours, channels) = l2.shape().dims3()?;
                let (images, _, rows, columns) = l1.shape().dims4()?;
                let sizes = Sizes::of(images, channels, (rows, columns));
                let numbers = Palette { sizes, colours, sets }.paint(first, &filled_up(second, channels));
                result(numbers, &shape(sizes))
            }
            Kind::Compare { sets, channels } => {
                let colours = l2.dims()[1];
                let numbers = Palette { sizes: sizes(l1.dims())?, colours, sets }.compare(first, second);
                result(cut_off(&numbers, channels), (sets, colours, channels))
            }
        })
    }
}

impl CustomOp2 for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Mix => "features to colours",
            Kind::Paint => "colours to features",
            Kind::Compare { .. } => "features against colours",
        }
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (first, second) = ((slice(s1, l1)?, l1), (slice(s2, l2)?, l2));
        timed(self.name(), 0, || self.compute(first, second)).map_err(candle_core::Error::wrap)
    }

    fn bwd(
        &self,
        first: &Tensor,
        second: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let followed = |argument: &Tensor, (kind, a, b): (Kind, &Tensor, &Tensor)| {
            argument.track_op().then(|| kind.apply(a, b)).transpose()
        };
        let compare = || Ok::<_, candle_core::Error>(Kind::Compare { sets: second.dim(0)?, channels: second.dim(2)? });
        match self {
            Kind::Mix => Ok((
                followed(first, (Kind::Paint, gradient, second))?,
                followed(second, (compare()?, first, gradient))?,
            )),
            Kind::Paint => {
                Ok((followed(first, (Kind::Mix, gradient, second))?, followed(second, (compare()?, gradient, first))?))
            }
            Kind::Compare { .. } => {
                Ok((followed(first, (Kind::Paint, second, gradient))?, followed(second, (Kind::Mix, first, gradient))?))
            }
        }
    }
}
