//! Inception V3 (Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", table 1), with the
//! weights that define FID and KID, or with torchvision's.
//!
//! Batch normalisation is folded into the convolutions. The two sets of weights belong to slightly different networks:
//!
//! | | FID's (1008 classes) | torchvision's (1000 classes) |
//! |---|---|---|
//! | averages at the edges | of the pixels that are there | zeros count |
//! | pooling in the last block | maximum | average |
//! | gray that is 0 inside | 128 | 127.5 |

mod block;
mod plan;

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::detector::average_pool::Border;
use crate::detector::{Detector, resize_bilinear};
use crate::error::{Error, Result};
use crate::perceptual::in_colour;

use block::{Block, Variant};

/// Inception V3 up to its last average.
pub struct Inception {
    variant: Variant,
    blocks: Vec<Block>,
    /// Matrix of the last layer, `[2048, classes]`, where it is the one that the inception score is defined for.
    output: Option<Tensor>,
}

/// Who named the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The published TorchScript file, which keeps the names of the TensorFlow graph: `layers.mixed_1.tower.conv.beta`.
    Published,
    /// torchvision and those who follow it: `Mixed_5c.branch5x5_1.bn.bias`.
    Torchvision,
}

impl Dialect {
    fn of(tensors: &BTreeMap<String, Tensor>) -> Option<Dialect> {
        let has = |name: &str| tensors.contains_key(name);
        if has("layers.mixed_10.conv.weight") {
            return Some(Dialect::Published);
        }
        has("Mixed_7c.branch1x1.conv.weight").then_some(Dialect::Torchvision)
    }

    fn output(self) -> &'static str {
        match self {
            Dialect::Published => "output.weight",
            Dialect::Torchvision => "fc.weight",
        }
    }
}

/// Classes of the network that FID is defined for.
const PUBLISHED_CLASSES: usize = 1008;

impl Inception {
    /// Whether the tensors look like Inception's.
    pub fn recognises(tensors: &BTreeMap<String, Tensor>) -> bool {
        Dialect::of(tensors).is_some()
    }

    /// Takes the tensors of the published TorchScript file or of a state dict in torchvision's names; what the last layer
    /// is like tells FID's weights from torchvision's.
    ///
    /// # Errors
    /// [`Error::Value`] when a tensor is missing, [`Error::Shape`] when it has another shape.
    pub fn from_tensors(mut tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let Some(dialect) = Dialect::of(&tensors) else {
            return Err(Error::value("weights file", "another network", "Inception V3"));
        };
        let Some(output) = tensors.remove(dialect.output()) else {
            let missing = format!("without `{}`", dialect.output());
            return Err(Error::value("weights file", missing, "one that has it: it tells which network this is"));
        };
        let (classes, length) = output.dims2()?;
        if length != LENGTH {
            let (name, expected) = (dialect.output().to_owned(), vec![classes, LENGTH]);
            return Err(Error::Shape { name, expected, found: output.dims().to_vec() });
        }
        let published = classes == PUBLISHED_CLASSES;
        let variant = if published { Variant::FID } else { Variant::TORCHVISION };
        let blocks = plan::blocks().into_iter().map(|plan| Block::take(&plan, variant, dialect, &mut tensors));
        let blocks = blocks.collect::<Result<_>>()?;
        let output = if published { Some(output.t()?.contiguous()?) } else { None };
        Ok(Inception { variant, blocks, output })
    }
}

/// Number of features.
const LENGTH: usize = 2048;

impl Detector for Inception {
    fn name(&self) -> &'static str {
        match self.variant.border {
            Border::Left => "Inception V3 (2015-12-05)",
            Border::Zeros => "Inception V3 (torchvision)",
        }
    }

    fn length(&self) -> usize {
        LENGTH
    }

    fn seen_px(&self) -> usize {
        299
    }

    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let seen = in_colour(&resize_bilinear(images, self.seen_px())?)?;
        let gray = self.variant.gray;
        let x = seen.affine(1.0 / gray, -1.0)?;
        let last = self.blocks.iter().try_fold(x, |x, block| block.forward(&x))?;
        Ok(last.mean((2, 3))?) // [N, 2048]
    }

    fn probabilities(&self, features: &Tensor) -> Result<Option<Tensor>> {
        let Some(output) = &self.output else { return Ok(None) };
        // The published score leaves the bias out.
        let logits = features.matmul(output)?;
        let stable = logits.broadcast_sub(&logits.max_keepdim(1)?)?.exp()?;
        Ok(Some(stable.broadcast_div(&stable.sum_keepdim(1)?)?))
    }
}
