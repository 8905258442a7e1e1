//! `photos.json`: what became of each photo, written anew whenever one is finished.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::photo::inputs::Entry;
use crate::store::json;

const FILE_NAME: &str = "photos.json";

/// What is known about a photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhotoRecord {
    /// Where it lies.
    pub source: PathBuf,
    /// Hash of its file.
    pub sha256: String,
    /// Short name of all that decided the result beside the photo.
    pub style: String,
    /// Name of its results.
    pub stem: String,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// The photo with the toons in it, below the output folder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub photo: Option<PathBuf>,
    /// The square toons, below the output folder; largest face first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub toons: Vec<PathBuf>,
}

/// What became of a photo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "lowercase")]
pub enum Fate {
    /// It has its result.
    Done,
    /// It has a result that more time would have made better.
    Interrupted,
    /// It has none.
    Failed {
        /// The reason, in words.
        why: String,
    },
}

/// The records of an output folder.
pub struct Ledger {
    folder: PathBuf,
    records: BTreeMap<String, PhotoRecord>,
}

impl Ledger {
    /// Reads the ledger of an output folder, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(folder: &Path) -> Result<Ledger> {
        let records = json::read_if_any(&folder.join(FILE_NAME))?.unwrap_or_default();
        Ok(Ledger { folder: folder.to_owned(), records })
    }

    /// What is known about a photo.
    pub fn get(&self, key: &str) -> Option<&PhotoRecord> {
        self.records.get(key)
    }

    /// Whether a photo needs no work: the same file and style, all its results there, and its stages where wanted.
    pub fn is_done(&self, entry: &Entry, style: &str, stages: Option<&Path>) -> bool {
        let is_there = |file: &PathBuf| self.folder.join(file).is_file();
        self.get(&entry.key).is_some_and(|record| {
            record.fate == Fate::Done
                && record.style == style
                && record.sha256 == entry.sha256
                && record.photo.iter().chain(&record.toons).all(is_there)
                && stages.is_none_or(|folder| folder.join(&entry.stem).is_dir())
        })
    }

    /// Remembers what became of a photo.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn enter(&mut self, entry: &Entry, record: PhotoRecord) -> Result<()> {
        self.records.insert(entry.key.clone(), record);
        json::write(&self.folder.join(FILE_NAME), &self.records)
    }
}
