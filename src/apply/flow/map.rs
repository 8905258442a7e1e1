//! Numbers for each pixel of a picture, and what lies between the pixels.

use image::GrayImage;

use super::Flow;

/// `N` numbers for each pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Map<const N: usize> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row.
    pub values: Vec<[f32; N]>,
}

impl Map<1> {
    /// The gray levels of a picture, 0 to 1.
    pub fn of(picture: &GrayImage) -> Map<1> {
        let values = picture.iter().map(|byte| [f32::from(*byte) / 255.0]).collect();
        Map { width: picture.width() as usize, height: picture.height() as usize, values }
    }
}

impl<const N: usize> Map<N> {
    /// Makes a map of a function of column and row.
    pub fn from_fn(width: usize, height: usize, value: impl Fn(usize, usize) -> [f32; N]) -> Map<N> {
        Map::by_rows((width, height), |y| {
            let value = &value;
            move |x| value(x, y)
        })
    }

    /// Makes a map of a function that is given the row first and then its columns, so that it can look things up once a row.
    pub fn by_rows<F: Fn(usize) -> [f32; N]>((width, height): (usize, usize), row: impl Fn(usize) -> F) -> Map<N> {
        let mut values = Vec::with_capacity(width * height);
        (0..height).for_each(|y| values.extend((0..width).map(row(y))));
        Map { width, height, values }
    }

    /// A row; those at the border are repeated.
    #[inline]
    pub fn row(&self, y: isize) -> &[[f32; N]] {
        &self.values[y.max(0).min(self.height as isize - 1) as usize * self.width..][..self.width]
    }

    /// A column that there is.
    #[inline]
    fn column(&self, x: isize) -> usize {
        x.max(0).min(self.width as isize - 1) as usize
    }

    /// The numbers at a pixel; the border is repeated.
    #[inline]
    pub fn at(&self, x: isize, y: isize) -> [f32; N] {
        self.row(y)[self.column(x)]
    }

    /// Between four pixels, linearly.
    #[inline]
    pub fn between(&self, x: f32, y: f32) -> [f32; N] {
        let ((left, across), (top, down)) = (split(x), split(y));
        let (left, right) = (self.column(left), self.column(left + 1));
        let (upper, lower) = (self.row(top), self.row(top + 1));
        mix(mix(upper[left], upper[right], across), mix(lower[left], lower[right], across), down)
    }

    /// Between sixteen pixels, by cubic curves through them (Keys 1981, "Cubic Convolution Interpolation for Digital Image
    /// Processing", a = -1/2), which keep more of fine structures than straight lines do.
    pub fn cubic(&self, x: f32, y: f32) -> [f32; N] {
        let ((left, across), (top, down)) = (split(x), split(y));
        let (across, down) = (cubic_shares(across), cubic_shares(down));
        let columns = [-1, 0, 1, 2].map(|step| self.column(left + step));
        let mut sum = [0.0; N];
        for (step, of_row) in (-1..3).zip(down) {
            let row = self.row(top + step);
            let mut along = [0.0; N];
            for (column, of_column) in columns.into_iter().zip(across) {
                (0..N).for_each(|lane| along[lane] += of_column * row[column][lane]);
            }
            (0..N).for_each(|lane| sum[lane] += of_row * along[lane]);
        }
        sum
    }

    /// What was where the flow leads: this map as seen from the picture before.
    pub fn pulled(&self, flow: &Flow) -> Map<N> {
        Map::from_fn(self.width, self.height, |x, y| {
            let (x_there, y_there) = flow.target(x, y);
            self.between(x_there, y_there)
        })
    }

    /// The means of the square around each pixel, `radius` to each side, by sums that run along rows and columns.
    pub fn averaged(&self, radius: usize) -> Map<N> {
        let (width, height) = (self.width, self.height);
        let mut along = Vec::with_capacity(self.values.len());
        for row in self.values.chunks_exact(width.max(1)) {
            let mut sum = [0.0; N];
            (0..=2 * radius).for_each(|index| add(&mut sum, &row[index.saturating_sub(radius).min(width - 1)]));
            for x in 0..width {
                along.push(sum);
                let (comes, goes) = (&row[(x + radius + 1).min(width - 1)], &row[x.saturating_sub(radius)]);
                exchange(&mut sum, comes, goes);
            }
        }
        let row = |y: usize| &along[y.min(height - 1) * width..][..width];
        let mut sums = vec![[0.0; N]; width];
        for index in 0..=2 * radius {
            sums.iter_mut().zip(row(index.saturating_sub(radius))).for_each(|(sum, number)| add(sum, number));
        }
        let (mut values, share) = (Vec::with_capacity(along.len()), 1.0 / ((2 * radius + 1).pow(2)) as f32);
        for y in 0..height {
            values.extend(sums.iter().map(|sum| sum.map(|number| number * share)));
            let (come, go) = (row(y + radius + 1), row(y.saturating_sub(radius)));
            sums.iter_mut().zip(come).zip(go).for_each(|((sum, comes), goes)| exchange(sum, comes, goes));
        }
        Map { values, ..*self }
    }

    /// The numbers in the middle of those of each pixel and its eight neighbours.
    pub fn median(&self) -> Map<N> {
        Map::by_rows((self.width, self.height), |y| {
            let rows = [-1, 0, 1].map(|step| self.row(y as isize + step));
            move |x| {
                let [before, here, after] = self.around(x);
                // The middle one of nine is that of the greatest least, the middle middle and the least greatest of threes.
                let [a, b, c] = rows.map(|row| sorted([row[before], row[here], row[after]]));
                let [_, _, low] = sorted([a[0], b[0], c[0]]);
                let [_, middle, _] = sorted([a[1], b[1], c[1]]);
                let [high, _, _] = sorted([a[2], b[2], c[2]]);
                sorted([low, middle, high])[1]
            }
        })
    }

    /// The columns before, at and after one.
    #[inline]
    pub fn around(&self, x: usize) -> [usize; 3] {
        [x.saturating_sub(1), x, (x + 1).min(self.width - 1)]
    }

    /// Stretched to another size.
    pub fn stretched(&self, width: usize, height: usize) -> Map<N> {
        let (x_there, y_there) = (scale(width, self.width), scale(height, self.height));
        Map::from_fn(width, height, |x, y| self.between(x_there(x), y_there(y)))
    }
}

/// The place in one of `to` pixels in a row for one of `from` that cover the same.
pub fn scale(from: usize, to: usize) -> impl Fn(usize) -> f32 {
    let factor = to as f32 / from as f32;
    move |position| (position as f32 + 0.5) * factor - 0.5
}

/// The whole number below, and what is above it.
fn split(position: f32) -> (isize, f32) {
    // Without a call of `floor`, which processors of the oldest kind have no instruction for.
    let toward_zero = position as isize;
    let below = toward_zero - isize::from((toward_zero as f32) > position);
    (below, position - below as f32)
}

/// Each of the `N` numbers from the least to the greatest.
#[inline]
fn sorted<const N: usize>([a, b, c]: [[f32; N]; 3]) -> [[f32; N]; 3] {
    let low = |a: [f32; N], b: [f32; N]| std::array::from_fn(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] });
    let high = |a: [f32; N], b: [f32; N]| std::array::from_fn(|lane| if a[lane] < b[lane] { b[lane] } else { a[lane] });
    let (less, more) = (low(a, b), high(a, b));
    [low(less, c), high(less, low(more, c)), high(more, c)]
}

/// A part of the way from one to the other.
pub fn mix<const N: usize>(from: [f32; N], to: [f32; N], part: f32) -> [f32; N] {
    std::array::from_fn(|lane| from[lane] + part * (to[lane] - from[lane]))
}

/// Shares of the four pixels around a place, `part` of the way from the second to the third.
fn cubic_shares(part: f32) -> [f32; 4] {
    let (squared, cubed) = (part * part, part * part * part);
    [
        -0.5 * cubed + squared - 0.5 * part,
        1.5 * cubed - 2.5 * squared + 1.0,
        -1.5 * cubed + 2.0 * squared + 0.5 * part,
        0.5 * cubed - 0.5 * squared,
    ]
}

fn add<const N: usize>(sum: &mut [f32; N], numbers: &[f32; N]) {
    (0..N).for_each(|lane| sum[lane] += numbers[lane]);
}

fn exchange<const N: usize>(sum: &mut [f32; N], comes: &[f32; N], goes: &[f32; N]) {
    (0..N).for_each(|lane| sum[lane] += comes[lane] - goes[lane]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A polynomial of degrees `across` and `down`.
    fn curve(across: i32, down: i32) -> impl Fn(f32, f32) -> [f32; 1] {
        move |x, y| [(x - 4.0).powi(across) * (y - 3.0).powi(down)]
    }

    #[test]
    fn between_pixels_lie_straight_lines_and_parabolas() {
        for (degree, cubic) in [(0, false), (1, false), (0, true), (1, true), (2, true)] {
            let curve = curve(degree, degree);
            let map = Map::from_fn(9, 8, |x, y| curve(x as f32, y as f32));
            for (x, y) in [(3.0, 4.0), (3.25, 4.5), (5.9, 2.1)] {
                let [found] = if cubic { map.cubic(x, y) } else { map.between(x, y) };
                assert!((found - curve(x, y)[0]).abs() < 1e-4, "degree {degree} at {x}, {y}: {found}");
            }
        }
    }

    #[test]
    fn means_are_those_of_the_squares_around() {
        let map = Map::from_fn(7, 5, |x, y| [(x * x) as f32 + 10.0 * y as f32, (x * y % 3) as f32]);
        for radius in [0, 1, 2, 6] {
            let averaged = map.averaged(radius);
            let (reach, count) = (radius as isize, (2 * radius + 1).pow(2) as f32);
            for (x, y) in [(0, 0), (3, 2), (6, 4), (1, 3)] {
                let around = (-reach..=reach).flat_map(|i| (-reach..=reach).map(move |j| (x + i, y + j)));
                let sum = around.fold([0.0; 2], |sum, (x, y)| {
                    let numbers = map.at(x, y);
                    [sum[0] + numbers[0], sum[1] + numbers[1]]
                });
                let found = averaged.at(x, y);
                (0..2).for_each(|lane| assert!((found[lane] - sum[lane] / count).abs() < 1e-3, "{radius}: {x}, {y}"));
            }
        }
    }
}
