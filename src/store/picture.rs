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

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    #[test]
    fn pictures_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let gray: DynamicImage = GrayImage::from_fn(5, 3, |x, y| image::Luma([(40 * x + y) as u8])).into();
        let rgb: DynamicImage = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 200])).into();
        for picture in [gray, rgb] {
            write(&path, &picture).unwrap();
            assert_eq!(image::open(&path).unwrap(), picture);
        }
    }

    #[test]
    fn a_picture_without_pixels_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("a.png"), &RgbImage::new(0, 0).into()).unwrap_err();
        assert!(format!("{error:#}").contains("a.png"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
