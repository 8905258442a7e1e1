//! 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): 36 products for a tile of 16 outputs instead of 144
//! (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.3).
//!
//! A task takes some tiles through all three steps, so that what lies between them stays in the level 2 cache.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::direct::GroupOf;
use super::kernel::{Ending, PIXELS, accumulate};
use super::plane::{BLOCK, Plane, SharedPlane, TILE};
use crate::ops::real::Real;

/// Points along the side of a transformed tile.
const SIDE: usize = 6;
const POINTS: usize = SIDE * SIDE;
/// Tiles of a task: as many as keep the weights' way from memory worth it.
const TILES: usize = 2 * PIXELS;

/// A 3x3 convolution with its kernels transformed and packed for the inner loop.
#[derive(Clone, Debug)]
pub(super) struct Winograd {
    /// Blocks of channels that go in and come out.
    blocks: (usize, usize),
    /// Output blocks that are summed at a time.
    group: usize,
    /// `[point][output group][input][output of the group]`
    weights: Vec<f32>,
    ending: Ending,
}

/// G of F(4x4, 3x3), for the points 0, ±1, ±2 and infinity.
const G: [[f64; 3]; SIDE] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

impl Winograd {
    /// Transforms and packs `[O, I, 3, 3]`.
    pub fn new(weight: &[f32], (outputs, inputs): (usize, usize), ending: Ending) -> Winograd {
        let blocks = (inputs.div_ceil(BLOCK), outputs.div_ceil(BLOCK));
        let group = pulp::Arch::new().dispatch(GroupOf(blocks.1));
        let lanes = group * BLOCK;
        let rows = blocks.0 * BLOCK;
        let mut weights = vec![0.0; POINTS * blocks.1 * BLOCK * rows];
        for (index, kernel) in weight.chunks_exact(9).enumerate() {
            let (output, input) = (index / inputs, index % inputs);
            for (point, number) in kernel_points(kernel).into_iter().enumerate() {
                let group_row = (point * (blocks.1 / group) + output / lanes) * rows + input;
                weights[group_row * lanes + output % lanes] = number;
            }
        }
        Winograd { blocks, group, weights, ending }
    }

    /// Convolves; `added` is added behind the activation.
    pub fn run(&self, from: &Plane, added: Option<&Plane>, to: &mut Plane) {
        let columns = to.shape.width.div_ceil(TILE);
        let tiles = to.shape.height.div_ceil(TILE) * columns;
        let to = to.shared();
        (0..tiles.div_ceil(TILES)).into_par_iter().for_each(|task| {
            let first = task * TILES;
            let tiles = Tiles { conv: self, from, added, to: &to, columns, first, count: TILES.min(tiles - first) };
            let (inputs, outputs) = (self.blocks.0 * BLOCK, self.blocks.1 * BLOCK);
            f32::with_scratch(POINTS * TILES * (inputs + outputs), |scratch| {
                let (points, sums) = scratch.split_at_mut(POINTS * TILES * inputs);
                pulp::Arch::new().dispatch(Work { tiles, points, sums });
            });
        });
    }
}

/// G g Gᵀ
fn kernel_points(kernel: &[f32]) -> [f32; POINTS] {
    let mut points = [0.0; POINTS];
    for (index, to) in points.iter_mut().enumerate() {
        let (row, column) = (G[index / SIDE], G[index % SIDE]);
        let term = |tap: usize| row[tap / 3] * f64::from(kernel[tap]) * column[tap % 3];
        *to = (0..9).map(term).sum::<f64>() as f32;
    }
    points
}

/// One task.
struct Tiles<'a> {
    conv: &'a Winograd,
    from: &'a Plane,
    added: Option<&'a Plane>,
    to: &'a SharedPlane<'a>,
    /// Tiles in a row of the plane.
    columns: usize,
    first: usize,
    count: usize,
}

/// A task with the memory that it needs. A closure between this and the loops would lose the vector instructions.
struct Work<'a> {
    tiles: Tiles<'a>,
    points: &'a mut [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Work<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Work { tiles, points, sums } = self;
        tiles.transform(simd, points);
        match (S::F32_LANES, tiles.conv.group) {
            (16, 3) => tiles.multiply::<S, 3>(simd, points, sums),
            (16, 2) => tiles.multiply::<S, 2>(simd, points, sums),
            (16, _) => tiles.multiply::<S, 1>(simd, points, sums),
            (8, _) => tiles.multiply::<S, 2>(simd, points, sums),
            (4, _) => tiles.multiply::<S, 4>(simd, points, sums),
            _ => tiles.multiply::<S, BLOCK>(simd, points, sums),
        }
        tiles.transform_back(simd, sums);
    }
}

impl Tiles<'_> {
    /// Row and column of a tile's first pixel.
    fn corner(&self, tile: usize) -> (usize, usize) {
        ((self.first + tile) / self.columns * TILE, (self.first + tile) % self.columns * TILE)
    }

    /// Bᵀ d B of every tile and block: `[point][tile][input]`.
    #[inline(always)]
    fn transform<S: Simd>(&self, simd: S, points: &mut [f32]) {
        let inputs = self.conv.blocks.0 * BLOCK;
        let row_step = self.from.shape.row_step();
        for tile in 0..self.count {
            let (y, x) = self.corner(tile);
            for block in 0..self.conv.blocks.0 {
                let pixels = self.from.from(block, y as isize - 1, x as isize - 1);
                for lane in (0..BLOCK).step_by(S::F32_LANES) {
                    let mut halfway = [[simd.splat_f32s(0.0); SIDE]; SIDE];
                    for column in 0..SIDE {
                        let mut patch = [simd.splat_f32s(0.0); SIDE];
                        for (row, value) in patch.iter_mut().enumerate() {
                            *value = one::<S>(&pixels[row * row_step + column * BLOCK + lane..]);
                        }
                        for (row, value) in to_points(simd, patch).into_iter().enumerate() {
                            halfway[row][column] = value;
                        }
                    }
                    for (row, across) in halfway.into_iter().enumerate() {
                        for (column, value) in to_points(simd, across).into_iter().enumerate() {
                            let place = ((row * SIDE + column) * TILES + tile) * inputs + block * BLOCK + lane;
                            put::<S>(&mut points[place..], value);
                        }
                    }
                }
            }
        }
    }

    /// Sums over the input channels at each point: `[point][tile][output]`.
    #[inline(always)]
    fn multiply<S: Simd, const V: usize>(&self, simd: S, points: &[f32], sums: &mut [f32]) {
        let (inputs, outputs) = (self.conv.blocks.0 * BLOCK, self.conv.blocks.1 * BLOCK);
        let lanes = self.conv.group * BLOCK;
        let weights = self.conv.weights.chunks_exact(inputs * lanes);
        for (index, weights) in weights.enumerate() {
            let (point, group) = (index / (outputs / lanes), index % (outputs / lanes));
            for first in (0..self.count).step_by(PIXELS) {
                let tiles = point * TILES + first;
                let mut acc = [[simd.splat_f32s(0.0); V]; PIXELS];
                for (block, weights) in weights.chunks_exact(BLOCK * lanes).enumerate() {
                    accumulate(simd, &mut acc, (&points[tiles * inputs + block * BLOCK..], inputs), weights);
                }
                for (p, acc) in acc.iter().enumerate() {
                    let place = (tiles + p) * outputs + group * lanes;
                    let (to, _) = S::as_mut_simd_f32s(&mut sums[place..place + lanes]);
                    to.copy_from_slice(acc);
                }
            }
        }
    }

    /// Aᵀ m A of every tile and block, to the result.
    #[inline(always)]
    fn transform_back<S: Simd>(&self, simd: S, sums: &[f32]) {
        let outputs = self.conv.blocks.1 * BLOCK;
        for tile in 0..self.count {
            for block in 0..self.conv.blocks.1 {
                let mut pixels = [[0.0f32; BLOCK]; TILE * TILE];
                for lane in (0..BLOCK).step_by(S::F32_LANES) {
                    let place = |point: usize| (point * TILES + tile) * outputs + block * BLOCK + lane;
                    let mut halfway = [[simd.splat_f32s(0.0); SIDE]; TILE];
                    for column in 0..SIDE {
                        let mut points = [simd.splat_f32s(0.0); SIDE];
                        for (row, value) in points.iter_mut().enumerate() {
                            *value = one::<S>(&sums[place(row * SIDE + column)..]);
                        }
                        for (row, value) in to_pixels(simd, points).into_iter().enumerate() {
                            halfway[row][column] = value;
                        }
                    }
                    for (row, across) in halfway.into_iter().enumerate() {
                        for (column, value) in to_pixels(simd, across).into_iter().enumerate() {
                            put::<S>(&mut pixels[row * TILE + column][lane..], value);
                        }
                    }
                }
                self.store(simd, (tile, block), &pixels);
            }
        }
    }

    /// Stores a tile as far as it lies in the plane.
    #[inline(always)]
    fn store<S: Simd>(&self, simd: S, (tile, block): (usize, usize), pixels: &[[f32; BLOCK]; TILE * TILE]) {
        let ((top, left), shape) = (self.corner(tile), self.to.shape);
        let width = TILE.min(shape.width - left);
        for y in top..(top + TILE).min(shape.height) {
            // SAFETY: this task's tile.
            let row = unsafe { self.to.pixels((block, y, left), width) };
            for (x, to) in row.chunks_exact_mut(BLOCK).enumerate() {
                let added = self.added.map(|plane| plane.from(block, y as isize, (left + x) as isize));
                let (sums, _) = S::as_simd_f32s(&pixels[(y - top) * TILE + x]);
                self.conv.ending.store(simd, block, (sums, added), to);
            }
        }
    }
}

#[inline(always)]
fn one<S: Simd>(numbers: &[f32]) -> S::f32s {
    S::as_simd_f32s(&numbers[..S::F32_LANES]).0[0]
}

#[inline(always)]
fn put<S: Simd>(numbers: &mut [f32], value: S::f32s) {
    S::as_mut_simd_f32s(&mut numbers[..S::F32_LANES]).0[0] = value;
}

/// Bᵀ · d
#[inline(always)]
fn to_points<S: Simd>(simd: S, d: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
    let times = |a, factor: f32| simd.mul_f32s(a, simd.splat_f32s(factor));
    let (even, odd) = (sub(d[4], times(d[2], 4.0)), sub(d[3], times(d[1], 4.0)));
    let (near, far) = (sub(d[4], d[2]), times(sub(d[3], d[1]), 2.0));
    let first = add(times(sub(d[0], d[2]), 4.0), near);
    let last = add(times(sub(d[1], d[3]), 4.0), sub(d[5], d[3]));
    [first, add(even, odd), sub(even, odd), add(near, far), sub(near, far), last]
}

/// Aᵀ · m
#[inline(always)]
fn to_pixels<S: Simd>(simd: S, m: [S::f32s; SIDE]) -> [S::f32s; TILE] {
    let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
    let times = |a, factor: f32| simd.mul_f32s(a, simd.splat_f32s(factor));
    let (sum1, difference1) = (add(m[1], m[2]), sub(m[1], m[2]));
    let (sum2, difference2) = (add(m[3], m[4]), sub(m[3], m[4]));
    [
        add(m[0], add(sum1, sum2)),
        add(difference1, times(difference2, 2.0)),
        add(sum1, times(sum2, 4.0)),
        add(add(difference1, times(difference2, 8.0)), m[5]),
    ]
}
