//! StyleGAN2 networks on candle: operators, generator and discriminator, and every kind of checkpoint file.
//!
//! The crate knows tensors and bytes. It opens no files, decodes no images and prints nothing.

pub mod checkpoint;
pub mod error;
pub mod grad;
pub mod ops;
pub mod random;
pub mod stylegan2;

pub use error::{Error, Result};
