//! The state of a training in one file: everything that the next step depends on, so that a training that was stopped, or
//! killed, ends with the same bytes as one that was not.
//!
//! The file is replaced in one step; until then the older one stands.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use toonify_networks::checkpoint::{Checkpoint, DiscriminatorCheckpoint, Provenance};
use toonify_networks::optim::{Learner, Moments};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Parameters, TensorName, Weights};

use crate::store::tensors::{self, Entry};
use crate::train::fit::Progress;
use crate::train::recipes::augmenter::AugmentState;
use crate::train::recipes::stylegan2::StyleGan2;
use crate::train::settings::Settings;
use crate::train::tally::Tally;

/// Version of the file; another one is refused.
const VERSION: u32 = 1;

/// The training of a StyleGAN2 with random numbers of its own.
pub type Trainee = StyleGan2<RandomState>;

/// What a training must remember beside its networks.
#[derive(Clone, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// What the training was asked to do.
    pub settings: Settings,
    /// How far it has come.
    pub at: Progress,
    /// The tick that is under way.
    pub tick: Tick,
    /// What was reported in it so far.
    pub tally: Tally,
    /// Where the networks come from.
    pub provenance: Provenance,
    path_length_mean: f64,
    augment: AugmentState,
    random: RandomState,
}

/// A stretch of a training at whose end it is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Counted from 0.
    pub number: u64,
    /// Images at its start.
    pub images: u64,
}

impl State {
    /// Describes the training as it is.
    pub fn of(
        trainee: &Trainee,
        (settings, provenance): (&Settings, &Provenance),
        (at, tick): (Progress, Tick),
        tally: &Tally,
    ) -> State {
        State {
            version: VERSION,
            settings: settings.clone(),
            at,
            tick,
            tally: tally.clone(),
            provenance: provenance.clone(),
            path_length_mean: trainee.path_length_mean(),
            augment: trainee.augmenter().state,
            random: trainee.draws().clone(),
        }
    }
}

/// Writes the state with the networks and the optimisers' memory.
///
/// # Errors
/// When a network holds numbers that are not finite, and when the file cannot be written; an older file stays then.
pub fn save(path: &Path, trainee: &Trainee, state: &State) -> Result<()> {
    let moments = [moments("G", trainee.generator()), moments("D", trainee.discriminator())];
    let average = named("G_ema", trainee.average());
    let networks = [named("G", trainee.generator().0), named("D", trainee.discriminator().0), average];
    for (name, tensor) in networks.iter().flatten() {
        let sum = tensor.flatten_all()?.abs()?.max(0)?.to_scalar::<f32>()?;
        ensure!(sum.is_finite(), "`{name}` holds numbers that are not finite; nothing was saved");
    }
    let mut entries: Vec<Entry<'_>> =
        networks.iter().flatten().map(|(name, tensor)| Entry::tensor(name.clone(), tensor)).collect();
    for (name, moments) in moments.iter().flatten() {
        entries.push(Entry::numbers(format!("{name}.first"), &moments.first));
        entries.push(Entry::numbers(format!("{name}.second"), &moments.second));
    }
    let steps: BTreeMap<&String, i32> = moments.iter().flatten().map(|(name, m)| (name, m.steps)).collect();
    tensors::write(path, &(state, steps), &entries)
}

fn named<L: TensorName>(network: &str, parameters: &Parameters<L>) -> Vec<(String, Tensor)> {
    parameters.iter().map(|(layer, tensor)| (format!("{network}.{layer}"), tensor.clone())).collect()
}

fn moments<'a, L: TensorName>(
    network: &str,
    (parameters, learner): (&'a Parameters<L>, &'a Learner),
) -> Vec<(String, &'a Moments)> {
    let names = parameters.vars().map(|(layer, _)| format!("adam.{network}.{layer}"));
    names.zip(learner.adam().moments()).collect()
}

/// A state that was read.
pub struct Saved {
    /// What the training remembered.
    pub state: State,
    /// Its networks.
    pub checkpoint: Checkpoint,
    moments: BTreeMap<String, Moments>,
}

/// Reads a state.
///
/// # Errors
/// When the file is missing, damaged or of another version; the message names it.
pub fn load(path: &Path) -> Result<Saved> {
    let (record, tensors) = tensors::read::<(State, BTreeMap<String, i32>)>(path)?;
    let ((state, steps), mut tensors) = (record, tensors);
    let shown = || format!("cannot go on from `{}`", path.display());
    ensure!(state.version == VERSION, "`{}` is of version {}, expected {VERSION}", path.display(), state.version);
    let (config, judge) = (&state.settings.generator, &state.settings.discriminator);
    let checkpoint = Checkpoint {
        ema: weights("G_ema", config, &mut tensors).with_context(shown)?,
        generator: Some(weights("G", config, &mut tensors).with_context(shown)?),
        discriminator: Some(DiscriminatorCheckpoint {
            weights: weights("D", judge, &mut tensors).with_context(shown)?,
            config: judge.clone(),
        }),
        config: config.clone(),
        provenance: state.provenance.clone(),
    };
    let mut moments = BTreeMap::new();
    for (name, steps) in steps {
        let mut take = |which: &str| -> Result<Vec<f32>> {
            let tensor = tensors.remove(&format!("{name}.{which}"));
            Ok(tensor.with_context(|| format!("`{name}.{which}` is missing"))?.to_vec1()?)
        };
        let remembered =
            Moments { first: take("first").with_context(shown)?, second: take("second").with_context(shown)?, steps };
        moments.insert(name, remembered);
    }
    Ok(Saved { state, checkpoint, moments })
}

fn weights<L: TensorName>(
    network: &str,
    config: &L::Config,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<Weights<L>> {
    let mut found = BTreeMap::new();
    for (layer, _shape) in L::all(config) {
        if let Some(tensor) = tensors.remove(&format!("{network}.{layer}")) {
            found.insert(layer, tensor);
        }
    }
    Ok(Weights::new(config, found)?)
}

impl Saved {
    /// Puts everything back into a training that was prepared with the networks of this state.
    ///
    /// # Errors
    /// When the optimiser's memory does not fit the networks.
    pub fn restore(&mut self, trainee: &mut Trainee) -> Result<()> {
        trainee.set_path_length_mean(self.state.path_length_mean);
        trainee.augmenter_mut().state = self.state.augment;
        *trainee.draws_mut() = self.state.random.clone();
        restore("G", trainee.generator_mut(), &mut self.moments)?;
        restore("D", trainee.discriminator_mut(), &mut self.moments)
    }
}

fn restore<L: TensorName>(
    network: &str,
    (parameters, learner): (&Parameters<L>, &mut Learner),
    saved: &mut BTreeMap<String, Moments>,
) -> Result<()> {
    for (index, (layer, _var)) in parameters.vars().enumerate() {
        let name = format!("adam.{network}.{layer}");
        let moments = saved.remove(&name).with_context(|| format!("the state has no `{name}`"))?;
        learner.adam_mut().restore(index, moments)?;
    }
    Ok(())
}
