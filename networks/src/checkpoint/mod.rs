//! Checkpoint files of every known kind, read into one typed [`Checkpoint`] and written back.
//!
//! [`open`] tells the kind by the contents, gives every tensor its typed name and checks that nothing is missing or left
//! over; the resulting [`Archive`] copies the networks that are asked for. All the mess of the formats ends here.

mod archive;
mod array;
mod average_w;
mod contents;
mod detect;
mod error;
mod filter;
mod json;
mod matching;
mod names;
mod numpy;
mod nvidia;
mod pickle;
mod reader;
mod report;
mod rosinality;
pub(crate) mod safetensors;
mod settings;
mod state_dict;
mod tensorflow;
mod torch;
pub(crate) mod write;

pub use archive::{Archive, Parts, TensorEntry, open, open_with};
pub use contents::Kind;
pub use error::{ACCEPTED, ImportError};
pub use report::{ImportReport, Unused};
pub use state_dict::read_state_dict;
pub use write::{ExportError, Precision, write_rosinality, write_safetensors};

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
