//! What turns photos into characters when nobody names a model: the models that come with the program.

use std::path::PathBuf;

use anyhow::Result;
use toonify_networks::projection::Space;
use toonify_networks::stylegan2::{Resolution, Slope};

use crate::eyes::{EyesPlan, Sight};
use crate::photo::plan::{Base, BlendPlan};
use crate::project::{FilmKind, NoiseKept, ProjectorPlan, Settings};
use crate::store::models::{CHARACTERS, ModelFolders, PORTRAITS, PORTRAITS_ENCODER, STUDENT};

/// The last resolution that comes from the portraits; the card of `characters64` shows how it was chosen.
const SWAP_PX: usize = 16;
/// From there to the characters, in octaves.
const WIDTH: f64 = 0.5;
/// Steps of a search that starts from the encoder's answer.
const NUM_STEPS: usize = 100;
const SEED: u32 = 303;

/// The shipped models, as files.
#[derive(Clone, Debug)]
pub struct ShippedStyle {
    /// The generator of portraits.
    pub base: PathBuf,
    /// Where projections into it start.
    pub encoder: PathBuf,
    /// The generator of characters.
    pub tuned: PathBuf,
    /// Does the same as both at once.
    pub student: PathBuf,
    /// The last resolution from the generator of portraits.
    pub resolution: Resolution,
    /// How the portraits give way to the characters there.
    pub slope: Slope,
    /// Latents that suit the small generator.
    pub space: Space,
    /// Steps of a search.
    pub num_steps: usize,
}

impl ShippedStyle {
    /// Unpacks the models where that has not happened yet.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn unpack(folders: &ModelFolders) -> Result<ShippedStyle> {
        Ok(ShippedStyle {
            base: PORTRAITS.file(folders)?,
            encoder: PORTRAITS_ENCODER.file(folders)?,
            tuned: CHARACTERS.file(folders)?,
            student: STUDENT.file(folders)?,
            resolution: Resolution::new(SWAP_PX)?,
            slope: Slope::Logistic { width: WIDTH },
            space: Space::WPlus,
            num_steps: NUM_STEPS,
        })
    }

    /// The blend of the two generators: shapes of the portrait, paint of the characters.
    pub fn blend(&self) -> BlendPlan {
        BlendPlan {
            base: self.base.clone(),
            tuned: self.tuned.clone(),
            resolution: self.resolution,
            slope: self.slope,
            low: Base::Low,
        }
    }

    /// How photos are projected into the generator of portraits.
    pub fn projector(&self) -> ProjectorPlan {
        let settings = Settings {
            num_steps: self.num_steps,
            seed: SEED,
            space: self.space,
            tune_steps: 0,
            keep_others: false,
            patience: None,
            eyes: EyesPlan { sight: Sight::Auto, weights: None, lpips: None },
            class: None,
            noise: NoiseKept::No,
            encoder: Some(self.encoder.clone()),
        };
        ProjectorPlan { network: self.base.clone(), settings, batch: None, film: FilmKind::Off, person: None }
    }
}
