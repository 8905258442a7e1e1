//! The blended generator as an engine: a face is projected into the base, and its `w` rendered by the blend.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use toonify_networks::checkpoint::{Checkpoint, Parts, Unused};
use toonify_networks::latent::{Truncation, WPlus};
use toonify_networks::stylegan2::{
    BlendCurve, Generator, GeneratorConfig, Layer, Level, Noise, Side, Weights, require_alike,
};

use crate::events::Sink;
use crate::photo::engine::{AlignedFace, Ending, Engine, Toon};
use crate::photo::plan::{Base, BlendPlan, LatentsPlan, Style, StylePlan};
use crate::pixels::{self, Rounding};
use crate::project::{LATENTS, Projected, Projector, TUNED_NETWORK, Task, Unreadable};
use crate::store::checkpoint::{self, CheckpointFile};
use crate::store::photo::Photo;
use crate::store::{hash, latents};

/// Projects and renders.
pub struct BlendedEngine {
    generator: Generator,
    /// What a generator that was tuned to one face is blended with.
    partner: Option<Partner>,
    latents: Latents,
    truncation: Truncation,
    identity: String,
}

/// The tuned model of a blend, and how it is blended.
struct Partner {
    weights: Weights<Layer>,
    base: Base,
    curve: BlendCurve,
}

enum Latents {
    Projected {
        projector: Box<Projector>,
        faces_at_once: usize,
        folder: PathBuf,
    },
    /// `None` when a photo has taken them.
    Given(Option<WPlus>),
}

/// The latents of a face, and where they came from.
struct Found {
    ws: WPlus,
    /// Folder of the projection.
    folder: Option<PathBuf>,
    ending: Ending,
}

impl BlendedEngine {
    /// Reads the networks and blends them; the projector's is read when there is something to project.
    ///
    /// # Errors
    /// When a file cannot be read, or networks and latents do not fit.
    pub fn open(plan: &StylePlan) -> Result<BlendedEngine> {
        let (config, weights, partner, made_of) = open_style(&plan.style)?;
        let generator = Generator::from_weights(&config, &weights)?;
        let (latents, found_by) = open_latents(&plan.latents, &config)?;
        let identity = format!("{made_of} {found_by} {:?}", plan.truncation);
        Ok(BlendedEngine { generator, partner, latents, truncation: plan.truncation, identity })
    }

    fn find(
        &mut self,
        faces: &[AlignedFace],
        (stop, sink): (&AtomicBool, &mut dyn Sink),
    ) -> Result<Vec<Option<Found>>> {
        let config = self.generator.config();
        let (projector, folder) = match &mut self.latents {
            Latents::Given(given) => {
                let ws = given.take().context("--w gives the latents of one photo, and there are several")?;
                let (n_faces, n_ws) = (faces.len(), ws.len());
                ensure!(n_ws == n_faces, "the photo has {n_faces} faces, --w gives {n_ws} latents");
                let found = |index| Ok(Some(Found { ws: ws.narrow(index, 1)?, folder: None, ending: Ending::Whole }));
                return (0..n_faces).map(found).collect();
            }
            Latents::Projected { projector, folder, .. } => (projector, folder),
        };
        let folder_of = |face: &AlignedFace| folder.join(&face.name);
        let task = |face: &AlignedFace| Task {
            path: PathBuf::from(&face.name),
            pixels: Some(face.image.clone()),
            folder: folder_of(face),
        };
        let projected = projector.project(faces.iter().map(task).collect(), Unreadable::Refused, (stop, sink))?;
        let found = |face: &AlignedFace| -> Result<Option<Found>> {
            let folder = folder_of(face);
            let Some(ending) = ending_of(&projected, &folder) else { return Ok(None) };
            let ws = latents::read_w_plus(&folder.join(LATENTS), config.num_ws(), config.w_dim)?;
            Ok(Some(Found { ws, folder: Some(folder), ending }))
        };
        faces.iter().map(found).collect()
    }

    /// The generator for a face: the blend, or a blend of the base that was tuned to this very face.
    fn render(&self, found: &Found) -> Result<RgbImage> {
        let ws = found.ws.truncate(self.generator.w_avg(), &self.truncation)?;
        let tuned = found.folder.as_ref().map(|folder| folder.join(TUNED_NETWORK)).filter(|path| path.is_file());
        let image = match (&self.partner, tuned) {
            (Some(partner), Some(path)) if self.tunes() => {
                let base = checkpoint::read(&path, Parts::GeneratorEma)?;
                let weights = partner.blend(&base.ema, &base.config)?;
                Generator::from_weights(&base.config, &weights)?.render(&ws, &Noise::Const)?
            }
            _ => self.generator.render(&ws, &Noise::Const)?,
        };
        Ok(pixels::to_rgb(&image, Rounding::Generate)?.swap_remove(0))
    }

    fn tunes(&self) -> bool {
        matches!(&self.latents, Latents::Projected { projector, .. } if projector.settings().tune_steps > 0)
    }
}

impl Engine for BlendedEngine {
    fn side_px(&self) -> u32 {
        self.generator.config().resolution.px() as u32
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn faces_at_once(&self) -> usize {
        match &self.latents {
            Latents::Projected { faces_at_once, .. } => *faces_at_once,
            Latents::Given(_) => 1,
        }
    }

    fn toons(&mut self, faces: &[AlignedFace], how: (&AtomicBool, &mut dyn Sink)) -> Result<Vec<Option<Toon>>> {
        let found = self.find(faces, how)?;
        let toon = |found: Option<Found>| -> Result<Option<Toon>> {
            let Some(found) = found else { return Ok(None) };
            let projection = found.folder.as_ref().map(|folder| Photo::read(folder.join("proj.png"))).transpose()?;
            let stages = projection.into_iter().map(|photo| ("projected", photo.pixels)).collect();
            Ok(Some(Toon { image: self.render(&found)?, stages, ending: found.ending }))
        };
        found.into_iter().map(toon).collect()
    }
}

/// How the projection of the face in `folder` ended; `None` when it was not begun.
fn ending_of(projected: &Projected, folder: &Path) -> Option<Ending> {
    if projected.interrupted.iter().any(|interrupted| interrupted == folder) {
        return Some(Ending::Interrupted);
    }
    projected.targets.iter().any(|target| target.folder == folder).then_some(Ending::Whole)
}

/// The generator's configuration and weights, what tuned generators are blended with, and what all is made of.
fn open_style(style: &Style) -> Result<(GeneratorConfig, Weights<Layer>, Option<Partner>, String)> {
    match style {
        Style::Blended(path) => {
            let (checkpoint, hash) = read(path)?;
            Ok((checkpoint.config, checkpoint.ema, None, format!("blended {hash}")))
        }
        Style::Blend(BlendPlan { base, tuned, resolution, slope, low }) => {
            let ((base_model, base_hash), (tuned_model, tuned_hash)) = (read(base)?, read(tuned)?);
            let names = [base, tuned].map(|path| path.display().to_string());
            require_alike((&names[0], &base_model.config), (&names[1], &tuned_model.config))?;
            let size = base_model.config.resolution;
            ensure!(*resolution <= size, "cannot swap at {resolution} px, the networks have {size} px");
            // The photos' latents are the base's, and so is their average.
            let side = match low {
                Base::Low => Side::Low,
                Base::High => Side::High,
            };
            let curve = BlendCurve::swap(*resolution, Level::Zero, *slope)?.with_mapping(side);
            let made_of = format!("base {base_hash} tuned {tuned_hash} {low:?} {curve}");
            let partner = Partner { weights: tuned_model.ema, base: *low, curve };
            let weights = partner.blend(&base_model.ema, &base_model.config)?;
            Ok((base_model.config, weights, Some(partner), made_of))
        }
    }
}

impl Partner {
    fn blend(&self, base: &Weights<Layer>, config: &GeneratorConfig) -> Result<Weights<Layer>> {
        Ok(match self.base {
            Base::Low => base.blend(&self.weights, config, &self.curve)?,
            Base::High => self.weights.blend(base, config, &self.curve)?,
        })
    }
}

fn open_latents(plan: &LatentsPlan, config: &GeneratorConfig) -> Result<(Latents, String)> {
    match plan {
        LatentsPlan::Projected { projector: plan, folder } => {
            let projector = Box::new(Projector::new(plan)?);
            let settings = serde_json::to_string(&plan.settings).context("plain settings are JSON")?;
            let found_by = format!("projected {} {settings}", projector.network_sha256());
            let faces_at_once = plan.images_at_once(config.resolution);
            Ok((Latents::Projected { projector, faces_at_once, folder: folder.clone() }, found_by))
        }
        LatentsPlan::Given(paths) => {
            let read = |path: &PathBuf| latents::read_w_plus(path, config.num_ws(), config.w_dim);
            let ws = WPlus::cat(&paths.iter().map(read).collect::<Result<Vec<_>>>()?)?;
            let numbers = ws.tensor().flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            Ok((Latents::Given(Some(ws)), format!("given {}", hash::sha256(&bytes))))
        }
    }
}

fn read(path: &Path) -> Result<(Checkpoint, String)> {
    let file = CheckpointFile::open(path)?;
    let (checkpoint, _report) = file.read(Parts::GeneratorEma, Unused::Refuse)?;
    Ok((checkpoint, file.sha256()))
}
