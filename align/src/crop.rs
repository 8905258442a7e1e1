//! Photo and frame in, aligned face out.
//!
//! [`CropMethod::Published`] repeats the FFHQ dataset's recipe byte for byte: shrink by a whole number, cut, pad, stretch
//! bilinearly to a larger square, shrink that. [`CropMethod::Clean`] goes from the photo to the crop in one Lanczos
//! resampling, which is sharper and several times faster.

use image::RgbImage;
use rayon::prelude::*;

use crate::canvas::Canvas;
use crate::edge::warp_padded;
use crate::frame::CropFrame;
use crate::geometry::{Affine, Point, Quad};
use crate::pad::{Padding, pad};
use crate::resample::{Filter, Kernel, LANES, Region, resize_columns, resize_lanes, resize_region, store_lanes};
use crate::transform::QuadMap;
use crate::warp::warp;
use crate::{Error, Result};

/// How the pixels of a crop are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropMethod {
    /// The published recipe, by way of a square of `transform_px` pixels, at least the crop's own size.
    Published {
        /// Edge of the intermediate square; FFHQ used 4096 for crops of 1024.
        transform_px: u32,
    },
    /// One Lanczos resampling.
    Clean,
}

impl CropMethod {
    /// The published recipe with FFHQ's ratio: an intermediate square of four times the crop's size.
    pub fn published(size_px: u32) -> Self {
        CropMethod::Published { transform_px: size_px.saturating_mul(4) }
    }
}

/// Crops, and the squares on the way to them, are at most this large.
const MAX_SIDE_PX: u32 = 16_384;

/// A frame may need a picture of this many pixels, padding included, before it counts as outside the photo.
const MAX_WORK_PIXELS: f64 = 2e8;

/// Cuts the frame's square out of the photo, as a picture of `size_px` by `size_px` pixels.
///
/// # Errors
/// [`Error::Value`] for a size of 0 or over 16384 or a transform size below it, [`Error::OutsidePhoto`] when the square
/// does not touch the photo or most of it would be invented.
pub fn crop(photo: &RgbImage, frame: &CropFrame, size_px: u32, method: CropMethod) -> Result<RgbImage> {
    check_size("size_px", size_px, 1)?;
    match method {
        CropMethod::Published { transform_px } => {
            check_size("transform_px", transform_px, size_px)?;
            let cut = cut(photo, frame, shrink_factor(frame, size_px))?;
            // Pillow counts from the corner of the first pixel, landmarks from its centre.
            let quad = cut.quad.map(|corner| corner + Point::new(0.5, 0.5));
            Ok(stretch(&cut.canvas, &quad, [transform_px, size_px]))
        }
        CropMethod::Clean => clean(photo, frame, size_px),
    }
}

fn check_size(what: &'static str, found: u32, least: u32) -> Result<()> {
    if (least..=MAX_SIDE_PX).contains(&found) {
        return Ok(());
    }
    let expected = if what == "size_px" { "1 to 16384" } else { "at least the crop's size, at most 16384" };
    Err(Error::Value { what, found: found.to_string(), expected })
}

/// A part of the photo, perhaps smaller and padded, and where the frame's corners lie in it.
struct Cut {
    canvas: Canvas,
    quad: Quad,
}

/// By which whole number the published recipe first shrinks a photo with more detail than the crop can hold.
fn shrink_factor(frame: &CropFrame, size_px: u32) -> u32 {
    let factor = (frame.side_px() / f64::from(size_px) * 0.5).floor();
    if factor > 1.0 { factor as u32 } else { 1 }
}

/// The first three steps of the published recipe: shrink by a whole number, cut, pad.
fn cut(photo: &RgbImage, frame: &CropFrame, shrink: u32) -> Result<Cut> {
    let factor = f64::from(shrink);
    let size = [photo.width(), photo.height()].map(|length| (f64::from(length) / factor).round_ties_even() as u32);
    let quad = frame.quad().map(|p| Point::new(p.x / factor, p.y / factor));
    let side_px = frame.side_px() / factor;
    let border = (side_px * 0.1).round_ties_even().max(3.0);
    let outside = || Error::OutsidePhoto { width: photo.width(), height: photo.height() };
    let region = region(&quad, border, size).ok_or_else(outside)?;
    let quad = quad.map(|p| p - Point::new(region.left.into(), region.top.into()));
    let padding = padding(&quad, border, side_px, [region.width, region.height]);
    let canvas = if shrink == 1 {
        Canvas::copy(photo, region)
    } else {
        let small = resize_region(photo, size, Filter::Lanczos, region);
        Canvas::copy(&small, Region { left: 0, top: 0, ..region })
    };
    let Some(missing) = padding else { return Ok(Cut { canvas, quad }) };
    let padding = bounded(missing, region).ok_or_else(outside)?;
    let quad = quad.map(|p| p + Point::new(padding.left as f64, padding.top as f64));
    Ok(Cut { canvas: pad(&canvas, padding, side_px * 0.02), quad })
}

/// The part of a picture of `size` pixels that holds the quad and a border, or `None` when they do not meet.
fn region(quad: &Quad, border: f64, size: [u32; 2]) -> Option<Region> {
    let (low, high) = quad.bounds();
    let span = |low: f64, high: f64, len: u32| {
        let first = (low.floor() - border).max(0.0);
        let last = (high.ceil() + border).min(f64::from(len));
        (first < last).then_some((first as u32, (last - first) as u32))
    };
    let ((left, width), (top, height)) = (span(low.x, high.x, size[0])?, span(low.y, high.y, size[1])?);
    Some(Region { left, top, width, height })
}

/// Pixels to add left, above, right and below, or `None` when the quad lies far enough inside.
fn padding(quad: &Quad, border: f64, side_px: f64, size: [u32; 2]) -> Option<[f64; 4]> {
    let (low, high) = quad.bounds();
    let missing = [
        border - low.x.floor(),
        border - low.y.floor(),
        high.x.ceil() - f64::from(size[0]) + border,
        high.y.ceil() - f64::from(size[1]) + border,
    ];
    let needed = missing.iter().any(|&pixels| pixels.max(0.0) > border - 4.0);
    // At least 1, where the published script would divide by 0 for a frame of under two pixels.
    needed.then(|| missing.map(|pixels| pixels.max((side_px * 0.3).round_ties_even().max(1.0))))
}

/// The padding as whole numbers, or `None` when it would make an unreasonably large picture of the region.
fn bounded([left, top, right, bottom]: [f64; 4], region: Region) -> Option<Padding> {
    let pixels = (left + right + f64::from(region.width)) * (top + bottom + f64::from(region.height));
    let [left, top, right, bottom] = [left, top, right, bottom].map(|pixels| pixels as usize);
    (pixels <= MAX_WORK_PIXELS).then_some(Padding { left, top, right, bottom })
}

/// The last two steps of the published recipe: a bilinear stretch to a square of `transform_px`, shrunk to `size_px`.
fn stretch(canvas: &Canvas, quad: &Quad, [transform_px, size_px]: [u32; 2]) -> RgbImage {
    let map = QuadMap::new(quad, transform_px);
    let kernel = Kernel::new(transform_px, size_px, Filter::Lanczos);
    let row_bytes = size_px as usize * 3;
    let mut narrow = vec![0; transform_px as usize * row_bytes];
    narrow.par_chunks_mut(LANES * row_bytes).enumerate().for_each_init(
        || (vec![[0; LANES]; map.width() * 3], vec![[0; LANES]; row_bytes]),
        |(wide, lanes), (block, out)| {
            let first = block * LANES;
            map.sample_rows(canvas, first..first + out.len() / row_bytes, wide);
            resize_lanes(wide, &kernel, lanes);
            store_lanes(lanes, out);
        },
    );
    let pixels = resize_columns(&narrow, row_bytes, &kernel);
    RgbImage::from_raw(size_px, size_px, pixels).expect("every row was written")
}

/// One Lanczos resampling from the photo to the crop.
fn clean(photo: &RgbImage, frame: &CropFrame, size_px: u32) -> Result<RgbImage> {
    let outside = || Error::OutsidePhoto { width: photo.width(), height: photo.height() };
    let border = (frame.side_px() * 0.1).round_ties_even().max(3.0);
    let region = region(&frame.quad(), border, [photo.width(), photo.height()]).ok_or_else(outside)?;
    let canvas = Canvas::copy(photo, region);
    let corner = Point::new(region.left.into(), region.top.into());
    let quad = frame.quad().map(|p| p - corner);
    let canvas_from_crop = Affine::translation(corner * -1.0) * frame.photo_from_crop(size_px);
    let Some(missing) = padding(&quad, border, frame.side_px(), [region.width, region.height]) else {
        return Ok(warp(&canvas, &canvas_from_crop, [size_px, size_px]).to_image());
    };
    let padding = bounded(missing, region).ok_or_else(outside)?;
    let padded_from_canvas = Affine::translation(Point::new(padding.left as f64, padding.top as f64));
    Ok(warp_padded(&canvas, padding, &(padded_from_canvas * canvas_from_crop), size_px).to_image())
}
