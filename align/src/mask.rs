//! Where in the crop the face is: a soft mask, 1 on the face and 0 at the crop's edge.
//!
//! Masks live in unit coordinates, (0, 0) to (1, 1) from corner to corner of the crop, so one mask serves every size.

use image::GrayImage;

use crate::face::Landmarks;
use crate::frame::CropFrame;
use crate::geometry::Point;
use crate::{Error, Result};

/// A mask as a grid of values from 0 to 1, read with linear interpolation.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    width: usize,
    height: usize,
    alpha: Vec<f32>,
}

/// How quickly a mask fades: the width of the soft rim as a part of the crop's edge, 0.01 to 0.5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feather(f64);

impl Feather {
    /// Takes the width of the rim.
    ///
    /// # Errors
    /// [`Error::Value`] outside 0.01 to 0.5.
    pub fn new(width: f64) -> Result<Self> {
        if (0.01..=0.5).contains(&width) {
            return Ok(Feather(width));
        }
        Err(Error::Value { what: "feather", found: width.to_string(), expected: "0.01 to 0.5" })
    }
}

impl Default for Feather {
    /// A tenth of the crop.
    fn default() -> Self {
        Feather(0.1)
    }
}

/// Grid points along an edge of a computed mask; it is smooth, so few are enough.
const GRID: usize = 128;

impl Mask {
    /// The head of an FFHQ crop, hair and chin included, as an ellipse.
    pub fn ellipse(feather: Feather) -> Self {
        let (center, radii) = (Point::new(0.5, 0.5), Point::new(0.40, 0.48));
        Mask::from_distance(feather, |p| {
            let from_center = p - center;
            let scaled = Point::new(from_center.x / radii.x, from_center.y / radii.y);
            // The implicit function over its gradient: a distance to first order, exact on the axes.
            let gradient = Point::new(scaled.x / radii.x, scaled.y / radii.y).length();
            let ratio = scaled.length();
            if ratio == 0.0 { radii.x.min(radii.y) } else { (1.0 - ratio) * ratio / gradient }
        })
    }

    /// The face itself: the hull of its landmarks, drawn up over the forehead.
    pub fn hull(landmarks: &Landmarks, frame: &CropFrame, feather: Feather) -> Self {
        let unit_from_photo = |p: Point| {
            let in_crop = frame.crop_from_photo(1) * p;
            in_crop + Point::new(0.5, 0.5)
        };
        let mut points: Vec<Point> = landmarks.points().iter().map(|&p| unit_from_photo(p)).collect();
        let chin = points[8];
        // A forehead is about as high above the brows as half the way from them down to the chin.
        let brows = points[17..27].to_vec();
        points.extend(brows.iter().map(|&brow| brow + (brow - chin) * FOREHEAD));
        let hull = convex_hull(points);
        Mask::from_distance(feather, |p| inside_distance(&hull, p))
    }

    /// The whole crop but for its rim.
    pub fn square(feather: Feather) -> Self {
        Mask::from_distance(feather, |_| f64::INFINITY)
    }

    /// A mask made elsewhere: white is face. It is stretched over the crop.
    ///
    /// # Errors
    /// [`Error::Value`] for an empty picture.
    pub fn from_picture(picture: &GrayImage) -> Result<Self> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if width == 0 || height == 0 {
            return Err(Error::Value { what: "mask", found: format!("{width}x{height} px"), expected: "a picture" });
        }
        let alpha = picture.as_raw().iter().map(|&value| f32::from(value) / 255.0).collect();
        Ok(Mask { width, height, alpha })
    }

    /// How much of the new face shows at a point: 0 to 1, and 0 outside the crop.
    pub fn alpha(&self, at: Point) -> f32 {
        if !((0.0..=1.0).contains(&at.x) && (0.0..=1.0).contains(&at.y)) {
            return 0.0;
        }
        let (x, dx) = cell(at.x, self.width);
        let (y, dy) = cell(at.y, self.height);
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let row = |y: usize| {
            let row = &self.alpha[y * self.width..(y + 1) * self.width];
            mix(row[x], row[(x + 1).min(self.width - 1)], dx)
        };
        mix(row(y), row((y + 1).min(self.height - 1)), dy)
    }

    /// Samples `distance` (inwards from the shape's rim, in crop edges), also fading at the crop's own edge.
    fn from_distance(feather: Feather, distance: impl Fn(Point) -> f64) -> Self {
        let value = |i: usize| {
            let p = Point::new(((i % GRID) as f64 + 0.5) / GRID as f64, ((i / GRID) as f64 + 0.5) / GRID as f64);
            let to_edge = p.x.min(1.0 - p.x).min(p.y).min(1.0 - p.y) - 0.5 / GRID as f64;
            smooth(distance(p).min(to_edge) / feather.0) as f32
        };
        Mask { width: GRID, height: GRID, alpha: (0..GRID * GRID).map(value).collect() }
    }
}

/// Part of the way from chin to brow that the forehead continues it.
const FOREHEAD: f64 = 0.35;

/// The grid point before a coordinate, and how far it lies on the way to the next.
fn cell(at: f64, len: usize) -> (usize, f32) {
    let position = (at * len as f64 - 0.5).clamp(0.0, len as f64 - 1.0);
    (position as usize, position.fract() as f32)
}

/// A step from 0 to 1 without corners (3t² − 2t³).
fn smooth(t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

fn cross(a: Point, b: Point) -> f64 {
    a.x * b.y - a.y * b.x
}

/// The corners of the convex hull, turning from right to down (Andrew's monotone chain, 1979).
fn convex_hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let chain = |points: &mut dyn Iterator<Item = Point>| {
        let mut hull: Vec<Point> = Vec::new();
        for p in points {
            while let [.., a, b] = hull[..]
                && cross(b - a, p - a) <= 0.0
            {
                hull.pop();
            }
            hull.push(p);
        }
        hull.pop();
        hull
    };
    let mut hull = chain(&mut points.iter().copied());
    hull.extend(chain(&mut points.iter().rev().copied()));
    hull
}

/// Distance from a point inside a convex hull to its nearest edge; negative outside.
fn inside_distance(hull: &[Point], p: Point) -> f64 {
    let edges = hull.iter().zip(hull.iter().cycle().skip(1));
    edges.map(|(&a, &b)| cross(b - a, p - a) / (b - a).length()).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(radius: f64) -> Landmarks {
        Landmarks::new(std::array::from_fn(|i| {
            let angle = std::f64::consts::TAU * i as f64 / 68.0;
            Point::new(50.0 + radius * angle.cos(), 50.0 + radius * angle.sin())
        }))
    }

    fn frame() -> CropFrame {
        CropFrame::new(Point::new(50.0, 50.0), Point::new(50.0, 0.0)).expect("it has area")
    }

    #[test]
    fn masks_show_the_face_and_vanish_at_the_edge() {
        let feather = Feather::default();
        for mask in [Mask::ellipse(feather), Mask::square(feather), Mask::hull(&ring(30.0), &frame(), feather)] {
            assert_eq!(mask.alpha(Point::new(0.5, 0.5)), 1.0);
            for t in [0.0, 0.1, 0.5, 0.77, 1.0] {
                for edge in [Point::new(t, 0.0), Point::new(t, 1.0), Point::new(0.0, t), Point::new(1.0, t)] {
                    assert_eq!(mask.alpha(edge), 0.0, "{edge:?}");
                }
            }
            assert_eq!(mask.alpha(Point::new(1.01, 0.5)), 0.0);
        }
    }

    #[test]
    fn a_hull_is_the_landmarks_and_a_forehead() {
        let mask = Mask::hull(&ring(30.0), &frame(), Feather::new(0.01).expect("in range"));
        assert_eq!(mask.alpha(Point::new(0.5 + 0.27, 0.5)), 1.0);
        assert_eq!(mask.alpha(Point::new(0.5 + 0.33, 0.5)), 0.0);
    }

    #[test]
    fn a_hull_keeps_the_outermost_points_only() {
        let square = [[0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [1.0, 1.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]];
        let hull = convex_hull(square.map(Point::from).to_vec());
        assert_eq!(hull, [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]].map(Point::from));
        assert_eq!(inside_distance(&hull, Point::new(0.25, 0.5)), 0.25);
        assert_eq!(inside_distance(&hull, Point::new(1.25, 0.5)), -0.25);
    }

    #[test]
    fn a_picture_is_a_mask() {
        let mask = Mask::from_picture(&GrayImage::from_fn(2, 1, |x, _| image::Luma([(x * 255) as u8]))).expect("it is");
        assert_eq!(mask.alpha(Point::new(0.5, 0.3)), 0.5);
        assert_eq!(mask.alpha(Point::new(1.0, 1.0)), 1.0);
        assert!(Mask::from_picture(&GrayImage::new(0, 4)).is_err());
    }

    #[test]
    fn a_feather_has_a_sensible_width() {
        for width in [0.0, 0.6, f64::NAN] {
            assert!(Feather::new(width).is_err());
        }
    }

    proptest! {
        #[test]
        fn alpha_is_between_0_and_1(x in -0.5..1.5, y in -0.5..1.5, width in 0.01..0.5) {
            let mask = Mask::ellipse(Feather::new(width).expect("in range"));
            prop_assert!((0.0..=1.0).contains(&mask.alpha(Point::new(x, y))));
        }
    }
}
