//! StyleGAN2: a generator, a discriminator, and the generator's running average (Karras et al. 2020, "Analyzing and
//! Improving the Image Quality of StyleGAN", and "Training Generative Adversarial Networks with Limited Data").

use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use toonify_networks::checkpoint::{Checkpoint, DiscriminatorCheckpoint, Provenance};
use toonify_networks::draws::Draws;
use toonify_networks::grad::Dual;
use toonify_networks::losses::{Crossover, PathLengthConfig, fake_loss, generator_loss, path_length, r1, real_loss};
use toonify_networks::optim::{AdamConfig, Learner, follow};
use toonify_networks::stylegan2::{
    Discriminator, DiscriminatorConfig, DiscriminatorLayer, Generator, GeneratorConfig, Layer, Noise, Parameters,
};

use crate::train::ema::{EmaConfig, move_average};
use crate::train::fit::{Log, Progress, Recipe};
use crate::train::profile::Part;
use crate::train::recipes::augmenter::Augmenter;
use crate::train::recipes::freeze::Freeze;
use crate::train::schedule::{Phase, Schedule, lazily};

/// Phases of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The generator's loss.
    GeneratorMain,
    /// Path length regularisation.
    GeneratorRegular,
    /// The discriminator's loss on generated and real images.
    DiscriminatorMain,
    /// R1.
    DiscriminatorRegular,
}

const GENERATOR: usize = 0;
const DISCRIMINATOR: usize = 1;

/// What decides how the networks learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossSettings {
    /// Learning rate of both networks.
    pub learning_rate: f64,
    /// Weight of R1; 0 leaves it out.
    pub gamma: f64,
    /// Probability that a batch mixes styles.
    pub style_mixing: f64,
    /// Weight of path length regularisation; 0 leaves it out.
    pub path_length_weight: f64,
    /// Path lengths are measured on one of so many images.
    pub path_length_shrink: usize,
    /// Steps from one path length regularisation to the next.
    pub generator_interval: u64,
    /// Steps from one R1 to the next.
    pub discriminator_interval: u64,
    /// How the averaged generator follows.
    pub ema: EmaConfig,
    /// What does not learn, beside the frozen layers of the discriminator's configuration.
    pub freeze: Freeze,
}

/// Adam as the published trainer has it, before lazy regularisation.
const ADAM: AdamConfig = AdamConfig { betas: (0.0, 0.99), eps: 1e-8 };

/// A part of a step's images.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    /// `[N, C, R, R]`, in [-1, 1].
    pub images: Tensor,
    /// `[N, c_dim]` for a conditional network.
    pub labels: Option<Tensor>,
}

/// A network in training: its numbers, the network as it learns, and the same network as a constant.
struct Player<L, N> {
    parameters: Parameters<L>,
    learning: N,
    fixed: N,
    learner: Learner,
}

/// The recipe, with the state of its training; `D` is where its random numbers come from.
pub struct StyleGan2<D> {
    settings: LossSettings,
    schedule: Schedule<Kind>,
    generator: Player<Layer, Generator>,
    discriminator: Player<DiscriminatorLayer, Discriminator>,
    average: Parameters<Layer>,
    augmenter: Augmenter,
    /// Labels that generated images may get, `[items, c_dim]`.
    labels: Option<Tensor>,
    /// Running mean of the path lengths.
    path_length_mean: f64,
    draws: D,
}

impl<D: Draws> StyleGan2<D> {
    /// Prepares the training of a copy of the networks of `start`; `labels` `[items, c_dim]` are those that generated images
    /// may get.
    ///
    /// # Errors
    /// When the checkpoint has no generator or discriminator of its own, and for impossible configurations.
    pub fn new(
        start: &Checkpoint,
        settings: LossSettings,
        augmenter: Augmenter,
        (labels, draws): (Option<Tensor>, D),
    ) -> Result<Self> {
        let weights = start.generator.as_ref().context("the checkpoint holds only an averaged generator")?;
        let part = start.discriminator.as_ref().context("the checkpoint holds no discriminator")?;
        let freeze = settings.freeze;
        let parameters = Parameters::new(weights, |layer| freeze.lets_learn(layer))?;
        let rate = settings.learning_rate;
        let generator = Player {
            learning: Generator::new(&start.config, &parameters.learning())?,
            fixed: Generator::new(&start.config, &parameters.fixed())?,
            learner: learner(&parameters, lazily(ADAM, rate, Some(settings.generator_interval))),
            parameters,
        };
        let frozen = part.config.frozen();
        let parameters = Parameters::new(&part.weights, |layer| !frozen.contains(&layer))?;
        let discriminator = Player {
            learning: Discriminator::new(&part.config, &parameters.learning())?,
            fixed: Discriminator::new(&part.config, &parameters.fixed())?,
            learner: learner(&parameters, lazily(ADAM, rate, Some(settings.discriminator_interval))),
            parameters,
        };
        Ok(StyleGan2 {
            schedule: schedule(&settings),
            average: Parameters::new(&start.ema, |_| false)?,
            settings,
            generator,
            discriminator,
            augmenter,
            labels,
            path_length_mean: 0.0,
            draws,
        })
    }

    /// What the generator looks like.
    pub fn generator_config(&self) -> &GeneratorConfig {
        self.generator.fixed.config()
    }

    /// What the discriminator looks like.
    pub fn discriminator_config(&self) -> &DiscriminatorConfig {
        self.discriminator.fixed.config()
    }

    /// The generator's numbers and its optimiser.
    pub fn generator(&self) -> (&Parameters<Layer>, &Learner) {
        (&self.generator.parameters, &self.generator.learner)
    }

    /// The discriminator's numbers and its optimiser.
    pub fn discriminator(&self) -> (&Parameters<DiscriminatorLayer>, &Learner) {
        (&self.discriminator.parameters, &self.discriminator.learner)
    }

    /// The generator's numbers and its optimiser, to put back what it remembered.
    pub fn generator_mut(&mut self) -> (&Parameters<Layer>, &mut Learner) {
        (&self.generator.parameters, &mut self.generator.learner)
    }

    /// The discriminator's numbers and its optimiser, to put back what it remembered.
    pub fn discriminator_mut(&mut self) -> (&Parameters<DiscriminatorLayer>, &mut Learner) {
        (&self.discriminator.parameters, &mut self.discriminator.learner)
    }

    /// The running average of the generator.
    pub fn average(&self) -> &Parameters<Layer> {
        &self.average
    }

    /// What is done to images before the discriminator sees them.
    pub fn augmenter(&self) -> &Augmenter {
        &self.augmenter
    }

    /// What is done to images before the discriminator sees them, to put back its state.
    pub fn augmenter_mut(&mut self) -> &mut Augmenter {
        &mut self.augmenter
    }

    /// Running mean of the path lengths.
    pub fn path_length_mean(&self) -> f64 {
        self.path_length_mean
    }

    /// Puts back the running mean of the path lengths.
    pub fn set_path_length_mean(&mut self, mean: f64) {
        self.path_length_mean = mean;
    }

    /// Where the random numbers come from.
    pub fn draws(&self) -> &D {
        &self.draws
    }

    /// Where the random numbers come from, to put back its state.
    pub fn draws_mut(&mut self) -> &mut D {
        &mut self.draws
    }

    /// The networks as they are now; the tensors are shared with the training and change with its next step.
    ///
    /// # Errors
    /// Never for networks that were built.
    pub fn checkpoint(&self, provenance: Provenance) -> Result<Checkpoint> {
        let (config, judge) = (self.generator_config(), self.discriminator_config());
        let weights = self.discriminator.parameters.weights(judge)?;
        Ok(Checkpoint {
            config: config.clone(),
            ema: self.average.weights(config)?,
            generator: Some(self.generator.parameters.weights(config)?),
            discriminator: Some(DiscriminatorCheckpoint { config: judge.clone(), weights }),
            provenance,
        })
    }
}

fn learner<L: toonify_networks::stylegan2::TensorName>(
    parameters: &Parameters<L>,
    (config, learning_rate): (AdamConfig, f64),
) -> Learner {
    Learner::new(parameters.vars().map(|(_, var)| var.clone()).collect(), config, learning_rate)
}

fn schedule(settings: &LossSettings) -> Schedule<Kind> {
    let mut phases = vec![Phase { kind: Kind::GeneratorMain, player: GENERATOR, interval: 1 }];
    if settings.path_length_weight != 0.0 {
        let interval = settings.generator_interval;
        phases.push(Phase { kind: Kind::GeneratorRegular, player: GENERATOR, interval });
    }
    phases.push(Phase { kind: Kind::DiscriminatorMain, player: DISCRIMINATOR, interval: 1 });
    if settings.gamma != 0.0 {
        let interval = settings.discriminator_interval;
        phases.push(Phase { kind: Kind::DiscriminatorRegular, player: DISCRIMINATOR, interval });
    }
    Schedule::new(phases)
}

impl<D: Draws> Recipe for StyleGan2<D> {
    type Batch = ImageBatch;
    type Kind = Kind;

    fn schedule(&self) -> &Schedule<Kind> {
        &self.schedule
    }

    fn learner(&mut self, player: usize) -> &mut Learner {
        if player == GENERATOR { &mut self.generator.learner } else { &mut self.discriminator.learner }
    }

    fn accumulate(&mut self, kind: Kind, batch: &ImageBatch, log: &mut Log) -> Result<()> {
        match kind {
            Kind::GeneratorMain => self.generator_main(batch.images.dim(0)?, log),
            Kind::GeneratorRegular => self.generator_regular(batch.images.dim(0)?, log),
            Kind::DiscriminatorMain => self.discriminator_main(batch, log),
            Kind::DiscriminatorRegular => self.discriminator_regular(batch, log),
        }
    }

    fn end_step(&mut self, at: Progress, batch_size: u64, log: &mut Log) -> Result<()> {
        let keep = self.settings.ema.keep(batch_size, at.images);
        self.augmenter.follow(at.step + 1, batch_size);
        log.profile.time(Part::Average, || move_average(&self.average, &self.generator.parameters, keep))
    }
}

/// Latents that are on their way to images.
struct Styled {
    /// `[N, num_ws, w_dim]`
    ws: Tensor,
    noise: Noise,
    /// `[N, c_dim]`
    label: Option<Tensor>,
}

/// Which of the two views of the generator computes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Learning,
    Fixed,
}

impl<D: Draws> StyleGan2<D> {
    /// Draws latents, labels, style mixing and noise for `n` images, and maps them; moves the average of `w`.
    fn draw(&mut self, n: usize, view: View) -> Result<Styled> {
        let generator = match view {
            View::Learning => &self.generator.learning,
            View::Fixed => &self.generator.fixed,
        };
        let (z_dim, num_ws) = (generator.config().z_dim, generator.config().num_ws());
        let z = self.draws.normal(&[n, z_dim])?;
        let label = self.labels.as_ref().map(|labels| draw_labels(labels, n, &mut self.draws)).transpose()?;
        let map = |z: &Tensor| generator.mapping.forward(Some(&z.into()), label.as_ref()).map(Dual::into_value);
        let w = map(&z)?; // [N, w_dim]
        follow(generator.w_avg(), &w.mean(0)?, generator.config().mapping.w_avg_beta)?;
        let mut ws = w.unsqueeze(1)?.repeat((1, num_ws, 1))?; // [N, num_ws, w_dim]
        if self.settings.style_mixing > 0.0 {
            let crossover = Crossover::draw(self.settings.style_mixing, num_ws, (n, z_dim), &mut self.draws)?;
            if crossover.mixes(num_ws) {
                ws = crossover.apply(&ws, &map(&crossover.z)?)?;
            }
        }
        let noise = Noise::random(generator.config(), n, &mut self.draws, &Device::Cpu)?;
        Ok(Styled { ws, noise, label })
    }

    /// Augments a batch on its way to the discriminator.
    fn augment(&mut self, images: Dual, log: &mut Log) -> Result<Dual> {
        let started = Instant::now();
        let augmented = match self.augmenter.draw(images.value(), &mut self.draws)? {
            Some(augmentation) => augmentation.apply(&images)?,
            None => images,
        };
        log.profile.add(Part::Augmentation, started.elapsed());
        Ok(augmented)
    }

    fn generator_main(&mut self, n: usize, log: &mut Log) -> Result<()> {
        let styled = self.draw(n, View::Learning)?;
        let images = self.generator.learning.synthesis.forward(&styled.ws.into(), &styled.noise)?;
        let images = self.augment(images, log)?;
        let logits = self.discriminator.fixed.forward(&images, styled.label.as_ref())?.into_value();
        report_scores("fake", &logits, log)?;
        let loss = generator_loss(&logits)?;
        log.tally.report("Loss/G/loss", &loss)?;
        Ok(self.generator.learner.backward(&loss.mean_all()?)?)
    }

    fn generator_regular(&mut self, n: usize, log: &mut Log) -> Result<()> {
        let n = (n / self.settings.path_length_shrink).max(1);
        let Styled { ws, noise, .. } = self.draw(n, View::Learning)?;
        let config = self.generator.fixed.config();
        let (c, r) = (config.img_channels, config.resolution.px());
        let y = self.draws.normal(&[n, c, r, r])?;
        let paths = path_length(
            (&ws, &y),
            (self.path_length_mean, PathLengthConfig::PUBLISHED),
            |ws: &Dual| self.generator.fixed.synthesis.forward(ws, &noise),
            |ws: &Dual| self.generator.learning.synthesis.forward(ws, &noise),
        )?;
        self.path_length_mean = paths.mean;
        let (weight, gain) = (self.settings.path_length_weight, self.settings.generator_interval as f64);
        log.tally.report("Loss/pl_penalty", &paths.penalty)?;
        log.tally.report("Loss/G/reg", &(paths.penalty * weight)?)?;
        Ok(self.generator.learner.backward(&(paths.slope * (weight * gain))?)?)
    }

    /// Generated and real images one after the other, so that only one graph is alive at a time.
    fn discriminator_main(&mut self, batch: &ImageBatch, log: &mut Log) -> Result<()> {
        let styled = self.draw(batch.images.dim(0)?, View::Fixed)?;
        let fakes = self.generator.fixed.synthesis.forward(&styled.ws.into(), &styled.noise)?;
        let fakes = self.augment(fakes, log)?;
        let judge = &self.discriminator.learning;
        let logits = judge.forward(&fakes, styled.label.as_ref())?.into_value();
        report_scores("fake", &logits, log)?;
        let on_fakes = fake_loss(&logits)?;
        self.discriminator.learner.backward(&on_fakes.mean_all()?)?;
        let on_fakes = on_fakes.detach();
        drop(logits);
        let reals = self.augment((&batch.images).into(), log)?;
        let logits = self.discriminator.learning.forward(&reals, batch.labels.as_ref())?.into_value();
        report_scores("real", &logits, log)?;
        self.augmenter.note(&logits.detach().sign()?)?;
        let on_reals = real_loss(&logits)?;
        log.tally.report("Loss/D/loss", &(on_fakes + on_reals.detach())?)?;
        Ok(self.discriminator.learner.backward(&on_reals.mean_all()?)?)
    }

    fn discriminator_regular(&mut self, batch: &ImageBatch, log: &mut Log) -> Result<()> {
        let (n, label) = (batch.images.dim(0)?, batch.labels.as_ref());
        let augmentation = self.augmenter.draw(&batch.images, &mut self.draws)?;
        let augmented = |images: &Dual| match &augmentation {
            Some(augmentation) => augmentation.apply(images),
            None => Ok(images.clone()),
        };
        let flat = r1(
            &batch.images,
            |images: &Dual| self.discriminator.fixed.forward(&augmented(images)?, label),
            |images: &Dual| self.discriminator.learning.forward(&augmented(images)?, label),
        )?;
        let (weight, gain) = (self.settings.gamma / 2.0, self.settings.discriminator_interval as f64);
        report_scores("real", &flat.logits, log)?;
        self.augmenter.note(&flat.logits.detach().sign()?)?;
        log.tally.report("Loss/r1_penalty", &flat.penalty)?;
        log.tally.report("Loss/D/reg", &(flat.penalty * weight)?)?;
        Ok(self.discriminator.learner.backward(&(flat.slope * (weight * gain / n as f64))?)?)
    }
}

fn report_scores(of: &str, logits: &Tensor, log: &mut Log) -> Result<()> {
    log.tally.report(&format!("Loss/scores/{of}"), &logits.detach())?;
    log.tally.report(&format!("Loss/signs/{of}"), &logits.detach().sign()?)
}

/// Labels of random items of the training set, `[N, c_dim]`.
fn draw_labels(labels: &Tensor, n: usize, draws: &mut dyn Draws) -> Result<Tensor> {
    let count = labels.dim(0)?;
    let rows = (0..n).map(|_| Ok(draws.index(count)? as u32)).collect::<Result<Vec<u32>>>()?;
    Ok(labels.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?.to_dtype(DType::F32)?)
}
