//! Pictures to PNG files, completely or not at all.

use std::path::Path;

use anyhow::{Context, Result};
use image::{DynamicImage, ImageFormat};

use crate::store::atomic::AtomicFile;

/// Writes `picture` to `path` as a PNG file, gray or in colours as it is.
///
/// # Errors
/// When the file cannot be written or the picture has no pixels; the message names the path.
pub fn save_png(path: impl AsRef<Path>, picture: &DynamicImage) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path)?;
    picture.write_to(&mut file, ImageFormat::Png).with_context(|| format!("cannot write `{}`", path.display()))?;
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
            save_png(&path, &picture).unwrap();
            assert_eq!(image::open(&path).unwrap(), picture);
        }
    }

    #[test]
    fn a_picture_without_pixels_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = save_png(folder.path().join("a.png"), &RgbImage::new(0, 0).into()).unwrap_err();
        assert!(format!("{error:#}").contains("a.png"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
