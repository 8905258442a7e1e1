//! From a picture of any size to one of the set's size, by the published tool's three ways.

use anyhow::{Result, bail, ensure};

use crate::dataset::picture::{Picture, Shape};

pub use toonify_align::resample::Filter;

/// What is done with pictures of other proportions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// Nothing: they are stretched.
    None,
    /// The largest square in the middle is kept.
    Center,
    /// The middle is kept in the wanted proportions, and laid onto a black square of the wanted width; pictures that are
    /// too small are left out.
    CenterWide,
}

/// How pictures get their size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    crop: Crop,
    width: Option<u32>,
    height: Option<u32>,
    filter: Filter,
}

impl Transform {
    /// `width` and `height` in pixels; `None` leaves that side as it is.
    ///
    /// # Errors
    /// When a side is 0, when a crop has no width and height, or when a wide crop is higher than wide.
    pub fn new(crop: Crop, [width, height]: [Option<u32>; 2], filter: Filter) -> Result<Transform> {
        ensure!(width != Some(0) && height != Some(0), "--width and --height must be at least 1");
        let name = match crop {
            Crop::None => return Ok(Transform { crop, width, height, filter }),
            Crop::Center => "center-crop",
            Crop::CenterWide => "center-crop-wide",
        };
        let (Some(w), Some(h)) = (width, height) else {
            bail!("must specify --width and --height when using {name} transform");
        };
        ensure!(
            crop != Crop::CenterWide || h <= w,
            "--height {h} must be at most --width {w} when using {name} transform"
        );
        Ok(Transform { crop, width, height, filter })
    }

    /// The picture in its new size; `None` when it is too small to be taken.
    pub fn apply(&self, picture: Picture) -> Option<Picture> {
        let shape = picture.shape();
        let size = [self.width.unwrap_or(shape.width), self.height.unwrap_or(shape.height)];
        match self.crop {
            Crop::None if size == [shape.width, shape.height] => Some(picture),
            Crop::None => Some(picture.resize(size, self.filter)),
            Crop::Center => Some(center_square(&picture).resize(size, self.filter)),
            Crop::CenterWide => self.center_wide(&picture, size),
        }
    }

    fn center_wide(&self, picture: &Picture, [width, height]: [u32; 2]) -> Option<Picture> {
        let Shape { width: w, height: h, .. } = picture.shape();
        // As many rows as there were if the picture were brought to the wanted width; halves to the even number.
        let rows = (f64::from(width) * f64::from(h) / f64::from(w)).round_ties_even() as u32;
        if w < width || rows < height {
            return None;
        }
        let band = picture.crop([0, (h - rows) / 2], [w, (h + rows) / 2 - (h - rows) / 2]);
        Some(band.resize([width, height], self.filter).on_black(width, [0, i64::from((width - height) / 2)]))
    }
}

fn center_square(picture: &Picture) -> Picture {
    let Shape { width, height, .. } = picture.shape();
    let side = width.min(height);
    picture.crop([(width - side) / 2, (height - side) / 2], [side, side])
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    fn wide() -> Picture {
        Picture::Rgb(RgbImage::from_fn(7, 4, |x, y| Rgb([x as u8, y as u8, 0])))
    }

    fn transform(crop: Crop, width: u32, height: u32) -> Transform {
        Transform::new(crop, [Some(width), Some(height)], Filter::Box).unwrap()
    }

    #[test]
    fn the_center_square_begins_at_the_rounded_down_middle() {
        let Some(Picture::Rgb(square)) = transform(Crop::Center, 4, 4).apply(wide()) else { panic!("a picture") };
        assert_eq!((square.get_pixel(0, 0).0, square.get_pixel(3, 3).0), ([1, 0, 0], [4, 3, 0]));
    }

    #[test]
    fn without_a_crop_proportions_change_and_equal_sizes_do_not() {
        assert_eq!(transform(Crop::None, 7, 4).apply(wide()), Some(wide()));
        assert_eq!(
            transform(Crop::None, 2, 2).apply(wide()).unwrap().shape(),
            Shape { width: 2, height: 2, channels: 3 }
        );
        let only_width = Transform::new(Crop::None, [Some(4), None], Filter::Lanczos).unwrap();
        assert_eq!(only_width.apply(wide()).unwrap().shape(), Shape { width: 4, height: 4, channels: 3 });
    }

    #[test]
    fn a_wide_crop_lies_on_black_and_small_pictures_are_left_out() {
        let white = Picture::Gray(GrayImage::from_pixel(8, 8, Luma([255])));
        let Some(Picture::Gray(square)) = transform(Crop::CenterWide, 8, 4).apply(white) else { panic!("a picture") };
        let column: Vec<u8> = (0..8).map(|y| square.get_pixel(3, y).0[0]).collect();
        assert_eq!(column, [0, 0, 255, 255, 255, 255, 0, 0]);
        assert_eq!(transform(Crop::CenterWide, 8, 4).apply(wide()), None);
        assert_eq!(transform(Crop::CenterWide, 7, 5).apply(wide()), None);
    }

    #[test]
    fn a_crop_needs_both_sides() {
        let refused = |crop, size| Transform::new(crop, size, Filter::Lanczos).unwrap_err().to_string();
        let both = "must specify --width and --height when using";
        assert_eq!(refused(Crop::Center, [Some(4), None]), format!("{both} center-crop transform"));
        assert_eq!(refused(Crop::CenterWide, [None, None]), format!("{both} center-crop-wide transform"));
        assert!(refused(Crop::CenterWide, [Some(4), Some(8)]).contains("at most"));
        assert!(refused(Crop::None, [Some(0), None]).contains("at least 1"));
    }
}
