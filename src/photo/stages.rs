//! What is seen on the way from a photo to its result: pictures for those who want to know where something went wrong.

use std::path::{Path, PathBuf};

use anyhow::Result;
use image::{GrayImage, Luma, Rgb, RgbImage};
use toonify_align::Mask;
use toonify_align::geometry::Point;

use crate::align::FoundFace;
use crate::photo::inputs::Entry;
use crate::store::{folder, picture};

const BOX: Rgb<u8> = Rgb([255, 200, 0]);
const FRAME: Rgb<u8> = Rgb([0, 200, 255]);
const LANDMARK: Rgb<u8> = Rgb([60, 255, 90]);

/// The folder of a photo's stages; without one, nothing is made.
pub struct Album(Option<PathBuf>);

impl Album {
    /// Makes the photo's folder below `stages`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(stages: Option<&Path>, entry: &Entry) -> Result<Album> {
        let folder = stages.map(|stages| stages.join(&entry.stem));
        folder.as_ref().map(folder::create).transpose()?;
        Ok(Album(folder))
    }

    /// Adds a picture, if there is an album.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, name: &str, image: impl FnOnce() -> RgbImage) -> Result<()> {
        match &self.0 {
            Some(folder) => picture::write(&folder.join(format!("{name}.png")), &image().into()),
            None => Ok(()),
        }
    }
}

/// The photo with boxes, frames and landmarks of its faces.
pub fn marked(photo: &RgbImage, faces: &[FoundFace]) -> RgbImage {
    let mut canvas = photo.clone();
    let thickness = (photo.width().max(photo.height()) / 400).max(1);
    for face in faces {
        let [left, top, right, bottom] =
            [face.rect.left, face.rect.top, face.rect.right, face.rect.bottom].map(f64::from);
        let corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map(Point::from);
        outline(&mut canvas, &corners, thickness, BOX);
        outline(&mut canvas, &face.frame.quad().0, thickness, FRAME);
        face.landmarks.points().iter().for_each(|&point| dot(&mut canvas, point, thickness + 1, LANDMARK));
    }
    canvas
}

fn outline(canvas: &mut RgbImage, corners: &[Point; 4], thickness: u32, ink: Rgb<u8>) {
    for (i, &from) in corners.iter().enumerate() {
        let way = corners[(i + 1) % 4] - from;
        // A frame may reach far beyond its photo; nobody needs more points than this.
        let n_points = way.length().ceil().clamp(1.0, 100_000.0) as u32;
        for point in 0..=n_points {
            dot(canvas, from + way * (f64::from(point) / f64::from(n_points)), thickness, ink);
        }
    }
}

fn dot(canvas: &mut RgbImage, at: Point, side_px: u32, ink: Rgb<u8>) {
    let (x, y) = (at.x.round() as i64, at.y.round() as i64);
    for (dx, dy) in (0..i64::from(side_px)).flat_map(|dy| (0..i64::from(side_px)).map(move |dx| (dx, dy))) {
        let (Ok(x), Ok(y)) = (u32::try_from(x + dx), u32::try_from(y + dy)) else { continue };
        if let Some(pixel) = canvas.get_pixel_mut_checked(x, y) {
            *pixel = ink;
        }
    }
}

/// Where the new face shows: white is all of it.
pub fn mask(mask: &Mask, size_px: u32) -> RgbImage {
    let unit = |i: u32| (f64::from(i) + 0.5) / f64::from(size_px);
    let gray = GrayImage::from_fn(size_px, size_px, |x, y| {
        Luma([(mask.alpha(Point::new(unit(x), unit(y))) * 255.0).round() as u8])
    });
    image::DynamicImage::from(gray).into_rgb8()
}
