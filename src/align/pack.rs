//! Aligned faces to `dataset.zip`, the published format of training sets: stored PNG files named by their number, and
//! `dataset.json` without labels.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::store::bundle_writer::BundleWriter;

/// Writes `dataset.zip` from `faces`, which are paths below `out`.
///
/// # Errors
/// When a face cannot be read or the archive cannot be written; the message names it.
pub(super) fn write(out: &Path, faces: &[&Path]) -> Result<PathBuf> {
    let path = out.join("dataset.zip");
    let mut zip = BundleWriter::create(&path)?;
    for (i, face) in faces.iter().enumerate() {
        let face = out.join(face);
        let bytes = fs::read(&face).with_context(|| format!("cannot read `{}`", face.display()))?;
        zip.add(&member(i), &bytes)?;
    }
    zip.add("dataset.json", b"{\"labels\": null}")?;
    zip.commit()?;
    Ok(path)
}

/// `00012/img00012345.png`: the folder is the number's first five digits of eight.
fn member(index: usize) -> String {
    let number = format!("{index:08}");
    format!("{}/img{number}.png", &number[..5])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_by_number() {
        assert_eq!(member(0), "00000/img00000000.png");
        assert_eq!(member(12345), "00012/img00012345.png");
    }
}
