//! Factors of channels.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::node::{Backward, Node};
use super::numbers::{cut_off, filled_up, numbers_of, tensor};
use crate::ops::blocked::channelwise::{dot, scale_and_dot, scaled};
use crate::ops::blocked::maps::Maps;
use crate::timing::timed;

/// x · factors' + x' · factors, the tangent of a scaling, where either tangent may be missing.
///
/// # Shapes
/// factors `[N, C]`
pub(super) fn tangent_of_scaling(
    (x, of_x): (&Node, Option<&Node>),
    (factors, of_factors): (&Tensor, Option<&Tensor>),
) -> Result<Option<Node>> {
    let scaled = of_x.map(|of_x| scale(None, of_x, factors)).transpose()?;
    match of_factors {
        Some(of_factors) => Ok(Some(scale(scaled.as_ref(), x, of_factors)?)),
        None => Ok(scaled),
    }
}

/// terms + x · factors
fn scale(terms: Option<&Node>, x: &Node, factors: &Tensor) -> Result<Node> {
    let factors = factors.contiguous()?;
    let filled = filled_up(&numbers_of(&factors)?, factors.dim(1)?);
    let maps = timed("scaling", 0, || scaled(terms.map(Node::maps), x.maps(), &filled));
    let backward = Scaling { terms: terms.map(Node::without_maps), x: x.clone() };
    match terms {
        Some(terms) => Node::new(maps, backward, &[x.token(), &factors, terms.token()]),
        None => Node::new(maps, backward, &[x.token(), &factors]),
    }
}

struct Scaling {
    terms: Option<Node>,
    x: Node,
}

impl Backward for Scaling {
    fn name(&self) -> &'static str {
        "scaling"
    }

    fn backward(&self, gradient: Arc<Maps>, arguments: &[&Tensor]) -> Result<Vec<Option<Tensor>>> {
        let of_terms = match &self.terms {
            Some(terms) if terms.is_followed() => Some(terms.give(gradient.clone())?),
            Some(_) => Some(None),
            None => None,
        };
        let (of_x, of_factors) = gradients(&self.x, arguments[1], gradient)?;
        Ok([of_x, of_factors].into_iter().chain(of_terms).collect())
    }
}

/// Gives the gradient of x · factors by x to its node; returns what stands for it, and the gradient by the factors.
pub(super) fn gradients(x: &Node, factors: &Tensor, gradient: Arc<Maps>) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let channels = factors.dim(1)?;
    let filled = filled_up(&numbers_of(factors)?, channels);
    let (of_x, sums) = timed("scaling", 0, || match (x.is_followed(), factors.track_op()) {
        (true, true) => match Arc::try_unwrap(gradient) {
            Ok(mut gradient) => {
                let sums = scale_and_dot(&mut gradient, &filled, x.maps());
                (Some(gradient), Some(sums))
            }
            Err(gradient) => (Some(scaled(None, &gradient, &filled)), Some(dot(x.maps(), &gradient))),
        },
        (true, false) => (Some(scaled(None, &gradient, &filled)), None),
        (false, true) => (None, Some(dot(x.maps(), &gradient))),
        (false, false) => (None, None),
    });
    let of_x = of_x.map(|of_x| x.give(of_x)).transpose()?.flatten();
    let of_factors = sums.map(|sums| tensor(cut_off(&sums, channels), factors.shape())).transpose()?;
    Ok((of_x, of_factors))
}
