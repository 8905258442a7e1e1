//! StyleGAN2 networks: configuration, typed tensor names, weights, and the networks themselves.

pub mod config;
pub mod layer;
pub mod weights;

pub use config::{Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution};
pub use layer::{DiscriminatorLayer, DiscriminatorSlot, Layer, Slot, TensorName, Term};
pub use weights::Weights;
