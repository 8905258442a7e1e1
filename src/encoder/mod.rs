//! Trains a projection encoder: on a generator's own images, as many as one likes, and on photos where there are some.

mod recipe;
mod samples;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use serde::Serialize;
use toonify_networks::checkpoint::{Parts, Precision, Unused};
use toonify_networks::encoder::{EncoderFile, EncoderHistory, Offsets, write_encoder};
use toonify_networks::projection::WStatistics;
use toonify_networks::stylegan2::Generator;

use crate::events::{Event, Sink};
use crate::eyes::{self, EyesPlan};
use crate::store::atomic;
use crate::store::checkpoint::CheckpointFile;
use crate::train::fit::{FitPlan, Flow, Log, Progress, Watch, fit};
use crate::train::source::{Source, SourceShape};
use recipe::{DISTANCE, EncoderRecipe, Mirror};
use samples::{Samples, photos};

/// What to train; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct EncoderPlan {
    /// Checkpoint of the generator.
    pub network: PathBuf,
    /// File for the encoder.
    pub out: PathBuf,
    /// Images to learn from.
    pub images: u64,
    /// Images of one step; half of them are photos where there are photos.
    pub batch_size: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Where the random numbers start.
    pub seed: u32,
    /// What compares images.
    pub eyes: EyesPlan,
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
    /// What it leaves for images of the generator that it has not seen.
    #[serde(flatten)]
    pub left: Left,
    /// Whether the training was stopped before its end.
    pub interrupted: bool,
}

/// What an encoder cannot explain; an encoder that always answers with the average leaves 1 of both.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Left {
    /// Share of the squared distance from the average `w`.
    pub unexplained: f64,
    /// Share of the distance from the average image, as the perception sees it.
    pub unlike: f64,
}

/// Trains an encoder and writes it; when `stop` becomes true, what has been learnt so far is written. Photos are of the
/// generator's size.
///
/// # Errors
/// When the network cannot be read, is conditional, the photos do not fit it, or the file cannot be written.
pub fn run(
    plan: &EncoderPlan,
    photos_of: Option<&dyn Source>,
    (stop, sink): (&AtomicBool, &mut dyn Sink),
) -> Result<Trained> {
    let file = CheckpointFile::open(&plan.network)?;
    let (checkpoint, _report) = file.read(Parts::All, Unused::Refuse)?;
    let generator = Generator::from_weights(&checkpoint.config, &checkpoint.ema)
        .with_context(|| format!("cannot build the generator of `{}`", plan.network.display()))?;
    let config = generator.config();
    ensure!(config.c_dim == 0, "`{}` is conditional; encoders are for networks without labels", plan.network.display());
    if let Some(SourceShape { resolution, channels, .. }) = photos_of.map(Source::shape) {
        let (px, wanted) = (config.resolution.px(), config.img_channels);
        ensure!(
            (resolution, channels) == (px, wanted),
            "the photos have {resolution} px and {channels} channels, the network {px} px and {wanted}: build a set with \
             `toonify dataset build --width {px} --height {px}`"
        );
    }
    let eyes = eyes::open(&plan.eyes, &checkpoint, sink)?;
    let statistics = WStatistics::measure(&generator, None)?;
    let mirror = Mirror { generator: &generator, perception: eyes.perception.as_ref() };
    let mut recipe = EncoderRecipe::new(mirror, &statistics, (plan.learning_rate, plan.seed))?;
    sink.event(&Event::Started { what: format!("training an encoder for `{}`", plan.network.display()) });
    let photos_at_once = photos_of.map_or(0, |_| plan.batch_size / 2);
    let mut samples = Samples::new(&generator, &statistics, (plan.seed, plan.batch_size - photos_at_once));
    let mut photos = photos_of.filter(|_| photos_at_once > 0).map(|source| photos(source, plan.seed, photos_at_once));
    let mut steps = std::iter::from_fn(|| {
        let lesson = samples.next()?.and_then(|lesson| match photos.as_mut().and_then(Iterator::next) {
            Some(photos) => lesson.with(&photos?),
            None => Ok(lesson),
        });
        Some(lesson.map(|lesson| vec![lesson]))
    });
    let fit_plan =
        FitPlan { start: Progress::default(), total_images: plan.images, batch_size: plan.batch_size as u64 };
    let mut watch = Watcher { total: plan.images, stop, sink };
    let (end, _log) = fit(&mut recipe, &mut steps, fit_plan, &mut watch)?;
    let left = left(&recipe, mirror, &statistics, plan.seed)?;
    let history = EncoderHistory {
        network_sha256: file.sha256(),
        kimg: end.kimg(),
        seed: plan.seed,
        unexplained: left.unexplained,
        unlike: left.unlike,
    };
    let bytes = write_encoder(
        &EncoderFile { config: recipe.config().clone(), tensors: recipe.averages(), history },
        plan.precision,
    )?;
    atomic::write(&plan.out, &bytes)?;
    sink.event(&Event::Saved { path: plan.out.clone() });
    let interrupted = end.images < plan.images;
    Ok(Trained { file: plan.out.clone(), images: end.images, left, interrupted })
}

/// What the encoder leaves, for fresh images.
fn left(recipe: &EncoderRecipe<'_>, mirror: Mirror<'_>, statistics: &WStatistics, seed: u32) -> Result<Left> {
    const IMAGES: usize = 128;
    const AT_ONCE: usize = 16;
    let encoder = recipe.average_encoder()?;
    let sum = |x: Tensor| -> Result<f64> { Ok(x.sum_all()?.to_dtype(DType::F64)?.to_scalar()?) };
    let (mut unexplained, mut unlike) = ([0.0; 2], [0.0; 2]);
    // Random numbers of another sequence than the training's.
    for lesson in Samples::new(mirror.generator, statistics, (!seed, AT_ONCE)).take(IMAGES / AT_ONCE) {
        let lesson = lesson?;
        let answer = encoder.offsets(&lesson.images)?;
        let average = Offsets { shared: answer.shared.zeros_like()?, each: answer.each.zeros_like()? };
        for (index, guess) in [&answer, &average].into_iter().enumerate() {
            unexplained[index] += sum((&guess.shared - &lesson.offsets)?.sqr()?)?;
            unlike[index] += sum(mirror.distance(&encoder, &lesson.images, guess)?)?;
        }
    }
    Ok(Left { unexplained: unexplained[0] / unexplained[1], unlike: unlike[0] / unlike[1] })
}

/// Tells how the training goes, and stops it when told.
struct Watcher<'a> {
    total: u64,
    stop: &'a AtomicBool,
    sink: &'a mut dyn Sink,
}

impl Watch<EncoderRecipe<'_>> for Watcher<'_> {
    fn after_step(&mut self, _recipe: &mut EncoderRecipe<'_>, at: Progress, log: &mut Log) -> Result<Flow> {
        const STEPS: u64 = 20;
        if at.step.is_multiple_of(STEPS) {
            let distance = log.tally.mean(DISTANCE).unwrap_or(f64::NAN);
            self.sink.event(&Event::Status(format!("distance {distance:.3}")));
            *log = Log::default();
        }
        let done = at.images.min(self.total);
        self.sink.event(&Event::Progress { done, total: self.total, unit: "images" });
        Ok(if self.stop.load(Ordering::Relaxed) { Flow::Stop } else { Flow::Continue })
    }
}
