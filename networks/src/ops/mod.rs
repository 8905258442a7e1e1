//! The operators that StyleGAN2 is made of, on [`Dual`](crate::grad::Dual) tensors and differentiable to any order.
//!
//! Each operator has a `reference` of plain candle operations, slow and plainly right, and a fast path that is tested
//! against it. Tensors are `[N, C, H, W]`; paddings are `[x0, x1, y0, y1]`: left, right, top, bottom.

pub mod activation;
pub mod arithmetic;
pub mod bias_act;
pub(crate) mod blocked;
pub(crate) mod channels;
pub mod conv;
pub(crate) mod distance;
pub(crate) mod features;
pub mod filter;
pub mod half_precision;
pub(crate) mod kernel_energy;
pub(crate) mod matrix_product;
pub mod max_pool;
pub mod minibatch_std;
pub mod modulated_conv;
pub(crate) mod noise_structure;
pub mod normalize;
pub mod peak;
pub(crate) mod perceptual_distance;
pub(crate) mod real;
pub(crate) mod relu_conv;
pub(crate) mod relu_stack;
pub mod resample_conv;
pub(crate) mod softplus;
pub mod upfirdn2d;
pub mod vector;

pub use activation::Activation;
pub use arithmetic::Arithmetic;
pub use bias_act::{BiasAct, bias_act, bias_act_along};
pub use conv::{Convolution, conv_transpose2d, conv2d};
pub use filter::{Filter, FilterForm, FilterSetup, Normalization};
pub use max_pool::{Edge, MaxPool, max_pool2d};
pub use minibatch_std::minibatch_std;
pub use modulated_conv::{Demodulation, ModulatedConv, modulated_conv2d};
pub use normalize::normalize_2nd_moment;
pub use resample_conv::{ResampleConv, conv2d_resample};
pub use upfirdn2d::{Resample, downsample2d, filter2d, upfirdn2d, upsample2d};

/// Which way round a kernel is laid over the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// As it is stored: y\[i\] = Σ k\[j\] x\[i + j\] (`flip_weight = True`, `flip_filter = True` of the published code).
    Correlation,
    /// Reversed on both axes: y\[i\] = Σ k\[j\] x\[i − j\].
    Convolution,
}

/// Checks that the argument `name` has the shape that the operator needs.
pub(crate) fn expect_shape(name: &str, tensor: &candle_core::Tensor, expected: &[usize]) -> crate::Result<()> {
    if tensor.dims() == expected {
        return Ok(());
    }
    let (expected, found) = (expected.to_vec(), tensor.dims().to_vec());
    Err(crate::Error::Shape { name: name.into(), expected, found })
}
