//! Weights of classifiers on disk: state dicts of any kind, with their fingerprint.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::Tensor;
use memmap2::Mmap;
use toonify_networks::checkpoint::read_state_dict;

use crate::store::hash::sha256;

/// Reads all tensors of the file at `path`, and its SHA-256.
///
/// # Errors
/// When there is no such file, or it holds something else; the message names it.
pub fn read(path: &Path) -> Result<(BTreeMap<String, Tensor>, String)> {
    let cannot = || format!("cannot read weights from `{}`", path.display());
    let file = File::open(path).with_context(cannot)?;
    // SAFETY: the mapping is private and read-only; as with every mapped file, nobody may shorten it meanwhile.
    let map = unsafe { Mmap::map(&file) }.with_context(cannot)?;
    Ok((read_state_dict(&map).with_context(cannot)?, sha256(&map)))
}
