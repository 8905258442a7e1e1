//! From `[N, C, H, W]` to blocks and back; each is the other's adjoint.

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};

use super::numbers::{result, slice};
use super::{Features, shape, sizes};
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
        let x = x.linear(|x| x.contiguous()?.apply_op1(Exchange::Enter))?;
        Ok(Features { x, channels })
    }

    /// Brings features back to `[N, C, H, W]`.
    ///
    /// # Errors
    /// Never for features that were made here.
    pub fn leave(&self) -> Result<Dual> {
        let exchange = Exchange::Leave { channels: self.channels };
        self.x.linear(|x| x.apply_op1(exchange))
    }
}

#[derive(Clone, Copy)]
enum Exchange {
    Enter,
    Leave { channels: usize },
}

impl CustomOp1 for Exchange {
    fn name(&self) -> &'static str {
        "exchange of layouts"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        timed(self.name(), 0, || match *self {
            Exchange::Enter => {
                let (n, channels, rows, columns) = layout.shape().dims4()?;
                let mut maps = Maps::new(Sizes::of(n, channels, (rows, columns)));
                from_planes(x, Planes { channels, rows, columns, first_image: 0 }, (0, 0), &mut maps);
                Ok(result(maps.memory.to_vec(), &shape(maps.sizes)))
            }
            Exchange::Leave { channels } => {
                let sizes = sizes(layout.dims()).map_err(candle_core::Error::wrap)?;
                let mut maps = Maps::new(sizes);
                maps.memory.copy_from_slice(x);
                let (n, rows, columns) = (sizes.images, sizes.rows, sizes.columns);
                let planes = Planes { channels, rows, columns, first_image: 0 };
                // SAFETY: room for all planes, every one of which is written.
                let numbers = unsafe { written(n * channels * rows * columns, |to| to_planes(&maps, planes, to)) };
                Ok(result(numbers, (n, channels, rows, columns)))
            }
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> CandleResult<Option<Tensor>> {
        let adjoint = match self {
            Exchange::Enter => Exchange::Leave { channels: x.dim(1)? },
            Exchange::Leave { .. } => Exchange::Enter,
        };
        Ok(Some(gradient.contiguous()?.apply_op1(adjoint)?))
    }
}
