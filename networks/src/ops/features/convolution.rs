//! Convolutions, whose input channels a style may scale.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};

use super::Features;
use super::node::{Backward, Node};
use super::numbers::{filled_up, numbers_of, tensor};
use super::scaling::{gradients, tangent_of_scaling};
use crate::error::{Error, Result};
use crate::grad::{Dual, hand_over};
use crate::ops::blocked::maps::Maps;
use crate::ops::conv::cpu::blocks::{self, Blocks, Kernel};
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
    /// Factor of the weight.
    gain: f32,
    geometry: Geometry,
}

impl Features {
    /// Convolves features, their channels scaled by the styles, with a weight times its gain.
    ///
    /// # Shapes
    /// weight `[O, I, k, k]`, styles `[N, I]`
    ///
    /// # Errors
    /// [`Error::Shape`] when they do not fit, [`Error::Value`] for a weight with a tangent.
    pub fn convolve(&self, (weight, gain): (&Dual, f64), form: Form, styles: Option<&Dual>) -> Result<Features> {
        let (n, h, w) = self.size();
        let convolution = Convolution { gain: gain as f32, ..Convolution::new((h, w), form, weight)? };
        let taps = if form == Form::Pointwise { 1 } else { 3 };
        let channels = weight.dims()[0];
        expect_shape("weight", weight.value(), &[channels, self.channels, taps, taps])?;
        if weight.tangent().is_some() {
            return Err(Error::value("tangent of a weight", "given", "none"));
        }
        let weight = weight.value().contiguous()?;
        let Some(styles) = styles else {
            return self.linear(channels, |node| convolution.apply(node, &weight, None));
        };
        expect_shape("styles", styles.value(), &[n, self.channels])?;
        let value = convolution.apply(&self.value, &weight, Some(&styles.value().contiguous()?))?;
        let features = (&self.value, self.tangent.as_ref());
        let scaled = tangent_of_scaling(features, (styles.value(), styles.tangent()))?;
        let tangent = scaled.map(|scaled| convolution.apply(&scaled, &weight, None)).transpose()?;
        Ok(Features { value, tangent, channels })
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
        Ok(Convolution { grows, gain: 1.0, geometry })
    }

    fn label(&self) -> &'static str {
        match (self.geometry.kernel.0, self.geometry.stride, self.grows) {
            (1, ..) => "1x1 convolution",
            (_, 1, _) => "convolution",
            (.., false) => "shrinking convolution",
            (.., true) => "growing convolution",
        }
    }

    fn kernel<'a>(&self, numbers: &'a [f32]) -> Kernel<'a> {
        Kernel { numbers, gain: self.gain }
    }

    /// The convolution, in candle's graph.
    fn apply(self, x: &Node, weight: &Tensor, styles: Option<&Tensor>) -> Result<Node> {
        let (images, numbers) = (x.maps().sizes.images, numbers_of(weight)?);
        let scales = styles.map(filled_styles).transpose()?;
        let source = Blocks { maps: x.maps(), scales: scales.as_deref() };
        let maps = timed(self.label(), self.geometry.operations(images), || match self.grows {
            false => blocks::convolution(&self.geometry, source, self.kernel(&numbers)),
            true => blocks::adjoint(&self.geometry, source, self.kernel(&numbers)),
        });
        drop(numbers);
        let kept = if weight.track_op() || styles.is_some_and(Tensor::track_op) { x.clone() } else { x.without_maps() };
        let backward = Convolved { convolution: self, x: kept };
        Ok(match styles {
            Some(styles) => Node::new(maps, backward, &[x.token(), weight, styles])?,
            None => Node::new(maps, backward, &[x.token(), weight])?,
        })
    }

    /// Gradient by the features that the kernel sees.
    fn by_input(&self, gradient: &Maps, weight: &Tensor) -> CandleResult<Maps> {
        let weight = numbers_of(weight)?;
        let (images, gradient) = (gradient.sizes.images, Blocks { maps: gradient, scales: None });
        let label = match self.label() {
            "convolution" => "gradient of features",
            "1x1 convolution" => "gradient of features, 1x1",
            _ => "gradient of features by 2",
        };
        Ok(timed(label, self.geometry.operations(images), || match self.grows {
            false => blocks::adjoint(&self.geometry, gradient, self.kernel(&weight)),
            true => blocks::convolution(&self.geometry, gradient, self.kernel(&weight)),
        }))
    }

    /// Gradient by the weight, for features that are scaled.
    fn by_weight(&self, x: Blocks<'_>, gradient: &Maps) -> CandleResult<Tensor> {
        let (images, gradient) = (gradient.sizes.images, Blocks { maps: gradient, scales: None });
        let label = match self.label() {
            "convolution" => "gradient of kernels",
            "1x1 convolution" => "gradient of kernels, 1x1",
            _ => "gradient of kernels by 2",
        };
        let numbers = timed(label, self.geometry.operations(images), || match self.grows {
            false => blocks::weight_gradient(&self.geometry, (x, gradient), self.gain),
            true => blocks::weight_gradient(&self.geometry, (gradient, x), self.gain),
        });
        tensor(numbers, &self.geometry.weight_shape())
    }
}

/// Styles as factors of whole blocks.
fn filled_styles(styles: &Tensor) -> CandleResult<Vec<f32>> {
    Ok(filled_up(&numbers_of(styles)?, styles.dim(1)?))
}

/// (x, weight) or (x, weight, styles) → features
struct Convolved {
    convolution: Convolution,
    x: Node,
}

impl Backward for Convolved {
    fn name(&self) -> &'static str {
        self.convolution.label()
    }

    fn backward(&self, gradient: Arc<Maps>, arguments: &[&Tensor]) -> CandleResult<Vec<Option<Tensor>>> {
        let (weight, styles) = (arguments[1], arguments.get(2).copied());
        let of_weight = weight.track_op().then(|| {
            let scales = styles.map(filled_styles).transpose()?;
            let x = Blocks { maps: self.x.maps(), scales: scales.as_deref() };
            hand_over(weight, self.convolution.by_weight(x, &gradient)?)
        });
        let of_weight = of_weight.transpose()?.flatten();
        if !self.x.is_followed() && !styles.is_some_and(Tensor::track_op) {
            return Ok([None, of_weight].into_iter().chain(styles.map(|_| None)).collect());
        }
        let by_input = self.convolution.by_input(&gradient, weight)?;
        Ok(match styles {
            Some(styles) => {
                let (of_x, of_styles) = gradients(&self.x, styles, by_input.into())?;
                vec![of_x, of_weight, of_styles]
            }
            None => vec![self.x.give(by_input)?, of_weight],
        })
    }
}
