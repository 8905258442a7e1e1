//! Students on disk.

use std::path::Path;

use anyhow::{Context, Result};
use toonify_networks::checkpoint::Precision;
use toonify_networks::pix2pix::{self, StudentFile};

use crate::store::atomic;
use crate::store::checkpoint::CheckpointFile;

/// Reads the student at `path`.
///
/// # Errors
/// When there is no such file, or it is no student; the message names it.
pub fn read(path: &Path) -> Result<StudentFile> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot open student `{shown}`"))?;
    pix2pix::read_student(&bytes).with_context(|| format!("cannot read student `{shown}`"))
}

/// Whether the file at `path` is a student.
///
/// # Errors
/// As [`CheckpointFile::open`].
pub fn is_student(path: &Path) -> Result<bool> {
    Ok(CheckpointFile::open(path)?.is_student())
}

/// Writes a student, whole or not at all.
///
/// # Errors
/// When the file cannot be written, or a weight is too large for half precision; the message names the file.
pub fn write(path: &Path, student: &StudentFile, precision: Precision) -> Result<()> {
    let bytes = pix2pix::write_student(student, precision)
        .with_context(|| format!("cannot write student `{}`", path.display()))?;
    atomic::write(path, &bytes)
}
