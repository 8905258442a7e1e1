//! The losses of pix2pix (Isola et al. 2017, section 3.1) with feature matching (Wang et al. 2018, "High-Resolution Image
//! Synthesis and Semantic Manipulation with Conditional GANs", equation 4), and what a student of faces may need besides.

use std::collections::HashMap;

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use toonify_networks::grad::Dual;
use toonify_networks::optim::{AdamConfig, Learner, follow};
use toonify_networks::perceptual::Perception;
use toonify_networks::pix2pix::{
    MULTIPLE, PatchConfig, PatchDiscriminator, PatchLayer, PatchOpinion, Student, StudentConfig, StudentLayer,
};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{TensorName, Weights};

use super::DistillSettings;
use crate::train::fit::{Log, Progress, Recipe};
use crate::train::schedule::{Phase, Schedule};

/// Adam's settings (Isola et al. 2017, section 3.3).
const ADAM: AdamConfig = AdamConfig { betas: (0.5, 0.999), eps: 1e-8 };
/// Largest part of the moving average that stays from step to step.
const KEEP: f64 = 0.999;

/// Factors of the student's losses; 0 leaves one out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossWeights {
    /// Mean absolute difference of the pixels.
    pub l1: f64,
    /// The discriminator's opinion.
    pub adversarial: f64,
    /// Mean absolute difference of the discriminator's features.
    pub features: f64,
    /// Distance of the perception, where there is one.
    pub perceptual: f64,
    /// A picture that is stylised already stays as it is.
    pub identity: f64,
    /// What is shifted gives a shifted result, so that video does not flicker.
    pub shift: f64,
}

impl LossWeights {
    /// The published factors of pix2pix (section 3.3) and pix2pixHD (section 4), the options off.
    pub const PUBLISHED: LossWeights =
        LossWeights { l1: 100.0, adversarial: 1.0, features: 10.0, perceptual: 10.0, identity: 0.0, shift: 0.0 };
}

/// Images of one round.
#[derive(Clone, Debug)]
pub struct PairBatch {
    /// `[N, img_channels, H, W]` in \[-1, 1\]
    pub photo: Tensor,
    /// `[N, 3, H, W]` in \[-1, 1\]
    pub picture: Tensor,
}

/// Which network learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The discriminator.
    Discriminator,
    /// The student.
    Student,
}

/// A student and its discriminator in training.
pub struct Pix2pix {
    schedule: Schedule<Kind>,
    losses: LossWeights,
    perception: Option<Box<dyn Perception>>,
    student: Player<Student>,
    discriminator: Player<PatchDiscriminator>,
    average: Weights<StudentLayer>,
    configs: (StudentConfig, PatchConfig),
    /// Begins anew with every step, so that a training that goes on draws what it would have drawn.
    rng: RandomState,
    seed: u32,
}

/// A network twice, on the same numbers: once to learn, once to be looked through.
struct Player<N> {
    names: Vec<String>,
    learner: Learner,
    learning: N,
    frozen: N,
}

impl<N> Player<N> {
    fn new<L: TensorName>(
        weights: &Weights<L>,
        learning_rate: f64,
        build: impl Fn(&VarBuilder<'_>) -> toonify_networks::Result<N>,
    ) -> Result<Self> {
        let (mut names, mut vars) = (Vec::new(), Vec::new());
        for (layer, tensor) in weights.iter() {
            names.push(layer.to_string());
            vars.push(Var::from_tensor(tensor)?);
        }
        let network = |tensor: fn(&Var) -> Tensor| {
            let named: HashMap<String, Tensor> = names.iter().cloned().zip(vars.iter().map(tensor)).collect();
            build(&VarBuilder::from_tensors(named, DType::F32, &Device::Cpu))
        };
        let learning = network(|var| var.as_tensor().clone())?;
        let frozen = network(|var| var.as_detached_tensor())?;
        Ok(Player { learning, frozen, names, learner: Learner::new(vars, ADAM, learning_rate) })
    }

    /// The tensors by name, and Adam's memory of each.
    fn tensors(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.names.iter().map(String::as_str).zip(self.learner.adam().vars())
    }
}

impl Pix2pix {
    /// Draws both networks.
    ///
    /// # Errors
    /// When the configuration is impossible.
    pub fn new(config: &StudentConfig, settings: &DistillSettings) -> Result<Pix2pix> {
        let mut rng = RandomState::new(settings.seed);
        let patch = PatchConfig { width: settings.judge_width, ..PatchConfig::published(config.img_channels + 3) };
        let student = Weights::<StudentLayer>::random(config, &mut rng)?;
        let judge = Weights::<PatchLayer>::random(&patch, &mut rng)?;
        let average =
            Weights::build(config, |layer, _| Ok(student.get(layer).expect("both have the same layers").copy()?))?;
        let phase = |kind, player| Phase { kind, player, interval: 1 };
        Ok(Pix2pix {
            schedule: Schedule::new(vec![phase(Kind::Discriminator, 1), phase(Kind::Student, 0)]),
            losses: settings.losses,
            perception: None,
            student: Player::new(&student, settings.learning_rate, |vb| Student::new(config, vb))?,
            discriminator: Player::new(&judge, settings.learning_rate, |vb| PatchDiscriminator::new(&patch, vb))?,
            average,
            configs: (config.clone(), patch),
            rng: RandomState::new(settings.seed),
            seed: settings.seed,
        })
    }

    /// Adds a perceptual term.
    pub fn with_perception(mut self, perception: Box<dyn Perception>) -> Pix2pix {
        self.perception = Some(perception);
        self
    }

    /// The moving average of the student, which is what one uses.
    pub fn average(&self) -> &Weights<StudentLayer> {
        &self.average
    }

    /// What the student looks like.
    pub fn config(&self) -> &StudentConfig {
        &self.configs.0
    }

    /// Everything that a training goes on from, by name.
    ///
    /// # Errors
    /// Only when a tensor cannot be read.
    pub(super) fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let mut state = Vec::new();
        for (network, tensors, learner) in [
            ("student", self.student.tensors().collect::<Vec<_>>(), &self.student.learner),
            ("discriminator", self.discriminator.tensors().collect::<Vec<_>>(), &self.discriminator.learner),
        ] {
            for ((name, var), moments) in tensors.into_iter().zip(learner.adam().moments()) {
                let shape = var.dims();
                state.push((format!("{network}.{name}"), var.as_detached_tensor()));
                for (which, numbers) in [("first", &moments.first), ("second", &moments.second)] {
                    let tensor = Tensor::from_slice(numbers, shape, &Device::Cpu)?;
                    state.push((format!("{network}.{name}.{which}"), tensor));
                }
            }
        }
        state.extend(self.average.iter().map(|(layer, tensor)| (format!("average.{layer}"), tensor.clone())));
        Ok(state)
    }

    /// Puts back what [`Pix2pix::state`] gave after `steps` steps.
    ///
    /// # Errors
    /// When something is missing or of another shape.
    pub(super) fn restore(&mut self, state: &HashMap<String, Tensor>, steps: u64) -> Result<()> {
        self.rng = RandomState::new(self.seed.wrapping_add(steps as u32));
        restore_player("student", &mut self.student, state, steps)?;
        restore_player("discriminator", &mut self.discriminator, state, steps)?;
        self.average =
            Weights::build(&self.configs.0, |layer, _| Ok(find(state, &format!("average.{layer}"))?.copy()?))?;
        Ok(())
    }

    fn student_loss(&mut self, batch: &PairBatch, log: &mut Log) -> Result<Tensor> {
        let (photo, picture) = (Dual::from(&batch.photo), &batch.picture);
        let made = self.student.learning.forward(&photo)?;
        let mut total = Total { sum: None, log };
        total.add("Loss/student/l1", self.losses.l1, &difference(made.value(), picture)?)?;
        let judge = &self.discriminator.frozen;
        let opinion = judge.judge(&photo, &made)?;
        let deceived = opinion.logits.scale(-1.0)?.softplus()?.into_value().mean_all()?;
        total.add("Loss/student/adversarial", self.losses.adversarial, &deceived)?;
        if self.losses.features > 0.0 {
            let real = judge.judge(&photo, &Dual::from(picture))?;
            total.add("Loss/student/features", self.losses.features, &matching(&opinion, &real)?)?;
        }
        if let Some(perception) = self.perception.as_ref().filter(|_| self.losses.perceptual > 0.0) {
            let features = |image: &Tensor| perception.features(&image.affine(127.5, 127.5)?);
            let apart = (features(made.value())? - features(picture)?.detach())?.sqr()?.sum(1)?.mean_all()?;
            total.add("Loss/student/perceptual", self.losses.perceptual, &apart)?;
        }
        if self.losses.identity > 0.0 && self.configs.0.img_channels == 3 {
            let again = self.student.learning.forward(&Dual::from(picture))?;
            total.add("Loss/student/identity", self.losses.identity, &difference(again.value(), picture)?)?;
        }
        if self.losses.shift > 0.0 {
            let apart = shifted(&self.student.learning, (&batch.photo, made.value()), &mut self.rng)?;
            total.add("Loss/student/shift", self.losses.shift, &apart)?;
        }
        Ok(total.sum.expect("there is at least one loss"))
    }

    fn discriminator_loss(&self, batch: &PairBatch, log: &mut Log) -> Result<Tensor> {
        let photo = Dual::from(&batch.photo);
        let made = self.student.frozen.forward(&photo)?;
        let judge = &self.discriminator.learning;
        let fake = judge.judge(&photo, &Dual::from(made.into_value().detach()))?.logits;
        let real = judge.judge(&photo, &Dual::from(&batch.picture))?.logits;
        log.tally.report("Loss/scores/fake", fake.value())?;
        log.tally.report("Loss/scores/real", real.value())?;
        let loss =
            (fake.softplus()?.into_value().mean_all()? + real.scale(-1.0)?.softplus()?.into_value().mean_all()?)?;
        log.tally.report("Loss/discriminator", &loss)?;
        Ok((loss * 0.5)?)
    }
}

/// A sum of losses, each reported on the way.
struct Total<'a> {
    sum: Option<Tensor>,
    log: &'a mut Log,
}

impl Total<'_> {
    fn add(&mut self, name: &str, weight: f64, loss: &Tensor) -> Result<()> {
        self.log.tally.report(name, loss)?;
        let weighted = (loss * weight)?;
        self.sum = Some(match self.sum.take() {
            Some(sum) => (sum + weighted)?,
            None => weighted,
        });
        Ok(())
    }
}

/// Mean absolute difference.
fn difference(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok((a - b)?.abs()?.mean_all()?)
}

/// Mean over the layers of the mean absolute difference of their features.
fn matching(made: &PatchOpinion, real: &PatchOpinion) -> Result<Tensor> {
    let count = made.features.len() as f64;
    let mut sum = Tensor::new(0f32, &Device::Cpu)?;
    for (made, real) in made.features.iter().zip(&real.features) {
        sum = (sum + difference(made.value(), &real.value().detach())?)?;
    }
    Ok((sum / count)?)
}

/// Difference between the result of a shifted photo and the shifted result, away from the border.
fn shifted(student: &Student, (photo, made): (&Tensor, &Tensor), rng: &mut RandomState) -> Result<Tensor> {
    let (_, _, height, width) = photo.dims4()?;
    let (rows, columns) = (height - MULTIPLE, width - MULTIPLE);
    let (down, right) = (rng.below(MULTIPLE as u64) as usize, rng.below(MULTIPLE as u64) as usize);
    let window = |image: &Tensor, border: usize| -> Result<Tensor> {
        let rows = image.narrow(2, down + border, rows - 2 * border)?;
        Ok(rows.narrow(3, right + border, columns - 2 * border)?.contiguous()?)
    };
    let border = MULTIPLE.min(rows / 4);
    let again = student.forward(&Dual::from(window(photo, 0)?))?.into_value();
    let inner = again.narrow(2, border, rows - 2 * border)?.narrow(3, border, columns - 2 * border)?;
    difference(&inner, &window(made, border)?)
}

fn find<'a>(state: &'a HashMap<String, Tensor>, name: &str) -> toonify_networks::Result<&'a Tensor> {
    state.get(name).ok_or_else(|| toonify_networks::Error::value("tensor", format!("{name} missing"), "present"))
}

fn restore_player<N>(network: &str, player: &mut Player<N>, state: &HashMap<String, Tensor>, steps: u64) -> Result<()> {
    let vars: Vec<(String, Var)> = player.tensors().map(|(name, var)| (name.to_owned(), var.clone())).collect();
    for (index, (name, var)) in vars.into_iter().enumerate() {
        let name = format!("{network}.{name}");
        // In place, so that everybody who shares the memory sees it.
        follow(&var.as_detached_tensor(), find(state, &name)?, 0.0)?;
        let memory = |which: &str| -> Result<Vec<f32>> {
            Ok(find(state, &format!("{name}.{which}"))?.flatten_all()?.to_vec1::<f32>()?)
        };
        let (first, second) = (memory("first")?, memory("second")?);
        let moments = toonify_networks::optim::Moments { first, second, steps: i32::try_from(steps)? };
        player.learner.adam_mut().restore(index, moments)?;
    }
    Ok(())
}

impl Recipe for Pix2pix {
    type Batch = PairBatch;
    type Kind = Kind;

    fn schedule(&self) -> &Schedule<Kind> {
        &self.schedule
    }

    fn learner(&mut self, player: usize) -> &mut Learner {
        if player == 0 { &mut self.student.learner } else { &mut self.discriminator.learner }
    }

    fn accumulate(&mut self, kind: Kind, batch: &PairBatch, log: &mut Log) -> Result<()> {
        match kind {
            Kind::Student => {
                let loss = self.student_loss(batch, log)?;
                Ok(self.student.learner.backward(&loss)?)
            }
            Kind::Discriminator => {
                let loss = self.discriminator_loss(batch, log)?;
                Ok(self.discriminator.learner.backward(&loss)?)
            }
        }
    }

    fn end_step(&mut self, at: Progress, _batch_size: u64, _log: &mut Log) -> Result<()> {
        self.rng = RandomState::new(self.seed.wrapping_add(at.step as u32 + 1));
        // The average of a young training forgets its beginning.
        let steps = at.step as f64;
        let keep = ((1.0 + steps) / (10.0 + steps)).min(KEEP);
        for ((_, average), var) in self.average.iter().zip(self.student.learner.adam().vars()) {
            follow(average, var.as_tensor(), keep)?;
        }
        Ok(())
    }
}
