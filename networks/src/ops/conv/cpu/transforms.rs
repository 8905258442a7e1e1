//! The three transforms of F(4x4, 3x3), on many tiles or channels at a time.
//!
//! Points 0, ±1, ±2 and infinity; the matrices are Bᵀ, G and Aᵀ of Lavin and Gray 2016, section 4.3. Everything is inlined into the
//! caller, who chooses the vectors of the processor.

use std::ops::{Add, Index, Mul, Sub};

use crate::ops::real::Real;

/// Tiles or channels that are transformed together: the widest vector register in single precision.
pub(super) const LANES: usize = 16;

/// One number of each tile.
#[derive(Clone, Copy)]
pub(super) struct Lanes<T>([T; LANES]);

impl<T: Real> Lanes<T> {
    /// Up to [`LANES`] numbers; the rest are zero.
    #[inline(always)]
    pub fn load(from: &[T]) -> Self {
        if let Some(whole) = from.first_chunk() {
            return Lanes(*whole);
        }
        let mut lanes = [T::zero(); LANES];
        lanes[..from.len()].copy_from_slice(from);
        Lanes(lanes)
    }

    /// Every `step`-th number.
    #[inline(always)]
    fn strided(from: &[T], step: usize) -> Self {
        let mut lanes = [T::zero(); LANES];
        let from = &from[..(LANES - 1) * step + 1];
        for (lane, to) in lanes.iter_mut().enumerate() {
            *to = from[lane * step];
        }
        Lanes(lanes)
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        let mut lanes = self.0;
        for (to, &from) in lanes.iter_mut().zip(&other.0) {
            *to = f(*to, from);
        }
        Lanes(lanes)
    }
}

impl<T> Index<std::ops::RangeTo<usize>> for Lanes<T> {
    type Output = [T];
    #[inline(always)]
    fn index(&self, range: std::ops::RangeTo<usize>) -> &[T] {
        &self.0[range]
    }
}

impl<T> Index<usize> for Lanes<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, lane: usize) -> &T {
        &self.0[lane]
    }
}

impl<T: Real> Add for Lanes<T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl<T: Real> Sub for Lanes<T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}

impl<T: Real> Mul<f64> for Lanes<T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, factor: f64) -> Self {
        let factor = T::from_f64(factor);
        self.zip(self, |a, _| a * factor)
    }
}

/// Bᵀ · d
#[inline(always)]
fn to_points<T: Real>(d: [Lanes<T>; 6]) -> [Lanes<T>; 6] {
    let (even, odd) = (d[4] - d[2] * 4.0, d[3] - d[1] * 4.0);
    let (near, far) = (d[4] - d[2], (d[3] - d[1]) * 2.0);
    [(d[0] - d[2]) * 4.0 + near, even + odd, even - odd, near + far, near - far, (d[1] - d[3]) * 4.0 + (d[5] - d[3])]
}

/// G · g
#[inline(always)]
fn kernel_to_points<T: Real>(g: [Lanes<T>; 3]) -> [Lanes<T>; 6] {
    let (sixth, outer) = ((g[0] + g[2]) * (-1.0 / 6.0), g[0] * (1.0 / 24.0) + g[2] * (1.0 / 6.0));
    let (middle, inner) = (g[1] * (1.0 / 6.0), g[1] * (1.0 / 12.0));
    [g[0] * 0.25, sixth - middle, sixth + middle, outer + inner, outer - inner, g[2]]
}

/// Aᵀ · m
#[inline(always)]
fn to_pixels<T: Real>(m: [Lanes<T>; 6]) -> [Lanes<T>; 4] {
    let (sum1, difference1) = (m[1] + m[2], m[1] - m[2]);
    let (sum2, difference2) = (m[3] + m[4], m[3] - m[4]);
    [m[0] + sum1 + sum2, difference1 + difference2 * 2.0, sum1 + sum2 * 4.0, difference1 + difference2 * 8.0 + m[5]]
}

/// Up to [`LANES`] kernels `[channel, 3, 3]` to their 36 points.
#[inline(always)]
pub(super) fn kernel_points<T: Real>(kernels: &[T]) -> [[Lanes<T>; 6]; 6] {
    let mut taps = [[Lanes([T::zero(); LANES]); 3]; 3];
    for (lane, kernel) in kernels.chunks_exact(9).enumerate() {
        for (tap, &number) in kernel.iter().enumerate() {
            taps[tap / 3][tap % 3].0[lane] = number;
        }
    }
    let columns: [[Lanes<T>; 6]; 3] = [0, 1, 2].map(|x| kernel_to_points([taps[0][x], taps[1][x], taps[2][x]]));
    [0, 1, 2, 3, 4, 5].map(|y| kernel_to_points([columns[0][y], columns[1][y], columns[2][y]]))
}

/// A row of tiles to points: `patch` holds the six rows of `width` pixels that they see, `halfway` has room for as many.
/// `write(point, tile, numbers)` takes some tiles at a time.
#[inline(always)]
pub(super) fn image_points<T: Real>(
    patch: &[T],
    halfway: &mut [T],
    width: usize,
    tiles: usize,
    mut write: impl FnMut(usize, usize, &[T]),
) {
    for x in (0..width).step_by(LANES) {
        let rows = [0, 1, 2, 3, 4, 5].map(|y| Lanes::load(&patch[y * width + x..]));
        for (y, lanes) in to_points(rows).into_iter().enumerate() {
            halfway[y * width + x..][..LANES].copy_from_slice(&lanes.0);
        }
    }
    for (y, row) in halfway.chunks_exact(width).enumerate() {
        for first in (0..tiles).step_by(LANES) {
            let columns = [0, 1, 2, 3, 4, 5].map(|x| Lanes::strided(&row[first * 4 + x..], 4));
            let count = LANES.min(tiles - first);
            for (x, lanes) in to_points(columns).into_iter().enumerate() {
                write(y * 6 + x, first, &lanes.0[..count]);
            }
        }
    }
}

/// Points to pixels: `point(i)` gives point `i` of all tiles, the result is `[row][column]`.
#[inline(always)]
pub(super) fn output_pixels<T: Real>(point: impl Fn(usize) -> Lanes<T>) -> [[Lanes<T>; 4]; 4] {
    let columns: [[Lanes<T>; 4]; 6] =
        [0, 1, 2, 3, 4, 5].map(|x| to_pixels([0, 1, 2, 3, 4, 5].map(|y| point(y * 6 + x))));
    [0, 1, 2, 3].map(|y| to_pixels([0, 1, 2, 3, 4, 5].map(|x| columns[x][y])))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tile by the transforms and by the definition.
    #[test]
    fn a_tile_is_what_sixteen_correlations_give() {
        let number = |i: usize| ((i * 7 + 3) % 11) as f64 / 5.0 - 1.0;
        let (pixels, kernel): (Vec<f64>, Vec<f64>) =
            ((0..36).map(number).collect(), (0..9).map(|i| number(i + 50)).collect());
        let width = 2 * 4 * LANES;
        let mut patch = vec![0.0; 6 * width];
        for (y, row) in pixels.chunks_exact(6).enumerate() {
            patch[y * width..][..6].copy_from_slice(row);
        }
        let mut points = [0.0; 36];
        image_points(&patch, &mut vec![0.0; 6 * width], width, 1, |point, _, lanes| points[point] = lanes[0]);
        let kernels = kernel_points(&kernel);
        let found = output_pixels(|point| Lanes::load(&[points[point] * kernels[point / 6][point % 6][0]]));
        for (y, row) in found.iter().enumerate() {
            for (x, lanes) in row.iter().enumerate() {
                let direct: f64 = (0..9).map(|tap| kernel[tap] * pixels[(y + tap / 3) * 6 + x + tap % 3]).sum();
                assert!((lanes[0] - direct).abs() < 1e-12, "({y}, {x}): {} instead of {direct}", lanes[0]);
            }
        }
    }
}
