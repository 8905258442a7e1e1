//! Resampling filters.

use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};

use super::Features;
use super::node::{Backward, Node};
use crate::error::{Error, Result};
use crate::ops::blocked::filtered::Separable;
use crate::ops::blocked::maps::Maps;
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
        self.linear(self.channels, |node| {
            let maps = timed("filter", 0, || filter.apply(node.maps()));
            let backward = Filtering { node: node.without_maps(), filter: filter.clone() };
            Ok(Node::new(maps, backward, &[node.token()])?)
        })
    }
}

struct Filtering {
    node: Node,
    filter: Arc<Separable>,
}

impl Backward for Filtering {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn backward(&self, gradient: Arc<Maps>, _: &[&Tensor]) -> CandleResult<Vec<Option<Tensor>>> {
        let gradient = timed("filter, backwards", 0, || self.filter.adjoint().apply(&gradient));
        Ok(vec![self.node.give(gradient)?])
    }
}
