//! A checkpoint file that has been understood but not copied: names, shapes and configuration are known and checked, the
//! numbers are still in the file.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use crate::checkpoint::array::Array;
use crate::checkpoint::contents::Contents;
use crate::checkpoint::matching::{Matching, Part, discriminator_rule, generator_rule};
use crate::checkpoint::report::{ImportReport, Unused};
use crate::checkpoint::{Checkpoint, DiscriminatorCheckpoint, ImportError, Kind, Provenance, average_w, detect};
use crate::error::Result;
use crate::stylegan2::{DiscriminatorConfig, DiscriminatorLayer, GeneratorConfig, Layer, TensorName, Weights};

/// Tensors that are copied at a time, about three large kernels among them.
const AT_ONCE: usize = 16;

/// Reads what a checkpoint file holds, without copying a tensor.
///
/// The kind is told by the contents. Nothing in the file is executed.
///
/// # Errors
/// An [`ImportError`] that names the object, what was expected and what was found: for anything but a complete
/// StyleGAN2 checkpoint, for tensors that have no place in its networks, and for damage of any kind.
pub fn open(bytes: &[u8]) -> std::result::Result<Archive<'_>, ImportError> {
    open_with(bytes, Unused::Refuse)
}

/// As [`open`]; `unused` says what to do with tensors that have no place in the networks.
///
/// # Errors
/// Those of [`open`], less the refusal of unused tensors when they are allowed.
pub fn open_with(bytes: &[u8], unused: Unused) -> std::result::Result<Archive<'_>, ImportError> {
    let contents = detect::contents(bytes)?;
    let matching = Matching::new(contents.kind, contents.ignored.clone(), unused, bytes.len());
    Archive::assemble(contents, matching)
}

/// Which networks of a file to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// The averaged generator alone, the one that renders images.
    GeneratorEma,
    /// Every network that the file has.
    All,
}

/// An opened checkpoint file; `'a` is its bytes.
#[derive(Debug)]
pub struct Archive<'a> {
    config: GeneratorConfig,
    ema: Part<'a, Layer>,
    generator: Option<Part<'a, Layer>>,
    discriminator: Option<(DiscriminatorConfig, Part<'a, DiscriminatorLayer>)>,
    provenance: Provenance,
    report: ImportReport,
}

/// One tensor of an opened file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TensorEntry {
    /// Network (`G_ema`, `G` or `D`) and canonical name.
    pub name: String,
    /// Name in the file.
    pub theirs: String,
    /// Canonical shape.
    pub shape: Vec<usize>,
    /// Type of its numbers in the file.
    pub dtype: String,
}

impl<'a> Archive<'a> {
    fn assemble(contents: Contents<'a>, mut matching: Matching) -> std::result::Result<Self, ImportError> {
        let kind = contents.kind;
        let config = contents.config;
        config.check().map_err(|error| ImportError::from_check(&contents.ema.object, error))?;
        let ema = matching.part(&config, contents.ema, &generator_rule(kind))?;
        let generator = contents.generator.map(|tensors| matching.part(&config, tensors, &generator_rule(kind)));
        let discriminator = contents.discriminator.map(|(config, tensors)| {
            config.check().map_err(|error| ImportError::from_check(&tensors.object, error))?;
            let part = matching.part(&config, tensors, &discriminator_rule(kind, config.resolution))?;
            Ok::<_, ImportError>((config, part))
        });
        let (generator, discriminator) = (generator.transpose()?, discriminator.transpose()?);
        let mut provenance = contents.provenance;
        if !ema.arrays.contains_key(&Layer::WAvg) {
            provenance.notes.push(average_w::NOTE.to_owned());
        }
        Ok(Archive { config, ema, generator, discriminator, provenance, report: matching.report })
    }

    /// Kind of the file.
    pub fn kind(&self) -> Kind {
        self.report.kind
    }

    /// What the generators look like.
    pub fn config(&self) -> &GeneratorConfig {
        &self.config
    }

    /// What the discriminator looks like, when the file has one.
    pub fn discriminator_config(&self) -> Option<&DiscriminatorConfig> {
        self.discriminator.as_ref().map(|(config, _)| config)
    }

    /// Whether the file has the generator as it was being trained.
    pub fn has_generator(&self) -> bool {
        self.generator.is_some()
    }

    /// Where the numbers come from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What became of every tensor.
    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// Every tensor that has a place in the networks: averaged generator, generator, discriminator.
    pub fn tensors(&self) -> Vec<TensorEntry> {
        let mut list = self.ema.entries("G_ema");
        list.extend(self.generator.iter().flat_map(|part| part.entries("G")));
        list.extend(self.discriminator.iter().flat_map(|(_, part)| part.entries("D")));
        list
    }

    /// Copies the averaged generator out of the file.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when a tensor does not hold floating-point numbers.
    pub fn read_generator_ema(&self) -> Result<Weights<Layer>> {
        read_generator(&self.config, &self.ema, &mut || {})
    }

    /// Copies the generator as it was being trained, when the file has it.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when a tensor does not hold floating-point numbers.
    pub fn read_generator(&self) -> Result<Option<Weights<Layer>>> {
        self.generator.as_ref().map(|part| read_generator(&self.config, part, &mut || {})).transpose()
    }

    /// Copies the discriminator, when the file has it.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when a tensor does not hold floating-point numbers.
    pub fn read_discriminator(&self) -> Result<Option<DiscriminatorCheckpoint>> {
        let own = self.discriminator.as_ref();
        own.map(|(config, part)| read_discriminator(config, part, &mut || {})).transpose()
    }

    /// Copies the networks that are wanted, some tensors at a time; after each time, `after_some` may give the file's pages
    /// back to the system, so that memory holds the copies and little of the file.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when a tensor does not hold floating-point numbers.
    pub fn into_checkpoint(self, parts: Parts, after_some: &mut dyn FnMut()) -> Result<(Checkpoint, ImportReport)> {
        let ema = read_generator(&self.config, &self.ema, after_some)?;
        let (mut generator, mut discriminator) = (None, None);
        if parts == Parts::All {
            let own = self.generator.as_ref();
            generator = own.map(|part| read_generator(&self.config, part, after_some)).transpose()?;
            let own = self.discriminator.as_ref();
            discriminator = own.map(|(config, part)| read_discriminator(config, part, after_some)).transpose()?;
        }
        let Archive { config, provenance, report, .. } = self;
        Ok((Checkpoint { config, ema, generator, discriminator, provenance }, report))
    }
}

impl<L: TensorName> Part<'_, L> {
    fn entries(&self, network: &str) -> Vec<TensorEntry> {
        let entry = |(layer, (theirs, array)): (&L, &(String, Array<'_>))| TensorEntry {
            name: format!("{network}.{layer}"),
            theirs: theirs.clone(),
            shape: array.shape().to_vec(),
            dtype: array.dtype().to_string(),
        };
        self.arrays.iter().map(entry).collect()
    }

    /// Copies every tensor, several at a time.
    fn read(&self, after_some: &mut dyn FnMut()) -> Result<BTreeMap<L, Tensor>> {
        let all: Vec<_> = self.arrays.iter().collect();
        let mut tensors = BTreeMap::new();
        for some in all.chunks(AT_ONCE) {
            let copied = some.par_iter().map(|(layer, (name, array))| {
                Ok((**layer, Tensor::from_vec(array.to_f32(name)?, array.shape(), &Device::Cpu)?))
            });
            tensors.extend(copied.collect::<Result<Vec<_>>>()?);
            after_some();
        }
        Ok(tensors)
    }
}

fn read_discriminator(
    config: &DiscriminatorConfig,
    part: &Part<'_, DiscriminatorLayer>,
    after_some: &mut dyn FnMut(),
) -> Result<DiscriminatorCheckpoint> {
    let weights = Weights::new(config, part.read(after_some)?)?;
    Ok(DiscriminatorCheckpoint { config: config.clone(), weights })
}

fn read_generator(
    config: &GeneratorConfig,
    part: &Part<'_, Layer>,
    after_some: &mut dyn FnMut(),
) -> Result<Weights<Layer>> {
    let mut tensors = part.read(after_some)?;
    if !tensors.contains_key(&Layer::WAvg) {
        tensors.insert(Layer::WAvg, average_w::estimate(config, &tensors)?);
    }
    Weights::new(config, tensors)
}
