//! The way back: a face of the crop's frame, of any size, into the photo that it came from.

use image::RgbImage;
use rayon::prelude::*;

use crate::canvas::Canvas;
use crate::colour::{ColourMap, ColourMatch, Statistics};
use crate::crop::{CropMethod, crop};
use crate::frame::CropFrame;
use crate::geometry::{Affine, Point};
use crate::mask::{Feather, Mask};
use crate::resample::{Filter, Region, resize};
use crate::warp::{Pixel, Warped, level, warp};
use crate::{Error, Result};

/// How a face is pasted.
#[derive(Clone, Debug, PartialEq)]
pub struct Paste {
    /// Where the new face shows.
    pub mask: Mask,
    /// Whether it takes on the photo's colours.
    pub colour: ColourMatch,
}

impl Default for Paste {
    /// The head as a soft ellipse, colours as they are.
    fn default() -> Self {
        Paste { mask: Mask::ellipse(Feather::default()), colour: ColourMatch::default() }
    }
}

/// Pastes a square picture of the frame over the photo; pixels where the mask is 0 stay as they are, bit for bit.
///
/// What was cropped and pasted unchanged comes back within rounding, unless the crop had fewer pixels than the photo
/// ([`CropFrame::side_px`]) and so lost detail.
///
/// # Errors
/// [`Error::Value`] when `face` is empty or not square, [`Error::OutsidePhoto`] when the frame does not touch the photo.
pub fn paste(photo: &mut RgbImage, face: &RgbImage, frame: &CropFrame, how: &Paste) -> Result<()> {
    if face.width() != face.height() || face.width() == 0 {
        let found = format!("{}x{} px", face.width(), face.height());
        return Err(Error::Value { what: "face", found, expected: "a square picture" });
    }
    let outside = Error::OutsidePhoto { width: photo.width(), height: photo.height() };
    let region = touched(frame, photo).ok_or(outside)?;
    let colours = match how.colour {
        ColourMatch::Off => None,
        ColourMatch::MeanAndSpread => colour_map(photo, face, frame, &how.mask)?,
    };
    let size_px = face.width();
    let whole = Region { left: 0, top: 0, width: size_px, height: size_px };
    let corner = Point::new(region.left.into(), region.top.into());
    let face_from_region = frame.crop_from_photo(size_px) * Affine::translation(corner);
    let warped = fit(&Canvas::copy(face, whole), &face_from_region, [region.width, region.height]);
    let unit_from_region = frame.crop_from_photo(1) * Affine::translation(corner);
    blend(photo, &warped, region, |x, y, pixel| {
        let alpha = how.mask.alpha(unit_from_region * Point::new(x as f64, y as f64) + Point::new(0.5, 0.5));
        (colours.map_or(pixel, |map| map.apply(pixel)), alpha)
    });
    Ok(())
}

/// How often the fit is improved; each time halves at least what resampling there and back would lose.
const REFINEMENTS: usize = 2;

/// The picture in the photo's grid that, cropped, looks most like the face.
///
/// Resampling alone would soften a photo's finest detail a second time on its way back; instead the result is cropped
/// again and what is missing is added (iterative back-projection: Irani and Peleg, "Improving resolution by image
/// registration", 1991).
fn fit(face: &Canvas, face_from_region: &Affine, size: [u32; 2]) -> Warped {
    let mut fitted = warp(face, face_from_region, size);
    let Some(region_from_face) = face_from_region.inverse() else { return fitted };
    for _ in 0..REFINEMENTS {
        let mut missing = warp(&fitted, &region_from_face, [face.width as u32, face.height as u32]);
        missing.pixels.par_chunks_exact_mut(face.width).enumerate().for_each(|(y, row)| {
            for (x, (seen, wanted)) in row.iter_mut().zip(face.row(y)).enumerate() {
                let at = region_from_face * Point::new(x as f64, y as f64);
                // Beyond the photo nothing can be put right.
                let inside = at.x >= 0.0 && at.y >= 0.0 && at.x < size[0].into() && at.y < size[1].into();
                *seen = std::array::from_fn(|i| if inside { f32::from(wanted[i]) - seen[i] } else { 0.0 });
            }
        });
        let missing = warp(&missing, face_from_region, size);
        fitted.pixels.par_iter_mut().zip(&missing.pixels).for_each(|(pixel, missing)| {
            pixel.iter_mut().zip(missing).for_each(|(value, missing)| *value += missing);
        });
    }
    fitted
}

/// The photo's pixels inside the frame's bounds.
fn touched(frame: &CropFrame, photo: &RgbImage) -> Option<Region> {
    let (low, high) = frame.quad().bounds();
    let span = |low: f64, high: f64, len: u32| {
        let (first, end) = (low.floor().max(0.0), (high.ceil() + 1.0).min(f64::from(len)));
        (first < end).then_some((first as u32, (end - first) as u32))
    };
    let ((left, width), (top, height)) = (span(low.x, high.x, photo.width())?, span(low.y, high.y, photo.height())?);
    Some(Region { left, top, width, height })
}

/// Mixes each pixel of the region with what `new(x, y, pixel)` makes of the warped one, by the alpha that comes with it.
fn blend(
    photo: &mut RgbImage,
    warped: &Warped,
    region: Region,
    new: impl Fn(usize, usize, Pixel) -> (Pixel, f32) + Sync,
) {
    let row_bytes = photo.width() as usize * 3;
    let (top, bottom) = (region.top as usize, (region.top + region.height) as usize);
    let bytes: &mut [u8] = photo;
    let rows = bytes[top * row_bytes..bottom * row_bytes].par_chunks_exact_mut(row_bytes);
    rows.zip(warped.pixels.par_chunks_exact(warped.width)).enumerate().for_each(|(y, (row, warped))| {
        let first = region.left as usize * 3;
        let row = &mut row[first..first + warped.len() * 3];
        for (x, (old, &pixel)) in row.as_chunks_mut::<3>().0.iter_mut().zip(warped).enumerate() {
            let (pixel, alpha) = new(x, y, pixel);
            if alpha > 0.0 {
                *old = std::array::from_fn(|i| {
                    let old = f32::from(old[i]);
                    level(old + (pixel[i].clamp(0.0, 255.0) - old) * alpha)
                });
            }
        }
    });
}

/// Edge of the pictures that colours are compared on.
const COLOUR_PX: u32 = 96;

/// The map from the new face's colours to those of the photo, both seen through the mask.
fn colour_map(photo: &RgbImage, face: &RgbImage, frame: &CropFrame, mask: &Mask) -> Result<Option<ColourMap>> {
    let statistics = |picture: &RgbImage| {
        Statistics::of(picture.enumerate_pixels().map(|(x, y, pixel)| {
            let unit = |i: u32| (f64::from(i) + 0.5) / f64::from(COLOUR_PX);
            let [r, g, b] = pixel.0.map(f32::from);
            ([r, g, b, 0.0], mask.alpha(Point::new(unit(x), unit(y))))
        }))
    };
    let old = statistics(&crop(photo, frame, COLOUR_PX, CropMethod::Clean)?);
    let new = statistics(&resize(face, [COLOUR_PX, COLOUR_PX], Filter::Triangle));
    Ok(new.zip(old).map(|(new, old)| ColourMap::new(&new, &old)))
}
