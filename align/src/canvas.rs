//! The part of a photo that a crop is cut from, in a layout that is quick to sample: four bytes a pixel, the last unused.

use image::RgbImage;
use rayon::prelude::*;

use crate::resample::Region;

/// A picture of four bytes a pixel, never empty.
pub(crate) struct Canvas {
    pub width: usize,
    pub height: usize,
    pixels: Vec<[u8; 4]>,
}

impl Canvas {
    /// Takes rows of pixels, from the top.
    pub(crate) fn new(width: usize, height: usize, pixels: Vec<[u8; 4]>) -> Self {
        assert!(!pixels.is_empty() && pixels.len() == width * height, "a canvas is complete");
        Canvas { width, height, pixels }
    }

    /// Copies a part of a photo.
    pub(crate) fn copy(photo: &RgbImage, region: Region) -> Self {
        let row_bytes = photo.width() as usize * 3;
        let (left, width) = (region.left as usize * 3, region.width as usize);
        let rows = photo.as_raw().par_chunks_exact(row_bytes).skip(region.top as usize).take(region.height as usize);
        let mut pixels = vec![[0; 4]; width * region.height as usize];
        pixels.par_chunks_exact_mut(width).zip(rows).for_each(|(out, row)| {
            let row = row[left..left + width * 3].as_chunks::<3>().0;
            out.iter_mut().zip(row).for_each(|(out, &[r, g, b])| *out = [r, g, b, 0]);
        });
        Canvas::new(width, region.height as usize, pixels)
    }

    /// One row of pixels.
    #[inline(always)]
    pub(crate) fn row(&self, y: usize) -> &[[u8; 4]] {
        &self.pixels[y * self.width..(y + 1) * self.width]
    }
}
