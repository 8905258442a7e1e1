//! Evaluating the landmark model, in dlib's precision and order of sums, so that rounded points equal dlib's.

use image::RgbImage;

use super::model::{COORDINATES, LandmarkModel, Shape, Stage};
use crate::face::{Landmarks, Rect};
use crate::geometry::Point;

impl LandmarkModel {
    /// Finds the landmarks of the face in a box of the photo. Pixels outside the photo count as black.
    pub fn landmarks(&self, photo: &RgbImage, rect: &Rect) -> Landmarks {
        let place = Placement::new(rect);
        let mut shape = *self.mean;
        let mut levels = Vec::new();
        for stage in &self.stages {
            look(stage, &turn(&self.mean, &shape), &shape, |at| level(photo, place.in_photo(at)), &mut levels);
            advance(stage, &levels, &mut shape);
        }
        Landmarks::new(std::array::from_fn(|i| place.in_photo([shape[2 * i], shape[2 * i + 1]])))
    }
}

/// Where the unit square lies in the photo.
struct Placement {
    corner: Point,
    size: Point,
}

impl Placement {
    /// The box's corners are the centres of its corner pixels, as dlib has them.
    fn new(rect: &Rect) -> Self {
        let corner = Point::new(rect.left.into(), rect.top.into());
        Placement { corner, size: Point::new(rect.right.into(), rect.bottom.into()) - corner }
    }

    fn in_photo(&self, [x, y]: [f32; 2]) -> Point {
        Point::new(self.corner.x + f64::from(x) * self.size.x, self.corner.y + f64::from(y) * self.size.y)
    }
}

/// Brightness of the nearest pixel, 0 outside the photo.
fn level(photo: &RgbImage, at: Point) -> f32 {
    let (x, y) = ((at.x + 0.5).floor(), (at.y + 0.5).floor());
    if x >= 0.0 && y >= 0.0 && x < photo.width().into() && y < photo.height().into() {
        let [r, g, b] = photo.get_pixel(x as u32, y as u32).0.map(u16::from);
        return f32::from((r + g + b) / 3);
    }
    0.0
}

/// Fills in what each probe of the stage sees, when the offsets are turned with the shape.
fn look(stage: &Stage, turn: &[f32; 4], shape: &Shape, see: impl Fn([f32; 2]) -> f32, levels: &mut Vec<f32>) {
    levels.clear();
    levels.extend(stage.probes.iter().map(|probe| {
        let [dx, dy] = probe.offset;
        let i = usize::from(probe.landmark) * 2;
        see([turn[0] * dx + turn[1] * dy + shape[i], turn[2] * dx + turn[3] * dy + shape[i + 1]])
    }));
}

/// Adds to the shape the leaf that each tree of the stage leads to.
fn advance(stage: &Stage, levels: &[f32], shape: &mut Shape) {
    for tree in &stage.trees {
        let mut node = 0;
        while let Some(split) = tree.splits.get(node) {
            let difference = levels[usize::from(split.brighter)] - levels[usize::from(split.darker)];
            node = 2 * node + if difference > split.threshold { 1 } else { 2 };
        }
        let leaf = &tree.leaves[node - tree.splits.len()];
        shape.iter_mut().zip(leaf).for_each(|(value, step)| *value += step);
    }
}

/// The rotation and scale of the similarity that takes one shape closest to another, row by row (Umeyama, "Least-squares
/// estimation of transformation parameters between two point patterns", 1991; in the plane it has a closed form).
fn turn(from: &Shape, to: &Shape) -> [f32; 4] {
    let (from_mean, to_mean) = (mean(from), mean(to));
    let (mut along, mut aside, mut spread) = (0.0, 0.0, 0.0);
    for (p, q) in points(from).zip(points(to)) {
        let (p, q) = (p - from_mean, q - to_mean);
        along += p.x * q.x + p.y * q.y;
        aside += p.x * q.y - p.y * q.x;
        spread += p.x * p.x + p.y * p.y;
    }
    let (cos, sin) = if spread > 0.0 { (along / spread, aside / spread) } else { (1.0, 0.0) };
    [cos as f32, -sin as f32, sin as f32, cos as f32]
}

fn points(shape: &Shape) -> impl Iterator<Item = Point> {
    shape.as_chunks::<2>().0.iter().map(|&[x, y]| Point::new(x.into(), y.into()))
}

fn mean(shape: &Shape) -> Point {
    points(shape).fold(Point::default(), |sum, p| sum + p) * (2.0 / COORDINATES as f64)
}

#[cfg(test)]
mod tests {
    use super::super::model::{Probe, Split, Tree};
    use super::*;

    /// A face of scattered points.
    fn face() -> Shape {
        std::array::from_fn(|i| ((i * i * 37) % 101) as f32 / 101.0)
    }

    /// Moves the whole shape right by 0.1 when the probe at the first landmark is brighter than the one a box to the right.
    fn model() -> LandmarkModel {
        let step = |by: f32| std::array::from_fn(|i| if i % 2 == 0 { by } else { 0.0 });
        let splits = [Split { brighter: 0, darker: 1, threshold: 10.0 }].into();
        let tree = Tree { splits, leaves: [step(0.1), step(-0.1)].into() };
        let probes = vec![Probe { landmark: 0, offset: [0.0; 2] }, Probe { landmark: 0, offset: [1.0, 0.0] }];
        LandmarkModel { mean: Box::new(face()), stages: vec![Stage { trees: vec![tree], probes }] }
    }

    #[test]
    fn a_tree_follows_the_brightness() {
        let rect = Rect { left: 10, top: 10, right: 30, bottom: 30 };
        let photo = |bright_x: u32| {
            RgbImage::from_fn(64, 64, |x, _| image::Rgb([if x < 20 { bright_x as u8 } else { 100 }; 3]))
        };
        let model = model();
        let first = |photo: &RgbImage| model.landmarks(photo, &rect).points()[0].x;
        assert!((first(&photo(111)) - 12.0).abs() < 1e-5);
        assert!((first(&photo(110)) - 8.0).abs() < 1e-5, "ten levels are not more than the threshold");
        assert!((first(&RgbImage::new(0, 0)) - 8.0).abs() < 1e-5, "outside a photo it is black");
    }

    #[test]
    fn the_turn_between_a_shape_and_its_turned_double_is_found() {
        let (from, (sin, cos)) = (face(), 0.3f32.sin_cos());
        let to = std::array::from_fn(|i| {
            let (x, y) = (from[i / 2 * 2], from[i / 2 * 2 + 1]);
            2.0 * if i % 2 == 0 { cos * x - sin * y } else { sin * x + cos * y } + 5.0
        });
        let expected = [cos, -sin, sin, cos].map(|v| 2.0 * v);
        assert!(turn(&from, &to).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(turn(&[0.5; COORDINATES], &from), [1.0, 0.0, 0.0, 1.0].map(|v: f32| v), "a point does not turn");
    }
}
