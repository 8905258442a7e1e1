//! What a student looks at.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

use crate::pixels;

/// A picture, and what is beside its colours.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The colours.
    pub pixels: RgbImage,
    /// Distance from the camera, as large as the picture, where there is one.
    pub depth: Option<GrayImage>,
}

impl From<RgbImage> for Frame {
    fn from(pixels: RgbImage) -> Frame {
        Frame { pixels, depth: None }
    }
}

impl Frame {
    /// Joins a picture and its depth.
    ///
    /// # Errors
    /// When they differ in size.
    pub fn with_depth(pixels: RgbImage, depth: GrayImage) -> Result<Frame> {
        let (size, other) = (pixels.dimensions(), depth.dimensions());
        ensure!(size == other, "the depth has {}x{} pixels, the picture {}x{}", other.0, other.1, size.0, size.1);
        Ok(Frame { pixels, depth: Some(depth) })
    }

    /// Makes a frame smaller whose longer side is above `largest_px`.
    pub(super) fn at_most(self, largest_px: u32) -> Frame {
        let (width, height) = self.pixels.dimensions();
        let longer = width.max(height);
        if longer <= largest_px {
            return self;
        }
        let scaled = |side: u32| (u64::from(side) * u64::from(largest_px) / u64::from(longer)).max(1) as u32;
        let (width, height) = (scaled(width), scaled(height));
        Frame {
            pixels: imageops::resize(&self.pixels, width, height, FilterType::Lanczos3),
            depth: self.depth.map(|depth| imageops::resize(&depth, width, height, FilterType::Triangle)),
        }
    }

    /// As a student takes it.
    ///
    /// # Shapes
    /// `[1, 3, H, W]`, or `[1, 4, H, W]` with depth
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub(super) fn tensor(&self) -> Result<Tensor> {
        let colours = pixels::from_rgb(std::slice::from_ref(&self.pixels), &Device::Cpu)?;
        let Some(depth) = &self.depth else { return Ok(colours) };
        let depth = pixels::from_gray(std::slice::from_ref(depth), &Device::Cpu)?;
        Ok(Tensor::cat(&[&colours, &depth], 1)?)
    }
}
