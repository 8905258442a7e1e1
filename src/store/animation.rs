//! Animated GIF files.

use std::path::Path;

use anyhow::{Context, Result};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame};

use crate::store::atomic::AtomicFile;

/// How fast the frames follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frames {
    /// Frames a second.
    pub per_second: f64,
}

/// Colours are chosen from a sample of the pixels: 1 is all, 30 the fastest.
const QUANTISATION_SPEED: i32 = 10;

/// Writes frames of one size as a GIF that repeats for ever.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write(path: &Path, images: &[DynamicImage], frames: Frames) -> Result<()> {
    let failed = || format!("cannot write animation `{}`", path.display());
    let delay = Delay::from_numer_denom_ms((1000.0 / frames.per_second).round() as u32, 1);
    let mut file = AtomicFile::create(path)?;
    {
        let mut encoder = GifEncoder::new_with_speed(&mut file, QUANTISATION_SPEED);
        encoder.set_repeat(Repeat::Infinite).with_context(failed)?;
        for image in images {
            encoder.encode_frame(Frame::from_parts(image.to_rgba8(), 0, 0, delay)).with_context(failed)?;
        }
    }
    file.commit()
}
