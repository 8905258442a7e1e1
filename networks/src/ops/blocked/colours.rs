//! The layer from features to an image: a few weighted sums over all channels.

#![expect(clippy::needless_range_loop, reason = "iterators take closures, which are functions of their own")]

use rayon::prelude::*;

use super::LANES;
use super::maps::Maps;
use super::memory::Pointer;
use super::styled::{BORDER, inner};
use super::weights::BLOCK;
use crate::ops::vector::{self, Kernel, Vector};

/// Colours that are summed at a time.
const AT_ONCE: usize = 3;
/// Pixels that are summed at a time.
const PIXELS: usize = 4;
/// Pixels that are asked for before they are needed: blocks lie too far apart for the processor to see where they lead.
const AHEAD: usize = 16;

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
        for first in (0..colours).step_by(AT_ONCE) {
            let weights = &weights[(image * colours + first) * channels..];
            let bias = &bias[first..colours.min(first + AT_ONCE)];
            let place = ((image * colours + first) * rows + y) * columns;
            // SAFETY: the caller's row of these colours of an image.
            let to = (unsafe { to.at(place) }, rows * columns);
            vector::run(Row { x, row: (image, y), weights, bias, clamp, to });
        }
    });
    result
}

/// One row of up to three colours.
struct Row<'a> {
    x: &'a Maps,
    row: (usize, usize),
    weights: &'a [f32],
    bias: &'a [f32],
    clamp: f32,
    /// The row in the first colour, and the way to the next colour.
    to: (*mut f32, usize),
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        match self.bias.len() {
            1 => self.some::<V, 1>(),
            2 => self.some::<V, 2>(),
            _ => self.some::<V, AT_ONCE>(),
        }
    }
}

impl Row<'_> {
    /// 16 pixels at a time: first each lane of channels for itself, then all lanes.
    #[inline(always)]
    fn some<V: Vector, const COLOURS: usize>(&self) {
        let columns = inner(self.x.sizes).1;
        let mut lanes = [[0.0; BLOCK]; COLOURS];
        for first in (0..columns).step_by(LANES) {
            let pixels = LANES.min(columns - first);
            for group in (0..pixels).step_by(PIXELS) {
                // The last pixel stands for those that are not there.
                let places = [0, 1, 2, 3].map(|pixel| first + (group + pixel).min(pixels - 1));
                let sums = self.sums::<V, COLOURS>(places);
                for colour in 0..COLOURS {
                    for pixel in 0..PIXELS {
                        // SAFETY: 16 lines, and groups of them.
                        unsafe { sums[colour][pixel].store(lanes[colour][(group + pixel) * LANES..].as_mut_ptr()) };
                    }
                }
            }
            for colour in 0..COLOURS {
                let numbers = total::<V>(&lanes[colour]);
                for pixel in 0..pixels {
                    let number = (numbers[pixel] + self.bias[colour]).clamp(-self.clamp, self.clamp);
                    // SAFETY: a pixel of this row.
                    unsafe { *self.to.0.add(colour * self.to.1 + first + pixel) = number };
                }
            }
        }
    }

    /// Weighted sums of some pixels over the blocks.
    #[inline(always)]
    fn sums<V: Vector, const COLOURS: usize>(&self, places: [usize; PIXELS]) -> [[V; PIXELS]; COLOURS] {
        let (sizes, channels) = (self.x.sizes, self.x.sizes.blocks * LANES);
        let mut sums = [[V::splat(0.0); PIXELS]; COLOURS];
        for block in 0..sizes.blocks {
            let row = &self.x.memory[sizes.offset(self.row.0, block, (self.row.1 + BORDER, BORDER))..];
            for lane in (0..LANES).step_by(V::LANES) {
                // SAFETY: vectors of weights, and of pixels of this row.
                unsafe {
                    let mut weights = [V::splat(0.0); COLOURS];
                    for colour in 0..COLOURS {
                        weights[colour] = V::load(self.weights[colour * channels + block * LANES + lane..].as_ptr());
                    }
                    for pixel in 0..PIXELS {
                        V::prefetch(row.as_ptr().wrapping_add((places[pixel] + AHEAD) * LANES));
                        let numbers = V::load(row.as_ptr().add(places[pixel] * LANES + lane));
                        for colour in 0..COLOURS {
                            sums[colour][pixel] = numbers.mul_add(weights[colour], sums[colour][pixel]);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The sum of each of 16 lines, of which the first lanes of a vector count.
#[inline(always)]
fn total<V: Vector>(lines: &[f32; BLOCK]) -> [f32; LANES] {
    let (mut turned, mut totals) = ([0.0; BLOCK], [0.0; LANES]);
    for first in (0..LANES).step_by(V::LANES) {
        // SAFETY: squares within 16 lines of 16 numbers.
        unsafe {
            V::transpose((lines[first * LANES..].as_ptr(), LANES), (turned.as_mut_ptr(), LANES));
            let mut sum = V::splat(0.0);
            for lane in 0..V::LANES {
                sum = sum.add(V::load(turned[lane * LANES..].as_ptr()));
            }
            sum.store(totals[first..].as_mut_ptr());
        }
    }
    totals
}
