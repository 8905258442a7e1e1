//! Margins that mirror the image, without repeating its edge.

use rayon::prelude::*;

use crate::ops::real::Real;

/// Pixels added to each side of planes of one size.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reflect {
    rows: Side,
    columns: Side,
}

/// One axis; the margins are smaller than the axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    len: usize,
    before: usize,
    after: usize,
}

impl Reflect {
    /// Margins left, right, top and bottom of planes `[height, width]`.
    ///
    /// # Panics
    /// When a margin is as large as the plane.
    pub fn new((height, width): (usize, usize), [x0, x1, y0, y1]: [usize; 4]) -> Self {
        assert!(x0.max(x1) < width && y0.max(y1) < height, "margins are clamped to the size");
        Reflect {
            rows: Side { len: height, before: y0, after: y1 },
            columns: Side { len: width, before: x0, after: x1 },
        }
    }

    /// Height and width with the margins.
    pub fn size(&self) -> (usize, usize) {
        (self.rows.padded(), self.columns.padded())
    }

    /// Planes with their margins.
    pub fn forward<T: Real>(&self, planes: &[T]) -> Vec<T> {
        let ((height, width), (h, w)) = (self.size(), (self.rows.len, self.columns.len));
        let mut padded = vec![T::zero(); planes.len() / (h * w) * height * width];
        padded.par_chunks_exact_mut(height * width).zip(planes.par_chunks_exact(h * w)).for_each(|(to, from)| {
            for (y, to) in to.chunks_exact_mut(width).enumerate() {
                let from = &from[self.rows.source(y) * w..][..w];
                let inside = self.columns.before..self.columns.before + w;
                to[inside.clone()].copy_from_slice(from);
                (0..inside.start).chain(inside.end..width).for_each(|x| to[x] = from[self.columns.source(x)]);
            }
        });
        padded
    }

    /// Adds what lies in the margins to the pixels that they mirror.
    pub fn adjoint<T: Real>(&self, padded: &[T]) -> Vec<T> {
        let ((height, width), (h, w)) = (self.size(), (self.rows.len, self.columns.len));
        let mut planes = vec![T::zero(); padded.len() / (height * width) * h * w];
        planes.par_chunks_exact_mut(h * w).zip(padded.par_chunks_exact(height * width)).for_each(|(to, from)| {
            for (y, from) in from.chunks_exact(width).enumerate() {
                let to = &mut to[self.rows.source(y) * w..][..w];
                let inside = self.columns.before..self.columns.before + w;
                to.iter_mut().zip(&from[inside.clone()]).for_each(|(to, &from)| *to += from);
                (0..inside.start).chain(inside.end..width).for_each(|x| to[self.columns.source(x)] += from[x]);
            }
        });
        planes
    }
}

impl Side {
    fn padded(self) -> usize {
        self.before + self.len + self.after
    }

    /// The pixel that is seen at `position` of the padded axis.
    fn source(self, position: usize) -> usize {
        let from_first = position.abs_diff(self.before);
        if from_first < self.len { from_first } else { 2 * (self.len - 1) - from_first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_mirror_without_repeating_the_edge() {
        let reflect = Reflect::new((1, 4), [3, 2, 0, 0]);
        assert_eq!(reflect.forward(&[1.0f32, 2.0, 3.0, 4.0]), [4.0, 3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 2.0]);
        assert_eq!(reflect.adjoint(&[1.0f32; 9]), [1.0, 3.0, 3.0, 2.0]);
    }
}
