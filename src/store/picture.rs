//! Pictures on disk: written whole or not at all.

use std::path::Path;

use anyhow::{Context, Result};
use image::DynamicImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use crate::store::atomic::AtomicFile;

/// Writes a PNG file.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write(path: &Path, image: &DynamicImage) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive);
    image.write_with_encoder(encoder).with_context(|| format!("cannot write picture `{}`", path.display()))?;
    file.commit()
}
