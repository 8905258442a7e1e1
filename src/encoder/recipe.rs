//! What an encoder learns: the offset of `w` from its average, by squared error.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use toonify_networks::encoder::{Encoder, EncoderConfig, is_learnt, random_tensors};
use toonify_networks::optim::{AdamConfig, Learner, follow};
use toonify_networks::projection::WStatistics;
use toonify_networks::random::RandomState;

use super::samples::{Pairs, spread};
use crate::train::fit::{Log, Progress, Recipe};
use crate::train::schedule::{Phase, Schedule};

/// Name of the loss; 1 for an encoder that always says the average.
pub(super) const LOSS: &str = "Loss/w";

/// An encoder in training, and its moving average, which is the one that is kept.
pub(super) struct EncoderRecipe {
    config: EncoderConfig,
    encoder: Encoder,
    schedule: Schedule<()>,
    learner: Learner,
    /// Name, variable or fixed tensor, and average.
    tensors: Vec<(String, Tensor, Tensor)>,
}

impl EncoderRecipe {
    /// Starts from random numbers.
    ///
    /// # Errors
    /// When no encoder can be built so.
    pub fn new(config: &EncoderConfig, statistics: &WStatistics, (rate, seed): (f64, u32)) -> Result<Self> {
        let mut rng = RandomState::new(seed);
        let drawn = random_tensors(config, (&statistics.w_avg, spread(statistics)?), &mut rng)?;
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
        let encoder = build(config, learning.collect())?;
        let schedule = Schedule::new(vec![Phase { kind: (), player: 0, interval: 1 }]);
        let learner = Learner::new(vars, AdamConfig { betas: (0.9, 0.99), eps: 1e-8 }, rate);
        Ok(EncoderRecipe { config: config.clone(), encoder, schedule, learner, tensors })
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

impl Recipe for EncoderRecipe {
    type Batch = Pairs;
    type Kind = ();

    fn schedule(&self) -> &Schedule<()> {
        &self.schedule
    }

    fn learner(&mut self, _player: usize) -> &mut Learner {
        &mut self.learner
    }

    fn accumulate(&mut self, _kind: (), batch: &Pairs, log: &mut Log) -> Result<()> {
        let squares = (self.encoder.offsets(&batch.images)? - &batch.offsets)?.sqr()?.mean(1)?; // [N]
        log.tally.report(LOSS, &squares)?;
        Ok(self.learner.backward(&squares.mean_all()?)?)
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
