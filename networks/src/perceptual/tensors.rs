//! Takes the tensors of a classifier out of a state dict, by name and shape.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::relu_conv::ReluConv;
use crate::ops::relu_stack::relu_stack;
use crate::ops::{Activation, BiasAct, Convolution, bias_act, conv2d};

/// Takes the tensor `name`, which must have the shape `expected`.
///
/// # Errors
/// [`Error::Value`] when it is missing, [`Error::Shape`] when it has another shape.
pub(crate) fn take(tensors: &mut BTreeMap<String, Tensor>, name: &str, expected: &[usize]) -> Result<Tensor> {
    let Some(tensor) = tensors.remove(name) else {
        let expected = format!("one with a tensor `{name}` of shape {expected:?}");
        return Err(Error::value("weights file", format!("without `{name}`"), expected));
    };
    if tensor.dims() != expected {
        let (expected, found) = (expected.to_vec(), tensor.dims().to_vec());
        return Err(Error::Shape { name: name.to_owned(), expected, found });
    }
    Ok(tensor)
}

/// A convolution with bias, followed by a ReLU, as image classifiers have them.
pub(crate) struct ConvRelu {
    weight: Dual,
    bias: Dual,
    spec: Convolution,
}

impl ConvRelu {
    /// Takes `NAME.weight` `[O, I, k, k]` and `NAME.bias` `[O]`.
    ///
    /// # Errors
    /// As [`take`].
    pub(crate) fn take(
        tensors: &mut BTreeMap<String, Tensor>,
        name: &str,
        shape: [usize; 4],
        spec: Convolution,
    ) -> Result<Self> {
        let weight = take(tensors, &format!("{name}.weight"), &shape)?.into();
        let bias = take(tensors, &format!("{name}.bias"), &shape[..1])?.into();
        Ok(ConvRelu { weight, bias, spec })
    }

    /// Joins `weight` `[O, I, kh, kw]` and `bias` `[O]`.
    pub(crate) fn new(weight: Tensor, bias: &Tensor, spec: Convolution) -> Result<Self> {
        Ok(ConvRelu { weight: weight.into(), bias: bias.flatten_all()?.into(), spec })
    }

    /// # Shapes
    /// x `[N, I, H, W]` → `[N, O, H', W']`
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let relu = BiasAct { gain: Some(1.0), ..BiasAct::new(Activation::Relu) };
        let y = conv2d(&x.into(), &self.weight, &self.spec)?;
        Ok(bias_act(&y, Some(&self.bias), &relu)?.into_value())
    }

    /// The same convolutions, if all of them are of 3x3 taps and keep the size.
    pub(crate) fn all_plain(convolutions: &[ConvRelu]) -> Option<Vec<ReluConv>> {
        let layer = |conv: &ConvRelu| {
            let (weight, bias) = (conv.weight.value().clone(), conv.bias.value().clone());
            (weight.dims()[2..] == [3, 3] && conv.spec == same(3)).then_some(ReluConv { weight, bias })
        };
        convolutions.iter().map(layer).collect()
    }

    /// Applies some of them, one after the other.
    pub(crate) fn forward_all(convolutions: &[ConvRelu], x: &Tensor) -> Result<Tensor> {
        if let Some(layers) = ConvRelu::all_plain(convolutions)
            && let Some(y) = relu_stack(x, &layers)?
        {
            return Ok(y);
        }
        convolutions.iter().try_fold(x.clone(), |x, conv| conv.forward(&x))
    }
}

/// A convolution that keeps the size.
pub(crate) fn same(kernel: usize) -> Convolution {
    Convolution { padding: [(kernel / 2) as isize; 4], ..Convolution::default() }
}

/// Subtracts `shift` and divides by `scale`, channel by channel; `images` are `[N, 3, H, W]`.
pub(crate) fn normalised(images: &Tensor, shift: [f32; 3], scale: [f32; 3]) -> Result<Tensor> {
    let row =
        |numbers: [f32; 3]| Tensor::new(&numbers, images.device())?.to_dtype(images.dtype())?.reshape((1, 3, 1, 1));
    Ok(images.broadcast_sub(&row(shift)?)?.broadcast_div(&row(scale)?)?)
}

/// Where LPIPS puts zero and one for torchvision's networks, in colours from 0 to 255: its scaling layer's shift and
/// scale are for colours from −1 to 1.
pub(crate) const TORCHVISION: ([f32; 3], [f32; 3]) = {
    const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
    const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
    let (mut shift, mut scale, mut i) = ([0.0; 3], [0.0; 3], 0);
    while i < 3 {
        (shift[i], scale[i]) = ((SHIFT[i] + 1.0) * 127.5, SCALE[i] * 127.5);
        i += 1;
    }
    (shift, scale)
};
