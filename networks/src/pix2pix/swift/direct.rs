//! Convolution tap by tap: kernels of 1x1, with step 2, within single channels, or between few channels.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::kernel::{Ending, PIXELS, accumulate, blocks_at_a_time};
use super::plane::{BLOCK, Plane, SharedPlane};

/// A convolution with its weights packed for the inner loop.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    /// Side of the kernel, and step.
    kernel: (usize, usize),
    /// Blocks of channels that go in and come out.
    blocks: (usize, usize),
    /// Blocks that are summed at a time, for the vectors of this processor.
    group: usize,
    /// `[output group][input block][tap][input][output of the group]`
    weights: Vec<f32>,
    ending: Ending,
}

/// Asks how many blocks of output channels this processor's registers hold.
pub(super) struct GroupOf(pub usize);

impl WithSimd for GroupOf {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        blocks_at_a_time::<S>(self.0)
    }
}

impl Direct {
    /// Packs `[O, I, k, k]`.
    pub fn new(weight: &[f32], (outputs, inputs): (usize, usize), kernel: (usize, usize), ending: Ending) -> Direct {
        let blocks = (inputs.div_ceil(BLOCK), outputs.div_ceil(BLOCK));
        let group = pulp::Arch::new().dispatch(GroupOf(blocks.1));
        let taps = kernel.0 * kernel.0;
        let mut packed = vec![0.0; blocks.0 * blocks.1 * taps * BLOCK * BLOCK];
        let lanes = group * BLOCK;
        for (output, rows) in weight.chunks_exact(inputs * taps).enumerate() {
            for (input, kernel) in rows.chunks_exact(taps).enumerate() {
                for (tap, &number) in kernel.iter().enumerate() {
                    let row = ((output / lanes * blocks.0 + input / BLOCK) * taps + tap) * BLOCK + input % BLOCK;
                    packed[row * lanes + output % lanes] = number;
                }
            }
        }
        Direct { kernel, blocks, group, weights: packed, ending }
    }

    /// Convolves; `added` is added behind the activation.
    pub fn run(&self, from: &Plane, added: Option<&Plane>, to: &mut Plane) {
        let (groups, height) = (self.blocks.1 / self.group, to.shape.height);
        let to = to.shared();
        (0..groups * height).into_par_iter().for_each(|task| {
            let row = Row { conv: self, from, added, to: &to, group: task % groups, y: task / groups };
            pulp::Arch::new().dispatch(row);
        });
    }
}

/// One row of some output channels.
struct Row<'a> {
    conv: &'a Direct,
    from: &'a Plane,
    added: Option<&'a Plane>,
    to: &'a SharedPlane<'a>,
    group: usize,
    y: usize,
}

impl WithSimd for Row<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::F32_LANES, self.conv.group) {
            (16, 3) => self.run::<S, 3>(simd),
            (16, 2) => self.run::<S, 2>(simd),
            (16, _) => self.run::<S, 1>(simd),
            (8, _) => self.run::<S, 2>(simd),
            (4, _) => self.run::<S, 4>(simd),
            _ => self.run::<S, BLOCK>(simd),
        }
    }
}

impl Row<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(&self, simd: S) {
        let width = self.to.shape.width;
        let mut x = 0;
        while width - x >= PIXELS {
            self.pixels::<S, PIXELS, V>(simd, x);
            x += PIXELS;
        }
        // The last pixels are computed together with some that are done already.
        if x < width && width >= PIXELS {
            self.pixels::<S, PIXELS, V>(simd, width - PIXELS);
        } else {
            for x in x..width {
                self.pixels::<S, 1, V>(simd, x);
            }
        }
    }

    #[inline(always)]
    fn pixels<S: Simd, const P: usize, const V: usize>(&self, simd: S, x: usize) {
        let ((side, step), (inputs, _)) = (self.conv.kernel, self.conv.blocks);
        let mut sums = [[simd.splat_f32s(0.0); V]; P];
        let reach = (side / 2) as isize;
        let piece = BLOCK * self.conv.group * BLOCK;
        let mut weights = self.conv.weights[self.group * inputs * side * side * piece..].chunks_exact(piece);
        for block in 0..inputs {
            for tap in 0..side * side {
                let (y, x) = ((self.y * step + tap / side) as isize, (x * step + tap % side) as isize);
                let pixels = self.from.from(block, y - reach, x - reach);
                let weights = weights.next().expect("a piece of weights for every block and tap");
                accumulate(simd, &mut sums, (pixels, step * BLOCK), weights);
            }
        }
        let vectors = BLOCK / S::F32_LANES;
        for (p, sums) in sums.iter().enumerate() {
            for (of_group, sums) in sums.chunks_exact(vectors).enumerate() {
                let block = self.group * self.conv.group + of_group;
                let added = self.added.map(|plane| plane.from(block, self.y as isize, (x + p) as isize));
                // SAFETY: this task's row and blocks.
                let to = unsafe { self.to.pixels((block, self.y, x + p), 1) };
                self.conv.ending.store(simd, block, (sums, added), to);
            }
        }
    }
}

/// A 3x3 convolution within each channel.
#[derive(Clone, Debug)]
pub(super) struct Depthwise {
    /// `[block][tap][channel]`
    weights: Vec<f32>,
    ending: Ending,
}

/// Taps of a depthwise kernel.
const TAPS: usize = 9;

impl Depthwise {
    /// Packs `[C, 1, 3, 3]`.
    pub fn new(weight: &[f32], ending: Ending) -> Depthwise {
        let mut weights = vec![0.0; (weight.len() / TAPS).next_multiple_of(BLOCK) * TAPS];
        for (channel, kernel) in weight.chunks_exact(TAPS).enumerate() {
            for (tap, &number) in kernel.iter().enumerate() {
                weights[(channel / BLOCK * TAPS + tap) * BLOCK + channel % BLOCK] = number;
            }
        }
        Depthwise { weights, ending }
    }

    /// Convolves.
    pub fn run(&self, from: &Plane, to: &mut Plane) {
        let (blocks, height) = (to.shape.blocks, to.shape.height);
        let to = to.shared();
        (0..blocks * height).into_par_iter().for_each(|task| {
            pulp::Arch::new().dispatch(DepthwiseRow {
                conv: self,
                from,
                to: &to,
                block: task / height,
                y: task % height,
            });
        });
    }
}

/// One row of one block of channels.
struct DepthwiseRow<'a> {
    conv: &'a Depthwise,
    from: &'a Plane,
    to: &'a SharedPlane<'a>,
    block: usize,
    y: usize,
}

impl WithSimd for DepthwiseRow<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd),
            8 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, BLOCK>(simd),
        }
    }
}

impl DepthwiseRow<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(&self, simd: S) {
        let (y, width) = (self.y as isize, self.to.shape.width);
        let (weights, _) = S::as_simd_f32s(&self.conv.weights[self.block * TAPS * BLOCK..][..TAPS * BLOCK]);
        let rows: [&[f32]; 3] = [-1, 0, 1].map(|offset| self.from.from(self.block, y + offset, -1));
        // SAFETY: this task's row and block.
        let to = unsafe { self.to.pixels((self.block, self.y, 0), width) };
        for (x, to) in to.chunks_exact_mut(BLOCK).enumerate() {
            let mut sums = [simd.splat_f32s(0.0); V];
            for tap in 0..TAPS {
                let (pixel, _) = S::as_simd_f32s(&rows[tap / 3][(x + tap % 3) * BLOCK..][..BLOCK]);
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.mul_add_e_f32s(pixel[v], weights[tap * V + v], *sum);
                }
            }
            self.conv.ending.store(simd, self.block, (&sums, None), to);
        }
    }
}
