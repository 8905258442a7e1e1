//! Points, affine maps and squares in the plane.
//!
//! Coordinates are pixel indices: the centre of the first pixel is (0, 0) and its corner is (-0.5, -0.5). Maps are named
//! `to_from_origin`, so that products read like a sum: `in_photo = photo_from_crop * in_crop`.

use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Serialize};

/// A point or a direction; `[x, y]` in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Point {
    /// To the right, in pixels.
    pub x: f64,
    /// Downwards, in pixels.
    pub y: f64,
}

impl Point {
    /// Names the point (x, y).
    pub const fn new(x: f64, y: f64) -> Self {
        Point { x, y }
    }

    /// Distance from the origin.
    pub fn length(self) -> f64 {
        self.x.hypot(self.y)
    }

    /// Turns the direction by a quarter, from right to down.
    pub fn rot90(self) -> Point {
        Point::new(-self.y, self.x)
    }

    /// Whether both coordinates are numbers that one can calculate with.
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }
}

impl From<[f64; 2]> for Point {
    fn from([x, y]: [f64; 2]) -> Self {
        Point { x, y }
    }
}

impl From<Point> for [f64; 2] {
    fn from(point: Point) -> Self {
        [point.x, point.y]
    }
}

impl Add for Point {
    type Output = Point;
    fn add(self, other: Point) -> Point {
        Point::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Point;
    fn sub(self, other: Point) -> Point {
        Point::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f64> for Point {
    type Output = Point;
    fn mul(self, factor: f64) -> Point {
        Point::new(self.x * factor, self.y * factor)
    }
}

/// The map `p → origin + p.x · x_step + p.y · y_step`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Where (0, 0) goes.
    pub origin: Point,
    /// Where one step to the right leads.
    pub x_step: Point,
    /// Where one step down leads.
    pub y_step: Point,
}

impl Affine {
    /// Moves every point by `by`.
    pub fn translation(by: Point) -> Self {
        Affine { origin: by, x_step: Point::new(1.0, 0.0), y_step: Point::new(0.0, 1.0) }
    }

    /// Area of the image of the unit square; negative when the map mirrors.
    pub fn determinant(&self) -> f64 {
        self.x_step.x * self.y_step.y - self.x_step.y * self.y_step.x
    }

    /// The way back, or `None` for a map that flattens the plane.
    pub fn inverse(&self) -> Option<Affine> {
        let scale = 1.0 / self.determinant();
        let x_step = Point::new(self.y_step.y, -self.x_step.y) * scale;
        let y_step = Point::new(-self.y_step.x, self.x_step.x) * scale;
        let linear = Affine { origin: Point::default(), x_step, y_step };
        let back = Affine { origin: linear * (self.origin * -1.0), ..linear };
        (scale.is_finite() && back.origin.is_finite() && x_step.is_finite() && y_step.is_finite()).then_some(back)
    }

    /// The same map with the roles of right and down exchanged in what it is given.
    pub(crate) fn transposed(&self) -> Affine {
        Affine { origin: self.origin, x_step: self.y_step, y_step: self.x_step }
    }
}

impl Mul<Point> for Affine {
    type Output = Point;
    fn mul(self, point: Point) -> Point {
        self.origin + self.x_step * point.x + self.y_step * point.y
    }
}

impl Mul for Affine {
    type Output = Affine;
    fn mul(self, first: Affine) -> Affine {
        let linear = Affine { origin: Point::default(), ..self };
        Affine { origin: self * first.origin, x_step: linear * first.x_step, y_step: linear * first.y_step }
    }
}

/// Four corners in the order of the published alignment: north-west, south-west, south-east, north-east.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quad(pub [Point; 4]);

impl Quad {
    /// The smallest and the largest coordinates of the corners.
    pub fn bounds(&self) -> (Point, Point) {
        let fold = |f: fn(f64, f64) -> f64| {
            let [first, rest @ ..] = self.0;
            rest.iter().fold(first, |best, p| Point::new(f(best.x, p.x), f(best.y, p.y)))
        };
        (fold(f64::min), fold(f64::max))
    }

    /// Applies a change to each corner.
    pub(crate) fn map(&self, change: impl Fn(Point) -> Point) -> Quad {
        Quad(self.0.map(change))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point() -> impl Strategy<Value = Point> {
        (-1e4..1e4, -1e4..1e4).prop_map(|(x, y)| Point::new(x, y))
    }

    proptest! {
        #[test]
        fn a_map_and_its_inverse_lead_home(origin in point(), x_step in point(), y_step in point(), p in point()) {
            let map = Affine { origin, x_step, y_step };
            prop_assume!(map.determinant().abs() > 1.0);
            let home = map.inverse().expect("the determinant is not zero") * (map * p);
            let size = 1.0 + (x_step.length() + y_step.length()).powi(2) / map.determinant().abs() * (p.length() + 1.0);
            prop_assert!((home - p).length() < 1e-9 * size + 1e-6, "{home:?} is not {p:?}");
        }

        #[test]
        fn a_product_is_one_map_after_the_other(a in point(), b in point(), c in point(), p in point()) {
            let first = Affine { origin: a, x_step: Point::new(0.5, 2.0), y_step: Point::new(-1.0, 3.0) };
            let second = Affine { origin: b, x_step: c * 1e-3, y_step: c.rot90() * 1e-3 };
            let both = (second * first) * p;
            prop_assert!((both - second * (first * p)).length() < 1e-6);
        }
    }

    #[test]
    fn a_flat_map_has_no_inverse() {
        let direction = Point::new(1.0, 2.0);
        assert_eq!(Affine { origin: direction, x_step: direction, y_step: direction * 2.0 }.inverse(), None);
    }

    #[test]
    fn a_quarter_turn_leads_from_right_to_down() {
        assert_eq!(Point::new(1.0, 0.0).rot90(), Point::new(0.0, 1.0));
    }
}
