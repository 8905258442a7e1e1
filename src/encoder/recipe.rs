//! What an encoder learns: latents whose image looks like the one that it saw, and the offset of `w` from its average
//! where that is known.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use toonify_networks::encoder::{Encoder, EncoderConfig, Offsets, is_learnt, random_tensors};
use toonify_networks::optim::{AdamConfig, Learner, follow};
use toonify_networks::perceptual::{Perception, distance};
use toonify_networks::projection::WStatistics;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, Noise};

use super::samples::{Lesson, spread};
use crate::train::fit::{Log, Progress, Recipe};
use crate::train::schedule::{Phase, Schedule};

/// Name of the distance between the images that are seen and those of the answers.
pub(super) const DISTANCE: &str = "Loss/distance";
/// Name of the squared error of `w`; 1 for an encoder that always says the average.
const OFFSET: &str = "Loss/w";
/// Name of how far layers depart from the `w` that they share.
const DEPARTURE: &str = "Loss/departure";

/// How much the error of `w` counts beside the distance of the images.
const OFFSET_WEIGHT: f64 = 0.05;
/// How much it counts that layers depart from each other: without it, answers leave the faces that the generator knows.
const DEPARTURE_WEIGHT: f64 = 0.01;

/// What the encoder's answers are looked at with.
#[derive(Clone, Copy)]
pub(super) struct Mirror<'a> {
    /// Renders them.
    pub generator: &'a Generator,
    /// Compares the images.
    pub perception: &'a dyn Perception,
}

impl Mirror<'_> {
    /// Distances of images `[N, C, R, R]` in [-1, 1] and of those that the answers would give, `[N]`.
    pub fn distance(&self, encoder: &Encoder, images: &Tensor, offsets: &Offsets) -> Result<Tensor> {
        let answer = self.generator.render(&encoder.w_plus(offsets)?, &Noise::Const)?;
        Ok(distance(self.perception, &answer.affine(127.5, 127.5)?, &images.affine(127.5, 127.5)?)?)
    }
}

/// An encoder in training, and its moving average, which is the one that is kept.
pub(super) struct EncoderRecipe<'a> {
    config: EncoderConfig,
    encoder: Encoder,
    mirror: Mirror<'a>,
    schedule: Schedule<()>,
    learner: Learner,
    /// Name, variable or fixed tensor, and average.
    tensors: Vec<(String, Tensor, Tensor)>,
}

impl<'a> EncoderRecipe<'a> {
    /// Starts from random numbers.
    ///
    /// # Errors
    /// When no encoder can be built so.
    pub fn new(mirror: Mirror<'a>, statistics: &WStatistics, (rate, seed): (f64, u32)) -> Result<Self> {
        let config = EncoderConfig::for_generator(mirror.generator.config());
        let mut rng = RandomState::new(seed);
        let drawn = random_tensors(&config, (&statistics.w_avg, spread(statistics)?), &mut rng)?;
        let (mut vars, mut tensors) = (Vec::new(), Vec::new());
        for (name, tensor) in drawn {
            let average = tensor.copy()?;
            if is_learnt(&name) {
                let var = Var::from_tensor(&tensor)?;
                tensors.push((name, var.as_tensor().clone(), average));
                vars.push(var);
            } else {
                tensors.push((name, tensor, average));
            }
        }
        let learning = tensors.iter().map(|(name, tensor, _)| (name.clone(), tensor.clone()));
        let encoder = build(&config, learning.collect())?;
        let schedule = Schedule::new(vec![Phase { kind: (), player: 0, interval: 1 }]);
        let learner = Learner::new(vars, AdamConfig { betas: (0.9, 0.99), eps: 1e-8 }, rate);
        Ok(EncoderRecipe { config, encoder, mirror, schedule, learner, tensors })
    }

    /// What the encoder looks like.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The averaged tensors by name.
    pub fn averages(&self) -> Vec<(String, Tensor)> {
        self.tensors.iter().map(|(name, _, average)| (name.clone(), average.clone())).collect()
    }

    /// The averaged encoder.
    ///
    /// # Errors
    /// Only when a tensor operation fails.
    pub fn average_encoder(&self) -> Result<Encoder> {
        build(&self.config, self.averages().into_iter().collect())
    }
}

fn build(config: &EncoderConfig, tensors: HashMap<String, Tensor>) -> Result<Encoder> {
    Ok(Encoder::new(config, &VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))?)
}

impl Recipe for EncoderRecipe<'_> {
    type Batch = Lesson;
    type Kind = ();

    fn schedule(&self) -> &Schedule<()> {
        &self.schedule
    }

    fn learner(&mut self, _player: usize) -> &mut Learner {
        &mut self.learner
    }

    fn accumulate(&mut self, _kind: (), lesson: &Lesson, log: &mut Log) -> Result<()> {
        let answer = self.encoder.offsets(&lesson.images)?;
        let distance = self.mirror.distance(&self.encoder, &lesson.images, &answer)?; // [N]
        let departure = answer.each.sqr()?.mean((1, 2))?; // [N]
        log.tally.report(DISTANCE, &distance)?;
        log.tally.report(DEPARTURE, &departure)?;
        let known = lesson.offsets.dim(0)?;
        let squares = (answer.shared.narrow(0, 0, known)? - &lesson.offsets)?.sqr()?.mean(1)?; // [M]
        log.tally.report(OFFSET, &squares)?;
        let loss = (distance + (departure * DEPARTURE_WEIGHT)?)?.mean_all()?;
        let loss = (loss + (squares.mean_all()? * OFFSET_WEIGHT)?)?;
        Ok(self.learner.backward(&loss)?)
    }

    fn end_step(&mut self, at: Progress, batch_size: u64, _log: &mut Log) -> Result<()> {
        /// Images after which the average has forgotten half; at the start, a tenth of those seen.
        const HALF_LIFE: f64 = 2000.0;
        let half_life = HALF_LIFE.min(0.1 * at.images as f64).max(1e-8);
        let keep = 0.5f64.powf(batch_size as f64 / half_life);
        for (name, tensor, average) in &self.tensors {
            if is_learnt(name) {
                follow(average, &tensor.detach(), keep)?;
            }
        }
        Ok(())
    }
}
