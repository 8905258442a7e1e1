//! Writing checkpoints: our own files, and those of rosinality's stylegan2-pytorch.
//!
//! Both are written as a stream, tensor by tensor, without a second copy of the weights.

mod archive;
mod rosinality;
mod safetensors;
mod values;

use std::io;

pub use rosinality::write_rosinality;
pub use safetensors::{Precision, write_safetensors};
pub(crate) use safetensors::{fits_half, write_tensors};

/// A checkpoint that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The kind of file has no way to say this.
    #[error("{format} cannot hold this checkpoint: {what} is {found}, expected {expected}")]
    Unwritable {
        /// Kind of the file.
        format: &'static str,
        /// What cannot be said.
        what: String,
        /// What could be.
        expected: String,
        /// What there is.
        found: String,
    },
    /// Writing failed.
    #[error("writing failed")]
    Io(#[from] io::Error),
    /// A tensor could not be read.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// Configuration or provenance could not be put into JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}
