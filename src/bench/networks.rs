//! The networks that are measured, with random weights, each as a call that does the work once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use candle_core::{Device, Tensor};
use toonify_networks::checkpoint::{Checkpoint, DiscriminatorCheckpoint, Provenance};
use toonify_networks::draws::Draws;
use toonify_networks::latent::{Seed, Z};
use toonify_networks::perceptual::{LinearWeights, Lpips, Vgg16};
use toonify_networks::pix2pix::{BlockKind, Preset, StudentLayer, Swift};
use toonify_networks::projection::{Projection, Schedule, Space, Start, WStatistics};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{DiscriminatorLayer, Generator, GeneratorConfig, Layer, Noise, Weights};

use crate::train::fit::{FitPlan, Flow, Log, Progress, Watch, fit};
use crate::train::plan::options::Options;
use crate::train::plan::{self, Config, DataFacts};
use crate::train::recipes::augmenter::{AugmentSettings, Augmenter};
use crate::train::recipes::stylegan2::{ImageBatch, StyleGan2};
use crate::train::settings::Settings;

/// The kinds of steps of the published schedule, and how many of 16 are of each: with both lazy regularisers, with that of
/// the generator, without.
pub(super) const TRAINING_STEPS: [(u64, f64); 3] = [(0, 1.0), (4, 3.0), (1, 12.0)];
/// What the published trainer makes of a configuration and RGB images of this size.
fn published(config: Config, resolution: usize) -> Result<Settings> {
    let options = Options { config, ..Options::new(PathBuf::new(), PathBuf::new()) };
    let facts = DataFacts { name: "noise".to_owned(), images: 1, resolution, channels: 3, label_dim: 0 };
    Ok(plan::resolve(&options, || Ok(facts))?.settings)
}

/// The published generator of FFHQ at 256 px.
pub(super) fn paper256() -> Result<GeneratorConfig> {
    Ok(published(Config::Paper256, 256)?.generator)
}

fn fresh(config: &GeneratorConfig) -> Result<Generator> {
    let weights = Weights::<Layer>::random(config, &mut RandomState::new(0))?;
    Ok(Generator::from_weights(config, &weights)?)
}

/// Renders `batch` images.
pub(super) fn generate(batch: usize) -> Result<impl FnMut() -> Result<()>> {
    let config = paper256()?;
    let generator = fresh(&config)?;
    let seeds: Vec<Seed> = (0..batch as u32).map(Seed).collect();
    let z = Z::from_seeds(&seeds, config.z_dim, &Device::Cpu)?;
    let ws = generator.map(&z, None)?.broadcast(config.num_ws())?;
    Ok(move || {
        std::hint::black_box(generator.render(&ws, &Noise::Const)?);
        Ok(())
    })
}

/// Takes a step of a projection, of which there are at least `repetitions` + 1.
pub(super) fn project(repetitions: usize) -> Result<impl FnMut() -> Result<()>> {
    let config = paper256()?;
    // The projection borrows both for as long as the measurement goes on.
    let generator: &'static Generator = Box::leak(Box::new(fresh(&config)?));
    let rng = &mut RandomState::new(1);
    let channels = [64, 128, 256, 512, 512];
    let linear = LinearWeights::by_layer(&channels, &[1.0; 5])?;
    let eyes: &'static Lpips = Box::leak(Box::new(Lpips::new(Box::new(random_vgg16(rng)?), linear)?));
    let statistics = WStatistics { w_avg: generator.w_avg().clone(), w_std: 10.0 };
    let start = Start::at_average(&config, &statistics, (1, Space::W), rng)?;
    let target = rng.normal(&[1, 3, 256, 256])?.affine(50.0, 127.5)?;
    let schedule = Schedule::published(repetitions + 2);
    let mut projection = Projection::new(generator, eyes, &target, (start, schedule))?;
    let w_noise = rng.normal(&[1, 1, config.w_dim])?;
    Ok(move || {
        projection.step(&w_noise, statistics.w_std)?;
        Ok(())
    })
}

/// VGG16 with random kernels that keep the size of what passes.
fn random_vgg16(rng: &mut RandomState) -> Result<Vgg16> {
    let layers: [(usize, &[usize]); 5] =
        [(64, &[0, 2]), (128, &[5, 7]), (256, &[10, 12, 14]), (512, &[17, 19, 21]), (512, &[24, 26, 28])];
    let (mut tensors, mut inputs) = (BTreeMap::new(), 3);
    for (outputs, numbers) in layers {
        for number in numbers {
            let scale = (2.0 / (inputs * 9) as f64).sqrt();
            let weight = rng.normal(&[outputs, inputs, 3, 3])?.affine(scale, 0.0)?;
            tensors.insert(format!("features.{number}.weight"), weight);
            tensors.insert(format!("features.{number}.bias"), rng.normal(&[outputs])?.affine(0.1, 0.0)?);
            inputs = outputs;
        }
    }
    Ok(Vgg16::from_tensors(tensors)?)
}

/// Takes the training step of a number with `batch` images of noise, without augmentation.
pub(super) fn train(batch: usize) -> Result<impl FnMut(u64) -> Result<()>> {
    let Settings { generator, discriminator: judge, loss, .. } = published(Config::Auto, 64)?;
    let rng = &mut RandomState::new(2);
    let weights = Weights::<Layer>::random(&generator, rng)?;
    let discriminator =
        DiscriminatorCheckpoint { weights: Weights::<DiscriminatorLayer>::random(&judge, rng)?, config: judge };
    let start = Checkpoint {
        config: generator,
        ema: weights.clone(),
        generator: Some(weights),
        discriminator: Some(discriminator),
        provenance: Provenance::default(),
    };
    let images: Tensor = rng.normal(&[batch, 3, 64, 64])?;
    let augmenter = Augmenter::new(AugmentSettings::OFF);
    let mut recipe = StyleGan2::new(&start, loss, augmenter, (None, RandomState::new(3)))?;
    Ok(move |step| {
        let mut steps = (0..).map(|_| Ok(vec![ImageBatch { images: images.clone(), labels: None }]));
        let batch_size = batch as u64;
        let start = Progress { step, images: step * batch_size };
        let plan = FitPlan { start, total_images: start.images + batch_size, batch_size };
        fit(&mut recipe, &mut steps, plan, &mut Unwatched)?;
        Ok(())
    })
}

/// Looks at nothing.
struct Unwatched;

impl<R> Watch<R> for Unwatched {
    fn after_step(&mut self, _recipe: &mut R, _at: Progress, _log: &mut Log) -> Result<Flow> {
        Ok(Flow::Continue)
    }
}

/// A frame through a student with random weights.
pub(super) fn student(preset: Preset, side_px: usize) -> Result<impl FnMut() -> Result<()>> {
    let config = preset.config(BlockKind::Plain, 3);
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1))?;
    let mut swift = Swift::new(&config, &weights)?;
    let photo = vec![0.25; 3 * side_px * side_px];
    Ok(move || {
        std::hint::black_box(swift.translate(&photo, (side_px, side_px)));
        Ok(())
    })
}
