//! The one training loop. What is learnt, and from which losses, is a [`Recipe`]; what is written down, and when, is up to a
//! [`Watch`]; the images come from an iterator. The loop knows no files, no terminal and no clock but the profile's.

use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use toonify_networks::optim::Learner;
use toonify_networks::pool::in_pool;

use crate::train::profile::{Part, Profile};
use crate::train::schedule::Schedule;
use crate::train::tally::Tally;

/// One kind of training: networks and their losses. It has no loop, no files, no terminal.
pub trait Recipe: Send {
    /// What one round of a phase sees: a part of the step's images.
    type Batch: Sync;
    /// Names of the phases.
    type Kind: Copy + Sync;

    /// Which phases a step has.
    fn schedule(&self) -> &Schedule<Self::Kind>;

    /// The variables of network `player`, as the schedule counts them.
    fn learner(&mut self, player: usize) -> &mut Learner;

    /// Adds the gradients of one phase on one batch to the learner, and reports its losses. A step's batches come one after
    /// the other; their gradients add up.
    ///
    /// # Errors
    /// When the batch does not fit the networks.
    fn accumulate(&mut self, kind: Self::Kind, batch: &Self::Batch, log: &mut Log) -> Result<()>;

    /// Does what belongs to a step but to no phase, such as moving averages; the step began at `at` and had `batch_size`
    /// images.
    ///
    /// # Errors
    /// When a tensor operation fails.
    fn end_step(&mut self, at: Progress, batch_size: u64, log: &mut Log) -> Result<()>;
}

/// How far a training has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: u64,
    /// Images of the training set shown to the discriminator, each repetition counted.
    pub images: u64,
}

impl Progress {
    /// In thousands of images.
    pub fn kimg(self) -> f64 {
        self.images as f64 / 1000.0
    }
}

/// What happened since the last tick.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Losses and other numbers by name.
    pub tally: Tally,
    /// Where the time went.
    pub profile: Profile,
}

/// Name under which numbers of gradients that were not finite are reported, one report a phase.
pub const NOT_FINITE: &str = "Progress/gradients_not_finite";

/// From where to where a training goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FitPlan {
    /// Where it is now.
    pub start: Progress,
    /// It is finished after the step in which so many images are reached.
    pub total_images: u64,
    /// Images a step.
    pub batch_size: u64,
}

/// Whether a training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With the next step.
    Continue,
    /// No.
    Stop,
}

/// Somebody who looks at a training after each step, writes things down, and may stop it.
pub trait Watch<R> {
    /// Takes note of the step that led to `at`.
    ///
    /// # Errors
    /// When something cannot be written; the training ends then.
    fn after_step(&mut self, recipe: &mut R, at: Progress, log: &mut Log) -> Result<Flow>;
}

/// Trains until the plan is fulfilled or the watch says stop; each item of `steps` holds the batches of one step. Returns
/// how far it came, and what the watch left in the log.
///
/// # Errors
/// Those of the recipe, of the watch and of the images, which must not end before the training does.
pub fn fit<R: Recipe>(
    recipe: &mut R,
    steps: &mut dyn Iterator<Item = Result<Vec<R::Batch>>>,
    plan: FitPlan,
    watch: &mut dyn Watch<R>,
) -> Result<(Progress, Log)> {
    let (mut at, mut log) = (plan.start, Log::default());
    let missing = plan.total_images.saturating_sub(at.images);
    for step in at.step..at.step + missing.div_ceil(plan.batch_size.max(1)) {
        let batches = log.profile.time(Part::Data, || steps.next());
        let batches = batches.context("the training set ran out of images")??;
        for phase in recipe.schedule().at(step) {
            for batch in &batches {
                let started = Instant::now();
                in_pool(|| recipe.accumulate(phase.kind, batch, &mut log))?;
                log.profile.add(Part::Networks, started.elapsed());
            }
            let stepped = log.profile.time(Part::Optimiser, || in_pool(|| recipe.learner(phase.player).step()))?;
            log.tally.add(NOT_FINITE, stepped.not_finite as f64);
        }
        in_pool(|| recipe.end_step(at, plan.batch_size, &mut log))?;
        at = Progress { step: step + 1, images: at.images + plan.batch_size };
        let started = Instant::now();
        let flow = watch.after_step(recipe, at, &mut log)?;
        log.profile.add(Part::Logging, started.elapsed());
        if flow == Flow::Stop {
            break;
        }
    }
    Ok((at, log))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::schedule::Phase;
    use candle_core::{Device, Tensor, Var};
    use toonify_networks::optim::AdamConfig;

    /// Learns the mean of its batches.
    struct Mean {
        schedule: Schedule<char>,
        learner: Learner,
        var: Var,
        seen: String,
    }

    impl Recipe for Mean {
        type Batch = f32;
        type Kind = char;

        fn schedule(&self) -> &Schedule<char> {
            &self.schedule
        }

        fn learner(&mut self, _player: usize) -> &mut Learner {
            &mut self.learner
        }

        fn accumulate(&mut self, kind: char, batch: &f32, log: &mut Log) -> Result<()> {
            self.seen.push(kind);
            let loss = (self.var.as_tensor() - f64::from(*batch))?.sqr()?;
            log.tally.report("loss", &loss)?;
            Ok(self.learner.backward(&loss)?)
        }

        fn end_step(&mut self, at: Progress, _batch_size: u64, _log: &mut Log) -> Result<()> {
            self.seen.push_str(&format!("|{} ", at.images));
            Ok(())
        }
    }

    fn mean() -> Mean {
        let var = Var::from_tensor(&Tensor::new(0f32, &Device::Cpu).unwrap()).unwrap();
        let phase = |kind, interval| Phase { kind, player: 0, interval };
        Mean {
            schedule: Schedule::new(vec![phase('a', 1), phase('b', 2)]),
            learner: Learner::new(vec![var.clone()], AdamConfig { betas: (0.0, 0.99), eps: 1e-8 }, 0.1),
            var,
            seen: String::new(),
        }
    }

    struct StopAt(u64, Vec<Progress>);

    impl<R> Watch<R> for StopAt {
        fn after_step(&mut self, _recipe: &mut R, at: Progress, _log: &mut Log) -> Result<Flow> {
            self.1.push(at);
            Ok(if at.step == self.0 { Flow::Stop } else { Flow::Continue })
        }
    }

    fn run(plan: FitPlan, stop: u64) -> (Mean, StopAt, Result<Progress>) {
        let (mut recipe, mut watch) = (mean(), StopAt(stop, Vec::new()));
        let mut steps = (0..50).map(|_| Ok(vec![1.0, 3.0]));
        let end = fit(&mut recipe, &mut steps, plan, &mut watch).map(|(at, _log)| at);
        (recipe, watch, end)
    }

    #[test]
    fn phases_batches_and_steps_come_in_their_order() {
        let plan = FitPlan { start: Progress::default(), total_images: 9, batch_size: 4 };
        let (recipe, watch, end) = run(plan, 99);
        assert_eq!(recipe.seen, "aabb|0 aa|4 aabb|8 ");
        assert_eq!(end.unwrap(), Progress { step: 3, images: 12 });
        assert_eq!(watch.1.iter().map(|at| at.images).collect::<Vec<_>>(), [4, 8, 12]);
    }

    #[test]
    fn a_training_goes_on_where_it_was_and_stops_when_told() {
        let plan = FitPlan { start: Progress { step: 1, images: 4 }, total_images: 1000, batch_size: 4 };
        let (recipe, _watch, end) = run(plan, 3);
        assert_eq!(recipe.seen, "aa|4 aabb|8 ");
        assert_eq!(end.unwrap(), Progress { step: 3, images: 12 });
    }

    #[test]
    fn it_learns_and_it_says_when_images_run_out() {
        let plan = FitPlan { start: Progress::default(), total_images: 1000, batch_size: 4 };
        let (recipe, _watch, end) = run(plan, 999);
        assert!(format!("{:#}", end.unwrap_err()).contains("ran out"));
        let learnt = recipe.var.to_scalar::<f32>().unwrap();
        assert!((learnt - 2.0).abs() < 0.2, "{learnt}");
    }
}
