//! Convolutions, whose input channels a style may scale.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result as CandleResult, Shape, Tensor};

use super::numbers::{filled_up, numbers_of, result, slice, tensor};
use super::scaling::{gradients, tangent_of_scaling};
use super::{Features, shape};
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::blocked::maps::Sizes;
use crate::ops::conv::cpu::blocks::{self, Blocks, image_sizes, output_sizes};
use crate::ops::conv::geometry::{Geometry, WeightOrder};
use crate::ops::expect_shape;
use crate::timing::timed;

/// What a convolution does to the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// 3x3 taps, correlated: the size stays.
    Same,
    /// 3x3 taps, correlated in steps of 2: `[h, w]` to `[(h − 1) / 2, (w − 1) / 2]`.
    Shrink,
    /// 3x3 taps, laid down in steps of 2: `[h, w]` to `[2h + 1, 2w + 1]`.
    Grow,
    /// A single tap.
    Pointwise,
}

/// A convolution for images of one size.
#[derive(Clone, Copy, Debug)]
struct Convolution {
    /// From output side to image side if it grows.
    grows: bool,
    geometry: Geometry,
}

impl Features {
    /// Convolves features, their channels scaled by the styles.
    ///
    /// # Shapes
    /// weight `[O, I, k, k]`, styles `[N, I]`
    ///
    /// # Errors
    /// [`Error::Shape`] when they do not fit, [`Error::Value`] for a weight with a tangent.
    pub fn convolve(&self, weight: &Dual, form: Form, styles: Option<&Dual>) -> Result<Features> {
        let (n, h, w) = self.size();
        let convolution = Convolution::new((h, w), form, weight)?;
        let taps = if form == Form::Pointwise { 1 } else { 3 };
        let channels = weight.dims()[0];
        expect_shape("weight", weight.value(), &[channels, self.channels, taps, taps])?;
        if weight.tangent().is_some() {
            return Err(Error::value("tangent of a weight", "given", "none"));
        }
        let weight = weight.value().contiguous()?;
        let Some(styles) = styles else {
            let x = self.x.linear(|x| x.apply_op2(&weight, convolution))?;
            return Ok(Features { x, channels });
        };
        expect_shape("styles", styles.value(), &[n, self.channels])?;
        let value = self.x.value().apply_op3(&weight, &styles.value().contiguous()?, convolution)?;
        let factors = (styles.value(), styles.tangent());
        let x = match tangent_of_scaling((self.x.value(), self.x.tangent()), factors)? {
            Some(scaled) => Dual::with_tangent(value, scaled.apply_op2(&weight, convolution)?)?,
            None => value.into(),
        };
        Ok(Features { x, channels })
    }
}

impl Convolution {
    fn new((h, w): (usize, usize), form: Form, weight: &Dual) -> Result<Self> {
        let (outputs, inputs, kh, kw) = weight.dims4()?;
        if form == Form::Shrink && h.min(w) < 3 {
            return Err(Error::value("image size", format!("{h}×{w}"), "at least 3×3"));
        }
        let (stride, corner) = match form {
            Form::Same => (1, 1),
            Form::Pointwise => (1, 0),
            Form::Shrink | Form::Grow => (2, 0),
        };
        let grows = form == Form::Grow;
        let (image, output) = match form {
            Form::Same | Form::Pointwise => ((h, w), (h, w)),
            Form::Shrink => ((h, w), ((h - 1) / 2, (w - 1) / 2)),
            Form::Grow => ((2 * h + 1, 2 * w + 1), (h, w)),
        };
        let geometry = Geometry {
            stride,
            top: corner,
            left: corner,
            groups: 1,
            order: if grows { WeightOrder::ImageFirst } else { WeightOrder::OutputFirst },
            image_channels: if grows { outputs } else { inputs },
            output_channels: if grows { inputs } else { outputs },
            image,
            output,
            kernel: (kh, kw),
        };
        Ok(Convolution { grows, geometry })
    }

    fn label(&self) -> &'static str {
        match (self.geometry.kernel.0, self.geometry.stride, self.grows) {
            (1, ..) => "1x1 convolution",
            (_, 1, _) => "convolution",
            (.., false) => "shrinking convolution",
            (.., true) => "growing convolution",
        }
    }

    /// Sizes of what is read and of the result.
    fn sizes(&self, images: usize) -> [Sizes; 2] {
        let (image, output) = (image_sizes(&self.geometry, images), output_sizes(&self.geometry, images));
        if self.grows { [output, image] } else { [image, output] }
    }

    fn images(&self, x: &[f32]) -> usize {
        x.len() / self.sizes(1)[0].total()
    }

    fn forward(&self, x: Blocks<'_>, weight: &[f32]) -> (CpuStorage, Shape) {
        let images = self.images(x.numbers);
        let numbers = timed(self.label(), self.geometry.operations(images), || match self.grows {
            false => blocks::convolution(&self.geometry, x, weight),
            true => blocks::adjoint(&self.geometry, x, weight),
        });
        result(numbers, &shape(self.sizes(images)[1]))
    }

    /// Gradient by the features that the kernel sees.
    fn by_input(&self, gradient: &Tensor, weight: &Tensor) -> CandleResult<Tensor> {
        let (gradient, weight) = (numbers_of(gradient)?, numbers_of(weight)?);
        let images = gradient.len() / self.sizes(1)[1].total();
        let gradient = Blocks { numbers: &gradient, scales: None };
        let numbers = timed("gradient of features", self.geometry.operations(images), || match self.grows {
            false => blocks::adjoint(&self.geometry, gradient, &weight),
            true => blocks::convolution(&self.geometry, gradient, &weight),
        });
        tensor(numbers, &shape(self.sizes(images)[0]))
    }

    /// Gradient by the weight, for features that are scaled.
    fn by_weight(&self, x: &Tensor, scales: Option<&[f32]>, gradient: &Tensor) -> CandleResult<Tensor> {
        let (x, gradient) = (numbers_of(x)?, numbers_of(gradient)?);
        let images = self.images(&x);
        let (x, gradient) = (Blocks { numbers: &x, scales }, Blocks { numbers: &gradient, scales: None });
        let label = if self.geometry.stride == 1 { "gradient of kernels" } else { "gradient of kernels by 2" };
        let numbers = timed(label, self.geometry.operations(images), || match self.grows {
            false => blocks::weight_gradient(&self.geometry, x, gradient),
            true => blocks::weight_gradient(&self.geometry, gradient, x),
        });
        tensor(numbers, &self.geometry.weight_shape())
    }
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        self.label()
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        Ok(self.forward(Blocks { numbers: slice(s1, l1)?, scales: None }, slice(s2, l2)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let of_x = x.track_op().then(|| self.by_input(&gradient, weight)).transpose()?;
        let of_weight = weight.track_op().then(|| self.by_weight(x, None, &gradient)).transpose()?;
        Ok((of_x, of_weight))
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        self.label()
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> CandleResult<(CpuStorage, Shape)> {
        let styles = filled_up(slice(s3, l3)?, l3.dims()[1]);
        Ok(self.forward(Blocks { numbers: slice(s1, l1)?, scales: Some(&styles) }, slice(s2, l2)?))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        styles: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> CandleResult<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let of_weight = weight.track_op().then(|| {
            let styles = filled_up(&numbers_of(styles)?, styles.dim(1)?);
            self.by_weight(x, Some(&styles), &gradient)
        });
        let (of_x, of_styles) = if x.track_op() || styles.track_op() {
            gradients(x, styles, &self.by_input(&gradient, weight)?)?
        } else {
            (None, None)
        };
        Ok((of_x, of_weight.transpose()?, of_styles))
    }
}
