//! The way back through the end of a group: the gradients of its distance and of its features in half the size, in one pass,
//! in place of the features.

use std::ops::Range;

use rayon::prelude::*;

use super::ending::{Seen, roots, window};
use crate::ops::blocked::LANES;
use crate::ops::blocked::maps::{Maps, Sizes};
use crate::ops::blocked::memory::Pointer;
use crate::ops::blocked::styled::{BORDER, bordered};
use crate::ops::vector::{self, Kernel, Vector};

/// Rows of a block that make a task; even.
const BAND: usize = 16;

/// The way back through the end of a group.
pub(super) struct Back<'a> {
    /// As [`of_length_one`](super::ending::Ending::of_length_one) gave it.
    pub target: &'a Maps,
    pub linear: &'a [f32],
    pub seen: &'a Seen,
    /// Gradient by the distance of each image.
    pub of_distances: &'a [f32],
}

impl Back<'_> {
    /// Replaces features, with a border, by the gradient of the sums that a ReLU made them of; `coarse` is the gradient by
    /// the features in half the size, without a border.
    pub fn replace(&self, features: &mut Maps, coarse: Option<&Maps>) {
        let sizes = self.target.sizes;
        let (h, w) = (sizes.rows, sizes.columns);
        assert_eq!(features.sizes, bordered(sizes.images, sizes.blocks * LANES, (h, w)), "features like the target's");
        assert!(
            coarse.is_none_or(|maps| maps.sizes == Sizes { rows: h / 2, columns: w / 2, ..sizes }),
            "half the size"
        );
        let (roots, bands) = (roots(self.linear, (h, w)), h.div_ceil(BAND));
        let to = (features.sizes, Pointer::new(features.memory.first()));
        (0..sizes.images * sizes.blocks * bands).into_par_iter().for_each(|task| {
            let (place, first) = (task / bands, task % bands * BAND);
            let place = (place / sizes.blocks, place % sizes.blocks);
            let roots = &roots[place.1 * LANES..][..LANES];
            vector::run(Band { back: self, coarse, roots, place, rows: first..(first + BAND).min(h), to });
        });
    }
}

/// Some rows of a block, from features to gradients.
struct Band<'a> {
    back: &'a Back<'a>,
    coarse: Option<&'a Maps>,
    roots: &'a [f32],
    /// Image and block.
    place: (usize, usize),
    rows: Range<usize>,
    to: (Sizes, Pointer),
}

impl Kernel for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        for row in self.rows.clone().step_by(2) {
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: two rows of this task's.
                unsafe { self.pair::<V>(row, lane) };
            }
        }
    }
}

impl Band<'_> {
    /// One vector of each pixel of two rows.
    ///
    /// # Safety
    /// Nobody else touches these rows of the features.
    #[inline(always)]
    unsafe fn pair<V: Vector>(&self, row: usize, lane: usize) {
        let ((image, block), (sizes, to)) = (self.place, self.to);
        let columns = self.back.target.sizes.columns;
        // SAFETY: the caller's rows, whose pixels come in pairs.
        unsafe {
            let rows = [row, row + 1].map(|row| to.at(sizes.offset(image, block, (row + BORDER, BORDER)) + lane));
            for x in (0..columns).step_by(2) {
                let numbers = window::<V>((rows[0].cast_const(), rows[1].cast_const()), x * LANES);
                let given = match self.coarse {
                    Some(coarse) => {
                        let from = &coarse.memory[coarse.sizes.offset(image, block, (row / 2, x / 2)) + lane..];
                        given_to_largest(numbers, V::load(from[..V::LANES].as_ptr()))
                    }
                    None => [V::splat(0.0); 4],
                };
                for (i, (number, given)) in numbers.into_iter().zip(given).enumerate() {
                    let gradient = given.add(self.of_distance(number, (row + i / 2, x + i % 2), lane));
                    let to = rows[i / 2].add((x + i % 2) * LANES);
                    number.where_positive(gradient, V::splat(0.0)).store(to);
                }
            }
        }
    }

    /// The gradient of the distance by some numbers of a pixel: what is across the vector, over its length.
    #[inline(always)]
    fn of_distance<V: Vector>(&self, numbers: V, (row, column): (usize, usize), lane: usize) -> V {
        let Back { target, seen, of_distances, .. } = self.back;
        let ((image, block), sizes) = (self.place, target.sizes);
        let pixel = (image * sizes.rows + row) * sizes.columns + column;
        let of_image = of_distances[image];
        let (over_length, along) = (seen.over_length[pixel], seen.along[pixel]);
        let target = &target.memory[sizes.offset(image, block, (row, column)) + lane..][..V::LANES];
        // SAFETY: a vector of the roots and of the target's line.
        let (root, target) = unsafe { (V::load(self.roots.as_ptr().add(lane)), V::load(target.as_ptr())) };
        let difference = numbers.mul(root).mul(V::splat(over_length)).sub(target);
        let across = difference.mul(root.mul(V::splat(2.0 * of_image * over_length)));
        numbers.mul_add(V::splat(-of_image * along), across)
    }
}

/// Gives the gradient of a maximum to the first of four numbers, in reading order, that is as large.
#[inline(always)]
fn given_to_largest<V: Vector>([a, b, c, d]: [V; 4], gradient: V) -> [V; 4] {
    let zero = V::splat(0.0);
    let (above, but_last) = (a.max(b), a.max(b).max(c));
    let (last, others) = (d.sub(but_last), c.sub(above));
    let to_d = last.where_positive(gradient, zero);
    let left = last.where_positive(zero, gradient);
    let to_c = others.where_positive(left, zero);
    let left = others.where_positive(zero, left);
    [b.sub(a).where_positive(zero, left), b.sub(a).where_positive(left, zero), to_c, to_d]
}

/// [`given_to_largest`] on single numbers.
#[cfg(test)]
pub(super) struct Largest {
    pub window: [f32; 4],
    pub gradient: f32,
}

#[cfg(test)]
impl Kernel for Largest {
    type Output = [f32; 4];

    #[inline(always)]
    fn run<V: Vector>(self) -> [f32; 4] {
        given_to_largest(self.window.map(V::splat), V::splat(self.gradient)).map(|given| {
            let mut line = [0.0; LANES];
            // SAFETY: there is room for any vector.
            unsafe { given.store(line.as_mut_ptr()) };
            line[0]
        })
    }
}
