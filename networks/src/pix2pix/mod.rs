//! A small image-to-image network, the student: a photo in, its stylised version out, in milliseconds.
//!
//! It is trained on pairs of images against a discriminator that judges patches (Isola et al. 2017, "Image-to-Image
//! Translation with Conditional Adversarial Networks"). Most of the work is done at a quarter and an eighth of the
//! resolution. The network is stated once, as a list of [`Step`]s, which [`Student`] runs with gradients, [`Swift`]
//! runs fast, and [`onnx`](crate::onnx) writes down for other programs.

pub mod config;
pub mod discriminator;
mod file;
pub mod generator;
mod init;
pub mod layer;
pub mod steps;
pub mod swift;

pub use config::{BlockKind, MULTIPLE, PatchConfig, Preset, StudentConfig};
pub use discriminator::{PatchDiscriminator, PatchOpinion};
pub use file::{StudentFile, StudentHistory, is_student, read_student, write_student};
pub use generator::Student;
pub use layer::{Half, PatchLayer, StudentLayer, Unit};
pub use steps::{Conv, Op, Step, Value};
pub use swift::Swift;
