//! Checkpoint files of every known kind, read into one typed [`Checkpoint`] and written back.

use serde::{Deserialize, Serialize};

use crate::stylegan2::{DiscriminatorConfig, DiscriminatorLayer, GeneratorConfig, Layer, Weights};

/// A complete StyleGAN2 checkpoint; where it came from no longer matters.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What the generator looks like; both generators share it.
    pub config: GeneratorConfig,
    /// The averaged generator (`G_ema`, TensorFlow's `Gs`), the one that renders images.
    pub ema: Weights<Layer>,
    /// The generator as it was being trained, when the file has it.
    pub generator: Option<Weights<Layer>>,
    /// The discriminator, when the file has it.
    pub discriminator: Option<DiscriminatorCheckpoint>,
    /// Where the numbers come from.
    pub provenance: Provenance,
}

/// A discriminator with what it looks like.
#[derive(Clone, Debug)]
pub struct DiscriminatorCheckpoint {
    /// What the discriminator looks like.
    pub config: DiscriminatorConfig,
    /// Its tensors.
    pub weights: Weights<DiscriminatorLayer>,
}

/// Where a checkpoint comes from; travels with it through every conversion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Kind of the file that it was first read from.
    pub origin: String,
    /// Hashes of the checkpoints that it was made of, with what was done to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// The training set's options as the file tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_set: Option<serde_json::Value>,
    /// Augmentation probability at the time of saving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment_p: Option<f64>,
    /// What was decided or estimated on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A checkpoint file that could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {}
