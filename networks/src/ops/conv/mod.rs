//! Convolution and transposed convolution.
//!
//! Convolution, its adjoint and its weight gradient are each linear in their two arguments and each other's
//! derivatives: three operators, closed under differentiation, give gradients of every order.

pub(in crate::ops) mod cpu;
pub(in crate::ops) mod geometry;
pub(crate) mod in_half;
mod operators;
pub mod reference;

use std::sync::atomic::{AtomicU8, Ordering};

use candle_core::Tensor;

use crate::error::Result;
use crate::grad::Dual;
use crate::ops::vector;
use geometry::Geometry;
use operators::{Kind, Operator};

/// How 3x3 kernels are convolved in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By Winograd's tiles, where that pays: a quarter of the products, four times the rounding. On processors that add beside
    /// multiplying products are taken in pairs: four fifths of the time, a third more rounding.
    #[default]
    Winograd,
    /// By Winograd's tiles, in pairs on every processor and however few they are.
    Paired,
    /// By Winograd's tiles, each product on its own.
    Unpaired,
    /// Tap by tap.
    Direct,
}

static CHOICE: AtomicU8 = AtomicU8::new(Method::Winograd as u8);

impl Method {
    /// Makes all convolutions of the process use this method from now on: they also run inside candle's backward pass,
    /// which carries nothing from caller to operator.
    pub fn choose(self) {
        CHOICE.store(self as u8, Ordering::Relaxed);
    }

    fn chosen() -> Self {
        [Method::Winograd, Method::Paired, Method::Unpaired, Method::Direct]
            [usize::from(CHOICE.load(Ordering::Relaxed))]
    }

    /// Whether Winograd's tiles may be used.
    pub(crate) fn by_tiles() -> bool {
        Method::chosen() != Method::Direct
    }

    /// Whether products are taken in pairs, if they are enough to make up for what pairs cost.
    pub(crate) fn in_pairs(enough: bool) -> bool {
        match Method::chosen() {
            Method::Winograd => enough && vector::adds_beside_multiplying(),
            Method::Paired => true,
            Method::Unpaired | Method::Direct => false,
        }
    }
}

/// How a kernel moves over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Step between neighbouring outputs in pixels.
    pub stride: usize,
    /// Zeros around the image: left, right, top, bottom; negative numbers crop.
    pub padding: [isize; 4],
    /// Number of independent groups of channels.
    pub groups: usize,
}

impl Default for Convolution {
    fn default() -> Self {
        Convolution { stride: 1, padding: [0; 4], groups: 1 }
    }
}

/// Correlates the image with a kernel (what deep learning calls a convolution).
///
/// # Shapes
/// x `[N, I, H, W]`, weight `[O, I / groups, kh, kw]` → `[N, O, (H + y0 + y1 − kh)/stride + 1, (W + x0 + x1 − kw)/stride + 1]`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) when weight and image do not fit, [`Error::Value`](crate::Error::Value) for a
/// stride of 0 or a kernel that is larger than the padded image.
pub fn conv2d(x: &Dual, weight: &Dual, spec: &Convolution) -> Result<Dual> {
    x.bilinear(weight, |x, weight| conv2d_tensor(x, weight, spec))
}

/// Lays the kernel, times each pixel, onto a canvas in steps of `stride`: the adjoint of [`conv2d`].
///
/// The weight is ordered as for [`conv2d`], not as in torch: `O` counts what comes out.
///
/// # Shapes
/// x `[N, I, H, W]`, weight `[O, I / groups, kh, kw]` → `[N, O, (H − 1)·stride + kh − y0 − y1, (W − 1)·stride + kw − x0 − x1]`
///
/// # Errors
/// As [`conv2d`], and when the padding leaves nothing.
pub fn conv_transpose2d(x: &Dual, weight: &Dual, spec: &Convolution) -> Result<Dual> {
    x.bilinear(weight, |x, weight| conv_transpose2d_tensor(x, weight, spec))
}

fn conv2d_tensor(x: &Tensor, weight: &Tensor, spec: &Convolution) -> Result<Tensor> {
    let geometry = Geometry::convolution(x, weight, spec)?;
    Ok(Operator { kind: Kind::Convolution, geometry }.apply(x, weight)?)
}

fn conv_transpose2d_tensor(x: &Tensor, weight: &Tensor, spec: &Convolution) -> Result<Tensor> {
    let geometry = Geometry::transposed(x, weight, spec)?;
    Ok(Operator { kind: Kind::Adjoint, geometry }.apply(x, weight)?)
}
