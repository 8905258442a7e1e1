//! The three operators on features that lie in blocks of 16 channels: of 3x3 taps in steps of 1 that keep the size, of 3x3
//! taps in steps of 2 without padding, and of a single tap.

use std::marker::PhantomData;

use super::single::{Side, scatter, weights};
use crate::ops::blocked::blocks_of;
use crate::ops::blocked::direct::{Direct, Phase};
use crate::ops::blocked::maps::{Maps, Sizes, View};
use crate::ops::blocked::memory::{Pointer, written};
use crate::ops::blocked::weight_gradient::TapSums;
use crate::ops::blocked::weights::Weights;
use crate::ops::blocked::winograd::doubling::{Doubled, Doubling};
use crate::ops::blocked::winograd::gradient::{Adjoint, Factor, kernel_taps};
use crate::ops::blocked::winograd::shrinking::Shrinking;
use crate::ops::blocked::winograd::{Filtering, Same, TILE, Winograd};
use crate::ops::conv::geometry::Geometry;

/// Feature maps.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Blocks<'a> {
    pub maps: &'a Maps,
    /// A factor for each image and channel, blocks filled up.
    pub scales: Option<&'a [f32]>,
}

/// A weight, in the geometry's order.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Kernel<'a> {
    pub numbers: &'a [f32],
    /// Factor of all of them.
    pub gain: f32,
}

/// Sizes of some images of the image side.
pub(in crate::ops) fn image_sizes(geometry: &Geometry, images: usize) -> Sizes {
    Sizes::of(images, geometry.image_channels, geometry.image)
}

/// Sizes of some images of the output side.
pub(in crate::ops) fn output_sizes(geometry: &Geometry, images: usize) -> Sizes {
    Sizes::of(images, geometry.output_channels, geometry.output)
}

/// What a geometry is one of.
enum Form {
    Same,
    Half,
    Point,
}

fn form(geometry: &Geometry) -> Form {
    match (geometry.kernel, geometry.stride) {
        ((1, 1), 1) => Form::Point,
        ((3, 3), 1) if (geometry.top, geometry.left) == (1, 1) => Form::Same,
        ((3, 3), 2) if (geometry.top, geometry.left) == (0, 0) => Form::Half,
        _ => unreachable!("a geometry that whoever blocks features has checked"),
    }
}

/// Tiles of `side` pixels that cover a size.
fn tiles((rows, columns): (usize, usize), sides: (usize, usize)) -> (usize, usize) {
    (rows.div_ceil(sides.0), columns.div_ceil(sides.1))
}

/// Output side from image side and weight.
pub(in crate::ops) fn convolution(geometry: &Geometry, image: Blocks<'_>, kernel: Kernel<'_>) -> Maps {
    let images = image.maps.sizes.images;
    let to = output_sizes(geometry, images);
    assert_eq!(image.maps.sizes, image_sizes(geometry, images), "maps of the size that was planned for");
    let weights = Weights { gain: kernel.gain, ..weights(geometry, kernel.numbers, Side::Image) };
    let taps = std::array::from_fn(|tap| tap);
    match form(geometry) {
        Form::Same => by_tiles::<Same>((image, (-1, -1)), (weights, taps), to),
        Form::Half => by_tiles::<Shrinking>((image, (0, 0)), (weights, taps), to),
        Form::Point => pointwise(image, weights, to),
    }
}

/// Image side from output side and weight.
pub(in crate::ops) fn adjoint(geometry: &Geometry, output: Blocks<'_>, kernel: Kernel<'_>) -> Maps {
    let images = output.maps.sizes.images;
    let to = image_sizes(geometry, images);
    assert_eq!(output.maps.sizes, output_sizes(geometry, images), "maps of the size that was planned for");
    let weights = Weights { gain: kernel.gain, ..weights(geometry, kernel.numbers, Side::Output) };
    let (rows, columns) = geometry.output;
    match form(geometry) {
        Form::Same => by_tiles::<Same>((output, (-1, -1)), (weights, std::array::from_fn(|tap| 8 - tap)), to),
        Form::Half if rows % TILE == 0 && columns % TILE == 0 && geometry.image == (2 * rows + 1, 2 * columns + 1) => {
            let source = output.maps.seen_from((-1, -1));
            let doubled = Doubled {
                source,
                scales: output.scales,
                weights,
                size: (rows, columns),
                corner: (0, 0),
                demodulation: None,
            };
            // SAFETY: every pixel of the result is written.
            unsafe { Maps::written(to, |first| doubled.write((to, first))) }
        }
        Form::Half => by_tiles::<Doubling>((output, (-1, -1)), (weights, std::array::from_fn(|tap| tap)), to),
        Form::Point => pointwise(output, weights, to),
    }
}

fn by_tiles<S: Filtering>(
    (source, corner): (Blocks<'_>, (isize, isize)),
    (weights, taps): (Weights<'_>, [usize; 9]),
    to: Sizes,
) -> Maps {
    let winograd = Winograd::<S> {
        scheme: PhantomData,
        source: source.maps.seen_from(corner),
        scales: source.scales,
        weights,
        taps,
        tiles: tiles((to.rows, to.columns), S::SIDES),
        corner: (0, 0),
        finish: None,
        demodulation: None,
    };
    // SAFETY: tiles cover every pixel of the result.
    unsafe { Maps::written(to, |first| winograd.write((to, first))) }
}

/// Maps as a single row of pixels, which is all the same to a single tap.
fn in_a_row(sizes: Sizes) -> Sizes {
    Sizes { rows: 1, columns: sizes.rows * sizes.columns, ..sizes }
}

fn pointwise(source: Blocks<'_>, weights: Weights<'_>, all: Sizes) -> Maps {
    assert!(source.scales.is_none(), "a convolution by pixels is not modulated");
    let to = in_a_row(all);
    let phase = Phase { weights: weights.packed(&[0]), taps: vec![(0, 0)], first: (0, 0), grid: (1, to.columns) };
    let direct = Direct { source: row_of_pixels(source.maps), stride: 1, step: 1, phases: &[phase] };
    // SAFETY: every pixel of the result is written.
    unsafe { Maps::written(all, |first| direct.write((to, first))) }
}

fn row_of_pixels(maps: &Maps) -> View<'_> {
    View::new(&maps.memory, in_a_row(maps.sizes), (0, 0))
}

/// Weight, times a gain, from image side and output side. Positions are summed in the same order on every run.
pub(in crate::ops) fn weight_gradient(
    geometry: &Geometry,
    (image, output): (Blocks<'_>, Blocks<'_>),
    gain: f32,
) -> Vec<f32> {
    let fill = |to: Pointer| {
        let write = |output: usize, input: usize, taps: &[f32]| {
            // SAFETY: every kernel belongs to one block, which is given once.
            unsafe { scatter(geometry, (output, input), (taps, gain), to) };
        };
        match form(geometry) {
            Form::Same => by_tile_sums::<Same>(geometry, (image, (-1, -1)), output, write),
            Form::Half => by_tile_sums::<Shrinking>(geometry, (image, (0, 0)), output, write),
            Form::Point => point_sums(geometry, image, output).taps(write),
        }
    };
    // SAFETY: all blocks are given, and with them all kernels.
    unsafe { written(geometry.weight_shape().iter().product(), fill) }
}

fn block_counts(geometry: &Geometry) -> (usize, usize) {
    (blocks_of(geometry.output_channels), blocks_of(geometry.image_channels))
}

fn by_tile_sums<S: Adjoint>(
    geometry: &Geometry,
    (image, corner): (Blocks<'_>, (isize, isize)),
    output: Blocks<'_>,
    write: impl Fn(usize, usize, &[f32]) + Sync,
) {
    let of_image = Factor { maps: image.maps.seen_from(corner), scales: image.scales };
    let of_output = Factor { maps: output.maps.view(), scales: output.scales };
    kernel_taps::<S>((of_image, of_output), tiles(geometry.output, S::SIDES), block_counts(geometry), write);
}

fn point_sums(geometry: &Geometry, image: Blocks<'_>, output: Blocks<'_>) -> TapSums {
    let mut sums = TapSums::new(vec![(0, 0)], 1, block_counts(geometry));
    sums.add(row_of_pixels(image.maps), row_of_pixels(output.maps));
    sums
}
