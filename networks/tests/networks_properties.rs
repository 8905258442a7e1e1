//! What must hold for every configuration: names, shapes, sizes, and independence of the images in a batch.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use toonify_networks::Error;
use toonify_networks::grad::Dual;
use toonify_networks::latent::{Seed, Truncation, W, Z};
use toonify_networks::ops::Activation;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, BlendCurve, Channels, Discriminator, DiscriminatorConfig, DiscriminatorLayer, Generator,
    GeneratorConfig, Layer, MappingConfig, Noise, Resolution, TensorName, Weights,
};

fn resolution(px: usize) -> Resolution {
    Resolution::new(px).unwrap()
}

fn mapping(num_layers: usize, w_dim: usize) -> MappingConfig {
    MappingConfig {
        num_layers,
        embed_features: w_dim,
        layer_features: 6,
        activation: Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    }
}

/// Small generators that differ in everything that can differ.
fn generators() -> Vec<GeneratorConfig> {
    let plain = GeneratorConfig {
        z_dim: 5,
        c_dim: 0,
        w_dim: 7,
        resolution: resolution(16),
        img_channels: 3,
        mapping: mapping(2, 7),
        channels: Channels::from_base(64, 6, resolution(16)),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let widths = Channels::from_widths(vec![3, 9]);
    vec![
        plain.clone(),
        GeneratorConfig { architecture: Architecture::Resnet, c_dim: 4, conv_clamp: Some(2.0), ..plain.clone() },
        GeneratorConfig { architecture: Architecture::Orig, img_channels: 1, use_noise: false, ..plain.clone() },
        GeneratorConfig { resolution: resolution(8), channels: widths, mapping: mapping(8, 7), ..plain.clone() },
        GeneratorConfig { z_dim: 0, c_dim: 3, resample_filter: vec![1.0, 2.0, 1.0], ..plain.clone() },
        GeneratorConfig { resolution: resolution(4), channels: Channels::from_widths(vec![5]), ..plain.clone() },
        GeneratorConfig {
            resolution: resolution(1024),
            channels: Channels::from_base(1024, 3, resolution(1024)),
            activation: Activation::Swish,
            ..plain
        },
    ]
}

fn discriminators() -> Vec<DiscriminatorConfig> {
    let plain = DiscriminatorConfig {
        c_dim: 0,
        resolution: resolution(16),
        img_channels: 3,
        cmap_dim: 0,
        mapping: mapping(8, 6),
        channels: Channels::from_base(64, 6, resolution(16)),
        architecture: Architecture::Resnet,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        mbstd_group_size: Some(2),
        mbstd_num_channels: 1,
        freeze_layers: 0,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let smallest = Channels::from_widths(vec![5]);
    vec![
        plain.clone(),
        DiscriminatorConfig { architecture: Architecture::Skip, c_dim: 3, cmap_dim: 6, ..plain.clone() },
        DiscriminatorConfig {
            architecture: Architecture::Orig,
            mbstd_num_channels: 0,
            img_channels: 1,
            ..plain.clone()
        },
        DiscriminatorConfig { resolution: resolution(4), channels: smallest.clone(), ..plain.clone() },
        DiscriminatorConfig {
            architecture: Architecture::Skip,
            resolution: resolution(4),
            channels: smallest,
            ..plain
        },
    ]
}

fn names_of<L: TensorName>(config: &L::Config) -> BTreeMap<String, Vec<usize>> {
    L::all(config).into_iter().map(|(name, shape)| (name.to_string(), shape)).collect()
}

fn asked(variables: &VarMap) -> BTreeMap<String, Vec<usize>> {
    let data = variables.data().lock().unwrap();
    data.iter().map(|(name, var)| (name.clone(), var.dims().to_vec())).collect()
}

#[test]
fn a_network_asks_for_exactly_the_tensors_that_its_configuration_lists() {
    for config in generators() {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        Generator::new(&config, &vb).unwrap();
        assert_eq!(asked(&variables), names_of::<Layer>(&config), "{config:?}");
    }
    for config in discriminators() {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        Discriminator::new(&config, &vb).unwrap();
        assert_eq!(asked(&variables), names_of::<DiscriminatorLayer>(&config), "{config:?}");
    }
}

#[test]
fn names_are_read_back_as_they_are_written() {
    for config in generators() {
        for (layer, _) in Layer::all(&config) {
            assert_eq!(layer.to_string().parse::<Layer>().unwrap(), layer);
        }
    }
    for config in discriminators() {
        for (layer, _) in DiscriminatorLayer::all(&config) {
            assert_eq!(layer.to_string().parse::<DiscriminatorLayer>().unwrap(), layer);
        }
    }
    for name in
        ["", "mapping.fc01.weight", "synthesis.b12.conv0.weight", "synthesis.b8.conv2.weight", "b4.conv.weights"]
    {
        assert!(name.parse::<Layer>().is_err() && name.parse::<DiscriminatorLayer>().is_err(), "{name:?}");
    }
}

#[test]
fn every_generator_renders_images_of_its_size_that_do_not_depend_on_their_neighbours() {
    for config in generators() {
        let weights = Weights::<Layer>::random(&config, &mut RandomState::new(1)).unwrap();
        let generator = Generator::from_weights(&config, &weights).unwrap();
        let ws = latents(&generator, 2);
        let noise = Noise::random(&config, 1, &mut RandomState::new(5), &Device::Cpu).unwrap();
        let together = generator.render(&ws, &noise).unwrap();
        let r = config.resolution.px();
        assert_eq!(together.dims(), [2, config.img_channels, r, r], "{config:?}");
        for index in 0..2 {
            let alone = generator.render(&ws.narrow(index, 1).unwrap(), &noise).unwrap();
            let difference = largest(&(together.narrow(0, index, 1).unwrap() - &alone).unwrap());
            assert!(difference <= 1e-5 * largest(&alone), "{difference} for {config:?}");
        }
    }
}

fn latents(generator: &Generator, count: u32) -> toonify_networks::latent::WPlus {
    let (config, n) = (generator.config(), count as usize);
    let seeds: Vec<Seed> = (0..count).map(Seed).collect();
    let z = Z::from_seeds(&seeds, config.z_dim, &Device::Cpu).unwrap();
    let label = Tensor::from_vec(RandomState::new(9).gauss_vec(n * config.c_dim), (n, config.c_dim), &Device::Cpu);
    let label = (config.c_dim > 0).then(|| label.unwrap().to_dtype(DType::F32).unwrap());
    generator.map(&z, label.as_ref()).unwrap().broadcast(config.num_ws()).unwrap()
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn every_discriminator_gives_one_logit_an_image() {
    for config in discriminators() {
        let weights = Weights::<DiscriminatorLayer>::random(&config, &mut RandomState::new(1)).unwrap();
        let discriminator = Discriminator::from_weights(&config, &weights).unwrap();
        let r = config.resolution.px();
        let pixels = RandomState::new(2).gauss_vec(4 * config.img_channels * r * r);
        let image = Tensor::from_vec(pixels, (4, config.img_channels, r, r), &Device::Cpu).unwrap();
        let image = Dual::from(image.to_dtype(DType::F32).unwrap());
        let label = (config.c_dim > 0).then(|| Tensor::ones((4, config.c_dim), DType::F32, &Device::Cpu).unwrap());
        let logits = discriminator.forward(&image, label.as_ref()).unwrap();
        assert_eq!(logits.dims(), [4, 1], "{config:?}");
    }
}

#[test]
fn a_label_is_demanded_when_needed_and_refused_when_not() {
    let (plain, conditional) = (generators().remove(0), generators().remove(1));
    for (config, label) in [(plain, Some(Tensor::ones((1, 4), DType::F32, &Device::Cpu).unwrap())), (conditional, None)]
    {
        let weights = Weights::<Layer>::random(&config, &mut RandomState::new(1)).unwrap();
        let generator = Generator::from_weights(&config, &weights).unwrap();
        let z = Z::from_seeds(&[Seed(0)], config.z_dim, &Device::Cpu).unwrap();
        assert!(matches!(generator.map(&z, label.as_ref()), Err(Error::Value { what: "label", .. })));
    }
}

#[test]
fn blending_a_model_with_itself_changes_nothing() {
    let config = generators().remove(0);
    let weights = Weights::<Layer>::random(&config, &mut RandomState::new(1)).unwrap();
    let blended = weights.blend(&weights, &config, &BlendCurve::hard(resolution(8))).unwrap();
    for ((name, before), (_, after)) in weights.iter().zip(blended.iter()) {
        assert_eq!(largest(&(before - after).unwrap()), 0.0, "{name}");
    }
}

#[test]
fn weights_are_complete_and_of_the_right_shape_or_refused() {
    let config = generators().remove(0);
    let weights = Weights::<Layer>::random(&config, &mut RandomState::new(1)).unwrap();
    let all = || weights.iter().map(|(name, tensor)| (name, tensor.clone())).collect::<BTreeMap<_, _>>();
    assert!(Weights::new(&config, all()).is_ok());

    let mut missing = all();
    missing.remove(&Layer::WAvg);
    assert!(Weights::new(&config, missing).unwrap_err().to_string().contains("mapping.w_avg missing"));

    let mut reshaped = all();
    reshaped.insert(Layer::WAvg, Tensor::zeros(8, DType::F32, &Device::Cpu).unwrap());
    assert!(matches!(Weights::new(&config, reshaped), Err(Error::Shape { expected, .. }) if expected == [7]));

    let larger =
        GeneratorConfig { resolution: resolution(8), channels: Channels::from_widths(vec![6, 6]), ..config.clone() };
    assert!(Weights::new(&larger, all()).unwrap_err().to_string().contains("synthesis.b16"));
}

#[test]
fn truncation_pulls_only_the_first_layers_when_told_so() {
    let w = W::new(Tensor::new(&[[2f32, 4.0]], &Device::Cpu).unwrap(), 2).unwrap().broadcast(3).unwrap();
    let w_avg = Tensor::new(&[1f32, 1.0], &Device::Cpu).unwrap();
    let truncated = |psi, cutoff| {
        let truncation = Truncation { psi, cutoff };
        w.truncate(&w_avg, &truncation).unwrap().tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(truncated(0.5, Some(1)), [1.5, 2.5, 2.0, 4.0, 2.0, 4.0]);
    assert_eq!(truncated(0.0, None), [1.0; 6]);
    assert_eq!(truncated(1.0, Some(0)), [2.0, 4.0, 2.0, 4.0, 2.0, 4.0]);
    assert_eq!(truncated(0.5, Some(99)), truncated(0.5, None));
}

#[test]
fn impossible_configurations_are_refused_by_name() {
    let plain = generators().remove(0);
    let cases = [
        ("w_dim", GeneratorConfig { w_dim: 0, ..plain.clone() }),
        ("channels", GeneratorConfig { resolution: resolution(32), ..plain.clone() }),
        ("channels", GeneratorConfig { channels: Channels::from_base(64, 0, resolution(16)), ..plain.clone() }),
        ("resample_filter", GeneratorConfig { resample_filter: vec![1.0, -1.0], ..plain.clone() }),
        ("z_dim", GeneratorConfig { z_dim: 0, ..plain.clone() }),
        ("mapping num_layers", GeneratorConfig { mapping: mapping(1 << 40, 7), ..plain }),
    ];
    for (expected, config) in cases {
        assert!(matches!(config.check(), Err(Error::Value { what, .. }) if what == expected), "{expected}");
    }
    for px in [0, 2, 5, 6, 2048, usize::MAX] {
        assert!(Resolution::new(px).is_err(), "{px}");
    }
}
