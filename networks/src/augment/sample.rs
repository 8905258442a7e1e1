//! Bilinear sampling of planes at the places that an affine map names; outside the plane there are zeros.

use rayon::prelude::*;

use super::matrix::Matrix;
use crate::ops::real::Real;

/// For each pixel (column, row) of the result, where it is taken from.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Indices of the source from indices of the result.
    pub source_from_result: Matrix<3>,
    /// Height and width of the source.
    pub source: (usize, usize),
    /// Height and width of the result.
    pub result: (usize, usize),
}

/// Where one pixel of the result is taken from: the upper left of four neighbours, and how far beyond it.
#[derive(Clone, Copy)]
struct Tap<T> {
    left: i32,
    top: i32,
    right_share: T,
    low_share: T,
}

impl Sample {
    /// Reads each pixel from up to four of the source.
    pub fn forward<T: Real>(&self, planes: &[T]) -> Vec<T> {
        let ((h, w), (height, width)) = (self.source, self.result);
        let (taps, one) = (self.taps::<T>(), T::from_f64(1.0));
        let mut result = vec![T::zero(); planes.len() / (h * w) * height * width];
        result.par_chunks_exact_mut(width).enumerate().for_each(|(i, row)| {
            let (plane, y) = (&planes[i / height * h * w..][..h * w], i % height);
            for (value, tap) in row.iter_mut().zip(&taps[y * width..][..width]) {
                if let Some(at) = tap.inside(self.source) {
                    let [upper, lower] = [&plane[at..at + 2], &plane[at + w..at + w + 2]];
                    let mix = |pair: &[T]| pair[0] * (one - tap.right_share) + pair[1] * tap.right_share;
                    *value = mix(upper) * (one - tap.low_share) + mix(lower) * tap.low_share;
                } else {
                    tap.neighbours(self.source, |at, weight| *value += plane[at] * weight);
                }
            }
        });
        result
    }

    /// Gives each pixel of the result back to those that it was read from.
    pub fn adjoint<T: Real>(&self, result: &[T]) -> Vec<T> {
        let ((h, w), (height, width)) = (self.source, self.result);
        let taps = self.taps::<T>();
        let mut planes = vec![T::zero(); result.len() / (height * width) * h * w];
        planes.par_chunks_exact_mut(h * w).zip(result.par_chunks_exact(height * width)).for_each(|(plane, result)| {
            for (&value, tap) in result.iter().zip(&taps) {
                tap.neighbours(self.source, |at, weight| plane[at] += value * weight);
            }
        });
        planes
    }

    /// One for each pixel of the result, for all planes.
    fn taps<T: Real>(&self) -> Vec<Tap<T>> {
        let (height, width) = self.result;
        let nowhere = Tap { left: i32::MIN, top: i32::MIN, right_share: T::zero(), low_share: T::zero() };
        let mut taps = vec![nowhere; height * width];
        taps.par_chunks_exact_mut(width).enumerate().for_each(|(y, row)| {
            for (x, tap) in row.iter_mut().enumerate() {
                *tap = Tap::at(self.source_from_result.apply((x as f64, y as f64)));
            }
        });
        taps
    }
}

impl<T: Real> Tap<T> {
    /// Places too far away to be counted are nowhere, as they would be.
    fn at((x, y): (f64, f64)) -> Self {
        let (left, top) = (x.floor(), y.floor());
        let (right_share, low_share) = (T::from_f64(x - left), T::from_f64(y - top));
        // A number that is none becomes 0, which is a place; infinities stay at the ends.
        let index = |at: f64| if at.is_nan() { i32::MIN } else { at as i32 };
        Tap { left: index(left), top: index(top), right_share, low_share }
    }

    /// The index of the upper left neighbour when all four are pixels of the source.
    #[inline(always)]
    fn inside(&self, (h, w): (usize, usize)) -> Option<usize> {
        let fits = |at: i32, len: usize| at >= 0 && (at as usize) + 1 < len;
        (fits(self.left, w) && fits(self.top, h)).then(|| self.top as usize * w + self.left as usize)
    }

    /// The neighbours that are pixels of the source, and their weights.
    #[inline(always)]
    fn neighbours(&self, (h, w): (usize, usize), mut visit: impl FnMut(usize, T)) {
        let one = T::from_f64(1.0);
        for (row, share) in [(self.top, one - self.low_share), (self.top.saturating_add(1), self.low_share)] {
            if row < 0 || row as usize >= h {
                continue;
            }
            let columns = [(self.left, one - self.right_share), (self.left.saturating_add(1), self.right_share)];
            for (column, part) in columns {
                if column >= 0 && (column as usize) < w {
                    visit(row as usize * w + column as usize, share * part);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(map: Matrix<3>) -> Vec<f32> {
        let sample = Sample { source_from_result: map, source: (2, 2), result: (2, 3) };
        sample.forward(&[1.0, 2.0, 3.0, 4.0])
    }

    #[test]
    fn outside_there_are_zeros() {
        assert_eq!(sample(Matrix::IDENTITY), [1.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
        assert_eq!(sample(Matrix::translation(-1.0, 0.0)), [0.0, 1.0, 2.0, 0.0, 3.0, 4.0]);
        assert_eq!(sample(Matrix::translation(9.0, f64::NAN)), [0.0; 6]);
    }

    #[test]
    fn between_pixels_they_are_mixed() {
        assert_eq!(sample(Matrix::translation(0.5, 0.5)), [2.5, 1.5, 0.0, 1.75, 1.0, 0.0]);
    }
}
