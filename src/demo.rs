//! The main job on nothing but this program: a tiny pair of networks, and the grid of their blends by resolution.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::{Device, Tensor};
use image::DynamicImage;
use toonify_networks::checkpoint::{Checkpoint, Provenance};
use toonify_networks::latent::{Seed, Truncation, Z};
use toonify_networks::ops::Activation;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, BlendCurve, Channels, Generator, GeneratorConfig, Layer, MappingConfig, Resolution, Slot, Term,
    Weights,
};

use crate::events::{Event, Sink};
use crate::grid::{self, Column, Rows};
use crate::store::checkpoint::{self, Format};
use crate::store::{folder, picture};

/// What to make.
#[derive(Clone, Debug)]
pub struct DemoPlan {
    /// Folder for the networks and the grid; made when it is not there.
    pub outdir: PathBuf,
    /// Side of the images.
    pub resolution: Resolution,
}

/// What was made.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Demonstrated {
    /// Rows are seeds; columns the base, a blend at every resolution, and the tuned model.
    pub grid: PathBuf,
    /// The two networks, for trying the other commands on.
    pub networks: Vec<PathBuf>,
}

const SEEDS: [Seed; 4] = [Seed(3), Seed(7), Seed(11), Seed(16)];
/// A fresh network has none; a trained one has about this much, and without it `--noise-mode` would change nothing.
const NOISE_STRENGTH: f32 = 0.05;
/// A fresh network's images are the sum of as many layers as it has resolutions, far outside the range of pixels.
const RGB_GAIN: f64 = 0.2;
const TRUNCATION: Truncation = Truncation { psi: 0.9, cutoff: None };

/// Makes both networks, saves them and renders their blends.
///
/// # Errors
/// When a file cannot be written.
pub fn run(plan: &DemoPlan, sink: &mut dyn Sink) -> Result<Demonstrated> {
    folder::create(&plan.outdir)?;
    let config = tiny_config(plan.resolution);
    let base = fresh(&config, 1)?;
    let tuned = retuned(&config, &base, 2)?;
    let mut networks = Vec::new();
    for (name, weights) in [("base", &base), ("tuned", &tuned)] {
        let path = plan.outdir.join(format!("{name}.safetensors"));
        let notes = vec!["random weights of `toonify demo`, not trained".to_owned()];
        let provenance = Provenance { origin: "toonify demo".to_owned(), notes, ..Provenance::default() };
        let (config, ema) = (config.clone(), weights.clone());
        let checkpoint = Checkpoint { config, ema, generator: None, discriminator: None, provenance };
        checkpoint::write(&path, &checkpoint, Format::Toonify)?;
        sink.event(&Event::Saved { path: path.clone() });
        networks.push(path);
    }
    let grid = plan.outdir.join("blend_grid.png");
    picture::write(&grid, &blend_grid(&config, &base, &tuned, sink)?)?;
    sink.event(&Event::Saved { path: grid.clone() });
    Ok(Demonstrated { grid, networks })
}

fn tiny_config(resolution: Resolution) -> GeneratorConfig {
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
fn fresh(config: &GeneratorConfig, seed: u32) -> Result<Weights<Layer>> {
    let weights = Weights::<Layer>::random(config, &mut RandomState::new(seed))?;
    let generator = Generator::from_weights(config, &weights)?;
    let seeds: Vec<Seed> = (0..1000).map(Seed).collect();
    let w = generator.map(&Z::from_seeds(&seeds, config.z_dim, &Device::Cpu)?, None)?;
    let w_avg = w.tensor().mean(0)?;
    Ok(Weights::build(config, |layer, _shape| match layer {
        Layer::WAvg => Ok(w_avg.clone()),
        Layer::Block { term: Term::NoiseStrength, .. } => Ok(Tensor::new(NOISE_STRENGTH, &Device::Cpu)?),
        Layer::Block { slot: Slot::ToRgb, term: Term::Weight, .. } => Ok((of(&weights, layer) * RGB_GAIN)?),
        _ => Ok(of(&weights, layer).clone()),
    })?)
}

/// Stands in for a fine-tuned model: the base's mapping, other layers.
fn retuned(config: &GeneratorConfig, base: &Weights<Layer>, seed: u32) -> Result<Weights<Layer>> {
    let other = fresh(config, seed)?;
    Ok(Weights::build(config, |layer, _shape| {
        let source = match layer {
            Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg => base,
            Layer::Const | Layer::Block { .. } => &other,
        };
        Ok(of(source, layer).clone())
    })?)
}

/// A tensor of a network that has the demo's configuration.
fn of(weights: &Weights<Layer>, layer: Layer) -> &Tensor {
    weights.get(layer).expect("all networks of the demo have the same configuration")
}

/// Rows are seeds; columns go from the base over the blends to the tuned model.
fn blend_grid(
    config: &GeneratorConfig,
    base: &Weights<Layer>,
    tuned: &Weights<Layer>,
    sink: &mut dyn Sink,
) -> Result<DynamicImage> {
    let generator = Generator::from_weights(config, base)?;
    let w = generator.map(&Z::from_seeds(&SEEDS, config.z_dim, &Device::Cpu)?, None)?;
    let ws = w.broadcast(config.num_ws())?.truncate(generator.w_avg(), &TRUNCATION)?;
    let rows = Rows { captions: SEEDS.iter().map(|seed| format!("seed {}", seed.0)).collect(), ws };

    let mut columns = vec![Column { caption: "base".to_owned(), weights: base.clone() }];
    for swap in config.resolution.half().into_iter().flat_map(Resolution::ladder) {
        let weights = tuned.blend(base, config, &BlendCurve::hard(swap))?;
        columns.push(Column { caption: format!("swap {swap}"), weights });
    }
    columns.push(Column { caption: "tuned".to_owned(), weights: tuned.clone() });
    sink.event(&Event::Started { what: "rendering the blend grid".to_owned() });
    let title =
        format!("Layers up to the swap from the tuned model, above it from the base ({} px)", config.resolution);
    grid::render(config, &columns, &rows, sink)?.sheet(&title, 128)
}
