//! Convolutions in single precision on feature maps in blocks of 16 channels.
//!
//! A block's channels lie next to each other, `[image, block, row, column, 16]`, so that one vector holds the same pixel of 16
//! channels: transforms and filters work on whole vectors at every image size, and a pixel is a cache line.

mod as_stored;
mod blur;
pub(crate) mod channelwise;
pub(crate) mod colours;
pub(crate) mod demodulation;
pub(crate) mod direct;
pub(crate) mod ending;
pub(crate) mod filtered;
pub(crate) mod finish;
pub(crate) mod maps;
pub(crate) mod memory;
mod paired;
pub(crate) mod palette;
mod product;
pub(crate) mod styled;
pub(crate) mod weight_gradient;
pub(crate) mod weights;
pub(crate) mod winograd;

/// Channels of a block.
pub(crate) const LANES: usize = 16;

/// Number of blocks that hold some channels.
pub(crate) fn blocks_of(channels: usize) -> usize {
    channels.div_ceil(LANES)
}
