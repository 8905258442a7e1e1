//! StyleGAN2 networks on candle: operators, generator and discriminator, and every kind of checkpoint file.
//!
//! The crate knows tensors and bytes. It opens no files, decodes no images and prints nothing.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod augment;
pub mod checkpoint;
pub mod detector;
pub mod draws;
pub mod encoder;
pub mod error;
pub mod grad;
pub mod latent;
pub mod losses;
pub mod onnx;
pub mod ops;
pub mod optim;
pub mod perceptual;
pub mod pix2pix;
pub mod pool;
pub mod projection;
pub mod random;
pub mod stylegan2;
pub mod timing;
pub mod tuning;

pub use error::{Error, Result};
