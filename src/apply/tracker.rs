//! Faces followed from frame to frame: landmarks are smoothed over time, and a face that is not seen for a few frames
//! stays where it was. What comes out of a student then does not tremble with the detector.

use std::path::PathBuf;

use anyhow::Result;
use image::RgbImage;
use toonify_align::geometry::Point;
use toonify_align::{CropFrame, CropGeometry, Landmarks, Paste, frame};

use crate::align::{FaceSearch, Finder, FoundFace};
use crate::photo::PastePlan;

/// Which faces are translated, and how they come back into the frame.
#[derive(Clone, Debug)]
pub struct FacesPlan {
    /// dlib's landmark model.
    pub model: PathBuf,
    /// Which faces are wanted.
    pub search: FaceSearch,
    /// How a face is pasted.
    pub paste: PastePlan,
    /// Share of a frame's landmarks that comes from the frames before, from 0 (none) to below 1.
    pub smoothing: f64,
}

/// Frames for which a face that is not seen stays where it was.
const PATIENCE: u32 = 5;
/// A face that has moved farther than this, in widths of its box, is another one, or the picture was cut.
const LEAP: f64 = 0.5;

/// A face of one frame, ready to be cropped and pasted.
pub(super) struct TrackedFace {
    pub frame: CropFrame,
    pub paste: Paste,
}

/// Follows faces.
pub(super) struct Tracker {
    plan: FacesPlan,
    finder: Finder,
    faces: Vec<Followed>,
}

struct Followed {
    found: FoundFace,
    /// Frames since it was seen.
    unseen: u32,
}

impl Tracker {
    pub fn open(plan: &FacesPlan) -> Result<Tracker> {
        let finder = Finder::open(&plan.model, &plan.search)?;
        Ok(Tracker { plan: plan.clone(), finder, faces: Vec::new() })
    }

    /// Forgets all faces.
    pub fn forget(&mut self) {
        self.faces.clear();
    }

    /// The faces of the next frame.
    pub fn follow(&mut self, picture: &RgbImage) -> Result<Vec<TrackedFace>> {
        let seen = self.finder.look(picture)?.faces;
        let before = std::mem::take(&mut self.faces);
        self.faces = matched(before, seen, self.plan.smoothing)?;
        let ready =
            |face: &Followed| Ok(TrackedFace { frame: face.found.frame, paste: self.plan.paste.of(&face.found)? });
        self.faces.iter().map(ready).collect()
    }
}

/// The faces now: those seen, smoothed with the nearest one before; and those before that were seen a moment ago.
fn matched(mut before: Vec<Followed>, seen: Vec<FoundFace>, smoothing: f64) -> Result<Vec<Followed>> {
    let mut now = Vec::new();
    for mut found in seen {
        let nearest = (0..before.len())
            .min_by(|&a, &b| distance(&before[a].found, &found).total_cmp(&distance(&before[b].found, &found)));
        if let Some(index) = nearest.filter(|&index| distance(&before[index].found, &found) < LEAP) {
            let former = before.swap_remove(index).found;
            found.landmarks = smoothed(&former.landmarks, &found.landmarks, smoothing);
            found.frame = frame(&found.landmarks, CropGeometry::FFHQ)?;
        }
        now.push(Followed { found, unseen: 0 });
    }
    let patient = before.into_iter().map(|face| Followed { unseen: face.unseen + 1, ..face });
    now.extend(patient.filter(|face| face.unseen <= PATIENCE));
    Ok(now)
}

/// Distance of the middles in widths of the face.
fn distance(a: &FoundFace, b: &FoundFace) -> f64 {
    let (from, to) = (middle(&a.landmarks), middle(&b.landmarks));
    let width = |face: &FoundFace| {
        let points = face.landmarks.points();
        (points[16] - points[0]).length()
    };
    (to - from).length() / width(a).max(width(b)).max(f64::MIN_POSITIVE)
}

fn middle(landmarks: &Landmarks) -> Point {
    let sum = landmarks.points().iter().fold(Point::new(0.0, 0.0), |sum, point| sum + *point);
    sum * (1.0 / Landmarks::COUNT as f64)
}

/// Moves the landmarks back towards those before. The faster the face, the less, so that it does not lag behind.
fn smoothed(before: &Landmarks, now: &Landmarks, smoothing: f64) -> Landmarks {
    let points = now.points();
    let width = (points[16] - points[0]).length().max(f64::MIN_POSITIVE);
    let speed = (middle(now) - middle(before)).length() / width;
    let keep = smoothing * (1.0 - (speed / QUICK).min(1.0));
    Landmarks::new(std::array::from_fn(|index| points[index] * (1.0 - keep) + before.points()[index] * keep))
}

/// Movement from frame to frame, in widths of the face, from which nothing is smoothed.
const QUICK: f64 = 0.15;

#[cfg(test)]
mod tests {
    use super::*;
    use toonify_align::Rect;

    /// A face whose points lie on an ellipse, with its middle at `x`, 100.
    fn face(x: f64) -> FoundFace {
        let point = |index: usize| {
            let angle = index as f64 / Landmarks::COUNT as f64 * std::f64::consts::TAU;
            Point::new(x - 40.0 * angle.cos(), 100.0 + 50.0 * angle.sin())
        };
        let mut points: [Point; Landmarks::COUNT] = std::array::from_fn(point);
        (36..42).for_each(|eye| points[eye] = Point::new(x - 15.0, 85.0));
        (42..48).for_each(|eye| points[eye] = Point::new(x + 15.0, 85.0));
        (points[48], points[54]) = (Point::new(x - 10.0, 120.0), Point::new(x + 10.0, 120.0));
        let landmarks = Landmarks::new(points);
        let frame = frame(&landmarks, CropGeometry::FFHQ).unwrap();
        FoundFace { rect: Rect { left: 0, top: 0, right: 80, bottom: 100 }, score: 1.0, landmarks, frame }
    }

    fn x_of(face: &Followed) -> f64 {
        middle(&face.found.landmarks).x
    }

    #[test]
    fn a_trembling_face_is_held_still() {
        let mut faces = matched(Vec::new(), vec![face(100.0)], 0.8).unwrap();
        let mut largest: f64 = 0.0;
        for index in 0..20 {
            let trembling = 100.0 + if index % 2 == 0 { 1.0 } else { -1.0 };
            let before = x_of(&faces[0]);
            faces = matched(faces, vec![face(trembling)], 0.8).unwrap();
            largest = largest.max((x_of(&faces[0]) - before).abs());
        }
        assert_eq!(faces.len(), 1);
        assert!(largest < 0.7, "{largest}");
    }

    #[test]
    fn a_quick_face_is_not_left_behind() {
        let faces = matched(Vec::new(), vec![face(100.0)], 0.8).unwrap();
        let middle_before = x_of(&faces[0]);
        let faces = matched(faces, vec![face(120.0)], 0.8).unwrap();
        assert!((x_of(&faces[0]) - middle_before - 20.0).abs() < 1.0);
    }

    #[test]
    fn a_face_that_is_not_seen_stays_for_a_moment() {
        let mut faces = matched(Vec::new(), vec![face(100.0)], 0.8).unwrap();
        for _ in 0..PATIENCE {
            faces = matched(faces, Vec::new(), 0.8).unwrap();
            assert_eq!(faces.len(), 1);
        }
        assert!(matched(faces, Vec::new(), 0.8).unwrap().is_empty());
    }

    #[test]
    fn two_faces_keep_apart() {
        let faces = matched(Vec::new(), vec![face(100.0), face(300.0)], 0.8).unwrap();
        let before: Vec<f64> = faces.iter().map(x_of).collect();
        let faces = matched(faces, vec![face(301.0), face(101.0)], 0.8).unwrap();
        assert_eq!(faces.len(), 2);
        // Each follows its own face by a part of the one pixel, whichever was seen first.
        for (now, before) in [(x_of(&faces[1]), before[0]), (x_of(&faces[0]), before[1])] {
            assert!((0.0..=1.0).contains(&(now - before)), "from {before} to {now}");
        }
    }
}
