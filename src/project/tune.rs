//! Pivotal tuning of the generator to one target, and the files that come of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use image::RgbImage;
use toonify_networks::checkpoint::{Checkpoint, Provenance};
use toonify_networks::latent::WPlus;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::Noise;
use toonify_networks::tuning::{Locality, Pivot, Tuning, TuningConfig};

use crate::events::Sink;
use crate::project::Settings;
use crate::project::film::{FilmKind, Frames};
use crate::project::record::{Identity, Likeness, Tuned};
use crate::project::search::{Bench, Ending, Progress, judge, picture};
use crate::project::target::{self, Target};
use crate::store::checkpoint::{self, Format};
use crate::store::picture;

/// The tuned generator in a target's folder.
pub const TUNED_NETWORK: &str = "tuned.safetensors";

/// Where generators are tuned.
pub struct Workshop<'a> {
    /// What the search used.
    pub bench: &'a Bench,
    /// The checkpoint that is tuned; it stays as it is.
    pub checkpoint: &'a Checkpoint,
    /// How long and how.
    pub settings: &'a Settings,
    /// Becomes true when the work has to end early.
    pub stop: &'a AtomicBool,
}

/// A tuned generator.
pub struct TunedGenerator {
    /// Distance in each step.
    pub losses: Vec<f64>,
    /// Whether all steps were taken.
    pub ending: Ending,
    checkpoint: Checkpoint,
    image: RgbImage,
    reached: Likeness,
}

impl Workshop<'_> {
    /// Tunes a copy of the generator until it renders the target at `ws`.
    ///
    /// # Errors
    /// What the networks return.
    pub fn tune(
        &self,
        target: &Target,
        ws: &WPlus,
        (film, frames): (FilmKind, &mut Frames),
        (progress, sink): (&mut Progress, &mut dyn Sink),
    ) -> Result<TunedGenerator> {
        let perception = self.bench.eyes.perception.as_ref();
        let (label, pixels) = (self.bench.label.clone(), target.tensor.clone());
        let pivot = Pivot { perception, target: pixels, ws: ws.clone(), label };
        let locality = self.settings.keep_others.then_some(Locality::PUBLISHED);
        let settings = TuningConfig { locality, ..TuningConfig::PUBLISHED };
        let mut tuning = Tuning::new(&self.checkpoint.config, &self.checkpoint.ema, pivot, settings)?;
        let (mut rng, mut losses) = (RandomState::new(self.settings.seed), Vec::new());
        let shown = Frames::new(film, self.settings.tune_steps);
        while losses.len() < self.settings.tune_steps && !self.stop.load(Ordering::Relaxed) {
            let loss = tuning.step(&mut rng)?;
            losses.push(loss.distance);
            if shown.wants(losses.len()) {
                let images = picture(tuning.generator(), ws, &Noise::Const)?;
                images.iter().for_each(|image| frames.add(&target.image.to_rgb8(), image));
            }
            progress.step(format!("tuning {}, distance {:.4}", target::name(&target.task.path), loss.distance), sink);
        }
        let (reached, image) = judge(perception, target, &tuning.generator().render(ws, &Noise::Const)?)?;
        let tuned = Checkpoint {
            config: self.checkpoint.config.clone(),
            ema: tuning.weights()?,
            generator: None,
            discriminator: None,
            provenance: self.checkpoint.provenance.clone(),
        };
        let whole = losses.len() == self.settings.tune_steps;
        let ending = if whole { Ending::Whole } else { Ending::Interrupted };
        Ok(TunedGenerator { losses, ending, checkpoint: tuned, image, reached })
    }
}

impl TunedGenerator {
    /// Writes `tuned.safetensors` and `tuned.png` into `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, identity: &Identity) -> Result<()> {
        let steps = self.losses.len();
        let mut checkpoint = self.checkpoint.clone();
        let provenance = &mut checkpoint.provenance;
        provenance.parents = vec![format!("{}: pivotal tuning, {steps} steps", identity.network_sha256)];
        provenance.notes.push("tuned to one image at one w, which lies beside it in projected_w.npz".to_owned());
        *provenance = Provenance { training_set: None, augment_p: None, ..provenance.clone() };
        checkpoint::write(&folder.join(TUNED_NETWORK), &checkpoint, Format::Toonify)?;
        picture::write(&folder.join("tuned.png"), &self.image.clone().into())
    }

    /// What `project.json` says of it, but for the person.
    pub fn summary(&self) -> Tuned {
        Tuned { steps: self.losses.len(), reached: self.reached, person: None }
    }

    /// What it renders.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }
}
