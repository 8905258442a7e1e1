//! Trains a projection encoder on a generator's own images: image to `w`, as many pairs as one likes, none of them a photo.

mod recipe;
mod samples;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use toonify_networks::checkpoint::{Parts, Precision, Unused};
use toonify_networks::encoder::{EncoderConfig, EncoderFile, EncoderHistory, write_encoder};
use toonify_networks::projection::WStatistics;
use toonify_networks::stylegan2::Generator;

use crate::events::{Event, Sink};
use crate::store::atomic;
use crate::store::checkpoint::CheckpointFile;
use crate::train::fit::{FitPlan, Flow, Log, Progress, Watch, fit};
use recipe::{EncoderRecipe, LOSS};
use samples::Samples;

/// What to train; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct EncoderPlan {
    /// Checkpoint of the generator.
    pub network: PathBuf,
    /// File for the encoder.
    pub out: PathBuf,
    /// Images to learn from.
    pub images: u64,
    /// Images of one step.
    pub batch_size: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Where the random numbers start.
    pub seed: u32,
    /// Precision of the file.
    pub precision: Precision,
}

/// What was trained.
#[derive(Clone, Debug, Serialize)]
pub struct Trained {
    /// The encoder's file.
    pub file: PathBuf,
    /// Images that it has seen.
    pub images: u64,
    /// Share of the squared distance from the average `w` that it leaves, for images that it has not seen; the average
    /// itself leaves 1.
    pub unexplained: f64,
    /// Whether the training was stopped before its end.
    pub interrupted: bool,
}

/// Trains an encoder and writes it; when `stop` becomes true, what has been learnt so far is written.
///
/// # Errors
/// When the network cannot be read, is conditional, or the file cannot be written.
pub fn run(plan: &EncoderPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Trained> {
    let file = CheckpointFile::open(&plan.network)?;
    let (checkpoint, _report) = file.read(Parts::GeneratorEma, Unused::Refuse)?;
    let generator = Generator::from_weights(&checkpoint.config, &checkpoint.ema)
        .with_context(|| format!("cannot build the generator of `{}`", plan.network.display()))?;
    let config = generator.config();
    ensure!(config.c_dim == 0, "`{}` is conditional; encoders are for networks without labels", plan.network.display());
    let encoder = EncoderConfig::for_generator(config.resolution.px(), config.img_channels, config.w_dim);
    let statistics = WStatistics::measure(&generator, None)?;
    let mut recipe = EncoderRecipe::new(&encoder, &statistics, (plan.learning_rate, plan.seed))?;
    sink.event(&Event::Started { what: format!("training an encoder for `{}`", plan.network.display()) });
    let mut samples = Samples::new(&generator, &statistics, (plan.seed, plan.batch_size));
    let fit_plan =
        FitPlan { start: Progress::default(), total_images: plan.images, batch_size: plan.batch_size as u64 };
    let mut watch = Watcher { total: plan.images, stop, sink };
    let (end, _log) = fit(&mut recipe, &mut samples, fit_plan, &mut watch)?;
    let unexplained = unexplained(&recipe, &generator, &statistics, plan.seed)?;
    let history = EncoderHistory { network_sha256: file.sha256(), kimg: end.kimg(), seed: plan.seed, unexplained };
    let tensors = recipe.averages();
    let bytes = write_encoder(&EncoderFile { config: encoder, tensors, history }, plan.precision)?;
    atomic::write(&plan.out, &bytes)?;
    sink.event(&Event::Saved { path: plan.out.clone() });
    let interrupted = end.images < plan.images;
    Ok(Trained { file: plan.out.clone(), images: end.images, unexplained, interrupted })
}

/// What the encoder leaves of the distance from the average, on fresh images.
fn unexplained(recipe: &EncoderRecipe, generator: &Generator, statistics: &WStatistics, seed: u32) -> Result<f64> {
    const IMAGES: usize = 128;
    const AT_ONCE: usize = 16;
    let encoder = recipe.average_encoder()?;
    let (mut left, mut all) = (0.0, 0.0);
    let square = |x: candle_core::Tensor| -> Result<f64> {
        Ok(x.sqr()?.sum_all()?.to_dtype(candle_core::DType::F64)?.to_scalar()?)
    };
    // Random numbers of another sequence than the training's.
    for pairs in Samples::new(generator, statistics, (!seed, AT_ONCE)).take(IMAGES / AT_ONCE) {
        for pairs in pairs? {
            left += square((encoder.offsets(&pairs.images)? - &pairs.offsets)?)?;
            all += square(pairs.offsets)?;
        }
    }
    Ok(left / all)
}

/// Tells how the training goes, and stops it when told.
struct Watcher<'a> {
    total: u64,
    stop: &'a AtomicBool,
    sink: &'a mut dyn Sink,
}

impl Watch<EncoderRecipe> for Watcher<'_> {
    fn after_step(&mut self, _recipe: &mut EncoderRecipe, at: Progress, log: &mut Log) -> Result<Flow> {
        const STEPS: u64 = 20;
        if at.step.is_multiple_of(STEPS) {
            let loss = log.tally.mean(LOSS).unwrap_or(f64::NAN);
            self.sink.event(&Event::Status(format!("loss {loss:.3}")));
            *log = Log::default();
        }
        let done = at.images.min(self.total);
        self.sink.event(&Event::Progress { done, total: self.total, unit: "images" });
        Ok(if self.stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue })
    }
}
