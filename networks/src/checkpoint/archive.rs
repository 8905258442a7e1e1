//! A checkpoint file that has been understood but not copied: names, shapes and configuration are known and checked, the
//! numbers are still in the file.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use crate::checkpoint::array::Array;
use crate::checkpoint::contents::{Contents, Tensors};
use crate::checkpoint::names::{self, Rule, Turn};
use crate::checkpoint::report::{ImportReport, Unused};
use crate::checkpoint::{Checkpoint, DiscriminatorCheckpoint, ImportError, Kind, Provenance, average_w, detect};
use crate::error::Result;
use crate::stylegan2::{
    DiscriminatorConfig, DiscriminatorLayer, GeneratorConfig, Layer, Resolution, TensorName, Weights,
};

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
    let report = report(contents.kind, contents.ignored.clone());
    Archive::assemble(contents, Matching { report, unused, file_size: bytes.len() })
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

/// The tensors of one network under typed names, each of the right shape.
#[derive(Debug)]
struct Part<'a, L> {
    arrays: BTreeMap<L, (String, Array<'a>)>,
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
        read_generator(&self.config, &self.ema)
    }

    /// Copies the generator as it was being trained, when the file has it.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when a tensor does not hold floating-point numbers.
    pub fn read_generator(&self) -> Result<Option<Weights<Layer>>> {
        self.generator.as_ref().map(|part| read_generator(&self.config, part)).transpose()
    }

    /// Copies the discriminator, when the file has it.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when a tensor does not hold floating-point numbers.
    pub fn read_discriminator(&self) -> Result<Option<DiscriminatorCheckpoint>> {
        let Some((config, part)) = &self.discriminator else { return Ok(None) };
        let weights = Weights::new(config, part.read()?)?;
        Ok(Some(DiscriminatorCheckpoint { config: config.clone(), weights }))
    }

    /// Copies the networks that are wanted, one after the other; after each, `after_part` may give the file's pages back
    /// to the system, so that memory holds the copies and one part of the file at most.
    ///
    /// # Errors
    /// [`ImportError::Malformed`] when a tensor does not hold floating-point numbers.
    pub fn into_checkpoint(self, parts: Parts, after_part: &mut dyn FnMut()) -> Result<(Checkpoint, ImportReport)> {
        let ema = self.read_generator_ema()?;
        after_part();
        let (mut generator, mut discriminator) = (None, None);
        if parts == Parts::All {
            generator = self.read_generator()?;
            after_part();
            discriminator = self.read_discriminator()?;
            after_part();
        }
        let Archive { config, provenance, report, .. } = self;
        Ok((Checkpoint { config, ema, generator, discriminator, provenance }, report))
    }
}

/// The table of this kind of file for generators.
pub(crate) fn generator_rule(kind: Kind) -> fn(&Layer) -> Rule {
    match kind {
        Kind::NvidiaAda | Kind::NvidiaStylegan3Repository | Kind::Toonify => names::nvidia::generator,
        Kind::TensorFlow => names::tensorflow::generator,
        Kind::Rosinality => names::rosinality::generator,
    }
}

/// The table of this kind of file for discriminators of images of this resolution.
pub(crate) fn discriminator_rule(kind: Kind, image: Resolution) -> impl Fn(&DiscriminatorLayer) -> Rule {
    move |layer| match kind {
        Kind::NvidiaAda | Kind::NvidiaStylegan3Repository | Kind::Toonify => names::nvidia::discriminator(layer),
        Kind::TensorFlow => names::tensorflow::discriminator(layer),
        Kind::Rosinality => names::rosinality::discriminator(layer, image),
    }
}

fn report(kind: Kind, ignored: Vec<String>) -> ImportReport {
    ImportReport { kind, matched: 0, turned: 0, verified: 0, missing: Vec::new(), unused: Vec::new(), ignored }
}

/// Gives the tensors of a file their typed names and keeps account.
struct Matching {
    report: ImportReport,
    unused: Unused,
    /// Bytes of the whole file.
    file_size: usize,
}

impl Matching {
    fn part<'a, L: TensorName>(
        &mut self,
        config: &L::Config,
        tensors: Tensors<'a>,
        rule: &dyn Fn(&L) -> Rule,
    ) -> std::result::Result<Part<'a, L>, ImportError> {
        let Tensors { object, arrays: mut theirs, verified } = tensors;
        let (mut arrays, mut missing) = (BTreeMap::new(), Vec::new());
        for (layer, shape) in L::all(config) {
            let Rule { theirs: name, turn } = rule(&layer);
            let Some(array) = theirs.remove(&name) else {
                missing.push((name, layer, shape));
                continue;
            };
            let array = turn.apply(array, &shape);
            if array.shape() != shape {
                return Err(ImportError::Shape { object, name, expected: shape, found: array.shape().to_vec() });
            }
            self.report.turned += usize::from(turn != Turn::Same);
            arrays.insert(layer, (name, array));
        }
        self.check_bytes(&object, arrays.values().map(|(_, array)| array))?;
        self.settle_missing(&object, missing)?;
        self.settle_unused(object, theirs.into_keys().collect())?;
        self.report.matched += arrays.len();
        self.report.verified += verified;
        Ok(Part { arrays })
    }

    /// Tensors may share a storage, so that a small file could announce a large network: each network's tensors together
    /// have to fit into the file.
    fn check_bytes<'s, 'a: 's>(
        &self,
        object: &str,
        arrays: impl Iterator<Item = &'s Array<'a>>,
    ) -> std::result::Result<(), ImportError> {
        let found: usize = arrays.map(Array::byte_count).sum();
        if found <= self.file_size {
            return Ok(());
        }
        let object = format!("bytes of the tensors of `{object}`");
        Err(ImportError::TooLarge { object, expected: self.file_size as u64, found: found as u64 })
    }

    /// Every missing tensor is an error, but for the average of `w` in files whose kind does not have it.
    fn settle_missing<L: TensorName>(
        &mut self,
        object: &str,
        missing: Vec<(String, L, Vec<usize>)>,
    ) -> std::result::Result<(), ImportError> {
        let estimated =
            |layer: &L| self.report.kind == Kind::Rosinality && layer.to_string() == Layer::WAvg.to_string();
        let count = missing.iter().filter(|(_, layer, _)| !estimated(layer)).count();
        for (name, layer, expected) in missing {
            let canonical = layer.to_string();
            if !estimated(&layer) {
                return Err(ImportError::Missing { object: object.to_owned(), name, canonical, expected, count });
            }
            self.report.missing.push(format!("{object}.{canonical}"));
        }
        Ok(())
    }

    fn settle_unused(&mut self, object: String, found: Vec<String>) -> std::result::Result<(), ImportError> {
        if !found.is_empty() && self.unused == Unused::Refuse {
            return Err(ImportError::Unused { object, found });
        }
        self.report.unused.extend(found.into_iter().map(|name| format!("{object}.{name}")));
        Ok(())
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
    fn read(&self) -> Result<BTreeMap<L, Tensor>> {
        let copied = self.arrays.par_iter().map(|(layer, (name, array))| {
            Ok((*layer, Tensor::from_vec(array.to_f32(name)?, array.shape(), &Device::Cpu)?))
        });
        copied.collect()
    }
}

fn read_generator(config: &GeneratorConfig, part: &Part<'_, Layer>) -> Result<Weights<Layer>> {
    let mut tensors = part.read()?;
    if !tensors.contains_key(&Layer::WAvg) {
        tensors.insert(Layer::WAvg, average_w::estimate(config, &tensors)?);
    }
    Weights::new(config, tensors)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use candle_core::DType;

    use super::*;
    use crate::ops::Activation;
    use crate::stylegan2::{Architecture, Channels, MappingConfig};

    const KINDS: [Kind; 5] =
        [Kind::NvidiaAda, Kind::NvidiaStylegan3Repository, Kind::TensorFlow, Kind::Rosinality, Kind::Toonify];

    fn mapping(num_layers: usize, embed_features: usize) -> MappingConfig {
        MappingConfig {
            num_layers,
            embed_features,
            layer_features: 4,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        }
    }

    fn configs() -> Vec<(GeneratorConfig, DiscriminatorConfig)> {
        let mut list = Vec::new();
        for architecture in [Architecture::Orig, Architecture::Skip, Architecture::Resnet] {
            for (px, c_dim, num_layers) in [(4, 0, 8), (8, 3, 2), (64, 0, 1), (1024, 5, 8)] {
                let resolution = Resolution::new(px).unwrap();
                let channels = Channels::from_base(2048, 2, resolution);
                let embed = if c_dim > 0 { 4 } else { 0 };
                list.push((
                    generator(resolution, &channels, architecture, mapping(num_layers, embed), c_dim),
                    discriminator(resolution, &channels, architecture, mapping(num_layers, embed), c_dim),
                ));
            }
        }
        list
    }

    fn generator(
        resolution: Resolution,
        channels: &Channels,
        architecture: Architecture,
        mapping: MappingConfig,
        c_dim: usize,
    ) -> GeneratorConfig {
        GeneratorConfig {
            z_dim: 4,
            c_dim,
            w_dim: 4,
            resolution,
            img_channels: 3,
            mapping,
            channels: channels.clone(),
            architecture,
            activation: Activation::Lrelu,
            conv_clamp: None,
            num_fp16_res: 0,
            use_noise: resolution != Resolution::R4,
            resample_filter: vec![1.0, 3.0, 3.0, 1.0],
        }
    }

    fn discriminator(
        resolution: Resolution,
        channels: &Channels,
        architecture: Architecture,
        mapping: MappingConfig,
        c_dim: usize,
    ) -> DiscriminatorConfig {
        DiscriminatorConfig {
            c_dim,
            resolution,
            img_channels: 3,
            cmap_dim: mapping.embed_features,
            mapping,
            channels: channels.clone(),
            architecture,
            activation: Activation::Lrelu,
            conv_clamp: None,
            num_fp16_res: 0,
            mbstd_group_size: Some(4),
            mbstd_num_channels: 1,
            freeze_layers: 0,
            resample_filter: vec![1.0, 3.0, 3.0, 1.0],
        }
    }

    /// A table serves a configuration when its names lead back to every tensor of the configuration and to no other.
    fn check<L: TensorName>(config: &L::Config, rule: &dyn Fn(&L) -> Rule) {
        let asked: Vec<L> = L::all(config).into_iter().map(|(layer, _)| layer).collect();
        let produced: BTreeSet<String> = asked.iter().map(|layer| rule(layer).theirs).collect();
        assert_eq!(produced.len(), asked.len(), "two tensors share a name");
        let make = |_: L, shape: &[usize]| Ok(Tensor::zeros(shape, DType::F32, &Device::Cpu)?);
        let weights = Weights::build(config, make).unwrap();
        let held: BTreeSet<String> = weights.iter().map(|(layer, _)| rule(&layer).theirs).collect();
        assert_eq!(held, produced);
        for layer in asked {
            assert_eq!(layer.to_string().parse::<L>().unwrap(), layer);
        }
    }

    #[test]
    fn every_table_names_every_tensor_of_every_configuration_once() {
        for (generator, discriminator) in configs() {
            for kind in KINDS {
                check(&generator, &generator_rule(kind));
                check(&discriminator, &discriminator_rule(kind, discriminator.resolution));
            }
        }
    }
}
