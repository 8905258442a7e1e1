//! Where the pixels of a picture are in the next one: dense optical flow by the method of Lucas and Kanade (1981, "An
//! Iterative Image Registration Technique"), from coarse to fine (Bouguet 2001, "Pyramidal Implementation of the Lucas
//! Kanade Feature Tracker").

use image::{GrayImage, imageops};

/// Numbers in rows, one for each pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row.
    pub values: Vec<f32>,
}

/// A motion for each pixel, to the right and down, in pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// To the right.
    pub right: Map,
    /// Down.
    pub down: Map,
}

/// The coarsest level of the pyramid is not smaller than this.
const COARSEST_PX: usize = 16;
const MOST_LEVELS: usize = 6;
/// Corrections at each level.
const ITERATIONS: usize = 8;
/// Half the side of the window in which all pixels move alike.
const RADIUS: usize = 6;
/// Added to the mean squares of the gradient: where there is less to see than this, the coarser level decides.
const FLATNESS: f32 = 2e-4;

impl Map {
    /// Makes a map of a function of column and row.
    pub fn from_fn(width: usize, height: usize, value: impl Fn(usize, usize) -> f32) -> Map {
        let values = (0..width * height).map(|index| value(index % width, index / width)).collect();
        Map { width, height, values }
    }

    /// The gray levels of a picture, 0 to 1.
    pub fn of(picture: &GrayImage) -> Map {
        let values = picture.iter().map(|byte| f32::from(*byte) / 255.0).collect();
        Map { width: picture.width() as usize, height: picture.height() as usize, values }
    }

    /// The number at a pixel; the border is repeated.
    pub fn at(&self, x: isize, y: isize) -> f32 {
        let (x, y) = (x.clamp(0, self.width as isize - 1), y.clamp(0, self.height as isize - 1));
        self.values[y as usize * self.width + x as usize]
    }

    /// Between four pixels.
    pub fn between(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let (across, down) = (x - left, y - top);
        let (left, top) = (left as isize, top as isize);
        let upper = self.at(left, top) * (1.0 - across) + self.at(left + 1, top) * across;
        let lower = self.at(left, top + 1) * (1.0 - across) + self.at(left + 1, top + 1) * across;
        upper * (1.0 - down) + lower * down
    }

    /// What was where the flow leads: this map as seen from the picture before.
    pub fn pulled(&self, flow: &Flow) -> Map {
        Map::from_fn(self.width, self.height, |x, y| {
            let (x_there, y_there) = flow.target(x, y);
            self.between(x_there, y_there)
        })
    }

    /// The mean of the window around each pixel, by sums that run along rows and columns.
    fn averaged(&self) -> Map {
        self.averaged_along_rows().turned().averaged_along_rows().turned()
    }

    fn averaged_along_rows(&self) -> Map {
        let mut values = Vec::with_capacity(self.values.len());
        for y in 0..self.height as isize {
            let radius = RADIUS as isize;
            let mut sum: f32 = (-radius..=radius).map(|x| self.at(x, y)).sum();
            for x in 0..self.width as isize {
                values.push(sum / (2 * RADIUS + 1) as f32);
                sum += self.at(x + radius + 1, y) - self.at(x - radius, y);
            }
        }
        Map { values, ..*self }
    }

    /// Rows become columns.
    fn turned(&self) -> Map {
        Map::from_fn(self.height, self.width, |x, y| self.values[x * self.width + y])
    }

    fn times(&self, other: &Map) -> Map {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a * b).collect();
        Map { values, ..*self }
    }

    /// The number in the middle of each pixel and its eight neighbours.
    fn median(&self) -> Map {
        Map::from_fn(self.width, self.height, |x, y| {
            let (x, y) = (x as isize, y as isize);
            let mut near: [f32; 9] =
                std::array::from_fn(|index| self.at(x + index as isize % 3 - 1, y + index as isize / 3 - 1));
            *near.select_nth_unstable_by(4, f32::total_cmp).1
        })
    }

    /// Stretched to another size, the numbers multiplied by `factor`.
    fn stretched(&self, width: usize, height: usize, factor: f32) -> Map {
        let (wider, higher) = (self.width as f32 / width as f32, self.height as f32 / height as f32);
        let place = |position: usize, scale: f32| (position as f32 + 0.5) * scale - 0.5;
        Map::from_fn(width, height, |x, y| factor * self.between(place(x, wider), place(y, higher)))
    }
}

impl Flow {
    /// Where the pixel at column `x` of row `y` goes.
    pub fn target(&self, x: usize, y: usize) -> (f32, f32) {
        let index = y * self.right.width + x;
        (x as f32 + self.right.values[index], y as f32 + self.down.values[index])
    }

    /// Finds where the pixels of `from` are in `to`, which is as large.
    pub fn between(from: &GrayImage, to: &GrayImage) -> Flow {
        let mut flow: Option<Flow> = None;
        for (from, to) in pyramid(from).into_iter().zip(pyramid(to)).rev() {
            let (from, to) = (Map::of(&from), Map::of(&to));
            let mut finer = match flow.take() {
                None => {
                    let still = Map::from_fn(from.width, from.height, |_, _| 0.0);
                    Flow { right: still.clone(), down: still }
                }
                Some(coarse) => coarse.stretched(from.width, from.height),
            };
            (0..ITERATIONS).for_each(|_| finer.correct(&from, &to));
            // Neighbours go the same way; where there is little to see, noise would lead each somewhere else.
            flow = Some(Flow { right: finer.right.median().averaged(), down: finer.down.median().averaged() });
        }
        flow.expect("a pyramid has a level")
    }

    fn stretched(&self, width: usize, height: usize) -> Flow {
        let factor = |to: usize, from: usize| to as f32 / from as f32;
        Flow {
            right: self.right.stretched(width, height, factor(width, self.right.width)),
            down: self.down.stretched(width, height, factor(height, self.down.height)),
        }
    }

    /// One step of Newton's method for the motion that makes both windows alike (Lucas and Kanade, section 4.3).
    fn correct(&mut self, from: &Map, to: &Map) {
        let there = to.pulled(self);
        let (width, height) = (from.width, from.height);
        // Of both pictures, so that the slope holds over the whole way.
        let slope = |dx: isize, dy: isize| {
            Map::from_fn(width, height, |x, y| {
                let (x, y) = (x as isize, y as isize);
                let of = |map: &Map| map.at(x + dx, y + dy) - map.at(x - dx, y - dy);
                (of(from) + of(&there)) / 4.0
            })
        };
        let (across, down) = (slope(1, 0), slope(0, 1));
        let change = Map::from_fn(width, height, |x, y| there.values[y * width + x] - from.values[y * width + x]);
        let [xx, xy, yy] = [(&across, &across), (&across, &down), (&down, &down)].map(|(a, b)| a.times(b).averaged());
        let [xt, yt] = [&across, &down].map(|slope| slope.times(&change).averaged());
        for index in 0..width * height {
            let (xx, xy, yy) = (xx.values[index] + FLATNESS, xy.values[index], yy.values[index] + FLATNESS);
            let (xt, yt) = (xt.values[index], yt.values[index]);
            let determinant = xx * yy - xy * xy;
            // Farther than a pixel the slopes say nothing.
            let step = |number: f32| (number / determinant).clamp(-1.0, 1.0);
            self.right.values[index] -= step(yy * xt - xy * yt);
            self.down.values[index] -= step(xx * yt - xy * xt);
        }
    }
}

/// The picture, and smaller ones, each of half the size.
fn pyramid(picture: &GrayImage) -> Vec<GrayImage> {
    let mut levels = vec![picture.clone()];
    while levels.len() < MOST_LEVELS {
        let (width, height) = levels[levels.len() - 1].dimensions();
        let (width, height) = (width.div_ceil(2), height.div_ceil(2));
        if (width.min(height) as usize) < COARSEST_PX {
            break;
        }
        // Triangles two pixels wide: nothing finer than the smaller picture's pixels is left.
        levels.push(imageops::resize(&levels[levels.len() - 1], width, height, imageops::FilterType::Triangle));
    }
    levels
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

    /// Mean distance between the flow and the truth, away from the border, over which pixels come and go.
    fn error(flow: &Flow, truth: impl Fn(f64, f64) -> (f64, f64)) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for (x, y) in (24..56).flat_map(|y| (24..72).map(move |x| (x, y))) {
            let (right, down) = truth(x as f64, y as f64);
            let index = y * 96 + x;
            let apart = (f64::from(flow.right.values[index]) - right, f64::from(flow.down.values[index]) - down);
            sum += apart.0.hypot(apart.1);
            count += 1;
        }
        sum / f64::from(count)
    }

    #[test]
    fn a_moved_picture_is_found_again_to_a_tenth_of_a_pixel() {
        for (right, down) in [(0.0, 0.0), (0.4, -0.3), (1.5, 0.75), (-3.25, 2.0), (5.0, -4.5), (7.0, -5.5)] {
            let flow = Flow::between(&picture(|x, y| (x, y)), &picture(|x, y| (x - right, y - down)));
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
        let flow = Flow::between(&picture(|x, y| (x, y)), &picture(back));
        let error = error(&flow, |x, y| (there(x, y).0 - x, there(x, y).1 - y));
        assert!(error < 0.15, "{error}");
    }

    #[test]
    fn where_there_is_nothing_to_see_nothing_moves() {
        let gray = GrayImage::from_pixel(40, 40, Luma([90]));
        let flow = Flow::between(&gray, &gray);
        assert!(flow.right.values.iter().chain(&flow.down.values).all(|motion| *motion == 0.0));
    }
}
