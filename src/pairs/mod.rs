//! Pairs of images for a student: a base generator's face, and the same latent through its blend (`toonify pairs`).
//!
//! The output folder holds `A/` and `B/`, or `pairs/` with both side by side, and `pairs.json`, from which a second run
//! goes on. The same plan gives the same pairs. [`reader`] reads such folders, and any other paired set.

mod candidates;
pub mod reader;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use image::{DynamicImage, GenericImage, RgbImage};
use serde::{Deserialize, Serialize};
use toonify_networks::checkpoint::Parts;
use toonify_networks::grad::Dual;
use toonify_networks::latent::WPlus;
use toonify_networks::stylegan2::{Discriminator, Generator, Noise, require_alike};

use crate::events::{Event, Sink};
use crate::pixels::{self, Rounding};
use crate::store::lock::FolderLock;
use crate::store::{atomic, checkpoint, folder, json, latents, picture};
use candidates::Candidates;

/// Names of the folders and of the file that says how far the work has come.
pub(crate) const FOLDERS: [&str; 2] = ["A", "B"];
pub(crate) const TOGETHER: &str = "pairs";
const STATE: &str = "pairs.json";
/// Images that are rendered, and written in parallel, at a time.
const BATCH: u64 = 8;
/// Candidates whose scores tell what is usual.
const CALIBRATION: u64 = 64;
/// Seeds of the calibration, far from those of the pairs.
const CALIBRATION_START: u64 = 1 << 31;

/// What to make; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct PairsPlan {
    /// The model that knows photos.
    pub base: PathBuf,
    /// Its blend.
    pub blended: PathBuf,
    /// Folder for the pairs.
    pub out: PathBuf,
    /// How many.
    pub count: u64,
    /// How they are stored.
    pub layout: Layout,
    /// Which latents are drawn.
    pub draw: DrawPlan,
    /// Share of the faces, from 0 to 1, that the base's discriminator finds least like photos and that are left out.
    pub reject: f64,
}

/// Which latents pairs are made of.
#[derive(Clone, Debug)]
pub struct DrawPlan {
    /// The first seed.
    pub seed: u32,
    /// Truncation is drawn uniformly from here to there.
    pub truncation: (f64, f64),
    /// How often two latents share the layers between them, from 0 to 1.
    pub mixing: f64,
    /// Projected photos (`.npz`), a quarter of the pairs.
    pub projected: Vec<PathBuf>,
}

/// How pairs are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `A/000000.png` and `B/000000.png`.
    Folders,
    /// `pairs/000000.png`, A on the left.
    SideBySide,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct Paired {
    /// Pairs in the folder.
    pub pairs: u64,
    /// Of these, how many an earlier run had made.
    pub reused: u64,
    /// Faces that the discriminator refused.
    pub rejected: u64,
    /// The folder.
    pub out: PathBuf,
}

/// How far the work has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    /// Everything that decides the pairs.
    made_of: String,
    layout: Layout,
    /// Index of the next candidate.
    next: u64,
    /// Pairs written.
    kept: u64,
    /// Score below which a face is refused.
    threshold: Option<f32>,
}

/// The networks.
struct Networks {
    base: Generator,
    blended: Generator,
    discriminator: Option<Discriminator>,
}

/// Makes the pairs that are not there yet; when `stop` becomes true, after the pairs in work.
///
/// # Errors
/// When the models cannot be read or do not fit, the folder holds pairs of another plan, or cannot be written.
pub fn run(plan: &PairsPlan, stop: &AtomicBool, sink: &mut dyn Sink) -> Result<Paired> {
    folder::create(&plan.out)?;
    let _lock = FolderLock::take(&plan.out)?;
    atomic::sweep(&plan.out);
    sink.event(&Event::Started { what: format!("making {} pairs", plan.count) });
    let networks = Networks::open(plan)?;
    let candidates = Candidates::open(&plan.draw, &networks.base)?;
    let mut state = open_state(plan, &networks, &candidates)?;
    let (reused, started) = (state.kept.min(plan.count), state.clone());
    make_folders(plan)?;
    while state.kept < plan.count && !stop.load(Ordering::Relaxed) {
        batch(plan, (&networks, &candidates), &mut state)?;
        json::write(&plan.out.join(STATE), &state)?;
        sink.event(&Event::Progress { done: state.kept.min(plan.count), total: plan.count, unit: "pairs" });
    }
    let rejected = (state.next - started.next) - (state.kept - started.kept);
    Ok(Paired { pairs: state.kept, reused, rejected, out: plan.out.clone() })
}

impl Networks {
    fn open(plan: &PairsPlan) -> Result<Networks> {
        let parts = if plan.reject > 0.0 { Parts::All } else { Parts::GeneratorEma };
        let base = checkpoint::read(&plan.base, parts)?;
        let blended = checkpoint::read(&plan.blended, Parts::GeneratorEma)?;
        let name = |path: &Path| path.display().to_string();
        require_alike((&name(&plan.base), &base.config), (&name(&plan.blended), &blended.config))?;
        ensure!(
            base.config.c_dim == 0,
            "`{}` is conditional; pairs are made of unconditional models",
            name(&plan.base)
        );
        let discriminator = match (&base.discriminator, plan.reject > 0.0) {
            (_, false) => None,
            (Some(part), true) => Some(Discriminator::from_weights(&part.config, &part.weights)?),
            (None, true) => anyhow::bail!(
                "`{}` has no discriminator to judge the faces by; leave them all with a share of 0",
                name(&plan.base)
            ),
        };
        Ok(Networks {
            base: Generator::from_weights(&base.config, &base.ema)?,
            blended: Generator::from_weights(&blended.config, &blended.ema)?,
            discriminator,
        })
    }

    /// How much the faces look like photos, one at a time: statistics over a batch would depend on the neighbours.
    fn scores(&self, faces: &Tensor) -> Result<Option<Vec<f32>>> {
        let Some(discriminator) = &self.discriminator else { return Ok(None) };
        let score = |index| -> Result<f32> {
            let face = Dual::from(faces.narrow(0, index, 1)?);
            Ok(discriminator.forward(&face, None)?.value().flatten_all()?.to_vec1::<f32>()?[0])
        };
        (0..faces.dim(0)?).map(score).collect::<Result<_>>().map(Some)
    }
}

fn open_state(plan: &PairsPlan, networks: &Networks, candidates: &Candidates) -> Result<State> {
    let path = plan.out.join(STATE);
    let made_of = identity(plan)?;
    if let Some(state) = json::read_if_any::<State>(&path)? {
        let same = state.made_of == made_of && state.layout == plan.layout;
        ensure!(same, "`{}` holds pairs of other models or settings; choose another folder", plan.out.display());
        return Ok(state);
    }
    let threshold = threshold(plan.reject, networks, candidates)?;
    Ok(State { made_of, layout: plan.layout, next: 0, kept: 0, threshold })
}

/// Everything that decides the pairs but their number.
fn identity(plan: &PairsPlan) -> Result<String> {
    let mut parts =
        vec![format!("{:?} {:?} {} {}", plan.draw.truncation, plan.draw.mixing, plan.draw.seed, plan.reject)];
    for path in [&plan.base, &plan.blended] {
        parts.push(checkpoint::CheckpointFile::open(path)?.sha256());
    }
    for path in &plan.draw.projected {
        let bytes = std::fs::read(path).with_context(|| format!("cannot open latents `{}`", path.display()))?;
        parts.push(crate::store::hash::sha256(bytes));
    }
    Ok(crate::store::hash::sha256(parts.join("\n")))
}

/// The score that the share of all faces stays below.
fn threshold(reject: f64, networks: &Networks, candidates: &Candidates) -> Result<Option<f32>> {
    let mut scores = Vec::new();
    for first in (0..CALIBRATION).step_by(BATCH as usize) {
        let ws = candidates.latents(CALIBRATION_START + first, BATCH)?;
        match networks.scores(&networks.base.render(&ws, &Noise::Const)?)? {
            Some(more) => scores.extend(more),
            None => return Ok(None),
        }
    }
    scores.sort_by(f32::total_cmp);
    let rank = (reject * scores.len() as f64) as usize;
    Ok(Some(scores[rank.min(scores.len() - 1)]))
}

fn make_folders(plan: &PairsPlan) -> Result<()> {
    match plan.layout {
        Layout::Folders => FOLDERS.iter().try_for_each(|name| folder::create(plan.out.join(name))),
        Layout::SideBySide => folder::create(plan.out.join(TOGETHER)),
    }
}

/// Renders some candidates, and writes those that are good enough.
fn batch(plan: &PairsPlan, (networks, candidates): (&Networks, &Candidates), state: &mut State) -> Result<()> {
    let ws: WPlus = candidates.latents(state.next, BATCH)?;
    let faces = networks.base.render(&ws, &Noise::Const)?;
    let scores = networks.scores(&faces)?;
    let toons = networks.blended.render(&ws, &Noise::Const)?;
    let (faces, toons) = (pixels::to_rgb(&faces, Rounding::Generate)?, pixels::to_rgb(&toons, Rounding::Generate)?);
    let good = |index: usize| match (&scores, state.threshold) {
        (Some(scores), Some(threshold)) => scores[index] >= threshold,
        _ => true,
    };
    let missing = (plan.count - state.kept) as usize;
    let kept: Vec<usize> = (0..faces.len()).filter(|&index| good(index)).take(missing).collect();
    let jobs = kept.iter().enumerate().map(|(n, &index)| (state.kept + n as u64, &faces[index], &toons[index]));
    write_all(plan, jobs.collect())?;
    // The next candidate is the one after the last that was used, so that the number of pairs does not change them.
    let used = if kept.len() == missing { kept.last().map_or(0, |last| last + 1) } else { faces.len() };
    state.next += used as u64;
    state.kept += kept.len() as u64;
    Ok(())
}

fn write_all(plan: &PairsPlan, jobs: Vec<(u64, &RgbImage, &RgbImage)>) -> Result<()> {
    use rayon::prelude::*;
    jobs.into_par_iter().try_for_each(|(number, face, toon)| {
        let name = format!("{number:06}.png");
        match plan.layout {
            Layout::Folders => FOLDERS.iter().zip([face, toon]).try_for_each(|(folder, image)| {
                picture::write(&plan.out.join(folder).join(&name), &DynamicImage::from(image.clone()))
            }),
            Layout::SideBySide => {
                let path = plan.out.join(TOGETHER).join(&name);
                picture::write(&path, &DynamicImage::from(beside(face, toon)?))
            }
        }
    })
}

/// One picture of two of the same size.
fn beside(left: &RgbImage, right: &RgbImage) -> Result<RgbImage> {
    let mut both = RgbImage::new(left.width() * 2, left.height());
    both.copy_from(left, 0, 0)?;
    both.copy_from(right, left.width(), 0)?;
    Ok(both)
}

/// Reads the latents of projected photos.
fn read_projected(paths: &[PathBuf], generator: &Generator) -> Result<Vec<WPlus>> {
    let config = generator.config();
    paths.iter().map(|path| latents::read_w_plus(path, config.num_ws(), config.w_dim)).collect()
}
