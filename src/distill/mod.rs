//! Trains a student on pairs of images (`toonify distill`): what a blended generator does in minutes, in milliseconds.
//!
//! The output folder holds `student.safetensors` (the moving average, ready to use), `state.safetensors` (everything that
//! a second run goes on from), `stats.jsonl` and `preview-NNNNNN.png`: held-out pairs and real photos.

mod augment;
mod batches;
mod keeper;
mod recipe;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use toonify_networks::pix2pix::{MULTIPLE, StudentConfig};

pub use augment::AugmentPlan;
pub use recipe::{LossWeights, Pix2pix};

use crate::events::{Event, Sink};
use crate::eyes::{self, EyesPlan};
use crate::pairs::reader::{Extra, PairSet};
use crate::store::lock::FolderLock;
use crate::store::{atomic, folder};
use crate::train::fit::{FitPlan, fit};
use batches::Batches;
use keeper::Keeper;

/// What to train; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct DistillPlan {
    /// Pairs, as [`PairSet`] reads them.
    pub pairs: PathBuf,
    /// Real photos, framed as the pairs, for the previews.
    pub photos: Vec<PathBuf>,
    /// Folder for the results.
    pub out: PathBuf,
    /// The student.
    pub student: StudentConfig,
    /// What decides the weights, beside the pairs.
    pub settings: DistillSettings,
    /// The training ends after so many thousands of images.
    pub kimg: f64,
    /// Previews and snapshots come after every so many thousands of images.
    pub every_kimg: f64,
    /// What makes pictures alike beside their pixels, if anything.
    pub eyes: Option<EyesPlan>,
}

/// What decides the weights of a student, beside its pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistillSettings {
    /// Side of the squares that the student sees.
    pub size_px: u32,
    /// Images a step.
    pub batch_size: u64,
    /// Learning rate of both networks.
    pub learning_rate: f64,
    /// Channels after the discriminator's first layer.
    pub judge_width: usize,
    /// Where everything random begins.
    pub seed: u32,
    /// Factors of the losses.
    pub losses: LossWeights,
    /// What is done to the images.
    pub augment: AugmentPlan,
}

/// What was trained.
#[derive(Clone, Debug, Serialize)]
pub struct Distilled {
    /// The student.
    pub student: PathBuf,
    /// Thousands of images that it has seen.
    pub kimg: f64,
    /// Mean difference of held-out pairs in \[0, 2\], where there are any.
    pub held_out_l1: Option<f64>,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

/// Trains, or goes on with what the folder holds.
///
/// # Errors
/// When pairs or weights cannot be read, the folder belongs to another training, or a result cannot be written.
pub fn run(plan: &DistillPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Distilled> {
    let multiple = (plan.settings.size_px as usize).is_multiple_of(MULTIPLE) && plan.settings.size_px > 0;
    ensure!(multiple, "the size of the images is {}, expected a multiple of {MULTIPLE}", plan.settings.size_px);
    folder::create(&plan.out)?;
    let _lock = FolderLock::take(&plan.out)?;
    atomic::sweep(&plan.out);
    let extra = if plan.student.img_channels > 3 { Extra::Depth } else { Extra::None };
    let set = PairSet::open(&plan.pairs, extra).context("cannot open the pairs")?;
    let mut recipe = Pix2pix::new(&plan.student, &plan.settings)?;
    if let Some(plan) = &plan.eyes {
        recipe = recipe.with_perception(eyes::alone(plan)?.perception);
    }
    let mut keeper = Keeper::open(plan, &set, (stop, sink))?;
    let start = keeper.restore(&mut recipe)?;
    let mut batches = Batches::new(set.clone(), &plan.settings, keeper.held_out(), start.images);
    keeper.tell(&Event::Started { what: format!("training on {} pairs", set.len() - keeper.held_out()) });
    let batch_size = plan.settings.batch_size.max(1);
    let fit_plan = FitPlan { start, total_images: (plan.kimg * 1000.0) as u64, batch_size };
    let (end, _log) = fit(&mut recipe, &mut batches, fit_plan, &mut keeper)?;
    let held_out_l1 = keeper.finish(&recipe, end)?;
    Ok(Distilled {
        student: keeper.student_path(),
        kimg: end.kimg(),
        held_out_l1,
        stopped: end.images < fit_plan.total_images,
    })
}
