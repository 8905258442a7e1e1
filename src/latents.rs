//! Faces to render: drawn from seeds or read from files of projected latents, mapped and truncated in one way for all.

use std::path::PathBuf;

use anyhow::Result;
use candle_core::Device;
use toonify_networks::latent::{Seed, Truncation, WPlus, Z};
use toonify_networks::stylegan2::Generator;

use crate::events::Sink;
use crate::render;
use crate::store::latents;

/// Where a face comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaceSource {
    /// A `z`, drawn as the published tools draw it and mapped by the generator.
    Seed(Seed),
    /// A `.npz` file with `w` `[K, num_ws, w_dim]`: a face each.
    File(PathBuf),
}

/// What becomes of latents before they are rendered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preparation {
    /// Truncation of faces from seeds.
    pub seeds: Truncation,
    /// Truncation of faces from files.
    pub files: Truncation,
    /// Class of a conditional network, for seeds.
    pub class: Option<usize>,
}

impl Preparation {
    /// The same truncation for all faces of an unconditional network.
    pub fn truncated(psi: f64) -> Self {
        let truncation = Truncation { psi, cutoff: None };
        Preparation { seeds: truncation, files: truncation, class: None }
    }
}

/// A face that can be rendered.
#[derive(Clone, Debug)]
pub struct Face {
    /// A short name, fit for files: the seed, or the file's name (and the number of the face in it).
    pub name: String,
    /// What stands beside its pictures.
    pub caption: String,
    /// Latents of one image.
    pub ws: WPlus,
    /// What its random noise starts from: the seed, or its number in its file.
    pub noise_seed: u32,
}

/// Makes the latents of all faces, in their order.
///
/// # Errors
/// When a file cannot be read or does not fit the generator, or a conditional one gets no class for seeds.
pub fn faces(
    sources: &[FaceSource],
    generator: &Generator,
    how: &Preparation,
    sink: &mut dyn Sink,
) -> Result<Vec<Face>> {
    let config = generator.config();
    let any_seed = sources.iter().any(|source| matches!(source, FaceSource::Seed(_)));
    let label = if any_seed { render::label(how.class, config, 1, sink)? } else { None };
    let mut faces = Vec::new();
    for source in sources {
        match source {
            FaceSource::Seed(seed) => {
                let z = Z::from_seeds(&[*seed], config.z_dim, &Device::Cpu)?;
                let ws = generator.map(&z, label.as_ref())?.broadcast(config.num_ws())?;
                let ws = ws.truncate(generator.w_avg(), &how.seeds)?;
                let Seed(number) = *seed;
                faces.push(Face {
                    name: number.to_string(),
                    caption: format!("seed {number}"),
                    ws,
                    noise_seed: number,
                });
            }
            FaceSource::File(path) => {
                let ws = latents::read_w_plus(path, config.num_ws(), config.w_dim)?;
                let ws = ws.truncate(generator.w_avg(), &how.files)?;
                for index in 0..ws.len() {
                    let (name, only) = (latents::name_of(path), ws.len() == 1);
                    faces.push(Face {
                        caption: if only { name.clone() } else { format!("{name} {index}") },
                        name: if only { name } else { format!("{name}_{index}") },
                        ws: ws.narrow(index, 1)?,
                        noise_seed: index as u32,
                    });
                }
            }
        }
    }
    Ok(faces)
}

/// The latents of all faces in one batch.
///
/// # Errors
/// When there are none.
pub fn batch(faces: &[Face]) -> Result<WPlus> {
    Ok(WPlus::cat(&faces.iter().map(|face| face.ws.clone()).collect::<Vec<_>>())?)
}
