//! Any picture that people have to upright pixels: PNG, JPEG, WebP, BMP, GIF and TIFF, told apart by what they contain.
//!
//! - EXIF orientation is applied, so that up is up for every later step.
//! - An alpha channel is laid over white. What stands in fully transparent pixels is arbitrary (black, or an artist's
//!   leftovers) and was never seen by anybody; dropping the channel, as Pillow's `convert("RGB")` does, would show it.
//!   Pictures without transparent pixels are the same either way.
//! - 16 bits a channel are rounded to 8, palettes and CMYK become RGB, an animation is its first picture. Colour profiles
//!   are not applied, as in the published tools.
//! - Size is checked before anything is decoded; a JPEG file that ends early is refused, not filled with gray.

mod jpeg;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

/// Pictures with more pixels than this are refused before they are decoded.
pub const MAX_PIXELS: u64 = 200_000_000;
/// What a decoder may ask for; enough for [`MAX_PIXELS`] with four channels of 16 bits.
const MAX_DECODED_BYTES: u64 = 1_700_000_000;
/// Files that are longer than this are not pictures.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A picture with three channels of 8 bits, upright, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// The pixels, upright.
    pub pixels: RgbImage,
    /// The file, or the archive and the member in it: for messages.
    pub path: PathBuf,
}

impl Photo {
    /// Reads the picture file `path`.
    ///
    /// # Errors
    /// Those of [`read`].
    pub fn read(path: impl Into<PathBuf>) -> Result<Photo> {
        let path = path.into();
        Ok(Photo { pixels: flatten(read(&path)?), path })
    }

    /// Decodes the bytes of a picture file; `path` serves for messages only.
    ///
    /// # Errors
    /// Those of [`decode`].
    pub fn from_bytes(bytes: &[u8], path: impl Into<PathBuf>) -> Result<Photo> {
        let path = path.into();
        Ok(Photo { pixels: flatten(decode(bytes, &path)?), path })
    }
}

/// Reads the picture file `path`, upright, with the channels and the depth that it has.
///
/// # Errors
/// When there is no such file, and those of [`decode`]; the message names the file.
pub fn read(path: &Path) -> Result<DynamicImage> {
    decode(&read_bytes(path)?, path)
}

/// Reads the whole of a file that may hold a picture.
///
/// # Errors
/// When there is no such file, when it cannot be read, or when it is over 1 GiB; the message names the file.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let open = || -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 <= MAX_FILE_BYTES, "it is longer than {MAX_FILE_BYTES} bytes");
        Ok(bytes)
    };
    open().with_context(|| cannot_read(path))
}

/// Decodes the bytes of a picture file, upright, with the channels and the depth that it has; `path` serves for messages.
///
/// # Errors
/// When the bytes are no picture, are incomplete or damaged, or describe more than [`MAX_PIXELS`]; the message names `path`.
pub fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage> {
    decode_upright(bytes).with_context(|| cannot_read(path))
}

/// Width times height of a picture as its header says, without decoding it; `path` serves for messages.
///
/// # Errors
/// When the bytes do not begin like a picture, or when it has more than [`MAX_PIXELS`]; the message names `path`.
pub fn count_pixels(bytes: &[u8], path: &Path) -> Result<u64> {
    let count = || -> Result<u64> { check_size(&decoder(bytes)?) };
    count().with_context(|| cannot_read(path))
}

/// Lays a picture over white and brings it to three channels of 8 bits.
pub fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [red, green, blue, alpha] = rgba.get_pixel(x, y).0;
        image::Rgb([red, green, blue].map(|value| over_white(value, alpha)))
    })
}

/// `value` with opacity `alpha` over 255, rounded to the nearest.
fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read picture `{}`", path.display())
}

fn decode_upright(bytes: &[u8]) -> Result<DynamicImage> {
    if matches!(image::guess_format(bytes), Ok(ImageFormat::Jpeg)) {
        jpeg::check_complete(bytes)?;
    }
    let mut decoder = decoder(bytes)?;
    check_size(&decoder)?;
    // A picture whose EXIF block is damaged is a picture still.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(one_line)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder> {
    let Ok(format) = image::guess_format(bytes) else { bail!("{}", unknown(bytes)) };
    ensure!(format.reading_enabled(), "{}", unknown(bytes));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    reader.into_decoder().map_err(one_line)
}

/// A decoder's error without its line ends and without its cause, which it repeats.
fn one_line(error: image::ImageError) -> anyhow::Error {
    anyhow!(error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
}

fn check_size(decoder: &impl ImageDecoder) -> Result<u64> {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    ensure!(pixels > 0, "it has {width}x{height} pixels");
    ensure!(
        pixels <= MAX_PIXELS && decoder.total_bytes() <= MAX_DECODED_BYTES,
        "it has {width}x{height} pixels, at most {} million are read",
        MAX_PIXELS / 1_000_000
    );
    Ok(pixels)
}

/// What to say of bytes in no format that is read.
fn unknown(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "the file is empty",
        // ISO base media files: the brand stands behind `ftyp`.
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..] => "HEIC pictures are not read, save it as JPEG or PNG",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', ..] => "AVIF pictures are not read, save it as JPEG or PNG",
        _ => "it is no PNG, JPEG, WebP, BMP, GIF or TIFF",
    }
}

#[cfg(test)]
mod tests;
