//! Fully connected and convolution layers with equalised learning rate (Karras et al. 2018, section 4.1): parameters are
//! stored at unit variance and scaled each time they are used.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::features::{Ending, Features, Form, is_served};
use crate::ops::matrix_product::times_transposed;
use crate::ops::upfirdn2d::{before_shrinking, downsampling};
use crate::ops::{self, Activation, Arithmetic, BiasAct, Filter, Orientation, Resample, ResampleConv};

/// Fully connected layer `[N, I]` → `[N, O]` with bias and activation.
#[derive(Clone, Debug)]
pub(crate) struct FullyConnected {
    weight: Dual,
    bias: Dual,
    lr_multiplier: f64,
    act: BiasAct,
}

impl FullyConnected {
    /// Takes `weight` `[O, I]` and `bias` `[O]` from `vb`.
    pub(crate) fn new(
        vb: &VarBuilder<'_>,
        (inputs, outputs): (usize, usize),
        activation: Activation,
        lr_multiplier: f64,
    ) -> Result<Self> {
        let weight = vb.get((outputs, inputs), "weight")?.into();
        let bias = vb.get(outputs, "bias")?.into();
        Ok(FullyConnected { weight, bias, lr_multiplier, act: BiasAct::new(activation) })
    }

    /// Weight and bias.
    pub(crate) fn parameters(&self) -> [&Dual; 2] {
        [&self.weight, &self.bias]
    }

    pub(crate) fn forward(&self, x: &Dual) -> Result<Dual> {
        let (_outputs, inputs) = self.weight.dims2()?;
        let y = times_transposed(x, &self.weight)?.scale(self.lr_multiplier / (inputs as f64).sqrt())?; // [N, O]
        ops::bias_act(&y, Some(&self.bias.scale(self.lr_multiplier)?), &self.act)
    }
}

/// What a resampling convolution layer does beside its weights.
#[derive(Clone, Debug)]
pub(crate) struct ConvSpec {
    /// Side of the kernel.
    pub(crate) kernel: usize,
    /// Factor by which the image grows.
    pub(crate) up: usize,
    /// Factor by which the image shrinks.
    pub(crate) down: usize,
    /// Activation, gain and clamp.
    pub(crate) act: BiasAct,
}

/// Convolution `[N, I, H, W]` → `[N, O, H·up/down, W·up/down]`, with bias when it has one, and activation.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    weight: Dual,
    bias: Option<Dual>,
    filter: Filter,
    conv: ResampleConv,
    act: BiasAct,
}

impl Conv {
    /// Takes `weight` `[O, I, k, k]` and `bias` `[O]` from `vb`.
    pub(crate) fn with_bias(
        vb: &VarBuilder<'_>,
        channels: (usize, usize),
        filter: &Filter,
        spec: &ConvSpec,
    ) -> Result<Self> {
        let bias = vb.get(channels.1, "bias")?;
        let plain = Self::without_bias(vb, channels, filter, spec)?;
        Ok(Conv { bias: Some(bias.into()), ..plain })
    }

    /// Takes `weight` `[O, I, k, k]` from `vb`.
    pub(crate) fn without_bias(
        vb: &VarBuilder<'_>,
        (inputs, outputs): (usize, usize),
        filter: &Filter,
        spec: &ConvSpec,
    ) -> Result<Self> {
        let weight: Tensor = vb.get((outputs, inputs, spec.kernel, spec.kernel), "weight")?;
        let conv = ResampleConv {
            up: spec.up,
            down: spec.down,
            padding: [(spec.kernel / 2) as isize; 4],
            orientation: if spec.up == 1 { Orientation::Correlation } else { Orientation::Convolution },
            ..ResampleConv::default()
        };
        Ok(Conv { weight: weight.into(), bias: None, filter: filter.clone(), conv, act: spec.act })
    }

    /// Changes how the layer computes.
    pub(crate) fn set_arithmetic(&mut self, arithmetic: Arithmetic) {
        self.conv.arithmetic = arithmetic;
    }

    /// What the weight is multiplied with where it is used.
    fn gain(&self) -> f64 {
        let inputs: usize = self.weight.dims()[1..].iter().product();
        1.0 / (inputs as f64).sqrt()
    }

    /// Whether the layer can run on features in blocks.
    pub(crate) fn learns_in_blocks(&self) -> bool {
        let (kernel, resampling) = (self.weight.dims()[2], (self.conv.up, self.conv.down));
        let form = matches!((kernel, resampling), (3, (1, 1 | 2)) | (1, (1, 1 | 2)));
        let end = match &self.bias {
            Some(bias) => is_served(bias) && bias.tangent().is_none() && Ending::serves(&self.act),
            None => self.act.activation == Activation::Linear && self.act.clamp.is_none(),
        };
        let plain = self.conv.arithmetic == Arithmetic::Single && self.weight.tangent().is_none();
        plain && is_served(&self.weight) && form && end && self.filter.is_separable()
    }

    /// The layer on features in blocks.
    pub(crate) fn learn(&self, x: &Features) -> Result<Features> {
        let (kernel, shrinks) = (self.weight.dims()[2], self.conv.down == 2);
        match (kernel, shrinks) {
            (1, true) => {
                let halved = downsampling(&self.filter, &Resample { down: (2, 2), ..Resample::default() });
                self.end(&x.resample(&self.filter, &halved)?, Form::Pointwise)
            }
            (1, false) => self.end(x, Form::Pointwise),
            (_, true) => {
                let smooth = x.resample(&self.filter, &before_shrinking(&self.filter))?;
                self.end(&smooth, Form::Shrink)
            }
            (_, false) => self.end(x, Form::Same),
        }
    }

    /// Convolves and finishes; a layer without bias only has a gain.
    fn end(&self, x: &Features, form: Form) -> Result<Features> {
        match &self.bias {
            Some(bias) => x.convolve((&self.weight, self.gain()), form, None)?.finish(&self.ending(bias)),
            None => x.convolve((&self.weight, self.gain() * self.act.gain()), form, None),
        }
    }

    /// The layer from an image of a few colours to features.
    pub(crate) fn paint(&self, image: &Dual) -> Result<Features> {
        let (outputs, inputs, _, _) = self.weight.dims4()?;
        let weight = self.weight.scale(self.gain())?.reshape((outputs, inputs))?.t()?.reshape((1, inputs, outputs))?;
        let y = Features::paint(image, &weight)?;
        match &self.bias {
            Some(bias) => y.finish(&self.ending(bias)),
            None => Ok(y),
        }
    }

    fn ending<'a>(&'a self, bias: &'a Dual) -> Ending<'a> {
        Ending { filter: None, factors: None, noise: None, bias, act: &self.act }
    }

    pub(crate) fn forward(&self, x: &Dual) -> Result<Dual> {
        let weight = self.conv.arithmetic.round(&self.weight.scale(self.gain())?)?;
        let y = ops::conv2d_resample(x, &weight, &self.filter, &self.conv)?;
        self.conv.arithmetic.bias_act(&y, self.bias.as_ref(), &self.act)
    }
}
