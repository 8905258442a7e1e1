//! From `[N, C, H, W]` to blocks and back; each is the other's adjoint.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};

use super::Features;
use super::node::{Backward, Node};
use super::numbers::{numbers_of, tensor};
use crate::error::Result;
use crate::grad::Dual;
use crate::ops::blocked::maps::{Maps, Planes, Sizes, from_planes, to_planes};
use crate::ops::blocked::memory::written;
use crate::timing::timed;

impl Features {
    /// Brings `[N, C, H, W]` into blocks.
    ///
    /// # Errors
    /// When the tensor has other axes, another type or is on another device.
    pub fn enter(x: &Dual) -> Result<Features> {
        let channels = x.dims4()?.1;
        let tangent = x.tangent().map(|tangent| enter(tangent, channels)).transpose()?;
        Ok(Features { value: enter(x.value(), channels)?, tangent, channels })
    }

    /// Brings features back to `[N, C, H, W]`.
    ///
    /// # Errors
    /// Never for features that were made here.
    pub fn leave(&self) -> Result<Dual> {
        let leave = |node: &Node| node.token().apply_op1(Leave { node: node.clone(), channels: self.channels });
        let value = leave(&self.value)?;
        match &self.tangent {
            Some(tangent) => Dual::with_tangent(value, leave(tangent)?),
            None => Ok(value.into()),
        }
    }
}

fn enter(x: &Tensor, channels: usize) -> Result<Node> {
    let x = x.contiguous()?;
    Ok(Node::new(blocks(&x)?, Enter { channels }, &[&x])?)
}

/// Planes to blocks.
fn blocks(x: &Tensor) -> CandleResult<Maps> {
    let (n, channels, rows, columns) = x.dims4()?;
    let x = numbers_of(x)?;
    let mut maps = Maps::new(Sizes::of(n, channels, (rows, columns)));
    let planes = Planes { channels, rows, columns, first_image: 0 };
    timed("exchange of layouts", 0, || from_planes(&x, planes, (0, 0), &mut maps));
    Ok(maps)
}

/// Blocks to planes.
fn planes(maps: &Maps, channels: usize) -> (Vec<f32>, [usize; 4]) {
    let Sizes { images, rows, columns, .. } = maps.sizes;
    let planes = Planes { channels, rows, columns, first_image: 0 };
    let len = images * channels * rows * columns;
    // SAFETY: room for all planes, every one of which is written.
    let fill = || unsafe { written(len, |to| to_planes(maps, planes, to)) };
    (timed("exchange of layouts", 0, fill), [images, channels, rows, columns])
}

struct Enter {
    channels: usize,
}

impl Backward for Enter {
    fn name(&self) -> &'static str {
        "exchange of layouts"
    }

    fn backward(&self, gradient: Arc<Maps>, _: &[&Tensor]) -> CandleResult<Vec<Option<Tensor>>> {
        let (numbers, shape) = planes(&gradient, self.channels);
        Ok(vec![Some(tensor(numbers, &shape)?)])
    }
}

struct Leave {
    node: Node,
    channels: usize,
}

impl CustomOp1 for Leave {
    fn name(&self) -> &'static str {
        "exchange of layouts"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (numbers, shape) = planes(self.node.maps(), self.channels);
        Ok((CpuStorage::F32(numbers), Shape::from(&shape)))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> CandleResult<Option<Tensor>> {
        self.node.give(blocks(&gradient.contiguous()?)?)
    }
}
