//! Where the pixels of a picture are in the next one: dense optical flow by the method of Lucas and Kanade (1981, "An
//! Iterative Image Registration Technique"), from coarse to fine (Bouguet 2001, "Pyramidal Implementation of the Lucas
//! Kanade Feature Tracker").

mod map;

use image::{GrayImage, imageops};

pub use map::{Map, mix, scale};

/// A motion for each pixel, to the right and down, in pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow(pub Map<2>);

/// A picture, and smaller ones, each of half the size.
#[derive(Clone, Debug)]
pub struct Pyramid(Vec<Map<1>>);

/// The coarsest level of the pyramid is not smaller than this.
const COARSEST_PX: usize = 16;
const MOST_LEVELS: usize = 6;
/// Half the side of the window in which all pixels move alike.
const RADIUS: usize = 6;
/// Added to the mean squares of the gradient: where there is less to see than this, the coarser level decides.
const FLATNESS: f32 = 2e-4;

impl Pyramid {
    /// Makes the smaller ones.
    pub fn of(picture: &GrayImage) -> Pyramid {
        let (mut levels, mut smallest) = (vec![Map::of(picture)], picture.clone());
        while levels.len() < MOST_LEVELS {
            let (width, height) = (smallest.width().div_ceil(2), smallest.height().div_ceil(2));
            if (width.min(height) as usize) < COARSEST_PX {
                break;
            }
            // Triangles two pixels wide: nothing finer than the smaller picture's pixels is left.
            smallest = imageops::resize(&smallest, width, height, imageops::FilterType::Triangle);
            levels.push(Map::of(&smallest));
        }
        Pyramid(levels)
    }
}

impl Flow {
    /// Finds where the pixels of `from` are in `to`, which is as large, by so many corrections at each level.
    pub fn between(from: &Pyramid, to: &Pyramid, corrections: usize) -> Flow {
        let mut flow: Option<Flow> = None;
        for (from, to) in from.0.iter().zip(&to.0).rev() {
            let mut finer = match flow.take() {
                None => Flow(Map::from_fn(from.width, from.height, |_, _| [0.0; 2])),
                Some(coarse) => coarse.stretched(from.width, from.height),
            };
            (0..corrections).for_each(|_| finer.correct(from, to));
            // Neighbours go the same way; where there is little to see, noise would lead each somewhere else.
            flow = Some(Flow(finer.0.median().averaged(RADIUS)));
        }
        flow.expect("a pyramid has a level")
    }

    /// Where the pixel at column `x` of row `y` goes.
    pub fn target(&self, x: usize, y: usize) -> (f32, f32) {
        let [right, down] = self.0.values[y * self.0.width + x];
        (x as f32 + right, y as f32 + down)
    }

    /// How far from its beginning the way there and back again ends, squared, in units of what is allowed for its length
    /// (Ruder et al. 2016, "Artistic Style Transfer for Videos", equation 5): above 1 the pixel is hidden in the other
    /// picture. `None` where it has left the frame.
    pub fn mismatch(&self, back: &Flow, (x, y): (usize, usize)) -> Option<f32> {
        let (there_x, there_y) = self.target(x, y);
        let inside = |position: f32, side: usize| position >= 0.0 && position <= (side - 1) as f32;
        if !inside(there_x, self.0.width) || !inside(there_y, self.0.height) {
            return None;
        }
        let (right, down) = (there_x - x as f32, there_y - y as f32);
        let [back_right, back_down] = back.0.between(there_x, there_y);
        let lengths = squares(right, down) + squares(back_right, back_down);
        Some(squares(right + back_right, down + back_down) / (0.01 * lengths + 0.5))
    }

    /// Whether a pixel lies where neighbours part (Ruder et al. 2016, equation 6).
    pub fn parts(&self, (x, y): (usize, usize)) -> bool {
        let (x, y) = (x as isize, y as isize);
        let [here, right, below] = [self.0.at(x, y), self.0.at(x + 1, y), self.0.at(x, y + 1)];
        let apart = |other: [f32; 2]| squares(other[0] - here[0], other[1] - here[1]);
        apart(right) + apart(below) > 0.01 * squares(here[0], here[1]) + 0.002
    }

    fn stretched(&self, width: usize, height: usize) -> Flow {
        let (wider, higher) = (width as f32 / self.0.width as f32, height as f32 / self.0.height as f32);
        let mut stretched = self.0.stretched(width, height);
        stretched.values.iter_mut().for_each(|[right, down]| (*right, *down) = (*right * wider, *down * higher));
        Flow(stretched)
    }

    /// One step of Newton's method for the motion that makes both windows alike (Lucas and Kanade, section 4.3).
    fn correct(&mut self, from: &Map<1>, to: &Map<1>) {
        let there = to.pulled(self);
        // Of both pictures, so that the slope holds over the whole way.
        let both = Map::from_fn(from.width, from.height, |x, y| {
            let index = y * from.width + x;
            [from.values[index][0] + there.values[index][0]]
        });
        let products = Map::by_rows((from.width, from.height), |y| {
            let [above, row, below] = [-1, 0, 1].map(|step| both.row(y as isize + step));
            let (from, there, both) = (from.row(y as isize), there.row(y as isize), &both);
            move |x| {
                let [before, _, after] = both.around(x);
                let (across, down) = ((row[after][0] - row[before][0]) / 4.0, (below[x][0] - above[x][0]) / 4.0);
                let change = there[x][0] - from[x][0];
                [across * across, across * down, down * down, across * change, down * change]
            }
        });
        for (motion, [xx, xy, yy, xt, yt]) in self.0.values.iter_mut().zip(products.averaged(RADIUS).values) {
            let (xx, yy) = (xx + FLATNESS, yy + FLATNESS);
            let determinant = xx * yy - xy * xy;
            // Farther than a pixel the slopes say nothing.
            let step = |number: f32| (number / determinant).clamp(-1.0, 1.0);
            motion[0] -= step(yy * xt - xy * yt);
            motion[1] -= step(xx * yt - xy * xt);
        }
    }
}

fn squares(a: f32, b: f32) -> f32 {
    a * a + b * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// A texture without end, the same everywhere in the plane: waves of all directions from 6 to 90 px, the longer the
    /// stronger, as in photos.
    fn texture(x: f64, y: f64) -> u8 {
        let wave = |index: i32| {
            let (angle, length) = (2.4 * f64::from(index), 6.0 * 1.2f64.powi(index));
            let (a, b) = (angle.cos() / length, angle.sin() / length);
            length.sqrt() * (std::f64::consts::TAU * (a * x + b * y) + f64::from(index)).sin()
        };
        (128.0 + 4.0 * (0..16).map(wave).sum::<f64>()).clamp(0.0, 255.0) as u8
    }

    fn picture(at: impl Fn(f64, f64) -> (f64, f64)) -> GrayImage {
        GrayImage::from_fn(96, 80, |x, y| {
            let (x, y) = at(f64::from(x), f64::from(y));
            Luma([texture(x, y)])
        })
    }

    fn flow(from: &GrayImage, to: &GrayImage) -> Flow {
        Flow::between(&Pyramid::of(from), &Pyramid::of(to), 8)
    }

    /// Mean distance between the flow and the truth, away from the border, over which pixels come and go.
    fn error(flow: &Flow, truth: impl Fn(f64, f64) -> (f64, f64)) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for (x, y) in (24..56).flat_map(|y| (24..72).map(move |x| (x, y))) {
            let (right, down) = truth(x as f64, y as f64);
            let index = y * 96 + x;
            let apart = (f64::from(flow.0.values[index][0]) - right, f64::from(flow.0.values[index][1]) - down);
            sum += apart.0.hypot(apart.1);
            count += 1;
        }
        sum / f64::from(count)
    }

    #[test]
    fn a_moved_picture_is_found_again_to_a_tenth_of_a_pixel() {
        for (right, down) in [(0.0, 0.0), (0.4, -0.3), (1.5, 0.75), (-3.25, 2.0), (5.0, -4.5), (7.0, -5.5)] {
            let flow = flow(&picture(|x, y| (x, y)), &picture(|x, y| (x - right, y - down)));
            let error = error(&flow, |_, _| (right, down));
            assert!(error < 0.1, "moved by {right}, {down}: off by {error}");
        }
    }

    #[test]
    fn a_turned_and_enlarged_picture_moves_differently_everywhere() {
        // Seen in the second picture, the point p of the first is at m·(p − c) + c.
        let (angle, scale) = (2f64.to_radians(), 1.02);
        let (cos, sin) = (scale * angle.cos(), scale * angle.sin());
        let there = |x: f64, y: f64| {
            let (x, y) = (x - 48.0, y - 40.0);
            (cos * x - sin * y + 48.0, sin * x + cos * y + 40.0)
        };
        let back = |x: f64, y: f64| {
            let (x, y, squared) = (x - 48.0, y - 40.0, scale * scale);
            ((cos * x + sin * y) / squared + 48.0, (cos * y - sin * x) / squared + 40.0)
        };
        let flow = flow(&picture(|x, y| (x, y)), &picture(back));
        let error = error(&flow, |x, y| (there(x, y).0 - x, there(x, y).1 - y));
        assert!(error < 0.15, "{error}");
    }

    #[test]
    fn where_there_is_nothing_to_see_nothing_moves() {
        let gray = GrayImage::from_pixel(40, 40, Luma([90]));
        let flow = flow(&gray, &gray);
        assert!(flow.0.values.iter().all(|motion| *motion == [0.0; 2]));
    }
}
