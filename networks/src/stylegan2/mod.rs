//! StyleGAN2 networks: configuration, typed tensor names, weights, and the networks themselves.

pub mod blend;
pub mod config;
pub mod cost;
pub mod discriminator;
pub mod generator;
mod init;
pub mod layer;
pub(crate) mod linear;
pub mod mapping;
pub mod parameters;
pub mod synthesis;
pub mod weights;

pub use crate::ops::Arithmetic;
pub use blend::{BlendCurve, Level, Side, Slope, require_alike};
pub use config::{Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution};
pub use discriminator::{Discriminator, DiscriminatorBlock};
pub use generator::Generator;
pub use layer::{DiscriminatorLayer, DiscriminatorSlot, Layer, Slot, TensorName, Term};
pub use mapping::Mapping;
pub use parameters::Parameters;
pub use synthesis::{Features, Noise, Synthesis, SynthesisBlock};
pub use weights::Weights;
