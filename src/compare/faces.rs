//! The faces of photos, ready to be cut out at any size.

use std::path::PathBuf;

use anyhow::{Context, Result};
use image::RgbImage;
use toonify_align::{CropFrame, CropMethod, crop};

use super::{ComparePlan, LeftOut};
use crate::align::{FaceSearch, Finder};
use crate::events::{Event, Sink};
use crate::photo::AlignedFace;
use crate::pixels;
use crate::store::folder;
use crate::store::photo::Photo;

/// How a photo becomes a face.
#[derive(Clone, Debug)]
pub enum Framing {
    /// The largest face is found and framed, as everywhere else.
    Found {
        /// dlib's 68-point landmark model.
        model: PathBuf,
        /// Which faces are wanted.
        search: FaceSearch,
    },
    /// The photo is a framed face already.
    Aligned,
}

/// A face in its photo.
pub(super) struct Face {
    /// Number and name of the photo.
    pub name: String,
    photo: RgbImage,
    /// Where the face is; everywhere in one that is framed already.
    frame: Option<CropFrame>,
}

impl Face {
    /// The face at this size.
    pub fn image(&self, side_px: u32) -> Result<RgbImage> {
        Ok(match &self.frame {
            Some(frame) => crop(&self.photo, frame, side_px, CropMethod::Clean)?,
            None => pixels::square(&self.photo, side_px),
        })
    }

    /// The face for an engine of this size.
    pub fn aligned(&self, side_px: u32) -> Result<AlignedFace> {
        Ok(AlignedFace { name: self.name.clone(), image: self.image(side_px)? })
    }
}

/// Finds the faces of all photos; those without are named.
pub(super) fn find(plan: &ComparePlan, sink: &mut dyn Sink) -> Result<(Vec<Face>, LeftOut)> {
    let mut finder = match &plan.framing {
        Framing::Found { model, search } => Some(Finder::open(model, search)?),
        Framing::Aligned => None,
    };
    let (mut faces, mut left_out) = (Vec::new(), Vec::new());
    for (index, path) in listed(&plan.photos)?.into_iter().enumerate() {
        let name = format!("{index:03}-{}", path.file_stem().unwrap_or_default().to_string_lossy());
        match face(&path, name, finder.as_mut()) {
            Ok(face) => faces.push(face),
            Err(error) => {
                let why = error.root_cause().to_string();
                sink.event(&Event::Skipped { path: path.clone(), why: why.clone() });
                left_out.push((path, why));
            }
        }
    }
    Ok((faces, left_out))
}

fn face(path: &PathBuf, name: String, finder: Option<&mut Finder>) -> Result<Face> {
    let photo = Photo::read(path)?.pixels;
    let Some(finder) = finder else { return Ok(Face { name, photo, frame: None }) };
    let mut sighting = finder.look(&photo)?;
    if let Some(skipped) = sighting.skipped {
        anyhow::bail!("{}", skipped.detail);
    }
    let frame = sighting.faces.drain(..).next().context("no face was found")?.frame;
    Ok(Face { name, photo, frame: Some(frame) })
}

fn listed(photos: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in photos {
        if path.is_dir() { all.extend(folder::images(path)?) } else { all.push(path.clone()) }
    }
    Ok(all)
}
