//! All photos of all sources, each with a key to remember it by and a name for its results.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use image::RgbImage;

use crate::align::{Input, Sources, stems};
use crate::photo::PhotoPlan;
use crate::photo::ledger::Ledger;
use crate::store::{hash, photo};

/// One photo.
pub struct Entry {
    /// Where it lies, from the root of the disk: what the ledger knows it by.
    pub key: String,
    /// Where it lies, for messages.
    pub path: PathBuf,
    /// Name of its results, folders kept, without extension.
    pub stem: String,
    /// Hash of its file; empty when that cannot be read.
    pub sha256: String,
    /// Pixels that it has; 0 when that cannot be told.
    pub pixels: u64,
    source: usize,
    input: Input,
}

impl Entry {
    /// Name of what is made of its `index`th face.
    pub fn face_name(&self, index: usize) -> String {
        format!("{}_{index:02}", self.stem)
    }
}

/// The photos of a plan.
pub struct Inputs {
    /// In the order of the sources, each by name.
    pub entries: Vec<Entry>,
    sources: Vec<Sources>,
}

impl Inputs {
    /// Lists the photos; those that are in the ledger keep the names of their results.
    ///
    /// # Errors
    /// When a source is missing or holds no pictures.
    pub fn list(plan: &PhotoPlan, ledger: &Ledger) -> Result<Inputs> {
        let mut inputs = Inputs { entries: Vec::new(), sources: Vec::new() };
        for (source, path) in plan.sources.iter().enumerate() {
            let listed = Sources::list(path, &plan.out)?;
            let root = fs::canonicalize(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let is_file = listed.inputs.len() == 1 && listed.path(&listed.inputs[0]) == *path;
            for input in &listed.inputs {
                let place = if is_file { root.clone() } else { root.join(&input.name) };
                let bytes = listed.read(input).unwrap_or_default();
                let sha256 = if bytes.is_empty() { String::new() } else { hash::sha256(&bytes) };
                inputs.entries.push(Entry {
                    key: place.to_string_lossy().into_owned(),
                    pixels: photo::count_pixels(&bytes, &listed.path(input)).unwrap_or_default(),
                    path: listed.path(input),
                    stem: String::new(),
                    sha256,
                    source,
                    input: input.clone(),
                });
            }
            inputs.sources.push(listed);
        }
        inputs.forget_repetitions();
        inputs.name(ledger);
        Ok(inputs)
    }

    /// A photo that was named twice is done once.
    fn forget_repetitions(&mut self) {
        let mut seen = std::collections::HashSet::new();
        self.entries.retain(|entry| seen.insert(entry.key.clone()));
    }

    fn name(&mut self, ledger: &Ledger) {
        let names: Vec<&str> = self.entries.iter().map(|entry| entry.input.name.as_str()).collect();
        let known = |index: usize| ledger.get(&self.entries[index].key).map(|record| record.stem.clone());
        let stems = stems(&names, known);
        self.entries.iter_mut().zip(stems).for_each(|(entry, stem)| entry.stem = stem);
    }

    /// Reads a photo, upright.
    ///
    /// # Errors
    /// When it cannot be read or decoded.
    pub fn photo(&self, entry: &Entry) -> Result<RgbImage> {
        let source = &self.sources[entry.source];
        let bytes = source.read(&entry.input)?;
        Ok(source.decode(&entry.input, &bytes)?.pixels)
    }
}
