//! The residual discriminator on features in blocks of 16 channels, from the image to the epilogue.
//!
//! Serves single precision on the CPU; anything else goes the general way.

use super::{Discriminator, DiscriminatorBlock};
use crate::error::Result;
use crate::grad::Dual;
use crate::ops::features::{Features, is_served};
use crate::stylegan2::linear::Conv;

impl Discriminator {
    /// The features that the epilogue reads, or nothing where the general way has to be taken.
    pub(super) fn learn(&self, image: &Dual) -> Result<Option<Dual>> {
        let Some((first, rest)) = self.blocks.split_first() else { return Ok(None) };
        let only_first_reads = rest.iter().all(|block| block.from_rgb.is_none());
        if !is_served(image) || !only_first_reads || !self.blocks.iter().all(DiscriminatorBlock::learns_in_blocks) {
            return Ok(None);
        }
        let Some(from_rgb) = first.from_rgb.as_ref().filter(|conv| conv.learns_in_blocks()) else { return Ok(None) };
        let mut x = from_rgb.paint(image)?;
        for block in &self.blocks {
            let Some(next) = block.learn(&x)? else { return Ok(None) };
            x = next;
        }
        Ok(Some(x.leave()?))
    }
}

impl DiscriminatorBlock {
    /// Whether all layers but the one that reads the image are of the kind that is served here.
    fn learns_in_blocks(&self) -> bool {
        let convolutions = [&self.conv0, &self.conv1].into_iter().chain(&self.skip);
        self.pyramid.is_none() && self.skip.is_some() && convolutions.into_iter().all(Conv::learns_in_blocks)
    }

    fn learn(&self, x: &Features) -> Result<Option<Features>> {
        let Some(skip) = &self.skip else { return Ok(None) };
        let shortcut = skip.learn(x)?;
        Ok(Some(self.conv1.learn(&self.conv0.learn(x)?)?.add(&shortcut)?))
    }
}
