//! Convolution and its transpose on numbers of half precision, as PyTorch's own loops compute them on a CPU.
//!
//! Products are exact in single precision and sums are rounded in it, so their order shows: a number of half precision
//! in a thousand or so would round the other way. The orders here are those of PyTorch 2.15, in which the reference
//! images were made; with them, features of the published code become its image bit for bit but for single-precision
//! rounding in the parameters.

use candle_core::Tensor;
use rayon::prelude::*;

use super::Convolution;
use super::geometry::Geometry;
use crate::error::{Error, Result};
use crate::grad::Dual;
use crate::ops::half_precision::{constant, rounded};

/// Positions that are computed side by side.
const LANES: usize = 16;
/// One number for each of some neighbouring positions.
type Lanes = [f32; LANES];

/// Convolves: four interleaved sums over channels and taps, then one rounding.
///
/// # Errors
/// As [`conv2d`](super::conv2d), and [`Error::Value`] for groups and where gradients are wanted.
pub(crate) fn conv2d(x: &Dual, weight: &Dual, spec: &Convolution) -> Result<Dual> {
    let (x, weight) = (constant(x)?, constant(weight)?);
    let geometry = Geometry::convolution(x, weight, spec)?;
    let ((images, weights), outputs) = (values(x, weight, &geometry)?, geometry.output_channels);
    let window = Window::of(&geometry);
    let blocks: Vec<Vec<Lanes>> = window.columns(&images, |columns| {
        let filters = weights.chunks_exact(columns.len());
        filters.map(|filter| products::<4>(filter, columns).map(rounded)).collect()
    });
    let (height, width) = geometry.output;
    let positions = height * width;
    let mut result = vec![0.0; x.dim(0)? * outputs * positions];
    result.par_chunks_mut(positions.max(1)).enumerate().for_each(|(plane, to)| {
        let (n, output) = (plane / outputs, plane % outputs);
        for (to, block) in to.chunks_mut(LANES).zip(&blocks[n * positions.div_ceil(LANES)..]) {
            to.copy_from_slice(&block[output][..to.len()]);
        }
    });
    Ok(Tensor::from_vec(result, (x.dim(0)?, outputs, height, width), x.device())?.into())
}

/// Lays kernels onto a canvas: each tap's sum over the channels is rounded, and so is every addition to the canvas.
///
/// # Errors
/// As [`conv_transpose2d`](super::conv_transpose2d), and [`Error::Value`] for groups and where gradients are wanted.
pub(crate) fn conv_transpose2d(x: &Dual, weight: &Dual, spec: &Convolution) -> Result<Dual> {
    let (x, weight) = (constant(x)?, constant(weight)?);
    let geometry = Geometry::transposed(x, weight, spec)?;
    let weight = weight.permute((0, 2, 3, 1))?; // [O, kh, kw, I]
    let ((images, weights), outputs) = (values(x, &weight, &geometry)?, geometry.image_channels);
    let (inputs, taps) = (geometry.output_channels, geometry.taps());
    let window = Window::pixels(inputs, geometry.output);
    let blocks = window.columns(&images, <[Lanes]>::to_vec);
    let per_image = window.blocks();
    let (height, width) = geometry.image;
    let mut result = vec![0.0; x.dim(0)? * outputs * height * width];
    result.par_chunks_mut((height * width).max(1)).enumerate().for_each(|(plane, canvas)| {
        let (n, output) = (plane / outputs, plane % outputs);
        let filters = &weights[output * taps * inputs..][..taps * inputs];
        let mut laid = Vec::with_capacity(per_image * taps); // [blocks, taps]
        for columns in &blocks[n * per_image..][..per_image] {
            laid.extend(filters.chunks_exact(inputs).map(|filter| products::<1>(filter, columns).map(rounded)));
        }
        for tap in 0..taps {
            let sums = laid.iter().skip(tap).step_by(taps).flatten();
            lay(canvas, sums, tap, &geometry);
        }
    });
    Ok(Tensor::from_vec(result, (x.dim(0)?, outputs, height, width), x.device())?.into())
}

/// The numbers of both arguments.
fn values(x: &Tensor, weight: &Tensor, geometry: &Geometry) -> Result<(Vec<f32>, Vec<f32>)> {
    if geometry.groups != 1 {
        return Err(Error::value("groups in half precision", geometry.groups, 1));
    }
    Ok((x.flatten_all()?.to_vec1()?, weight.flatten_all()?.to_vec1()?))
}

/// Adds what one tap lays down for each pixel, in the pixels' order, to the canvas; what falls beside it is lost.
fn lay<'a>(canvas: &mut [f32], sums: impl Iterator<Item = &'a f32>, tap: usize, geometry: &Geometry) {
    let ((height, width), (rows, columns), (_, kw)) = (geometry.image, geometry.output, geometry.kernel);
    let stride = geometry.stride as isize;
    for (position, &sum) in sums.take(rows * columns).enumerate() {
        let y = (position / columns) as isize * stride + (tap / kw) as isize - geometry.top;
        let x = (position % columns) as isize * stride + (tap % kw) as isize - geometry.left;
        if (0..height as isize).contains(&y) && (0..width as isize).contains(&x) {
            let to = &mut canvas[y as usize * width + x as usize];
            *to = rounded(*to + sum);
        }
    }
}

/// Σₖ weightₖ · columnₖ in `PARTIALS` interleaved sums, which are then added up.
fn products<const PARTIALS: usize>(weights: &[f32], columns: &[Lanes]) -> Lanes {
    let mut sums = [[0.0; LANES]; PARTIALS];
    let add = |sum: &mut Lanes, weight: f32, column: &Lanes| {
        sum.iter_mut().zip(column).for_each(|(sum, x)| *sum += weight * x);
    };
    let (weights, columns) = (weights.chunks_exact(PARTIALS), columns.chunks_exact(PARTIALS));
    let rest = (weights.remainder(), columns.remainder());
    for (weights, columns) in weights.zip(columns) {
        for (sum, (&weight, column)) in sums.iter_mut().zip(weights.iter().zip(columns)) {
            add(sum, weight, column);
        }
    }
    for (&weight, column) in rest.0.iter().zip(rest.1) {
        add(&mut sums[0], weight, column);
    }
    let mut total = sums[0];
    for sum in &sums[1..] {
        add(&mut total, 1.0, sum);
    }
    total
}

/// What a kernel sees of an image `[channels, size]` at each position of its grid.
struct Window {
    channels: usize,
    size: (usize, usize),
    grid: (usize, usize),
    stride: usize,
    kernel: (usize, usize),
    /// Zeros above and at the left.
    border: (isize, isize),
}

impl Window {
    fn of(geometry: &Geometry) -> Self {
        Window {
            channels: geometry.image_channels,
            size: geometry.image,
            grid: geometry.output,
            stride: geometry.stride,
            kernel: geometry.kernel,
            border: (geometry.top, geometry.left),
        }
    }

    /// The pixels themselves.
    fn pixels(channels: usize, size: (usize, usize)) -> Self {
        Window { channels, size, grid: size, stride: 1, kernel: (1, 1), border: (0, 0) }
    }

    /// Groups of [`LANES`] positions in one image.
    fn blocks(&self) -> usize {
        (self.grid.0 * self.grid.1).div_ceil(LANES)
    }

    /// Calls `f` with the columns `[channels · taps]` of each block of each image, and gives its results in that order.
    fn columns<R: Send>(&self, images: &[f32], f: impl Fn(&[Lanes]) -> R + Sync) -> Vec<R> {
        let pixels = self.channels * self.size.0 * self.size.1;
        let n_images = images.len().checked_div(pixels).unwrap_or(0);
        let block = |columns: &mut Vec<Lanes>, index: usize| {
            let image = &images[index / self.blocks() * pixels..][..pixels];
            self.gather(image, index % self.blocks() * LANES, columns);
            f(columns)
        };
        (0..n_images * self.blocks()).into_par_iter().map_init(Vec::new, block).collect()
    }

    fn gather(&self, image: &[f32], first: usize, columns: &mut Vec<Lanes>) {
        let ((height, width), (kh, kw)) = (self.size, self.kernel);
        let corners: [(isize, isize); LANES] = std::array::from_fn(|lane| {
            let (row, column) = ((first + lane) / self.grid.1, (first + lane) % self.grid.1);
            ((row * self.stride) as isize - self.border.0, (column * self.stride) as isize - self.border.1)
        });
        columns.clear();
        for plane in image.chunks_exact(height * width) {
            for tap in 0..kh * kw {
                columns.push(corners.map(|(y, x)| {
                    let (y, x) = (y + (tap / kw) as isize, x + (tap % kw) as isize);
                    let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                    if inside { plane[y as usize * width + x as usize] } else { 0.0 }
                }));
            }
        }
    }
}
