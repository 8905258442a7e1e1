//! A finished set to images and labels, one at a time, from as many threads as like: what training and metrics read.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use toonify_networks::random::RandomState;

use crate::dataset::format::{self, Label};
use crate::dataset::picture::{Picture, Shape};
use crate::store::bundle::Bundle;

/// Which images of a set are read, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Whether labels are read.
    pub labels: Labels,
    /// At most so many images, chosen at random and kept in the order of names.
    pub max_size: Option<usize>,
    /// What the choice begins with.
    pub seed: u32,
    /// Whether each image is read once more as in a mirror, behind all others.
    pub mirror: Mirror,
}

impl Selection {
    /// Everything as it is, with its labels.
    pub const ALL: Selection = Selection { labels: Labels::Read, max_size: None, seed: 0, mirror: Mirror::No };
}

/// Whether labels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Where the set has some.
    Read,
    /// As if there were none.
    Ignored,
}

/// Whether a set is doubled by its mirror images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// Images as they are.
    No,
    /// Twice as many: first all as they are, then all flipped in x.
    Double,
}

/// One image of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Bytes `[H, W, C]`, flipped where that was asked for.
    pub pixels: Vec<u8>,
    /// The label, `label_dim` long; one-hot for a class.
    pub label: Vec<f32>,
}

/// A set that is open for reading.
pub struct Reader {
    bundle: Bundle,
    /// The files that are images, in the order of names.
    images: Vec<usize>,
    labels: Option<Vec<Label>>,
    label_dim: usize,
    shape: Shape,
    /// Positions in `images`.
    chosen: Vec<usize>,
    mirror: Mirror,
}

impl Reader {
    /// Opens the folder or zip at `path`; of the images only the first is looked at.
    ///
    /// # Errors
    /// When there is no set at `path`, when an image has no label though others have, or when the first image cannot be
    /// read or is not square.
    pub fn open(path: &Path, selection: Selection) -> Result<Reader> {
        let bundle = Bundle::open(path)?;
        let images = format::images_of(&bundle);
        ensure!(!images.is_empty(), "no image files found in `{}`", path.display());
        let labels = match selection.labels {
            Labels::Read => format::complete_labels(&bundle, &images)?,
            Labels::Ignored => None,
        };
        let shape = stored_picture(&bundle, images[0])?.shape();
        let Shape { width, height, .. } = shape;
        ensure!(width == height, "`{}` is {width}x{height}, expected a square", bundle.path_of(images[0]).display());
        let label_dim = labels.as_deref().map_or(0, label_dim);
        let chosen = choose(images.len(), selection);
        Ok(Reader { bundle, images, labels, label_dim, shape, chosen, mirror: selection.mirror })
    }

    /// How many images are read, mirror images included.
    pub fn len(&self) -> usize {
        match self.mirror {
            Mirror::No => self.chosen.len(),
            Mirror::Double => 2 * self.chosen.len(),
        }
    }

    /// Whether no image was chosen.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// How many images the set holds, chosen or not.
    pub fn stored(&self) -> usize {
        self.images.len()
    }

    /// Side of the images in pixels.
    pub fn resolution(&self) -> u32 {
        self.shape.width
    }

    /// Channels of the images, 1 or 3.
    pub fn channels(&self) -> u32 {
        self.shape.channels
    }

    /// Length of a label; 0 without labels, the number of classes where labels are classes.
    ///
    /// It belongs to the whole set, whatever was chosen of it.
    pub fn label_dim(&self) -> usize {
        self.label_dim
    }

    /// The set's name: that of its file or folder, without the ending.
    pub fn name(&self) -> String {
        self.bundle.path().file_stem().map_or_else(|| "dataset".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }

    /// Which stored image is read as `index`, counted in the order of names, and whether it is flipped.
    ///
    /// # Panics
    /// When `index` is not below [`Reader::len`].
    pub fn origin(&self, index: usize) -> (usize, bool) {
        assert!(index < self.len(), "image {index} of {}", self.len());
        (self.chosen[index % self.chosen.len()], index >= self.chosen.len())
    }

    /// The file name of image `index`.
    pub fn image_name(&self, index: usize) -> &str {
        self.bundle.name(self.images[self.origin(index).0])
    }

    /// The label of image `index` as it is stored.
    pub fn stored_label(&self, index: usize) -> Option<&Label> {
        self.labels.as_ref().map(|labels| &labels[self.origin(index).0])
    }

    /// The label of image `index` as numbers; empty without labels.
    pub fn label(&self, index: usize) -> Vec<f32> {
        match self.stored_label(index) {
            None => Vec::new(),
            Some(Label::Vector(numbers)) => numbers.iter().map(|&number| number as f32).collect(),
            Some(Label::Class(class)) => {
                let mut one_hot = vec![0.0; self.label_dim];
                one_hot[*class as usize] = 1.0;
                one_hot
            }
        }
    }

    /// Reads image `index` with its label.
    ///
    /// # Errors
    /// When it cannot be read, or when it has another size or other channels than the first; the message names it.
    pub fn get(&self, index: usize) -> Result<Sample> {
        let (image, flipped) = self.origin(index);
        let mut picture = self.read(image)?;
        if flipped {
            match &mut picture {
                Picture::Gray(gray) => image::imageops::flip_horizontal_in_place(gray),
                Picture::Rgb(rgb) => image::imageops::flip_horizontal_in_place(rgb),
            }
        }
        Ok(Sample { pixels: picture.into_bytes(), label: self.label(index) })
    }

    /// Reads image `index` as a picture, never flipped.
    ///
    /// # Errors
    /// As [`Reader::get`].
    pub fn picture(&self, index: usize) -> Result<Picture> {
        self.read(self.origin(index).0)
    }

    /// The bytes of the file of image `index`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&self, index: usize) -> Result<Vec<u8>> {
        self.bundle.read(self.images[self.origin(index).0])
    }

    fn read(&self, image: usize) -> Result<Picture> {
        let picture = stored_picture(&self.bundle, self.images[image])?;
        let (found, expected) = (picture.shape(), self.shape);
        let path = self.bundle.path_of(self.images[image]);
        ensure!(found == expected, "`{}` is {found}, expected {expected} like the first image", path.display());
        Ok(picture)
    }
}

fn stored_picture(bundle: &Bundle, member: usize) -> Result<Picture> {
    let path = bundle.path_of(member);
    Picture::from_stored(&bundle.read(member)?, &path).context("the set is damaged")
}

/// Length of a label: one more than the largest class.
fn label_dim(labels: &[Label]) -> usize {
    let of = |label: &Label| match label {
        Label::Class(class) => *class as usize + 1,
        Label::Vector(numbers) => numbers.len(),
    };
    labels.iter().map(of).max().unwrap_or(0)
}

/// Positions of the chosen images: the first of a shuffled order, sorted again.
fn choose(count: usize, selection: Selection) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if let Some(max_size) = selection.max_size.filter(|max_size| *max_size < count) {
        RandomState::new(selection.seed).shuffle(&mut order);
        order.truncate(max_size);
        order.sort_unstable();
    }
    order
}
