//! The layer from features to an image: a few weighted sums over all channels.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use rayon::prelude::*;

use super::LANES;
use super::maps::Maps;
use super::memory::Pointer;
use super::styled::{BORDER, inner};
use crate::ops::vector::{self, Kernel, Vector};

/// Sums the channels of maps with a border into a few colours `[N, colours, H, W]`, bias and clamp included.
///
/// # Shapes
/// weights `[N, colours, blocks · 16]`, the style in them
pub(crate) fn colours(x: &Maps, weights: &[f32], bias: &[f32], clamp: f32) -> Vec<f32> {
    let (sizes, (rows, columns)) = (x.sizes, inner(x.sizes));
    let (channels, colours) = (sizes.blocks * LANES, bias.len());
    let mut result = vec![0.0; sizes.images * colours * rows * columns];
    let to = Pointer::new(result.as_mut_ptr());
    (0..sizes.images * rows).into_par_iter().for_each(|task| {
        let (image, y) = (task / rows, task % rows);
        let weights = &weights[image * colours * channels..][..colours * channels];
        for (colour, (weights, &bias)) in weights.chunks_exact(channels).zip(bias).enumerate() {
            // SAFETY: this task's row of an image and colour.
            let to = unsafe {
                std::slice::from_raw_parts_mut(to.at(((image * colours + colour) * rows + y) * columns), columns)
            };
            vector::run(Colour { x, row: (image, y), weights, to });
            to.iter_mut().for_each(|number| *number = (*number + bias).clamp(-clamp, clamp));
        }
    });
    result
}

/// One row of one colour.
struct Colour<'a> {
    x: &'a Maps,
    row: (usize, usize),
    weights: &'a [f32],
    to: &'a mut [f32],
}

/// Pixels that are summed at a time.
const PIXELS: usize = 4;

impl Kernel for Colour<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let sizes = self.x.sizes;
        for (group, to) in self.to.chunks_mut(PIXELS).enumerate() {
            let mut sums = [V::splat(0.0); PIXELS];
            for block in 0..sizes.blocks {
                let place = (self.row.1 + BORDER, group * PIXELS + BORDER);
                let pixels = &self.x.memory[sizes.offset(self.row.0, block, place)..];
                for lane in (0..LANES).step_by(V::LANES) {
                    // SAFETY: a vector of weights, and of the pixels of this row, which ends with a border.
                    unsafe {
                        let weights = V::load(self.weights[block * LANES + lane..].as_ptr());
                        for pixel in 0..to.len() {
                            let numbers = V::load(pixels.as_ptr().add(pixel * LANES + lane));
                            sums[pixel] = numbers.mul_add(weights, sums[pixel]);
                        }
                    }
                }
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                let mut lanes = [0.0; LANES];
                // SAFETY: there is room for any vector.
                unsafe { sum.store(lanes.as_mut_ptr()) };
                *to = lanes.iter().sum();
            }
        }
    }
}
