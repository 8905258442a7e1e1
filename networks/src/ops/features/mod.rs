//! Operators of training on features in blocks of 16 channels, `[N, blocks, H, W, 16]`, the last block filled up: the same
//! layers as those on `[N, C, H, W]`, in fewer passes and without an exchange of layouts between them.
//!
//! In single precision on the CPU alone; whoever needs more goes the general way, which these are tested against. Backward
//! passes give gradients that are not followed any further: derivatives of gradients come from tangents, see
//! [`grad`](crate::grad).

mod convolution;
mod ending;
mod exchange;
mod filter;
mod numbers;
mod palette;
mod scaling;
#[cfg(test)]
mod tests;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::grad::{Dual, graph_of_gradients_is_kept};
use crate::ops::blocked::LANES;
use crate::ops::blocked::maps::Sizes;
use crate::ops::conv::Method;

pub(crate) use convolution::Form;
pub(crate) use ending::Ending;

/// Feature maps in blocks of 16 channels.
#[derive(Clone, Debug)]
pub(crate) struct Features {
    /// `[N, blocks, H, W, 16]`; what fills the last block up is of no meaning.
    x: Dual,
    channels: usize,
}

impl Features {
    /// Number of images, height and width.
    pub fn size(&self) -> (usize, usize, usize) {
        (self.x.dims()[0], self.x.dims()[2], self.x.dims()[3])
    }

    /// Sum of two features of the same shape.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn add(&self, other: &Features) -> Result<Features> {
        let sum = |a: &Tensor, b: &Tensor| a.apply_op2(b, scaling::Sum);
        let value = sum(self.x.value(), other.x.value())?;
        let x = match (self.x.tangent(), other.x.tangent()) {
            (Some(a), Some(b)) => Dual::with_tangent(value, sum(a, b)?)?,
            (Some(one), None) | (None, Some(one)) => Dual::with_tangent(value, one.clone())?,
            (None, None) => value.into(),
        };
        Ok(Features { x, channels: self.channels })
    }
}

/// Whether operators on blocks compute with this: in single precision on the CPU, unless convolutions go tap by tap or
/// candle keeps the graph of gradients.
pub(crate) fn is_served(x: &Dual) -> bool {
    let value = x.value();
    value.dtype() == DType::F32
        && value.device().is_cpu()
        && Method::chosen() == Method::Winograd
        && !graph_of_gradients_is_kept()
}

/// Sizes of blocked features by their shape.
fn sizes(shape: &[usize]) -> Result<Sizes> {
    match *shape {
        [images, blocks, rows, columns, LANES] => Ok(Sizes { images, blocks, rows, columns }),
        _ => Err(Error::value("shape of features", format!("{shape:?}"), "[N, blocks, H, W, 16]")),
    }
}

/// The shape of blocked features.
fn shape(sizes: Sizes) -> [usize; 5] {
    [sizes.images, sizes.blocks, sizes.rows, sizes.columns, LANES]
}
