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
mod node;
mod numbers;
mod palette;
mod scaling;
#[cfg(test)]
mod tests;

use candle_core::DType;

use crate::error::Result;
use crate::grad::{Dual, graph_of_gradients_is_kept};
use crate::ops::conv::Method;
use node::Node;

pub(crate) use convolution::Form;
pub(crate) use ending::{Ending, NoiseTerm};

/// Feature maps in blocks of 16 channels and, where one is wanted, their derivative along a direction: what
/// [`Dual`] is for tensors.
#[derive(Clone)]
pub(crate) struct Features {
    value: Node,
    tangent: Option<Node>,
    /// Channels that count; what fills the last block up is of no meaning.
    channels: usize,
}

impl Features {
    /// Number of images, height and width.
    pub fn size(&self) -> (usize, usize, usize) {
        let sizes = self.value.maps().sizes;
        (sizes.images, sizes.rows, sizes.columns)
    }

    /// Applies a linear function of features.
    fn linear(&self, channels: usize, f: impl Fn(&Node) -> Result<Node>) -> Result<Features> {
        let tangent = self.tangent.as_ref().map(&f).transpose()?;
        Ok(Features { value: f(&self.value)?, tangent, channels })
    }

    /// Sum of two features of the same shape.
    ///
    /// # Errors
    /// Only when candle refuses a tensor.
    pub fn add(self, other: Features) -> Result<Features> {
        let tangent = match (self.tangent, other.tangent) {
            (Some(a), Some(b)) => Some(a.summed(b)?),
            (a, b) => a.or(b),
        };
        Ok(Features { value: self.value.summed(other.value)?, tangent, channels: self.channels })
    }
}

/// Whether operators on blocks compute with this: in single precision on the CPU, unless convolutions go tap by tap or
/// candle keeps the graph of gradients.
pub(crate) fn is_served(x: &Dual) -> bool {
    let value = x.value();
    value.dtype() == DType::F32 && value.device().is_cpu() && Method::by_tiles() && !graph_of_gradients_is_kept()
}
