//! Pictures on disk: written whole or not at all.

use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use crate::store::atomic::AtomicFile;

/// Writes a PNG file.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write(path: &Path, image: &RgbImage) -> Result<()> {
    let failed = || format!("cannot write picture `{}`", path.display());
    let mut file = AtomicFile::create(path)?;
    let encoder =
        PngEncoder::new_with_quality(BufWriter::new(&mut file), CompressionType::Fast, FilterType::Adaptive);
    encoder
        .write_image(image.as_raw(), image.width(), image.height(), ExtendedColorType::Rgb8)
        .with_context(failed)?;
    file.commit()
}
