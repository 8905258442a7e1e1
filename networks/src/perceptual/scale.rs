//! Changing the size of images by whole factors, in operations that candle differentiates correctly.

use candle_core::Tensor;

use crate::error::Result;

/// Averages squares of pixels: `[N, C, H, W]` → `[N, C, H/factor, W/factor]`.
pub(crate) fn averaged(images: &Tensor, factor: usize) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    let squares = images.reshape((n * c, h / factor, factor, w / factor, factor))?;
    Ok(squares.mean((2, 4))?.reshape((n, c, h / factor, w / factor))?)
}

/// Brings images to at most 256 px, as the published projector looks at them.
pub(crate) fn at_most_256(images: &Tensor) -> Result<Tensor> {
    const SEEN_PX: usize = 256;
    match images.dim(2)? / SEEN_PX {
        0 | 1 => Ok(images.clone()),
        factor => averaged(images, factor),
    }
}

/// Repeats pixels until images have at least `px`, for networks that need some room.
pub(crate) fn at_least(images: &Tensor, px: usize) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    match px.div_ceil(h.min(w)) {
        0 | 1 => Ok(images.clone()),
        factor => {
            let thin = images.reshape((n * c, h, 1, w, 1))?;
            Ok(thin.broadcast_as((n * c, h, factor, w, factor))?.reshape((n, c, h * factor, w * factor))?)
        }
    }
}

/// Repeats gray in three channels.
pub(crate) fn in_colour(images: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    Ok(if c == 1 { images.broadcast_as((n, 3, h, w))?.contiguous()? } else { images.clone() })
}
