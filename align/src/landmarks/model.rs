//! dlib's `shape_predictor` file (version 1), read and checked: after loading no index can miss.
//!
//! The file holds a mean shape, then for each stage of the cascade a forest, then for each stage the pixels whose
//! brightness its trees compare, each given by the nearest landmark of the mean shape and the way from there.

use sha2::{Digest, Sha256};

use super::reader::Reader;
use crate::error::ModelError;
use crate::face::Landmarks;
use crate::geometry::Point;

type Result<T> = std::result::Result<T, ModelError>;

/// Digest of the published file `shape_predictor_68_face_landmarks.dat`.
pub const PUBLISHED_SHA256: &str = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f";

/// Coordinates of a shape: x and y of 68 points.
pub(super) const COORDINATES: usize = 2 * Landmarks::COUNT;

/// A shape, in units of the face's box.
pub(super) type Shape = [f32; COORDINATES];

/// The landmark model, in memory.
pub struct LandmarkModel {
    pub(super) mean: Box<Shape>,
    pub(super) stages: Vec<Stage>,
}

/// One stage of the cascade.
#[derive(Default)]
pub(super) struct Stage {
    pub trees: Vec<Tree>,
    pub probes: Vec<Probe>,
}

/// A full binary tree; the children of node i are 2i + 1 and 2i + 2, and the leaves follow the splits.
pub(super) struct Tree {
    pub splits: Box<[Split]>,
    pub leaves: Box<[Shape]>,
}

/// A decision: left when the first probe is brighter than the second by more than the threshold.
pub(super) struct Split {
    pub brighter: u16,
    pub darker: u16,
    pub threshold: f32,
}

/// A pixel that a stage looks at: a landmark and the way from it, in units of the mean shape.
pub(super) struct Probe {
    pub landmark: u16,
    pub offset: [f32; 2],
}

impl LandmarkModel {
    /// Loads the published 68-point model from the bytes of its file.
    ///
    /// # Errors
    /// [`ModelError::Checksum`] for any other bytes: a damaged model may load and move every face.
    pub fn published(bytes: &[u8]) -> Result<Self> {
        let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != PUBLISHED_SHA256 {
            return Err(ModelError::Checksum { found, expected: PUBLISHED_SHA256.into() });
        }
        LandmarkModel::unverified(bytes)
    }

    /// Loads any 68-point model of dlib's format, trained by somebody else.
    ///
    /// # Errors
    /// Truncated, corrupt or over-long bytes. Memory stays within a small multiple of their number.
    pub fn unverified(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        if reader.integer()? != 1 {
            return Err(reader.corrupt("this is no shape predictor of version 1"));
        }
        let mean = Box::new(shape(&mut reader)?);
        let n_stages = reader.count(2)?;
        let mut stages = (0..n_stages).map(|_| forest(&mut reader)).collect::<Result<Vec<Stage>>>()?;
        probe_landmarks(&mut reader, &mut stages)?;
        probe_offsets(&mut reader, &mut stages)?;
        if !stages.iter().all(splits_point_at_probes) {
            return Err(reader.corrupt("a split that looks at a pixel that does not exist"));
        }
        reader.finish()?;
        Ok(LandmarkModel { mean, stages })
    }

    /// The mean face that every search starts from, in units of the face's box.
    pub fn mean_shape(&self) -> Landmarks {
        Landmarks::new(std::array::from_fn(|i| Point::new(self.mean[2 * i].into(), self.mean[2 * i + 1].into())))
    }
}

fn shape(reader: &mut Reader) -> Result<Shape> {
    if reader.column_height()? != COORDINATES {
        return Err(reader.corrupt("a shape that has not 68 points"));
    }
    let mut shape = [0.0; COORDINATES];
    for value in &mut shape {
        *value = reader.number()?;
    }
    Ok(shape)
}

fn forest(reader: &mut Reader) -> Result<Stage> {
    let n_trees = reader.count(4)?;
    let trees = (0..n_trees).map(|_| tree(reader)).collect::<Result<_>>()?;
    Ok(Stage { trees, probes: Vec::new() })
}

fn tree(reader: &mut Reader) -> Result<Tree> {
    let n_splits = reader.count(8)?;
    let splits = (0..n_splits).map(|_| split(reader)).collect::<Result<Box<[Split]>>>()?;
    // A shape takes at least four bytes a number in the file, and four in memory.
    let n_leaves = reader.count(4 * COORDINATES)?;
    if n_leaves != n_splits + 1 {
        return Err(reader.corrupt("a tree whose leaves do not fit its splits"));
    }
    let leaves = (0..n_leaves).map(|_| shape(reader)).collect::<Result<_>>()?;
    Ok(Tree { splits, leaves })
}

fn split(reader: &mut Reader) -> Result<Split> {
    let any = usize::from(u16::MAX) + 1;
    Ok(Split { brighter: reader.index(any)?, darker: reader.index(any)?, threshold: reader.number()? })
}

fn probe_landmarks(reader: &mut Reader, stages: &mut [Stage]) -> Result<()> {
    if reader.count(2)? != stages.len() {
        return Err(reader.corrupt("another number of probe lists than stages"));
    }
    for stage in stages {
        let n_probes = reader.count(2)?;
        let probe = |landmark| Probe { landmark, offset: [0.0; 2] };
        stage.probes = (0..n_probes).map(|_| reader.index(Landmarks::COUNT).map(probe)).collect::<Result<_>>()?;
    }
    Ok(())
}

fn probe_offsets(reader: &mut Reader, stages: &mut [Stage]) -> Result<()> {
    if reader.count(2)? != stages.len() {
        return Err(reader.corrupt("another number of offset lists than stages"));
    }
    for stage in stages {
        if reader.count(8)? != stage.probes.len() {
            return Err(reader.corrupt("another number of offsets than probes"));
        }
        for probe in &mut stage.probes {
            probe.offset = [reader.number()?, reader.number()?];
        }
    }
    Ok(())
}

fn splits_point_at_probes(stage: &Stage) -> bool {
    let exists = |index: u16| usize::from(index) < stage.probes.len();
    stage.trees.iter().flat_map(|tree| &tree.splits).all(|split| exists(split.brighter) && exists(split.darker))
}
