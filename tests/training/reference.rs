//! One golden folder: networks at the start, recorded draws, expected numbers.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use toonify::train::ema::EmaConfig;
use toonify::train::recipes::freeze::Freeze;
use toonify::train::recipes::stylegan2::{LossSettings, StyleGan2};
use toonify_networks::checkpoint::{Checkpoint, DiscriminatorCheckpoint, Provenance};
use toonify_networks::ops::Activation;
use toonify_networks::stylegan2::{
    Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution, TensorName, Weights,
};

use crate::recorded::Recorded;

pub struct Golden {
    pub manifest: Value,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    /// The folder `name` of the reference set, which lies beside the repository.
    pub fn load(name: &str) -> Option<Golden> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/goldens").join(name);
        if !folder.is_dir() {
            println!("not there, left out: {}", folder.display());
            return None;
        }
        let manifest = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let tensors = candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
        Some(Golden { manifest, tensors })
    }

    pub fn get(&self, name: &str) -> Tensor {
        self.find(name).unwrap_or_else(|| panic!("no golden `{name}`"))
    }

    pub fn find(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).map(|tensor| match tensor.dtype() {
            DType::F32 => tensor.clone(),
            _ => tensor.to_dtype(DType::F32).unwrap(),
        })
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        names.sort();
        names
    }

    /// The draws `PREFIX.draw_NNN_CALL`, from `first` on, `count` of them.
    pub fn record(&self, prefix: &str, (first, count): (usize, usize), into: &mut Recorded) {
        let draws = self.names(&format!("{prefix}.draw_"));
        for name in &draws[first..first + count] {
            let call = name.rsplit_once(".draw_").unwrap().1[4..].to_owned();
            into.push(&call, self.get(name));
        }
    }

    pub fn count_draws(&self, prefix: &str) -> usize {
        self.names(&format!("{prefix}.draw_")).len()
    }

    fn number(&self, key: &str) -> usize {
        self.manifest["config"][key].as_u64().unwrap_or(0) as usize
    }

    /// The networks before the first step; the averaged generator is a copy.
    pub fn checkpoint(&self) -> Checkpoint {
        let (config, judge) = (self.generator(), self.discriminator());
        let generator = self.weights(&config, "init.G.");
        let weights = self.weights(&judge, "init.D.");
        Checkpoint {
            ema: generator.clone(),
            generator: Some(generator),
            discriminator: Some(DiscriminatorCheckpoint { config: judge, weights }),
            config,
            provenance: Provenance::default(),
        }
    }

    fn weights<L: TensorName>(&self, config: &L::Config, prefix: &str) -> Weights<L> {
        let named = L::all(config).into_iter().map(|(layer, _)| (layer, self.get(&format!("{prefix}{layer}"))));
        Weights::new(config, named.collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn mapping(&self, num_layers: usize) -> MappingConfig {
        MappingConfig {
            num_layers,
            embed_features: self.number("w"),
            layer_features: self.number("w"),
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        }
    }

    fn generator(&self) -> GeneratorConfig {
        let resolution = Resolution::new(self.number("res")).unwrap();
        GeneratorConfig {
            z_dim: self.number("z"),
            c_dim: self.number("c_dim"),
            w_dim: self.number("w"),
            resolution,
            img_channels: 3,
            mapping: self.mapping(self.number("map")),
            channels: Channels::from_base(self.number("base"), self.number("mx"), resolution),
            architecture: Architecture::Skip,
            activation: Activation::Lrelu,
            conv_clamp: self.manifest["config"]["clamp"].as_f64(),
            num_fp16_res: 0,
            use_noise: true,
            resample_filter: vec![1.0, 3.0, 3.0, 1.0],
        }
    }

    fn discriminator(&self) -> DiscriminatorConfig {
        let generator = self.generator();
        let c_dim = self.number("c_dim");
        DiscriminatorConfig {
            c_dim,
            resolution: generator.resolution,
            img_channels: 3,
            cmap_dim: if c_dim > 0 { self.number("mx") } else { 0 },
            mapping: self.mapping(self.number("map")),
            channels: generator.channels,
            architecture: Architecture::Resnet,
            activation: Activation::Lrelu,
            conv_clamp: generator.conv_clamp,
            num_fp16_res: 0,
            mbstd_group_size: Some(self.number("mbstd")),
            mbstd_num_channels: 1,
            freeze_layers: self.number("freeze"),
            resample_filter: vec![1.0, 3.0, 3.0, 1.0],
        }
    }
}

/// Settings of the published loss; each test fills in what its run says.
pub fn published_loss() -> LossSettings {
    LossSettings {
        learning_rate: 0.002,
        gamma: 10.0,
        style_mixing: 0.0,
        path_length_weight: 2.0,
        path_length_shrink: 2,
        generator_interval: 4,
        discriminator_interval: 16,
        ema: EmaConfig { half_life_kimg: 10.0, rampup: None },
        freeze: Freeze::default(),
    }
}

pub type Recipe = StyleGan2<Recorded>;

/// Largest difference, relative to the largest number expected, but at least to `floor`.
pub fn difference(found: &Tensor, expected: &Tensor, floor: f64) -> f64 {
    assert_eq!(found.elem_count(), expected.elem_count());
    let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, expected) = (numbers(found), numbers(expected));
    let largest = expected.iter().fold(floor, |largest, x| largest.max(f64::from(x.abs())));
    let off = found.iter().zip(&expected).map(|(a, b)| f64::from((a - b).abs()));
    off.fold(0.0, |worst: f64, x| if x.is_nan() { f64::NAN } else { worst.max(x) }) / largest
}
