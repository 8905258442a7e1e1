//! The operator in plain candle operations: one shifted copy of the image for each tap.

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::{Filter, Orientation, Resample};

/// [`upfirdn2d`](super::upfirdn2d) by its definition.
///
/// # Errors
/// When the filter is larger than the padded image.
pub fn upfirdn2d(x: &Tensor, filter: &Filter, spec: &Resample) -> Result<Tensor> {
    let x = insert_zeros(&insert_zeros(x, 2, spec.up.1)?, 3, spec.up.0)?;
    let x = pad(&x, spec.padding)?;
    let (fh, fw) = (filter.height(), filter.width());
    let (_, _, h, w) = x.dims4()?;
    let mut taps = filter.multiplied_out();
    if spec.orientation == Orientation::Convolution {
        taps.reverse();
    }
    let mut sum = x.narrow(2, 0, h + 1 - fh)?.narrow(3, 0, w + 1 - fw)?.affine(taps[0] * spec.gain, 0.0)?;
    for (i, tap) in taps.iter().enumerate().skip(1) {
        let shifted = x.narrow(2, i / fw, h + 1 - fh)?.narrow(3, i % fw, w + 1 - fw)?;
        sum = (sum + shifted.affine(tap * spec.gain, 0.0)?)?;
    }
    Ok(every(&every(&sum, 2, spec.down.1)?, 3, spec.down.0)?)
}

/// Puts `factor − 1` zeros after each element of an axis.
pub(crate) fn insert_zeros(x: &Tensor, dim: usize, factor: usize) -> candle_core::Result<Tensor> {
    let mut split = x.dims().to_vec();
    split.insert(dim + 1, 1);
    let mut joined = x.dims().to_vec();
    joined[dim] *= factor;
    x.reshape(split)?.pad_with_zeros(dim + 1, 0, factor - 1)?.reshape(joined)
}

/// Adds zeros around the image, or crops it where the padding is negative: left, right, top, bottom.
pub(crate) fn pad(x: &Tensor, padding: [isize; 4]) -> candle_core::Result<Tensor> {
    let [x0, x1, y0, y1] = padding;
    let x = x.pad_with_zeros(3, x0.max(0) as usize, x1.max(0) as usize)?;
    let x = x.pad_with_zeros(2, y0.max(0) as usize, y1.max(0) as usize)?;
    let (left, right, top, bottom) = (-x0.min(0), -x1.min(0), -y0.min(0), -y1.min(0));
    let (_, _, h, w) = x.dims4()?;
    let width = w.saturating_sub((left + right) as usize);
    let height = h.saturating_sub((top + bottom) as usize);
    x.narrow(3, left as usize, width)?.narrow(2, top as usize, height)
}

/// Keeps every `step`-th element of an axis, from the first.
pub(crate) fn every(x: &Tensor, dim: usize, step: usize) -> candle_core::Result<Tensor> {
    let len = x.dims()[dim].div_ceil(step);
    let x = x.pad_with_zeros(dim, 0, len * step - x.dims()[dim])?;
    let mut split = x.dims().to_vec();
    split[dim] = len;
    split.insert(dim + 1, step);
    x.reshape(split)?.narrow(dim + 1, 0, 1)?.squeeze(dim + 1)
}
