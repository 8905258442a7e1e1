//! From landmarks to the square that is cropped: the geometry of the FFHQ dataset (Karras, Laine and Aila, "A style-based
//! generator architecture for generative adversarial networks", 2019, appendix A). Pure; no pixel is touched.

use serde::{Deserialize, Serialize};

use crate::face::Landmarks;
use crate::geometry::{Affine, Point, Quad};
use crate::{Error, Result};

/// How much of a head the square shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CropGeometry {
    /// Half the side is at least this many times the distance of the eyes.
    pub eye_widths: f64,
    /// Half the side is at least this many times the distance from eyes to mouth.
    pub mouth_heights: f64,
    /// The centre lies this far on the way from eyes to mouth.
    pub toward_mouth: f64,
}

impl CropGeometry {
    /// The published numbers.
    pub const FFHQ: CropGeometry = CropGeometry { eye_widths: 2.0, mouth_heights: 1.8, toward_mouth: 0.1 };
}

impl Default for CropGeometry {
    fn default() -> Self {
        CropGeometry::FFHQ
    }
}

/// The square of the photo that becomes the crop: enough to go there and back, so it is kept beside the crop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawFrame", into = "RawFrame")]
pub struct CropFrame {
    center: Point,
    right: Point,
}

/// A [`CropFrame`] as it stands in files, before its invariant is checked.
#[derive(Serialize, Deserialize)]
struct RawFrame {
    center: Point,
    right: Point,
}

impl CropFrame {
    /// A square by its centre and the way from there to the middle of its right edge, in photo pixels.
    ///
    /// # Errors
    /// [`Error::Degenerate`] when the square has no area or a number is not finite.
    pub fn new(center: Point, right: Point) -> Result<Self> {
        let area = right.length().powi(2);
        let usable = center.is_finite() && area.is_finite() && area > 0.0 && (1.0 / area).is_finite();
        if usable { Ok(CropFrame { center, right }) } else { Err(Error::Degenerate) }
    }

    /// The corners in photo pixels.
    pub fn quad(&self) -> Quad {
        let (c, x, y) = (self.center, self.right, self.right.rot90());
        Quad([c - x - y, c - x + y, c + x + y, c + x - y])
    }

    /// Length of an edge in photo pixels: the size at which a crop neither gains nor loses detail.
    pub fn side_px(&self) -> f64 {
        self.right.length() * 2.0
    }

    /// The map from the pixels of a crop of `size_px` pixels to the photo's.
    pub fn photo_from_crop(&self, size_px: u32) -> Affine {
        let step = 2.0 / f64::from(size_px);
        let (x_step, y_step) = (self.right * step, self.right.rot90() * step);
        // The centre of the first pixel lies half a step inside the corner.
        let origin = self.quad().0[0] + x_step * 0.5 + y_step * 0.5;
        Affine { origin, x_step, y_step }
    }

    /// The map from the photo's pixels to those of a crop of `size_px` pixels.
    pub fn crop_from_photo(&self, size_px: u32) -> Affine {
        self.photo_from_crop(size_px).inverse().expect("a frame has area, `new` saw to it")
    }
}

impl TryFrom<RawFrame> for CropFrame {
    type Error = Error;

    fn try_from(raw: RawFrame) -> Result<Self> {
        CropFrame::new(raw.center, raw.right)
    }
}

impl From<CropFrame> for RawFrame {
    fn from(frame: CropFrame) -> Self {
        RawFrame { center: frame.center, right: frame.right }
    }
}

/// Places the square around a face.
///
/// # Errors
/// [`Error::Degenerate`] when the landmarks span nothing.
pub fn frame(landmarks: &Landmarks, geometry: CropGeometry) -> Result<CropFrame> {
    let points = landmarks.points();
    let left_eye = mean(&points[36..42]);
    let right_eye = mean(&points[42..48]);
    let eyes = (left_eye + right_eye) * 0.5;
    let mouth = (points[48] + points[54]) * 0.5;
    let eye_to_eye = right_eye - left_eye;
    let eyes_to_mouth = mouth - eyes;

    // Upright means: as level as the eyes say and as plumb as the way to the mouth says, in equal parts.
    let level = eye_to_eye - eyes_to_mouth.rot90();
    let length = level.length();
    let unit = Point::new(level.x / length, level.y / length);
    let half_side = (eye_to_eye.length() * geometry.eye_widths).max(eyes_to_mouth.length() * geometry.mouth_heights);
    CropFrame::new(eyes + eyes_to_mouth * geometry.toward_mouth, unit * half_side)
}

fn mean(points: &[Point]) -> Point {
    let sum = points.iter().fold(Point::default(), |sum, &p| sum + p);
    Point::new(sum.x / points.len() as f64, sum.y / points.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Landmarks whose eyes and mouth corners are where they are said to be.
    fn drawn(left_eye: Point, right_eye: Point, mouth: Point) -> Landmarks {
        Landmarks::new(std::array::from_fn(|i| match i {
            36..42 => left_eye,
            42..48 => right_eye,
            _ => mouth,
        }))
    }

    #[test]
    fn an_upright_face_gets_an_upright_square() {
        let face = drawn(Point::new(40.0, 50.0), Point::new(60.0, 50.0), Point::new(50.0, 70.0));
        let frame = frame(&face, CropGeometry::FFHQ).expect("a face");
        let [nw, sw, se, ne] = frame.quad().0;
        assert_eq!([nw, se], [Point::new(10.0, 12.0), Point::new(90.0, 92.0)]);
        assert_eq!([sw, ne], [Point::new(10.0, 92.0), Point::new(90.0, 12.0)]);
        assert_eq!(frame.side_px(), 80.0);
        assert_eq!(frame.photo_from_crop(80) * Point::new(0.0, 0.0), Point::new(10.5, 12.5));
    }

    #[test]
    fn landmarks_in_one_point_are_refused() {
        let point = Point::new(3.0, 4.0);
        assert!(matches!(frame(&drawn(point, point, point), CropGeometry::FFHQ), Err(Error::Degenerate)));
        let nowhere = Point::new(f64::NAN, 0.0);
        assert!(matches!(frame(&drawn(point, nowhere, point), CropGeometry::FFHQ), Err(Error::Degenerate)));
    }

    #[test]
    fn frames_survive_json_and_flat_ones_are_refused() {
        let frame = CropFrame::new(Point::new(1.5, 2.0), Point::new(0.1, -7.0)).expect("it has area");
        let json = serde_json::to_string(&frame).expect("numbers are JSON");
        assert_eq!(json, r#"{"center":[1.5,2.0],"right":[0.1,-7.0]}"#);
        assert_eq!(serde_json::from_str::<CropFrame>(&json).expect("it was just written"), frame);
        assert!(serde_json::from_str::<CropFrame>(r#"{"center":[1,2],"right":[0,0]}"#).is_err());
    }

    proptest! {
        #[test]
        fn a_frame_maps_both_ways(
            x in -1e4..1e4, y in -1e4..1e4, side in 1.0..5e3, angle in 0.0..7.0, size_px in 1u32..2000,
            px in -5e3..5e3, py in -5e3..5e3,
        ) {
            let right = Point::new(f64::cos(angle), f64::sin(angle)) * (side / 2.0);
            let frame = CropFrame::new(Point::new(x, y), right).expect("it has area");
            let photo = Point::new(px, py);
            let home = frame.photo_from_crop(size_px) * (frame.crop_from_photo(size_px) * photo);
            prop_assert!((home - photo).length() < 1e-6);
            let half = f64::from(size_px) / 2.0 - 0.5;
            let middle = frame.photo_from_crop(size_px) * Point::new(half, half);
            prop_assert!((middle - Point::new(x, y)).length() < 1e-6);
        }

        #[test]
        fn turning_the_face_turns_the_square(angle in 0.0..7.0) {
            let turn = |p: Point| Point::new(
                p.x * f64::cos(angle) - p.y * f64::sin(angle), p.x * f64::sin(angle) + p.y * f64::cos(angle));
            let points = [Point::new(-9.0, -5.0), Point::new(11.0, -4.0), Point::new(1.0, 19.0)];
            let straight = frame(&drawn(points[0], points[1], points[2]), CropGeometry::FFHQ).expect("a face");
            let [l, r, m] = points.map(turn);
            let turned = frame(&drawn(l, r, m), CropGeometry::FFHQ).expect("a face");
            for (expected, found) in straight.quad().0.into_iter().zip(turned.quad().0) {
                prop_assert!((turn(expected) - found).length() < 1e-9);
            }
        }
    }
}
