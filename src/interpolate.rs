//! The straight ways between faces in `W`, as pictures and as a film.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use image::DynamicImage;
use toonify_networks::latent::WPlus;
use toonify_networks::stylegan2::Arithmetic;

use crate::events::{Event, Sink};
use crate::latents::{self, FaceSource, Preparation};
use crate::pixels::{self, Rounding};
use crate::render::{self, NoiseMode};
use crate::store::{animation, folder, picture};

/// What to render; nothing is left to ask.
#[derive(Clone, Debug)]
pub struct InterpolatePlan {
    /// Checkpoint file.
    pub network: PathBuf,
    /// The faces to pass, at least two.
    pub faces: Vec<FaceSource>,
    /// Truncation and class.
    pub preparation: Preparation,
    /// Pictures from one face to the next.
    pub frames: usize,
    /// Whether the way leads back to the first face.
    pub way: Way,
    /// Whether a film is made of the pictures.
    pub film: Film,
    /// Noise of the synthesis network; random noise is that of each way's first face.
    pub noise: NoiseMode,
    /// Arithmetic of the blocks that the checkpoint marks for half precision.
    pub arithmetic: Arithmetic,
    /// Folder for the pictures; made when it is not there.
    pub outdir: PathBuf,
}

/// Where the way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// At the last face.
    ThereOnly,
    /// At the first face again.
    RoundTrip,
}

/// Whether to make an animated GIF.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Film {
    /// Pictures only.
    No,
    /// Also `interpolation.gif`, with so many pictures a second.
    Gif(f64),
}

/// What was rendered.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Interpolated {
    /// The pictures, in order.
    pub images: Vec<PathBuf>,
    /// The film, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub film: Option<PathBuf>,
}

/// Renders the ways.
///
/// # Errors
/// When the checkpoint or latents cannot be read, or a picture cannot be written.
pub fn run(plan: &InterpolatePlan, sink: &mut dyn Sink) -> Result<Interpolated> {
    let generator = render::generator(&plan.network, plan.arithmetic)?;
    let faces = latents::faces(&plan.faces, &generator, &plan.preparation, sink)?;
    ensure!(faces.len() > 1, "a way needs two faces, {} is given", faces.len());
    folder::create(&plan.outdir)?;
    sink.event(&Event::Started { what: format!("interpolating between {} faces", faces.len()) });
    let steps = steps(faces.len(), plan.frames, plan.way);
    let mut outcome = Interpolated { images: Vec::new(), film: None };
    let mut frames: Vec<DynamicImage> = Vec::new();
    for (number, &Step { from, to, share }) in steps.iter().enumerate() {
        let ws: WPlus = faces[from].ws.interpolate(&faces[to].ws, share)?;
        let noise = render::noise(plan.noise, generator.config(), faces[from].noise_seed)?;
        let image = pixels::to_images(&generator.render(&ws, &noise)?, Rounding::Generate)?.remove(0);
        let path = plan.outdir.join(format!("frame{number:04}.png"));
        picture::write(&path, &image)?;
        sink.event(&Event::Saved { path: path.clone() });
        outcome.images.push(path);
        if plan.film != Film::No {
            frames.push(image);
        }
        sink.event(&Event::Progress { done: number as u64 + 1, total: steps.len() as u64, unit: "images" });
    }
    if let Film::Gif(per_second) = plan.film {
        let path = plan.outdir.join("interpolation.gif");
        animation::write(&path, &frames, animation::Frames { per_second })?;
        sink.event(&Event::Saved { path: path.clone() });
        outcome.film = Some(path);
    }
    Ok(outcome)
}

/// One picture on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    from: usize,
    to: usize,
    /// 0 is at `from`, 1 at `to`.
    share: f64,
}

/// Every face once, the pictures between them evenly; a round trip ends just before the first face, so that it repeats
/// without a pause.
fn steps(n_faces: usize, frames: usize, way: Way) -> Vec<Step> {
    let n_legs = match way {
        Way::ThereOnly => n_faces - 1,
        Way::RoundTrip => n_faces,
    };
    let leg = |from: usize| {
        let to = (from + 1) % n_faces;
        (0..frames).map(move |i| Step { from, to, share: i as f64 / frames as f64 })
    };
    let mut steps: Vec<Step> = (0..n_legs).flat_map(leg).collect();
    if way == Way::ThereOnly {
        steps.push(Step { from: n_faces - 2, to: n_faces - 1, share: 1.0 });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_is_passed_once() {
        let shares = |way| steps(3, 2, way).iter().map(|step| (step.from, step.to, step.share)).collect::<Vec<_>>();
        let there = [(0, 1, 0.0), (0, 1, 0.5), (1, 2, 0.0), (1, 2, 0.5), (1, 2, 1.0)];
        assert_eq!(shares(Way::ThereOnly), there);
        assert_eq!(shares(Way::RoundTrip), [&there[..4], &[(2, 0, 0.0), (2, 0, 0.5)]].concat());
    }
}
