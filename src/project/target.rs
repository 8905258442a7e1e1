//! A picture as the generator would have to render it: RGB or gray, the centred square, in the network's size.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use image::{DynamicImage, RgbImage};
use toonify_networks::stylegan2::GeneratorConfig;

use crate::pixels;
use crate::project::ProjectPlan;
use crate::store::photo::{self, Photo};
use crate::store::{folder, hash};

/// One picture and where its results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The picture's file, or what to call a picture that has none.
    pub path: PathBuf,
    /// The picture itself where it is no file.
    pub pixels: Option<RgbImage>,
    /// Folder for the results.
    pub folder: PathBuf,
}

impl Task {
    /// Hash of the picture: of its file's bytes, or of its pixels.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn sha256(&self) -> Result<String> {
        Ok(match &self.pixels {
            Some(pixels) => hash::sha256(pixels.as_raw()),
            None => hash::sha256(photo::read_bytes(&self.path)?),
        })
    }

    fn picture(&self) -> Result<RgbImage> {
        match &self.pixels {
            Some(pixels) => Ok(pixels.clone()),
            None => Ok(Photo::read(&self.path)?.pixels),
        }
    }
}

/// The tasks of a plan: one for a picture, one a picture for a folder.
///
/// # Errors
/// When the target is missing, or is a folder without pictures.
pub fn tasks(plan: &ProjectPlan) -> Result<Vec<Task>> {
    let metadata =
        fs::metadata(&plan.target).with_context(|| format!("cannot read target `{}`", plan.target.display()))?;
    if !metadata.is_dir() {
        return Ok(vec![Task { path: plan.target.clone(), pixels: None, folder: plan.outdir.clone() }]);
    }
    let pictures = folder::images(&plan.target)?;
    ensure!(!pictures.is_empty(), "there are no pictures in the folder `{}`", plan.target.display());
    let mut stems: HashMap<_, usize> = HashMap::new();
    for path in &pictures {
        *stems.entry(path.file_stem().map(ToOwned::to_owned)).or_default() += 1;
    }
    let task = |path: PathBuf| {
        // Two pictures of one name differ in their endings.
        let alone = stems[&path.file_stem().map(ToOwned::to_owned)] == 1;
        let name = if alone { path.file_stem() } else { path.file_name() };
        Task { folder: plan.outdir.join(name.unwrap_or_default()), pixels: None, path }
    };
    Ok(pictures.into_iter().map(task).collect())
}

/// A picture that is ready to be searched for.
pub struct Target {
    /// Where it comes from and where its results go.
    pub task: Task,
    /// The picture in the network's size and colours.
    pub image: DynamicImage,
    /// `[1, C, R, R]`, from 0 to 255.
    pub tensor: Tensor,
}

impl Target {
    /// Reads the picture of a task and brings it to the network's size.
    ///
    /// # Errors
    /// When it cannot be read, or the network has neither one nor three colour channels.
    pub fn read(task: &Task, config: &GeneratorConfig) -> Result<Target> {
        let square = pixels::square(&task.picture()?, config.resolution.px() as u32);
        let (image, tensor) = match config.img_channels {
            1 => {
                let gray = pixels::to_gray(&square);
                (DynamicImage::from(gray.clone()), pixels::from_gray(&[gray], &Device::Cpu)?)
            }
            3 => (DynamicImage::from(square.clone()), pixels::from_rgb(&[square], &Device::Cpu)?),
            channels => bail!("the network renders {channels} channels, pictures have 1 or 3"),
        };
        Ok(Target { task: task.clone(), image, tensor: tensor.affine(127.5, 127.5)? })
    }
}

/// Name of a target in messages and tables.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
