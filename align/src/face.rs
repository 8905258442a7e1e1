//! What is known about a face: its box, the detector's score, 68 landmarks; and which faces of a photo are wanted.

use serde::{Deserialize, Serialize};

use crate::geometry::Point;
use crate::{Error, Result};

/// A box of whole pixels, all four edges included, as dlib counts; it may reach beyond the photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rect {
    /// First column.
    pub left: i32,
    /// First row.
    pub top: i32,
    /// Last column.
    pub right: i32,
    /// Last row.
    pub bottom: i32,
}

impl Rect {
    /// Columns in the box; 0 when the edges have crossed.
    pub fn width(&self) -> u32 {
        extent(self.left, self.right)
    }

    /// Rows in the box; 0 when the edges have crossed.
    pub fn height(&self) -> u32 {
        extent(self.top, self.bottom)
    }

    /// Pixels in the box.
    pub fn area(&self) -> u64 {
        u64::from(self.width()) * u64::from(self.height())
    }
}

fn extent(first: i32, last: i32) -> u32 {
    u32::try_from(i64::from(last) - i64::from(first) + 1).unwrap_or(0)
}

/// A face that a detector found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Where it is, in photo pixels.
    pub rect: Rect,
    /// How sure the detector is; for dlib 0 is the threshold, and frontal faces mostly score over 0.5.
    pub score: f64,
}

/// The 68 points of the iBUG 300-W scheme in photo pixels: jaw 0–16, brows 17–26, nose 27–35, eyes 36–47, mouth 48–67.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Point>", into = "Vec<Point>")]
pub struct Landmarks(Box<[Point; Landmarks::COUNT]>);

impl Landmarks {
    /// How many points a face has.
    pub const COUNT: usize = 68;

    /// Takes the points in the scheme's order.
    pub fn new(points: [Point; Landmarks::COUNT]) -> Self {
        Landmarks(Box::new(points))
    }

    /// The points in the scheme's order.
    pub fn points(&self) -> &[Point; Landmarks::COUNT] {
        &self.0
    }

    /// The points as whole pixels, halves upwards: what dlib's own predictor returns.
    pub fn rounded(&self) -> Landmarks {
        Landmarks(Box::new(self.0.map(|p| Point::new((p.x + 0.5).floor(), (p.y + 0.5).floor()))))
    }
}

impl TryFrom<Vec<Point>> for Landmarks {
    type Error = Error;

    fn try_from(points: Vec<Point>) -> Result<Self> {
        let found = points.len();
        let points = points.try_into().map_err(|_| Error::Value {
            what: "landmarks",
            found: format!("{found} points"),
            expected: "68 points",
        })?;
        Ok(Landmarks(points))
    }
}

impl From<Landmarks> for Vec<Point> {
    fn from(landmarks: Landmarks) -> Self {
        landmarks.0.to_vec()
    }
}

/// Which faces of a photo are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every one.
    All,
    /// This many, the largest first.
    Largest(usize),
    /// The only one; it is an error when there are more.
    Only,
}

/// Picks the wanted faces out of what a detector found, largest first (then by score).
///
/// # Errors
/// [`Error::NoFace`], [`Error::TooSmall`] when no box is `min_px` wide, [`Error::SeveralFaces`] for [`Wanted::Only`].
pub fn choose(faces: &[Face], wanted: Wanted, min_px: u32) -> Result<Vec<Face>> {
    let largest_px = faces.iter().map(|face| face.rect.width()).max().ok_or(Error::NoFace)?;
    let mut chosen: Vec<Face> = faces.iter().copied().filter(|face| face.rect.width() >= min_px).collect();
    if chosen.is_empty() {
        return Err(Error::TooSmall { largest_px, min_px });
    }
    chosen.sort_by(|a, b| b.rect.area().cmp(&a.rect.area()).then(b.score.total_cmp(&a.score)));
    match wanted {
        Wanted::All => {}
        Wanted::Largest(count) => chosen.truncate(count),
        Wanted::Only if chosen.len() > 1 => return Err(Error::SeveralFaces { count: chosen.len() }),
        Wanted::Only => {}
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: i32, width: i32, score: f64) -> Face {
        Face { rect: Rect { left, top: 0, right: left + width - 1, bottom: width - 1 }, score }
    }

    #[track_caller]
    fn check(wanted: Wanted, min_px: u32, expected_lefts: &[i32]) {
        let faces = [face(0, 40, 2.0), face(1, 90, 0.5), face(2, 90, 0.7)];
        let lefts: Vec<i32> =
            choose(&faces, wanted, min_px).expect("some face is large enough").iter().map(|f| f.rect.left).collect();
        assert_eq!(lefts, expected_lefts);
    }

    #[test]
    fn faces_come_largest_first() {
        check(Wanted::All, 0, &[2, 1, 0]);
        check(Wanted::All, 41, &[2, 1]);
        check(Wanted::Largest(1), 0, &[2]);
        check(Wanted::Largest(9), 0, &[2, 1, 0]);
    }

    #[test]
    fn each_disappointment_has_its_own_error() {
        let one = [face(0, 40, 1.0)];
        assert!(matches!(choose(&[], Wanted::All, 0), Err(Error::NoFace)));
        assert!(matches!(choose(&one, Wanted::All, 41), Err(Error::TooSmall { largest_px: 40, min_px: 41 })));
        assert!(matches!(choose(&[one[0], one[0]], Wanted::Only, 0), Err(Error::SeveralFaces { count: 2 })));
        assert_eq!(choose(&one, Wanted::Only, 40).expect("it is the only one"), one);
    }

    #[test]
    fn crossed_edges_hold_no_pixels() {
        let rect = Rect { left: i32::MAX, top: 3, right: i32::MIN, bottom: 3 };
        assert_eq!((rect.width(), rect.height(), rect.area()), (0, 1, 0));
    }

    #[test]
    fn landmarks_survive_json_and_refuse_another_count() {
        let landmarks = Landmarks::new(std::array::from_fn(|i| Point::new(i as f64 + 0.25, -0.5)));
        let json = serde_json::to_string(&landmarks).expect("numbers are JSON");
        assert!(json.starts_with("[[0.25,-0.5],[1.25,-0.5]"));
        assert_eq!(serde_json::from_str::<Landmarks>(&json).expect("it was just written"), landmarks);
        let error = serde_json::from_str::<Landmarks>("[[1.0,2.0]]").expect_err("one point is no face");
        assert_eq!(error.to_string(), "`landmarks` is 1 points, expected 68 points");
    }

    #[test]
    fn halves_round_upwards_like_dlibs_points() {
        let rounded = Landmarks::new([Point::new(2.5, -0.5); 68]).rounded();
        assert_eq!(rounded.points()[0], Point::new(3.0, 0.0));
    }
}
