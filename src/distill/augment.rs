//! What is done to pairs so that a student of made-up faces holds on real photos: they are moved and mirrored together,
//! the photo's colours and sharpness change, and hands, hair and glasses that no generator draws cover both alike.

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, RgbImage};
use serde::{Deserialize, Serialize};
use toonify_networks::random::RandomState;

use crate::pairs::reader::Pair;

/// How often, or how much, each change takes place; 0 switches it off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AugmentPlan {
    /// Most that an image is turned, in degrees; it is moved and scaled in proportion.
    pub turn_deg: f64,
    /// Probability of mirroring.
    pub mirror: f64,
    /// Most that brightness, contrast and saturation of the photo change, as a part.
    pub colour: f64,
    /// Probability that the photo is blurred, by making it smaller and larger again.
    pub blur: f64,
    /// Probability of something in front.
    pub occlusion: f64,
    /// Probability of glasses.
    pub glasses: f64,
}

impl AugmentPlan {
    /// What holds for portraits.
    pub const PORTRAITS: AugmentPlan =
        AugmentPlan { turn_deg: 8.0, mirror: 0.5, colour: 0.25, blur: 0.2, occlusion: 0.2, glasses: 0.15 };
    /// Nothing.
    pub const NONE: AugmentPlan =
        AugmentPlan { turn_deg: 0.0, mirror: 0.0, colour: 0.0, blur: 0.0, occlusion: 0.0, glasses: 0.0 };
}

/// Changes a square pair.
pub(super) fn augmented(pair: Pair, plan: &AugmentPlan, rng: &mut RandomState) -> Pair {
    let mut pair = moved(pair, plan, rng);
    if rng.uniform() < plan.glasses {
        let glasses = Glasses::draw(pair.a.width(), rng);
        both(&mut pair, |image| glasses.put_on(image));
    }
    if rng.uniform() < plan.occlusion {
        let cover = Cover::draw(pair.a.width(), rng);
        both(&mut pair, |image| cover.put_on(image));
    }
    if rng.uniform() < plan.blur {
        let (width, height) = pair.a.dimensions();
        let part = |side: u32, share: f64| ((f64::from(side) * share) as u32).max(1);
        let share = 0.3 + 0.6 * rng.uniform();
        let small = imageops::resize(&pair.a, part(width, share), part(height, share), FilterType::Triangle);
        pair.a = imageops::resize(&small, width, height, FilterType::Triangle);
    }
    if plan.colour > 0.0 {
        recolour(&mut pair.a, plan.colour, rng);
    }
    pair
}

fn both(pair: &mut Pair, draw: impl Fn(&mut RgbImage)) {
    draw(&mut pair.a);
    draw(&mut pair.b);
}

/// Where a pixel of the result comes from.
struct Motion {
    cos: f64,
    sin: f64,
    shift: (f64, f64),
    mirrored: bool,
    middle: f64,
}

fn moved(pair: Pair, plan: &AugmentPlan, rng: &mut RandomState) -> Pair {
    let side = f64::from(pair.a.width());
    let around = |rng: &mut RandomState| 2.0 * rng.uniform() - 1.0;
    let angle = (plan.turn_deg * around(rng)).to_radians();
    // Half a percent of the side, and one of the scale, for each degree.
    let scale = 1.0 + plan.turn_deg / 100.0 * around(rng);
    let shift = (side * plan.turn_deg / 200.0 * around(rng), side * plan.turn_deg / 200.0 * around(rng));
    let mirrored = rng.uniform() < plan.mirror;
    let middle = (side - 1.0) / 2.0;
    let motion = Motion { cos: angle.cos() * scale, sin: angle.sin() * scale, shift, mirrored, middle };
    if plan.turn_deg == 0.0 && !mirrored {
        return pair;
    }
    let gray = |image: &GrayImage| {
        let rgb = RgbImage::from_fn(image.width(), image.height(), |x, y| Rgb([image.get_pixel(x, y).0[0]; 3]));
        let moved = motion.apply(&rgb);
        GrayImage::from_fn(image.width(), image.height(), |x, y| image::Luma([moved.get_pixel(x, y).0[0]]))
    };
    Pair { a: motion.apply(&pair.a), depth: pair.depth.as_ref().map(gray), b: motion.apply(&pair.b) }
}

impl Motion {
    fn apply(&self, image: &RgbImage) -> RgbImage {
        RgbImage::from_fn(image.width(), image.height(), |x, y| {
            let x = if self.mirrored { f64::from(image.width() - 1 - x) } else { f64::from(x) };
            let (dx, dy) = (x - self.middle, f64::from(y) - self.middle);
            let from_x = self.middle + self.cos * dx - self.sin * dy + self.shift.0;
            let from_y = self.middle + self.sin * dx + self.cos * dy + self.shift.1;
            between(image, from_x, from_y)
        })
    }
}

/// Bilinear, with the border repeated.
fn between(image: &RgbImage, x: f64, y: f64) -> Rgb<u8> {
    let (largest_x, largest_y) = (f64::from(image.width() - 1), f64::from(image.height() - 1));
    let (x, y) = (x.clamp(0.0, largest_x), y.clamp(0.0, largest_y));
    let (left, top) = (x.floor(), y.floor());
    let (right, bottom) = ((left + 1.0).min(largest_x), (top + 1.0).min(largest_y));
    let (across, down) = (x - left, y - top);
    let pixel = |x: f64, y: f64| image.get_pixel(x as u32, y as u32).0;
    let [a, b, c, d] = [pixel(left, top), pixel(right, top), pixel(left, bottom), pixel(right, bottom)];
    Rgb(std::array::from_fn(|i| {
        let upper = f64::from(a[i]) * (1.0 - across) + f64::from(b[i]) * across;
        let lower = f64::from(c[i]) * (1.0 - across) + f64::from(d[i]) * across;
        (upper * (1.0 - down) + lower * down).round() as u8
    }))
}

fn recolour(image: &mut RgbImage, most: f64, rng: &mut RandomState) {
    let mut draw = || most * (2.0 * rng.uniform() - 1.0);
    let (brightness, contrast, saturation, warmth) = (255.0 * draw() / 2.0, 1.0 + draw(), 1.0 + draw(), draw() / 4.0);
    for pixel in image.pixels_mut() {
        let [r, g, b] = pixel.0.map(f64::from);
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        let tint = [1.0 + warmth, 1.0, 1.0 - warmth];
        pixel.0 = std::array::from_fn(|i| {
            let coloured = (luma + saturation * ([r, g, b][i] - luma)) * tint[i];
            ((coloured - 128.0) * contrast + 128.0 + brightness).round() as u8
        });
    }
}

/// Something in front of the face: an ellipse of one colour, from the rim.
struct Cover {
    middle: (f64, f64),
    radii: (f64, f64),
    colour: [u8; 3],
}

impl Cover {
    fn draw(side: u32, rng: &mut RandomState) -> Cover {
        let side = f64::from(side);
        let mut between = |low: f64, high: f64| low + (high - low) * rng.uniform();
        let radii = (side * between(0.08, 0.3), side * between(0.08, 0.3));
        // On a circle around the face: the covered part is at the rim more often than in the middle.
        let (angle, distance) = (between(0.0, std::f64::consts::TAU), side * between(0.2, 0.55));
        let middle = (side / 2.0 + distance * angle.cos(), side / 2.0 + distance * angle.sin());
        let colour = std::array::from_fn(|_| between(20.0, 235.0) as u8);
        Cover { middle, radii, colour }
    }

    fn put_on(&self, image: &mut RgbImage) {
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (dx, dy) =
                ((f64::from(x) - self.middle.0) / self.radii.0, (f64::from(y) - self.middle.1) / self.radii.1);
            if dx * dx + dy * dy < 1.0 {
                pixel.0 = self.colour;
            }
        }
    }
}

/// Glasses where FFHQ's frame has the eyes: two rims, a bridge, and perhaps dark lenses.
struct Glasses {
    side: f64,
    eyes_y: f64,
    half_distance: f64,
    radius: f64,
    rim: f64,
    colour: [u8; 3],
    /// How much of what is behind the lenses is lost.
    tint: f64,
}

impl Glasses {
    fn draw(side: u32, rng: &mut RandomState) -> Glasses {
        let side = f64::from(side);
        let mut between = |low: f64, high: f64| low + (high - low) * rng.uniform();
        let colour = std::array::from_fn(|_| between(0.0, 120.0) as u8);
        let tint = between(-0.6, 0.7).max(0.0);
        Glasses {
            side,
            eyes_y: side * between(0.45, 0.5),
            half_distance: side * between(0.11, 0.14),
            radius: side * between(0.07, 0.11),
            rim: side * between(0.006, 0.016),
            colour,
            tint,
        }
    }

    fn put_on(&self, image: &mut RgbImage) {
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (x, y) = (f64::from(x) - self.side / 2.0, f64::from(y) - self.eyes_y);
            let from_rim = ((x.abs() - self.half_distance).powi(2) + y * y).sqrt() - self.radius;
            let on_bridge = y.abs() < self.rim && x.abs() < self.half_distance - self.radius;
            if from_rim.abs() < self.rim || on_bridge {
                pixel.0 = self.colour;
            } else if from_rim < 0.0 {
                pixel.0 = pixel.0.map(|byte| (f64::from(byte) * (1.0 - self.tint)) as u8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Pair {
        let a = RgbImage::from_fn(64, 64, |x, y| Rgb([4 * x as u8, 4 * y as u8, 100]));
        Pair { b: a.clone(), depth: Some(GrayImage::from_fn(64, 64, |x, _| image::Luma([4 * x as u8]))), a }
    }

    #[test]
    fn no_plan_changes_nothing() {
        let (before, after) = (pair(), augmented(pair(), &AugmentPlan::NONE, &mut RandomState::new(1)));
        assert_eq!((before.a, before.b, before.depth), (after.a, after.b, after.depth));
    }

    #[test]
    fn what_is_not_about_the_photo_alone_happens_to_both() {
        let plan = AugmentPlan { colour: 0.0, blur: 0.0, glasses: 1.0, occlusion: 1.0, ..AugmentPlan::PORTRAITS };
        for seed in 0..5 {
            let after = augmented(pair(), &plan, &mut RandomState::new(seed));
            assert_eq!(after.a, after.b);
            assert_ne!(after.a, pair().a);
        }
    }

    #[test]
    fn the_picture_keeps_its_colours() {
        let plan = AugmentPlan { colour: 0.5, blur: 1.0, ..AugmentPlan::NONE };
        let after = augmented(pair(), &plan, &mut RandomState::new(1));
        assert_eq!(after.b, pair().b);
        assert_ne!(after.a, pair().a);
    }

    #[test]
    fn depth_moves_with_the_photo() {
        let plan = AugmentPlan { mirror: 1.0, ..AugmentPlan::NONE };
        let after = augmented(pair(), &plan, &mut RandomState::new(1));
        assert_eq!(after.a.get_pixel(0, 0).0[0], after.depth.unwrap().get_pixel(0, 0).0[0]);
    }
}
