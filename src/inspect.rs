//! What a checkpoint file is and holds, without copying a tensor; and the same for a student.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use toonify_networks::checkpoint::{ImportReport, Kind, Provenance};
use toonify_networks::pix2pix::{Preset, StudentConfig, StudentFile, StudentHistory, StudentLayer};
use toonify_networks::stylegan2::{DiscriminatorConfig, DiscriminatorLayer, GeneratorConfig, Layer, TensorName, Term};

use crate::store::checkpoint::CheckpointFile;
use crate::store::student;

/// What a file tells.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Inspected {
    /// A checkpoint of a generator.
    Checkpoint(Box<Inspection>),
    /// A student.
    Student(Box<StudentInspection>),
}

/// Everything that a student's file tells.
#[derive(Clone, Debug, Serialize)]
pub struct StudentInspection {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// `student`.
    pub kind: &'static str,
    /// The size of student that this is, when it is one of those on offer.
    pub preset: Option<Preset>,
    /// The network.
    pub generator: Network<StudentConfig>,
    /// Multiply-adds for an image of 256 px.
    pub multiply_adds_256: u64,
    /// Where it came from.
    pub history: StudentHistory,
}

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
pub fn run(file: &Path) -> Result<Inspected> {
    if student::is_student(file)? {
        return Ok(Inspected::Student(Box::new(inspect_student(file)?)));
    }
    Ok(Inspected::Checkpoint(Box::new(inspect_checkpoint(file)?)))
}

fn inspect_student(file: &Path) -> Result<StudentInspection> {
    let StudentFile { config, history, .. } = student::read(file)?;
    let is_of = |preset: &Preset| preset.config(config.block, config.img_channels) == config;
    Ok(StudentInspection {
        file: file.to_owned(),
        bytes: CheckpointFile::open(file)?.len(),
        kind: "student",
        preset: Preset::ALL.into_iter().find(is_of),
        generator: network(&config, |_: &StudentLayer| Role::Parameter),
        multiply_adds_256: config.multiply_adds(256, 256),
        history,
    })
}

fn inspect_checkpoint(file: &Path) -> Result<Inspection> {
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
