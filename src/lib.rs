//! A StyleGAN2 toonify and model-blending workbench.
//!
//! In reading order, from the bottom:
//! - [`events`]: what a workflow tells while it runs, and who listens
//! - [`pixels`]: images to tensors and back
//! - [`store`]: files and folders
//! - [`sheet`]: images to one captioned picture
//! - [`cli`]: the command line

pub mod cli;
pub mod events;
pub mod pixels;
pub mod sheet;
pub mod store;
