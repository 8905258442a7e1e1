//! The pictures of a training set: 8 bits, gray or RGB.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, GrayImage, Rgb, RgbImage};
use serde::Serialize;
use toonify_align::resample::{self, Filter};

use crate::pixels;
use crate::store::photo;

/// A picture as a training set holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Picture {
    /// One channel.
    Gray(GrayImage),
    /// Three channels.
    Rgb(RgbImage),
}

/// What all pictures of a set have in common.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Shape {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// 1 or 3.
    pub channels: u32,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape { width, height, channels } = self;
        write!(f, "{width}x{height} with {channels} channel{}", if *channels == 1 { "" } else { "s" })
    }
}

/// Channels that a set is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Those of the source.
    Kept,
    /// One.
    Gray,
    /// Three.
    Rgb,
}

impl Picture {
    /// Decodes a picture file of any kind: upright, transparency laid over white, 8 bits. `path` is for messages.
    ///
    /// # Errors
    /// When it is no whole picture.
    pub fn from_any(bytes: &[u8], path: &Path) -> Result<Picture> {
        let decoded = photo::decode(bytes, path)?;
        let has_color = decoded.color().has_color();
        Ok(match photo::flatten(decoded) {
            rgb if has_color => Picture::Rgb(rgb),
            rgb => Picture::Gray(first_channel(&rgb)),
        })
    }

    /// Decodes a picture file of a finished set, which must be 8-bit gray or RGB. `path` is for messages.
    ///
    /// # Errors
    /// When it is no whole picture, or when it has transparency or another depth.
    pub fn from_stored(bytes: &[u8], path: &Path) -> Result<Picture> {
        match photo::decode(bytes, path)? {
            DynamicImage::ImageLuma8(gray) => Ok(Picture::Gray(gray)),
            DynamicImage::ImageRgb8(rgb) => Ok(Picture::Rgb(rgb)),
            other => anyhow::bail!("`{}` is stored as {:?}, expected 8-bit gray or RGB", path.display(), other.color()),
        }
    }

    /// Width, height and channels.
    pub fn shape(&self) -> Shape {
        let ((width, height), channels) = match self {
            Picture::Gray(gray) => (gray.dimensions(), 1),
            Picture::Rgb(rgb) => (rgb.dimensions(), 3),
        };
        Shape { width, height, channels }
    }

    /// The bytes `[H, W, C]`.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Picture::Gray(gray) => gray.into_raw(),
            Picture::Rgb(rgb) => rgb.into_raw(),
        }
    }

    /// The same picture with these channels; gray as Pillow's mode `L` weighs colours.
    pub fn with_channels(self, channels: Channels) -> Picture {
        match (self, channels) {
            (Picture::Rgb(rgb), Channels::Gray) => Picture::Gray(pixels::to_gray(&rgb)),
            (Picture::Gray(gray), Channels::Rgb) => Picture::Rgb(repeat_channel(&gray)),
            (picture, _) => picture,
        }
    }

    /// The part of the picture from (`left`, `top`) on.
    ///
    /// # Panics
    /// When the part reaches beyond the picture.
    pub(super) fn crop(&self, [left, top]: [u32; 2], [width, height]: [u32; 2]) -> Picture {
        let shape = self.shape();
        assert!(left + width <= shape.width && top + height <= shape.height, "a part of the picture");
        match self {
            Picture::Gray(gray) => Picture::Gray(image::imageops::crop_imm(gray, left, top, width, height).to_image()),
            Picture::Rgb(rgb) => Picture::Rgb(image::imageops::crop_imm(rgb, left, top, width, height).to_image()),
        }
    }

    /// Resizes to width and height as Pillow does, byte for byte.
    pub(super) fn resize(&self, size: [u32; 2], filter: Filter) -> Picture {
        match self {
            // Channels do not mix, so that one of three equal ones is the gray picture resized.
            Picture::Gray(gray) => Picture::Gray(first_channel(&resample::resize(&repeat_channel(gray), size, filter))),
            Picture::Rgb(rgb) => Picture::Rgb(resample::resize(rgb, size, filter)),
        }
    }

    /// Lays the picture onto a black square of `side_px`, at (`left`, `top`).
    pub(super) fn on_black(&self, side_px: u32, [left, top]: [i64; 2]) -> Picture {
        match self {
            Picture::Gray(gray) => {
                let mut square = GrayImage::new(side_px, side_px);
                image::imageops::replace(&mut square, gray, left, top);
                Picture::Gray(square)
            }
            Picture::Rgb(rgb) => {
                let mut square = RgbImage::new(side_px, side_px);
                image::imageops::replace(&mut square, rgb, left, top);
                Picture::Rgb(square)
            }
        }
    }

    /// A PNG file without compression, as the published sets hold: large, but read at once.
    ///
    /// # Errors
    /// When the picture is too large for the format.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Uncompressed, FilterType::NoFilter);
        match self {
            Picture::Gray(gray) => gray.write_with_encoder(encoder),
            Picture::Rgb(rgb) => rgb.write_with_encoder(encoder),
        }
        .context("cannot encode a picture")?;
        Ok(bytes)
    }
}

impl From<Picture> for DynamicImage {
    fn from(picture: Picture) -> DynamicImage {
        match picture {
            Picture::Gray(gray) => gray.into(),
            Picture::Rgb(rgb) => rgb.into(),
        }
    }
}

impl Shape {
    /// Refuses what no StyleGAN2 network takes, in the words of the published tool.
    ///
    /// # Errors
    /// When the shape is not square or its side no power of two.
    pub fn check_trainable(self) -> Result<()> {
        let Shape { width, height, .. } = self;
        ensure!(
            width == height,
            "Image dimensions after scale and crop are required to be square.  Got {width}x{height}"
        );
        ensure!(
            width.is_power_of_two(),
            "Image width/height after scale and crop are required to be power-of-two: got {width}x{height}"
        );
        Ok(())
    }
}

fn first_channel(rgb: &RgbImage) -> GrayImage {
    let values = rgb.pixels().map(|pixel| pixel.0[0]).collect();
    GrayImage::from_raw(rgb.width(), rgb.height(), values).expect("one byte a pixel")
}

fn repeat_channel(gray: &GrayImage) -> RgbImage {
    RgbImage::from_fn(gray.width(), gray.height(), |x, y| Rgb([gray.get_pixel(x, y).0[0]; 3]))
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgba, RgbaImage};

    use super::*;

    fn gray() -> GrayImage {
        GrayImage::from_fn(9, 7, |x, y| Luma([(x * 25 + y * 3) as u8]))
    }

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn pictures_survive_their_own_png() {
        let path = Path::new("a.png");
        for picture in [Picture::Gray(gray()), Picture::Rgb(repeat_channel(&gray()))] {
            let bytes = picture.to_png().unwrap();
            let Shape { width, height, channels } = picture.shape();
            assert!(bytes.len() as u32 >= width * height * channels, "it is not compressed");
            assert_eq!(Picture::from_stored(&bytes, path).unwrap(), picture);
            assert_eq!(Picture::from_any(&bytes, path).unwrap(), picture);
        }
    }

    #[test]
    fn any_picture_becomes_gray_or_rgb_and_a_set_must_hold_nothing_else() {
        let (path, clear) = (Path::new("a.png"), RgbaImage::from_pixel(2, 2, Rgba([9, 9, 9, 0])));
        let white = Picture::Rgb(RgbImage::from_pixel(2, 2, Rgb([255; 3])));
        assert_eq!(Picture::from_any(&png(clear.clone()), path).unwrap(), white);
        let error = Picture::from_stored(&png(clear), path).unwrap_err().to_string();
        assert!(error.contains("a.png") && error.contains("Rgba8"), "{error}");
        let deep = DynamicImage::from(gray()).to_luma16();
        assert_eq!(Picture::from_any(&png(deep.clone()), path).unwrap(), Picture::Gray(gray()));
        assert!(Picture::from_stored(&png(deep), path).is_err());
    }

    #[test]
    fn gray_is_resized_as_each_channel_is() {
        for filter in [Filter::Lanczos, Filter::Box] {
            let small = Picture::Gray(gray()).resize([4, 3], filter);
            let rgb = Picture::Rgb(repeat_channel(&gray())).resize([4, 3], filter);
            assert_eq!(small.with_channels(Channels::Rgb), rgb);
        }
    }

    #[test]
    fn channels_change_only_when_asked() {
        let picture = Picture::Gray(gray());
        assert_eq!(picture.clone().with_channels(Channels::Kept), picture);
        assert_eq!(picture.clone().with_channels(Channels::Gray), picture);
        assert_eq!(picture.clone().with_channels(Channels::Rgb).with_channels(Channels::Gray), picture);
    }

    #[test]
    fn shapes_that_cannot_be_trained_are_named() {
        let check = |width, height| Shape { width, height, channels: 3 }.check_trainable().map_err(|e| e.to_string());
        assert_eq!(check(32, 32), Ok(()));
        assert!(check(32, 40).unwrap_err().ends_with("required to be square.  Got 32x40"));
        assert!(check(24, 24).unwrap_err().contains("required to be power-of-two"));
    }
}
