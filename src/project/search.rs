//! The search itself: a batch of targets at once, each with random numbers of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use candle_core::{Device, Tensor};
use image::RgbImage;
use toonify_networks::encoder::Encoder;
use toonify_networks::grad::Dual;
use toonify_networks::latent::WPlus;
use toonify_networks::perceptual::{Perception, distances};
use toonify_networks::projection::{Projection, Schedule, Start, WStatistics};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, Noise};

use crate::events::{Event, Sink};
use crate::eyes::Eyes;
use crate::pixels::{self, Rounding};
use crate::project::film::{FilmKind, Frames};
use crate::project::record::mse;
use crate::project::target::Target;
use crate::project::{Likeness, NoiseKept, Persons, Settings};

/// What all searches of one run need.
pub struct Bench {
    /// Renders the images.
    pub generator: Generator,
    /// Where searches begin.
    pub statistics: WStatistics,
    /// What makes images alike.
    pub eyes: Eyes,
    /// Recognises people, if it can be asked.
    pub persons: Option<Persons>,
    /// Label `[1, c_dim]` of a conditional network.
    pub label: Option<Tensor>,
    /// Gives searches a better start than the average.
    pub encoder: Option<Encoder>,
}

impl Bench {
    /// Where the search for a target begins: at the encoder's answer, or at the average. The noise is searched for as well,
    /// as the published projector does, unless the start is near already and the noise would be dropped afterwards.
    ///
    /// # Errors
    /// When the encoder does not fit the target.
    pub(super) fn start(&self, target: &Target, settings: &Settings, rng: &mut RandomState) -> Result<Start> {
        let average = |rng| Start::at_average(self.generator.config(), &self.statistics, (1, settings.space), rng);
        let Some(encoder) = &self.encoder else { return Ok(average(rng)?) };
        let offsets = encoder.offsets(&target.tensor.affine(1.0 / 127.5, -1.0)?)?;
        let answer = Start::at_answer(encoder, &offsets, settings.space)?;
        Ok(match settings.noise {
            NoiseKept::No => answer,
            NoiseKept::Yes => Start { noise: average(rng)?.noise, ..answer },
        })
    }

    /// Renders latents and says how far the image is from the target.
    ///
    /// # Errors
    /// What the networks return.
    pub(super) fn judge(&self, target: &Target, ws: &WPlus, noise: &Noise) -> Result<(Likeness, RgbImage)> {
        judge(self.eyes.perception.as_ref(), target, &self.generator.render(ws, noise)?)
    }
}

impl Bench {
    /// How far the person of an image is from that of the target, if that is measured and there is a face.
    ///
    /// # Errors
    /// When the models fail.
    pub(super) fn person_distance(&self, target: &Target, image: &RgbImage) -> Result<Option<f64>> {
        let distance = self.persons.as_ref().map(|persons| persons.distance(&target.image.to_rgb8(), image));
        Ok(distance.transpose()?.flatten())
    }
}

/// How far a rendered image `[1, C, R, R]` in [-1, 1] is from the target; and the picture itself.
///
/// # Errors
/// What the perception returns.
pub fn judge(perception: &dyn Perception, target: &Target, rendered: &Tensor) -> Result<(Likeness, RgbImage)> {
    let image = pixels::to_rgb(rendered, Rounding::Projector)?.swap_remove(0);
    let distance = distances(perception, &rendered.affine(127.5, 127.5)?, &target.tensor)?[0];
    Ok((Likeness { mse: mse(&image, &target.image.to_rgb8()), distance }, image))
}

/// What was found for one target.
pub struct Found {
    /// The latents, one image.
    pub ws: WPlus,
    /// The noise images, `[1, 1, R, R]` each.
    pub noise: Vec<Tensor>,
    /// Distance in each step.
    pub losses: Vec<f64>,
    /// Pictures of the search.
    pub frames: Frames,
    /// Whether the search came to its end.
    pub ending: Ending,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All its steps were taken.
    Whole,
    /// It was stopped: the latents are those of its last step.
    Interrupted,
}

/// How far the whole run is.
pub struct Progress {
    done: usize,
    total: usize,
}

impl Progress {
    pub(super) fn new(search_steps: usize, tune_steps: usize) -> Self {
        Progress { done: 0, total: search_steps + tune_steps }
    }

    /// Takes steps off the total that will not be taken.
    pub(super) fn skip(&mut self, steps: usize) {
        self.total -= steps.min(self.total - self.done);
    }

    pub(super) fn step(&mut self, status: String, sink: &mut dyn Sink) {
        self.done += 1;
        if self.done == 1 {
            // A log file sees no bar; it should see that the work is under way.
            sink.event(&Event::Note(format!("step 1 of {}: {status}", self.total)));
        }
        sink.event(&Event::Status(status));
        sink.event(&Event::Progress { done: self.done as u64, total: self.total as u64, unit: "steps" });
    }
}

/// Searches for the latents of a batch of targets, until it is done or told to stop.
///
/// # Errors
/// What the networks return.
pub fn search(
    bench: &Bench,
    settings: &Settings,
    (targets, film): (&[Target], FilmKind),
    (progress, stop, sink): (&mut Progress, &AtomicBool, &mut dyn Sink),
) -> Result<Vec<Found>> {
    // Each target starts from the seed, so that its result is the same whatever lies beside it.
    let mut rngs = vec![RandomState::new(settings.seed); targets.len()];
    let mut projection = prepare(bench, settings, targets, &mut rngs)?;
    let mut losses = vec![Vec::new(); targets.len()];
    let mut frames = vec![Frames::new(film, settings.num_steps); targets.len()];
    while projection.steps_done() < projection.steps() && !stop.load(Ordering::Relaxed) {
        let drawn = draw(&projection, &mut rngs)?;
        let loss = projection.step(&drawn, bench.statistics.w_std)?;
        losses.iter_mut().zip(&loss.distance).for_each(|(all, distance)| all.push(*distance));
        let (step, planned) = (projection.steps_done(), projection.steps());
        if settings.patience.is_some_and(|patience| losses.iter().all(|losses| has_stalled(losses, patience))) {
            projection.ramp_down_now();
            progress.skip(planned - projection.steps());
        }
        if frames.first().is_some_and(|frames| frames.wants(step)) {
            let images = picture(&bench.generator, &projection.w_plus()?, &Noise::Const)?;
            frames
                .iter_mut()
                .zip(targets)
                .zip(images)
                .for_each(|((frames, target), image)| frames.add(&target.image.to_rgb8(), &image));
        }
        let mean = loss.distance.iter().sum::<f64>() / targets.len() as f64;
        progress.step(format!("distance {mean:.4}"), sink);
    }
    collect(&projection, losses, frames)
}

fn prepare<'a>(
    bench: &'a Bench,
    settings: &Settings,
    targets: &[Target],
    rngs: &mut [RandomState],
) -> Result<Projection<'a>> {
    let tensors: Vec<&Tensor> = targets.iter().map(|target| &target.tensor).collect();
    let starts = rngs.iter_mut().zip(targets).map(|(rng, target)| bench.start(target, settings, rng));
    let start = Start::stack(&starts.collect::<Result<Vec<_>>>()?)?;
    let schedule = match bench.encoder {
        Some(_) => Schedule::refining(settings.num_steps),
        None => Schedule::published(settings.num_steps),
    };
    let target = Tensor::cat(&tensors, 0)?;
    Ok(Projection::new(&bench.generator, bench.eyes.perception.as_ref(), &target, (start, schedule))?)
}

/// Standard normal numbers of the shape of the free latents, each image's from its own sequence.
fn draw(projection: &Projection<'_>, rngs: &mut [RandomState]) -> Result<Tensor> {
    let (_n, layers, w_dim) = projection.free_shape();
    let drawn: Vec<f32> =
        rngs.iter_mut().flat_map(|rng| rng.gauss_vec(layers * w_dim)).map(|number| number as f32).collect();
    Ok(Tensor::from_vec(drawn, (rngs.len(), layers, w_dim), &Device::Cpu)?)
}

/// Whether the last `patience` steps were hardly better than as many before them.
fn has_stalled(losses: &[f64], patience: usize) -> bool {
    const HARDLY: f64 = 0.99;
    if losses.len() < 2 * patience || !losses.len().is_multiple_of(patience) {
        return false;
    }
    let (before, last) = losses[losses.len() - 2 * patience..].split_at(patience);
    last.iter().sum::<f64>() > HARDLY * before.iter().sum::<f64>()
}

fn collect(projection: &Projection<'_>, losses: Vec<Vec<f64>>, frames: Vec<Frames>) -> Result<Vec<Found>> {
    let (ws, noise) = (projection.w_plus()?, projection.noise());
    let whole = projection.steps_done() >= projection.steps();
    let ending = if whole { Ending::Whole } else { Ending::Interrupted };
    let found = losses.into_iter().zip(frames).enumerate().map(|(index, (losses, frames))| {
        let noise = noise.iter().map(|image| image.narrow(0, index, 1)?.contiguous());
        let noise = noise.collect::<candle_core::Result<_>>()?;
        Ok(Found { ws: ws.narrow(index, 1)?, noise, losses, frames, ending })
    });
    found.collect()
}

/// Renders latents as the published projector shows them.
pub fn picture(generator: &Generator, ws: &WPlus, noise: &Noise) -> Result<Vec<RgbImage>> {
    pixels::to_rgb(&generator.render(ws, noise)?, Rounding::Projector)
}

/// Noise images for a search result.
pub fn given(noise: &[Tensor]) -> Noise {
    Noise::Given(noise.iter().map(Dual::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_stalled_when_it_hardly_improves() {
        let falling: Vec<f64> = (0..40).map(|step| 0.9f64.powi(step)).collect();
        assert!(!has_stalled(&falling, 10));
        assert!(has_stalled(&[1.0; 20], 10) && has_stalled(&[1.0; 40], 10));
        assert!(!has_stalled(&[1.0; 19], 10), "too short to say");
        assert!(!has_stalled(&[1.0; 25], 10), "asked every ten steps only");
    }

    #[test]
    fn progress_ends_at_its_total_even_when_steps_are_skipped() {
        let mut recording = crate::events::Recording::default();
        let mut progress = Progress::new(4, 3);
        progress.step("a".to_owned(), &mut recording);
        progress.skip(3);
        (0..3).for_each(|_| progress.step("b".to_owned(), &mut recording));
        assert_eq!(recording.events.last(), Some(&Event::Progress { done: 4, total: 4, unit: "steps" }));
    }
}
