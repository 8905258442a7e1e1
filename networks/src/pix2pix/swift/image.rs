//! The steps between images and feature maps: folding, doubling, unfolding, and the picture at the end.

use rayon::prelude::*;

use super::plane::{BLOCK, Plane, SharedPlane};
use crate::ops::real::Shared;
use crate::pix2pix::config::{COLOURS, FOLD};

/// One image, `[C, H, W]`.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    pub pixels: &'a [f32],
    pub size: (usize, usize),
}

impl Image<'_> {
    /// Squares of 4x4 pixels become blocks of channels; the last row and column are repeated where the image ends.
    pub fn fold(&self, to: &mut Plane) {
        let ((height, width), shape) = (self.size, to.shape);
        let to = to.shared();
        (0..shape.blocks * shape.height).into_par_iter().for_each(|task| {
            let (channel, row) = (task / shape.height, task % shape.height);
            let lines: [&[f32]; FOLD] = std::array::from_fn(|y| {
                let y = (row * FOLD + y).min(height - 1);
                &self.pixels[(channel * height + y) * width..][..width]
            });
            // SAFETY: this task's row and block.
            let cells = unsafe { to.pixels((channel, row, 0), shape.width) };
            for (column, cell) in cells.chunks_exact_mut(BLOCK).enumerate() {
                for (line, four) in lines.iter().zip(cell.chunks_exact_mut(FOLD)) {
                    match line.get(column * FOLD..(column + 1) * FOLD) {
                        Some(pixels) => four.copy_from_slice(pixels),
                        None => (0..FOLD).for_each(|x| four[x] = line[(column * FOLD + x).min(width - 1)]),
                    }
                }
            }
        });
    }

    /// The picture `[3, H, W]`: four channels become a square of pixels, and the colours of the image are added.
    pub fn finish(&self, from: &Plane) -> Vec<f32> {
        let (height, width) = self.size;
        let mut picture = vec![0.0; COLOURS * height * width];
        let shared = Shared::new(&mut picture);
        (0..height).into_par_iter().for_each(|y| {
            let cells = from.from(0, (y / 2) as isize, 0);
            for colour in 0..COLOURS {
                let start = (colour * height + y) * width;
                // SAFETY: this task's row of the colour.
                let to = unsafe { shared.slice(start, width) };
                let lane = colour * 4 + y % 2 * 2;
                let pairs = to.chunks_mut(2).zip(self.pixels[start..start + width].chunks(2));
                for (cell, (to, photo)) in cells.chunks_exact(BLOCK).zip(pairs) {
                    for (x, (to, photo)) in to.iter_mut().zip(photo).enumerate() {
                        *to = cell[lane + x] + photo;
                    }
                }
            }
        });
        picture
    }
}

/// Every pixel becomes four.
pub(super) fn double(from: &Plane, to: &mut Plane) {
    rows(to, |to, block, y| {
        let source = from.from(block, (y / 2) as isize, 0);
        for (to, from) in to.chunks_mut(2 * BLOCK).zip(source.chunks_exact(BLOCK)) {
            to.chunks_exact_mut(BLOCK).for_each(|to| to.copy_from_slice(from));
        }
    });
}

/// Sum.
pub(super) fn add(left: &Plane, right: &Plane, to: &mut Plane) {
    rows(to, |to, block, y| {
        let sources = left.from(block, y as isize, 0).iter().zip(right.from(block, y as isize, 0));
        to.iter_mut().zip(sources).for_each(|(to, (left, right))| *to = left + right);
    });
}

/// Four channels become a square of 2x2 pixels.
pub(super) fn unfold(from: &Plane, to: &mut Plane) {
    let sources = from.shape.blocks;
    rows(to, |to, block, y| {
        let quarter = BLOCK / 4;
        let lane = y % 2 * 2;
        for part in 0..4.min(sources - (4 * block).min(sources)) {
            let source = from.from(4 * block + part, (y / 2) as isize, 0);
            for (to, from) in to.chunks_mut(2 * BLOCK).zip(source.chunks_exact(BLOCK)) {
                for (x, to) in to.chunks_exact_mut(BLOCK).enumerate() {
                    for channel in 0..quarter {
                        to[part * quarter + channel] = from[4 * channel + lane + x];
                    }
                }
            }
        }
    });
}

/// Fills a plane row by row, in parallel.
fn rows(plane: &mut Plane, fill: impl Fn(&mut [f32], usize, usize) + Sync) {
    let shape = plane.shape;
    let shared: SharedPlane<'_> = plane.shared();
    (0..shape.blocks * shape.height).into_par_iter().for_each(|task| {
        let (block, y) = (task / shape.height, task % shape.height);
        // SAFETY: this task's row and block.
        let row = unsafe { shared.pixels((block, y, 0), shape.width) };
        pulp::Arch::new().dispatch(|| fill(row, block, y));
    });
}
