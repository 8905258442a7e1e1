//! Convolutions in plain candle operations: one matrix product for each tap of the kernel.

use candle_core::{D, Tensor};

use super::Convolution;
use crate::error::{Error, Result};
use crate::ops::upfirdn2d::reference::{every, insert_zeros, pad};

/// [`conv2d`](super::conv2d) by its definition.
///
/// # Errors
/// When the kernel is larger than the padded image.
pub fn conv2d(x: &Tensor, weight: &Tensor, spec: &Convolution) -> Result<Tensor> {
    let x = pad(x, spec.padding)?;
    let (outputs, inputs, _, _) = weight.dims4()?;
    let per_group = outputs / spec.groups;
    let group = |g: usize| {
        let x = x.narrow(1, g * inputs, inputs)?;
        one_group(&x, &weight.narrow(0, g * per_group, per_group)?, spec.stride)
    };
    let groups = (0..spec.groups).map(group).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&groups, 1)?)
}

fn one_group(x: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let (outputs, _, kh, kw) = weight.dims4()?;
    if h < kh || w < kw {
        return Err(Error::value("padded image size", format!("{h}×{w}"), format!("at least {kh}×{kw}")));
    }
    let mut sum: Option<Tensor> = None;
    for (p, q) in (0..kh * kw).map(|tap| (tap / kw, tap % kw)) {
        let shifted = x.narrow(2, p, h + 1 - kh)?.narrow(3, q, w + 1 - kw)?;
        let pixels = every(&every(&shifted, 2, stride)?, 3, stride)?; // [N, C, oh, ow]
        let tap = weight.narrow(2, p, 1)?.narrow(3, q, 1)?.reshape((1, outputs, c))?.broadcast_as((n, outputs, c))?;
        let product = tap.contiguous()?.matmul(&pixels.flatten_from(2)?.contiguous()?)?; // [N, O, oh·ow]
        sum = Some(match sum {
            Some(sum) => (sum + product)?,
            None => product,
        });
    }
    let sum = sum.ok_or_else(|| Error::value("kernel size", 0, "at least 1"))?;
    Ok(sum.reshape((n, outputs, (h - kh) / stride + 1, (w - kw) / stride + 1))?)
}

/// [`conv_transpose2d`](super::conv_transpose2d) by its definition: zeros between the pixels, then a full convolution.
///
/// # Errors
/// When the padding leaves nothing of the image.
pub fn conv_transpose2d(x: &Tensor, weight: &Tensor, spec: &Convolution) -> Result<Tensor> {
    let (_, _, kh, kw) = weight.dims4()?;
    let stuffed = insert_zeros(&insert_zeros(x, 2, spec.stride)?, 3, spec.stride)?;
    let spare = spec.stride as isize - 1; // zeros after the last pixel, which nothing is laid on
    let [x0, x1, y0, y1] = spec.padding;
    let (kx, ky) = (kw as isize - 1, kh as isize - 1);
    let padding = [kx - x0, kx - x1 - spare, ky - y0, ky - y1 - spare];
    conv2d(&stuffed, &flipped(weight)?, &Convolution { stride: 1, padding, groups: spec.groups })
}

/// The kernel turned round on both axes.
pub(crate) fn flipped(weight: &Tensor) -> candle_core::Result<Tensor> {
    reversed(&reversed(weight, D::Minus2)?, D::Minus1)
}

/// An axis in reverse order. candle's own `flip` goes through an index, whose gradient is slow.
fn reversed(x: &Tensor, dim: D) -> candle_core::Result<Tensor> {
    let len = x.dim(dim)?;
    let slices = (0..len).rev().map(|i| x.narrow(dim, i, 1)).collect::<candle_core::Result<Vec<_>>>()?;
    Tensor::cat(&slices, dim)
}
