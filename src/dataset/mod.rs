//! Training sets in the published format: made, checked, looked at, divided and read.
//!
//! [`build`] makes one from a folder, a zip or a video; [`check`] names what is wrong with one; [`show`] puts images of it
//! on a sheet; [`split`] divides it in two. [`Reader`] gives images and labels one at a time, [`Sampler`] the order in
//! which training wants them.

pub mod build;
pub mod check;
pub mod format;
pub mod picture;
pub mod reader;
pub mod sampler;
pub mod show;
pub mod split;
pub mod transform;
pub mod video;

pub use reader::{Labels, Mirror, Reader, Sample, Selection};
pub use sampler::Sampler;
