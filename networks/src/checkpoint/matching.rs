//! Gives the tensors of a file their typed names, by the table of its kind, and checks that nothing is missing or left over.

use std::collections::BTreeMap;

use crate::checkpoint::array::Array;
use crate::checkpoint::contents::Tensors;
use crate::checkpoint::names::{self, Rule, Turn};
use crate::checkpoint::report::{ImportReport, Unused};
use crate::checkpoint::{ImportError, Kind};
use crate::stylegan2::{DiscriminatorLayer, Layer, Resolution, TensorName};

/// The tensors of one network under typed names, each of the right shape.
#[derive(Debug)]
pub(crate) struct Part<'a, L> {
    /// Name in the file, and the tensor turned to canonical layout.
    pub arrays: BTreeMap<L, (String, Array<'a>)>,
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

/// Gives the tensors of a file their typed names and keeps account.
pub(crate) struct Matching {
    /// Account so far.
    pub report: ImportReport,
    unused: Unused,
    /// Bytes of the whole file.
    file_size: usize,
}

impl Matching {
    /// Starts the account of a file of `file_size` bytes.
    pub fn new(kind: Kind, ignored: Vec<String>, unused: Unused, file_size: usize) -> Self {
        let (missing, listed) = (Vec::new(), Vec::new());
        let report = ImportReport { kind, matched: 0, turned: 0, verified: 0, missing, unused: listed, ignored };
        Matching { report, unused, file_size }
    }

    /// Gives one network's tensors their names.
    ///
    /// # Errors
    /// [`ImportError::Shape`], [`ImportError::Missing`] or [`ImportError::Unused`] for the first that does not fit.
    pub fn part<'a, L: TensorName>(
        &mut self,
        config: &L::Config,
        tensors: Tensors<'a>,
        rule: &dyn Fn(&L) -> Rule,
    ) -> Result<Part<'a, L>, ImportError> {
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
    ) -> Result<(), ImportError> {
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
    ) -> Result<(), ImportError> {
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

    fn settle_unused(&mut self, object: String, found: Vec<String>) -> Result<(), ImportError> {
        if !found.is_empty() && self.unused == Unused::Refuse {
            return Err(ImportError::Unused { object, found });
        }
        self.report.unused.extend(found.into_iter().map(|name| format!("{object}.{name}")));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::ops::Activation;
    use crate::stylegan2::{Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Weights};

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
                // rosinality's project has one architecture of each.
                let served = |only| kind != Kind::Rosinality || generator.architecture == only;
                if served(Architecture::Skip) {
                    check(&generator, &generator_rule(kind));
                }
                if served(Architecture::Resnet) {
                    check(&discriminator, &discriminator_rule(kind, discriminator.resolution));
                }
            }
        }
    }
}
