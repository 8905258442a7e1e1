//! Records on disk: small JSON files for people and programs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::atomic;

/// Writes `record` as indented JSON, whole or not at all.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write(path: &Path, record: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(record).with_context(|| format!("cannot write `{}`", path.display()))?;
    text.push(b'\n');
    atomic::write(path, &text)
}

/// Reads a record; `None` when there is no such file or it holds something else.
///
/// # Errors
/// When the file is there and cannot be read; the message names it.
pub fn read_if_any<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}
