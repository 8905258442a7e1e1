//! The part of a photo that a crop is cut from, in a layout that is quick to sample: four bytes a pixel, the last unused,
//! and each edge pixel once more beyond the edge, so that a sample's four neighbours always exist.

use image::RgbImage;
use rayon::prelude::*;

use crate::resample::Region;

/// A picture of four bytes a pixel, never empty.
pub(crate) struct Canvas {
    pub width: usize,
    pub height: usize,
    /// `height + 2` rows of `width + 2` pixels.
    pixels: Vec<[u8; 4]>,
}

impl Canvas {
    /// Makes a picture of at least 1 pixel; `fill(y, row)` writes each row, as `[red, green, blue, 0]`.
    pub(crate) fn from_rows(width: usize, height: usize, fill: impl Fn(usize, &mut [[u8; 4]]) + Sync) -> Self {
        assert!(width > 0 && height > 0, "a canvas has pixels");
        let stride = width + 2;
        let mut pixels = vec![[0; 4]; stride * (height + 2)];
        pixels.par_chunks_exact_mut(stride).skip(1).take(height).enumerate().for_each(|(y, row)| {
            fill(y, &mut row[1..=width]);
            (row[0], row[width + 1]) = (row[1], row[width]);
        });
        pixels.copy_within(stride..2 * stride, 0);
        pixels.copy_within(stride * height..stride * (height + 1), stride * (height + 1));
        Canvas { width, height, pixels }
    }

    /// Copies a part of a photo.
    pub(crate) fn copy(photo: &RgbImage, region: Region) -> Self {
        let row_bytes = photo.width() as usize * 3;
        let bytes = photo.as_raw();
        Canvas::from_rows(region.width as usize, region.height as usize, |y, row| {
            let first = (region.top as usize + y) * row_bytes + region.left as usize * 3;
            let source = bytes[first..first + row.len() * 3].as_chunks::<3>().0;
            row.iter_mut().zip(source).for_each(|(out, &[r, g, b])| *out = [r, g, b, 0]);
        })
    }

    /// One row of pixels.
    pub(crate) fn row(&self, y: usize) -> &[[u8; 4]] {
        let first = (y + 1) * (self.width + 2) + 1;
        &self.pixels[first..first + self.width]
    }

    /// All pixels, and how many there are in a row; the picture's first is the second of the second row.
    pub(crate) fn with_border(&self) -> (&[[u8; 4]], usize) {
        (&self.pixels, self.width + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_repeats_the_edge() {
        let photo = RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let canvas = Canvas::copy(&photo, Region { left: 1, top: 2, width: 2, height: 1 });
        assert_eq!(canvas.row(0), [[1, 2, 9, 0], [2, 2, 9, 0]]);
        let row = [[1, 2, 9, 0], [1, 2, 9, 0], [2, 2, 9, 0], [2, 2, 9, 0]];
        assert_eq!(canvas.with_border(), (&[row, row, row].concat()[..], 4));
    }
}
