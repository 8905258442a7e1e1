//! The arithmetic that a layer renders in, and the operators in either.

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::upfirdn2d::{Resample, upfirdn2d};
use crate::ops::{self, BiasAct, Convolution, Filter, ModulatedConv, half_precision};

/// How a block computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// Single precision, with gradients.
    #[default]
    Single,
    /// The roundings of the published code where it computes in half precision. For rendering only: what carries or
    /// asks for a gradient is refused.
    Half,
}

impl Arithmetic {
    /// The features as this arithmetic holds them.
    pub(crate) fn round(self, x: &Dual) -> Result<Dual> {
        match self {
            Arithmetic::Single => Ok(x.clone()),
            Arithmetic::Half => half_precision::round_half(x),
        }
    }

    /// [`ops::modulated_conv2d`]
    pub(crate) fn modulated_conv2d(self, x: &Dual, weight: &Dual, styles: &Dual, spec: &ModulatedConv) -> Result<Dual> {
        match self {
            Arithmetic::Single => ops::modulated_conv2d(x, weight, styles, spec),
            Arithmetic::Half => half_precision::modulated_conv2d(x, weight, styles, spec),
        }
    }

    /// [`ops::bias_act`]
    pub(crate) fn bias_act(self, x: &Dual, bias: Option<&Dual>, spec: &BiasAct) -> Result<Dual> {
        match self {
            Arithmetic::Single => ops::bias_act(x, bias, spec),
            Arithmetic::Half => half_precision::bias_act(x, bias, spec),
        }
    }

    /// [`ops::conv2d`]
    pub(crate) fn conv2d(self, x: &Dual, weight: &Dual, spec: &Convolution) -> Result<Dual> {
        match self {
            Arithmetic::Single => ops::conv2d(x, weight, spec),
            Arithmetic::Half => ops::conv::in_half::conv2d(x, weight, spec),
        }
    }

    /// [`ops::conv_transpose2d`]
    pub(crate) fn conv_transpose2d(self, x: &Dual, weight: &Dual, spec: &Convolution) -> Result<Dual> {
        match self {
            Arithmetic::Single => ops::conv_transpose2d(x, weight, spec),
            Arithmetic::Half => ops::conv::in_half::conv_transpose2d(x, weight, spec),
        }
    }

    /// [`ops::upfirdn2d`]; the published filters are numbers of half precision as they are.
    pub(crate) fn upfirdn2d(self, x: &Dual, filter: &Filter, spec: &Resample) -> Result<Dual> {
        self.round(&upfirdn2d(x, filter, spec)?)
    }
}
