//! Normalisation of latent vectors to unit second moment.

use crate::error::Result;
use crate::grad::Dual;

/// Keeps the division finite; the value of the published networks.
const EPSILON: f64 = 1e-8;

/// Divides by the root of the mean square over axis 1 (the mapping network's first step, Karras et al. 2019).
///
/// # Shapes
/// `[N, C, ...]` → the same
///
/// # Errors
/// When there is no axis 1.
pub fn normalize_2nd_moment(x: &Dual) -> Result<Dual> {
    x.mul(&x.sqr()?.mean_keepdim(1)?.shift(EPSILON)?.rsqrt()?)
}
