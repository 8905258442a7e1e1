//! What a checkpoint file is and holds, without copying a tensor.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use toonify_networks::checkpoint::{ImportReport, Kind, Provenance};
use toonify_networks::stylegan2::{DiscriminatorConfig, DiscriminatorLayer, GeneratorConfig, Layer, TensorName, Term};

use crate::store::checkpoint::CheckpointFile;

/// Everything that a checkpoint file tells.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its kind.
    pub kind: Kind,
    /// The generators; both look the same.
    pub generator: Network<GeneratorConfig>,
    /// Whether the generator as it was being trained is there beside its average.
    pub has_generator_in_training: bool,
    /// The discriminator, when there is one.
    pub discriminator: Option<Network<DiscriminatorConfig>>,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// What became of every tensor.
    pub report: ImportReport,
}

/// One network: what it looks like and what it is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Network<C> {
    /// Its configuration.
    pub config: C,
    /// Trainable numbers.
    pub parameters: usize,
    /// Other numbers: noise images and the average `w`.
    pub buffers: usize,
    /// Its tensors under their canonical names.
    pub tensors: Vec<TensorShape>,
}

/// A tensor's name and shape.
#[derive(Clone, Debug, Serialize)]
pub struct TensorShape {
    /// Canonical name.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
}

/// Reads the file's names and shapes.
///
/// # Errors
/// When the file is no checkpoint that is known; the message names file, object, expected and found.
pub fn run(file: &Path) -> Result<Inspection> {
    let mapped = CheckpointFile::open(file)?;
    let archive = mapped.archive()?;
    Ok(Inspection {
        file: file.to_owned(),
        bytes: mapped.len(),
        kind: archive.kind(),
        generator: network(archive.config(), |layer: &Layer| match layer {
            Layer::WAvg | Layer::Block { term: Term::NoiseConst, .. } => Role::Buffer,
            Layer::Embed(_) | Layer::Fc(..) | Layer::Const | Layer::Block { .. } => Role::Parameter,
        }),
        has_generator_in_training: archive.has_generator(),
        discriminator: archive
            .discriminator_config()
            .map(|config| network(config, |_: &DiscriminatorLayer| Role::Parameter)),
        provenance: archive.provenance().clone(),
        report: archive.report().clone(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Parameter,
    Buffer,
}

fn network<C: Clone, L: TensorName<Config = C>>(config: &C, role: impl Fn(&L) -> Role) -> Network<C> {
    let all = L::all(config);
    let count = |wanted: Role| -> usize {
        let chosen = all.iter().filter(|(name, _)| role(name) == wanted);
        chosen.map(|(_, shape)| shape.iter().product::<usize>()).sum()
    };
    Network {
        config: config.clone(),
        parameters: count(Role::Parameter),
        buffers: count(Role::Buffer),
        tensors: all.iter().map(|(name, shape)| TensorShape { name: name.to_string(), shape: shape.clone() }).collect(),
    }
}
