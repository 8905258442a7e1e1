//! Colours at several scales.

use candle_core::Tensor;

use crate::error::Result;
use crate::perceptual::Perception;
use crate::perceptual::scale::averaged;

/// The mean squared difference of colours, in units of half their range, averaged over an image and its reductions.
///
/// Coarse scales pull the whole face into place where a fine one sees only noise; the fine ones keep edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pixels {
    /// Factor on the distance.
    pub weight: f64,
    /// Side of the coarsest image, in pixels.
    pub coarsest_px: usize,
}

impl Pixels {
    /// All scales from the image's own down to 8 px.
    pub const MULTI_SCALE: Pixels = Pixels { weight: 1.0, coarsest_px: 8 };
}

impl Perception for Pixels {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let mut scales = vec![images.affine(1.0 / 127.5, -1.0)?];
        while let Some(last) = scales.last()
            && last.dim(2)? / 2 >= self.coarsest_px
        {
            scales.push(averaged(last, 2)?);
        }
        let share = self.weight / scales.len() as f64;
        let weighted = scales.iter().map(|scale| {
            let flat = scale.flatten_from(1)?; // [N, C·H·W]
            Ok((&flat * (share / flat.dim(1)? as f64).sqrt())?)
        });
        Ok(Tensor::cat(&weighted.collect::<Result<Vec<_>>>()?, 1)?)
    }
}
