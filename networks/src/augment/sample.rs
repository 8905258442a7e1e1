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

impl Sample {
    /// Reads each pixel from up to four of the source.
    pub fn forward<T: Real>(&self, planes: &[T]) -> Vec<T> {
        let ((h, w), (height, width)) = (self.source, self.result);
        let mut result = vec![T::zero(); planes.len() / (h * w) * height * width];
        result.par_chunks_exact_mut(width).enumerate().for_each(|(i, row)| {
            let (plane, y) = (&planes[i / height * h * w..][..h * w], i % height);
            for (x, value) in row.iter_mut().enumerate() {
                self.neighbours(x, y, |at, weight| *value += plane[at] * T::from_f64(weight));
            }
        });
        result
    }

    /// Gives each pixel of the result back to those that it was read from.
    pub fn adjoint<T: Real>(&self, result: &[T]) -> Vec<T> {
        let ((h, w), (height, width)) = (self.source, self.result);
        let mut planes = vec![T::zero(); result.len() / (height * width) * h * w];
        planes.par_chunks_exact_mut(h * w).zip(result.par_chunks_exact(height * width)).for_each(|(plane, result)| {
            for (i, &value) in result.iter().enumerate() {
                self.neighbours(i % width, i / width, |at, weight| plane[at] += value * T::from_f64(weight));
            }
        });
        planes
    }

    /// The pixels of the source around the place of pixel (x, y), and their weights.
    #[inline(always)]
    fn neighbours(&self, x: usize, y: usize, mut visit: impl FnMut(usize, f64)) {
        let (h, w) = self.source;
        let (x, y) = self.source_from_result.apply((x as f64, y as f64));
        let (left, top) = (x.floor(), y.floor());
        if !(left >= -1.0 && top >= -1.0 && left < w as f64 && top < h as f64) {
            return;
        }
        let (right_share, low_share) = (x - left, y - top);
        let (left, top) = (left as isize, top as isize);
        for (row, share) in [(top, 1.0 - low_share), (top + 1, low_share)] {
            if !(0..h as isize).contains(&row) {
                continue;
            }
            let start = row as usize * w;
            if left >= 0 {
                visit(start + left as usize, share * (1.0 - right_share));
            }
            if left + 1 < w as isize {
                visit(start + (left + 1) as usize, share * right_share);
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
