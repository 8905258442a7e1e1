//! Checkpoint files on disk: mapped, not read, so that a large file costs no more memory than what is taken from it.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use memmap2::{Mmap, UncheckedAdvice};
use toonify_networks::checkpoint::{self, Archive, Checkpoint, ImportReport, Parts, Precision, Unused};
use toonify_networks::pix2pix;

use crate::store::atomic::AtomicFile;
use crate::store::hash;

/// A checkpoint file in memory by reference.
pub struct CheckpointFile {
    /// `None` for an empty file, which cannot be mapped.
    map: Option<Mmap>,
    path: String,
}

impl CheckpointFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// When there is no such file, it is a directory, or it may not be read; the message names it.
    pub fn open(path: &Path) -> Result<CheckpointFile> {
        let shown = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open checkpoint `{shown}`"))?;
        let metadata = file.metadata().with_context(|| format!("cannot open checkpoint `{shown}`"))?;
        if !metadata.is_file() {
            bail!("`{shown}` is not a file, expected a checkpoint (.pkl, .pt or .safetensors)");
        }
        if metadata.len() == 0 {
            return Ok(CheckpointFile { map: None, path: shown });
        }
        // SAFETY: the mapping is private and read-only; as with every mapped file, nobody may shorten it meanwhile.
        let map = unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map checkpoint `{shown}`"))?;
        Ok(CheckpointFile { map: Some(map), path: shown })
    }

    /// Understands the file without copying a tensor.
    ///
    /// # Errors
    /// When it is no checkpoint that is known; the message names file, object, expected and found.
    pub fn archive(&self) -> Result<Archive<'_>> {
        self.archive_with(Unused::Refuse)
    }

    fn archive_with(&self, unused: Unused) -> Result<Archive<'_>> {
        let bytes: &[u8] = self.map.as_deref().unwrap_or_default();
        checkpoint::open_with(bytes, unused).with_context(|| format!("cannot read checkpoint `{}`", self.path))
    }

    /// Whether it is a student's file rather than a generator's.
    pub fn is_student(&self) -> bool {
        pix2pix::is_student(self.map.as_deref().unwrap_or_default())
    }

    /// Size of the file in bytes.
    pub fn len(&self) -> u64 {
        self.map.as_ref().map_or(0, |map| map.len() as u64)
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.map.is_none()
    }

    /// Reads the wanted parts.
    ///
    /// # Errors
    /// As [`CheckpointFile::archive`], and when a tensor is missing, left over or of another shape.
    pub fn read(&self, wanted: Parts, unused: Unused) -> Result<(Checkpoint, ImportReport)> {
        self.archive_with(unused)?
            .into_checkpoint(wanted, &mut || self.release())
            .with_context(|| format!("cannot read checkpoint `{}`", self.path))
    }

    /// Hash of the whole file, as `sha256sum` prints it.
    pub fn sha256(&self) -> String {
        let hash = hash::sha256(self.map.as_deref().unwrap_or_default());
        self.release();
        hash
    }

    /// Gives the pages read so far back to the system; they come from the file again when they are needed.
    fn release(&self) {
        if let Some(map) = &self.map {
            // SAFETY: the mapping is of a file and read-only, so dropping its pages loses nothing.
            // A system that refuses the advice only keeps the pages longer.
            let _ = unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) };
        }
    }
}

/// Reads the wanted parts of the checkpoint at `path`.
///
/// # Errors
/// As [`CheckpointFile::open`] and [`CheckpointFile::read`].
pub fn read(path: &Path, wanted: Parts) -> Result<Checkpoint> {
    Ok(CheckpointFile::open(path)?.read(wanted, Unused::Refuse)?.0)
}

/// The kinds of checkpoint files that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This project's `.safetensors`, in single precision.
    Toonify,
    /// The same in half precision.
    ToonifyHalf,
    /// rosinality's `.pt`.
    Rosinality,
}

/// Writes a checkpoint, whole or not at all; returns what the format could not say.
///
/// # Errors
/// When the format cannot hold the networks or the file cannot be written; the message names it.
pub fn write(path: &Path, checkpoint: &Checkpoint, format: Format) -> Result<Vec<String>> {
    let mut file = AtomicFile::create(path)?;
    let written = match format {
        Format::Toonify => checkpoint::write_safetensors(checkpoint, Precision::Single, &mut file).map(|()| vec![]),
        Format::ToonifyHalf => checkpoint::write_safetensors(checkpoint, Precision::Half, &mut file).map(|()| vec![]),
        Format::Rosinality => checkpoint::write_rosinality(checkpoint, &mut file),
    };
    let notes = written.with_context(|| format!("cannot write checkpoint `{}`", path.display()))?;
    file.commit()?;
    Ok(notes)
}
