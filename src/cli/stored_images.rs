//! A training set as the images that metrics look at.

use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;

use crate::dataset::{Labels, Mirror, Reader, Selection};
use crate::metrics::Images;
use crate::store::hash::sha256;

/// Images of a folder or zip.
pub(crate) struct StoredImages {
    reader: Reader,
    name: String,
}

impl StoredImages {
    /// Opens the set at `path`.
    ///
    /// # Errors
    /// When there is no set, or its first image is not square.
    pub(crate) fn open(path: &Path, mirror: Mirror) -> Result<Self> {
        StoredImages::select(path, Selection { labels: Labels::Read, mirror, ..Selection::ALL })
    }

    /// Opens a part of the set at `path`.
    ///
    /// # Errors
    /// As [`StoredImages::open`].
    pub(crate) fn select(path: &Path, selection: Selection) -> Result<Self> {
        Ok(StoredImages { reader: Reader::open(path, selection)?, name: path.display().to_string() })
    }
}

impl Images for StoredImages {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn len(&self) -> usize {
        self.reader.len()
    }

    fn resolution(&self) -> usize {
        self.reader.resolution() as usize
    }

    fn channels(&self) -> usize {
        self.reader.channels() as usize
    }

    fn pixels(&self, index: usize) -> Result<Vec<u8>> {
        Ok(self.reader.get(index)?.pixels)
    }

    fn label(&self, index: usize) -> Vec<f32> {
        self.reader.label(index)
    }

    fn fingerprint(&self) -> Result<String> {
        let of_image = |index: usize| -> Result<String> {
            let (stored, flipped) = self.reader.origin(index);
            Ok(format!("{stored} {flipped} {}\n", sha256(self.reader.file(index)?)))
        };
        let lines: Vec<String> = (0..self.len()).into_par_iter().map(of_image).collect::<Result<_>>()?;
        Ok(sha256(lines.concat()))
    }
}
