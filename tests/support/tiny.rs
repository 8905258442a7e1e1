//! Two tiny untrained networks that blend, for tests of everything that takes checkpoints.

use std::path::Path;

use candle_core::{Device, Tensor};
use toonify::store::checkpoint::{self, Format};
use toonify_networks::checkpoint::{Checkpoint, Provenance};
use toonify_networks::latent::{Seed, Z};
use toonify_networks::ops::Activation;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Generator, GeneratorConfig, Layer, MappingConfig, Resolution, Slot, Term, Weights,
};

/// A fresh network has none; a trained one has about this much, and without it `--noise-mode` would change nothing.
const NOISE_STRENGTH: f32 = 0.05;
/// A fresh network's images are the sum of as many layers as it has resolutions, far outside the range of pixels.
const RGB_GAIN: f64 = 0.2;

/// Writes `base.safetensors` and `tuned.safetensors` into `folder`: the same mapping, other layers.
pub fn networks(folder: &Path, px: usize) {
    let config = config(Resolution::new(px).expect("a resolution"));
    let base = fresh(&config, 1);
    let other = fresh(&config, 2);
    let tuned = Weights::build(&config, |layer, _shape| match layer {
        Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg => Ok(of(&base, layer)),
        Layer::Const | Layer::Block { .. } => Ok(of(&other, layer)),
    });
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, ema) in [("base", base.clone()), ("tuned", tuned.expect("all layers"))] {
        let provenance = Provenance { origin: "a test".to_owned(), ..Provenance::default() };
        let checkpoint = Checkpoint { config: config.clone(), ema, generator: None, discriminator: None, provenance };
        let path = folder.join(format!("{name}.safetensors"));
        checkpoint::write(&path, &checkpoint, Format::Toonify).expect("a network is written");
    }
}

fn config(resolution: Resolution) -> GeneratorConfig {
    GeneratorConfig {
        z_dim: 64,
        c_dim: 0,
        w_dim: 64,
        resolution,
        img_channels: 3,
        mapping: MappingConfig {
            num_layers: 4,
            embed_features: 64,
            layer_features: 64,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        },
        channels: Channels::from_base(2048, 64, resolution),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp: Some(256.0),
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    }
}

/// A random network whose average `w` is that of a thousand samples.
fn fresh(config: &GeneratorConfig, seed: u32) -> Weights<Layer> {
    let weights = Weights::<Layer>::random(config, &mut RandomState::new(seed)).expect("random weights");
    let generator = Generator::from_weights(config, &weights).expect("a generator");
    let seeds: Vec<Seed> = (0..1000).map(Seed).collect();
    let z = Z::from_seeds(&seeds, config.z_dim, &Device::Cpu).expect("z");
    let w_avg = generator.map(&z, None).expect("w").tensor().mean(0).expect("a mean");
    let built = Weights::build(config, |layer, _shape| match layer {
        Layer::WAvg => Ok(w_avg.clone()),
        Layer::Block { term: Term::NoiseStrength, .. } => Ok(Tensor::new(NOISE_STRENGTH, &Device::Cpu)?),
        Layer::Block { slot: Slot::ToRgb, term: Term::Weight, .. } => Ok((of(&weights, layer) * RGB_GAIN)?),
        _ => Ok(of(&weights, layer)),
    });
    built.expect("all layers")
}

fn of(weights: &Weights<Layer>, layer: Layer) -> Tensor {
    weights.get(layer).expect("networks of the same configuration").clone()
}
