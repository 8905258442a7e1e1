//! A checkpoint's own discriminator as a judge of likeness: it has seen nothing but faces, and it is in the file.

use candle_core::Tensor;

use crate::error::Result;
use crate::grad::Dual;
use crate::perceptual::Backbone;
use crate::stylegan2::{Discriminator, Resolution};

/// The features that the discriminator's blocks hand on, finest first. Labels and minibatch statistics play no part:
/// images do not depend on their batch.
pub struct Judge {
    discriminator: Discriminator,
}

impl Judge {
    /// Looks with the eyes of `discriminator`.
    pub fn new(discriminator: Discriminator) -> Self {
        Judge { discriminator }
    }
}

impl Backbone for Judge {
    fn channels(&self) -> Vec<usize> {
        let config = self.discriminator.config();
        let below = |resolution: Resolution| Some(config.channels.at(resolution.half()?));
        config.resolution.ladder().rev().filter_map(below).collect()
    }

    fn feature_maps(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        let (mut x, mut image) = (None, Some(Dual::from(images.affine(1.0 / 127.5, -1.0)?)));
        let mut maps = Vec::new();
        for block in self.discriminator.blocks() {
            let (next, smaller) = block.forward(x, image)?;
            maps.push(next.value().clone());
            (x, image) = (Some(next), smaller);
        }
        Ok(maps)
    }
}
