//! Images on their way to a classifier, and gradients on their way back.

use rayon::prelude::*;

use crate::ops::blocked::LANES;
use crate::ops::blocked::maps::Maps;
use crate::ops::blocked::memory::{Pointer, written};
use crate::ops::blocked::styled::{BORDER, bordered, framed};

/// What a classifier subtracts from each colour, and what it divides it by: at most 16 colours.
pub(crate) struct Colours {
    pub shift: Vec<f32>,
    pub scale: Vec<f32>,
}

impl Colours {
    /// Images `[N, C, H, W]` as a classifier sees them, with a border of zeros.
    pub fn enter(&self, numbers: &[f32], (n, c, h, w): (usize, usize, usize, usize)) -> Maps {
        assert!(c == self.shift.len() && c <= LANES && numbers.len() == n * c * h * w, "colours of images");
        let mut maps = framed(bordered(n, c, (h, w)));
        let (sizes, to) = (maps.sizes, Pointer::new(maps.memory.first()));
        (0..n * h).into_par_iter().for_each(|task| {
            let (image, row) = (task / h, task % h);
            let first = sizes.offset(image, 0, (row + BORDER, BORDER));
            // SAFETY: this task's row of the maps.
            let to = unsafe { std::slice::from_raw_parts_mut(to.at(first), w * LANES) };
            to.fill(0.0);
            for (colour, (shift, scale)) in self.shift.iter().zip(&self.scale).enumerate() {
                let from = &numbers[((image * c + colour) * h + row) * w..][..w];
                for (line, number) in to.chunks_exact_mut(LANES).zip(from) {
                    line[colour] = (number - shift) / scale;
                }
            }
        });
        maps
    }

    /// The gradient by images from that by what the classifier sees, without a border.
    pub fn leave(&self, maps: &Maps, (n, c, h, w): (usize, usize, usize, usize)) -> Vec<f32> {
        let sizes = maps.sizes;
        assert_eq!((sizes.images, sizes.blocks, sizes.rows, sizes.columns), (n, 1, h, w), "a gradient by every pixel");
        let fill = |to: Pointer| {
            (0..n * h).into_par_iter().for_each(|task| {
                let (image, row) = (task / h, task % h);
                let from = &maps.memory[sizes.offset(image, 0, (row, 0))..][..sizes.row()];
                for (colour, scale) in self.scale.iter().enumerate() {
                    // SAFETY: this task's row of a colour.
                    let to = unsafe { to.at(((image * c + colour) * h + row) * w) };
                    for (x, line) in from.chunks_exact(LANES).enumerate() {
                        // SAFETY: a pixel of that row.
                        unsafe { *to.add(x) = line[colour] / scale };
                    }
                }
            });
        };
        assert_eq!(c, self.scale.len(), "a scale for each colour");
        // SAFETY: all rows of all colours are written.
        unsafe { written(n * c * h * w, fill) }
    }
}
