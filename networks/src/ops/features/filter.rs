//! Resampling filters.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};

use super::numbers::{result, slice};
use super::{Features, shape, sizes};
use crate::error::{Error, Result};
use crate::ops::blocked::filtered::Separable;
use crate::ops::upfirdn2d::Resampler;
use crate::ops::{Filter, Resample};
use crate::timing::timed;

/// Plans a filter for maps of a size.
pub(super) fn plan(size: (usize, usize), filter: &Filter, spec: &Resample) -> Result<Arc<Separable>> {
    let separable = Separable::new(Resampler::for_size(size, filter, spec)?);
    separable.map(Arc::new).ok_or_else(|| Error::value("filter", "of several products", "a product of two"))
}

impl Features {
    /// [`upfirdn2d`](crate::ops::upfirdn2d())
    ///
    /// # Errors
    /// As there, and when the filter is not separable.
    pub fn resample(&self, filter: &Filter, spec: &Resample) -> Result<Features> {
        let (_, h, w) = self.size();
        let filter = plan((h, w), filter, spec)?;
        let x = self.x.linear(|x| x.apply_op1(Filtering(filter.clone())))?;
        Ok(Features { x, channels: self.channels })
    }
}

struct Filtering(Arc<Separable>);

impl CustomOp1 for Filtering {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let sizes = sizes(layout.dims()).map_err(candle_core::Error::wrap)?;
        let x = slice(storage, layout)?;
        Ok(result(timed(self.name(), 0, || self.0.apply(x, sizes)), &shape(self.0.filtered(sizes))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> CandleResult<Option<Tensor>> {
        let adjoint = Filtering(Arc::new(self.0.adjoint()));
        Ok(Some(gradient.contiguous()?.apply_op1(adjoint)?))
    }
}
