//! The three operators in single precision: some images at a time are brought into blocks of channels, convolved and
//! brought back.

use std::marker::PhantomData;
use std::ops::Range;

use crate::ops::blocked::blocks_of;
use crate::ops::blocked::direct::{Direct, Phase};
use crate::ops::blocked::maps::{Maps, Planes, Sizes, from_planes, to_planes};
use crate::ops::blocked::memory::{Pointer, written};
use crate::ops::blocked::weight_gradient::TapSums;
use crate::ops::blocked::weights::{BLOCK, Weights};
use crate::ops::blocked::winograd::doubling::Doubled;
use crate::ops::blocked::winograd::gradient::{Factor, KernelSums};
use crate::ops::blocked::winograd::{Same, TILE, Winograd};
use crate::ops::conv::Method;
use crate::ops::conv::geometry::{Geometry, WeightOrder};

/// Numbers of a chunk of images: about what a level 3 cache holds.
const CHUNK: usize = 3 << 20;
/// Fewest tiles that pay for transforming the kernels.
const MIN_TILES: usize = 12;
/// Fewest blocks of channels that pay for transforming the tiles.
const MIN_BLOCKS: usize = 2;

/// Whether the three operators are computed here: not when channels come in groups.
pub(in crate::ops::conv) fn serves(geometry: &Geometry) -> bool {
    geometry.groups == 1
}

/// Output side from image side and weight.
pub(in crate::ops::conv) fn convolution(geometry: &Geometry, image: &[f32], weight: &[f32]) -> Vec<f32> {
    let (kh, kw) = geometry.kernel;
    let taps = (0..kh * kw).map(|tap| (tap, ((tap / kw) as isize, (tap % kw) as isize))).collect();
    let phase = PhasePlan { taps, first: (0, 0), grid: geometry.output };
    let plan = Plan {
        weights: weights(geometry, weight, Side::Image),
        source: (geometry.image_channels, geometry.image),
        corner: (-geometry.top, -geometry.left),
        stride: geometry.stride,
        target: (geometry.output_channels, geometry.output),
        step: 1,
        phases: vec![phase],
    };
    plan.compute(image)
}

/// Image side from output side and weight.
pub(in crate::ops::conv) fn adjoint(geometry: &Geometry, output: &[f32], weight: &[f32]) -> Vec<f32> {
    let (stride, (height, width)) = (geometry.stride, geometry.image);
    let firsts = (0..stride.min(height)).flat_map(|y| (0..stride.min(width)).map(move |x| (y, x)));
    let mut phases: Vec<PhasePlan> = firsts.map(|first| adjoint_phase(geometry, first)).collect();
    let corner = |axis: fn((isize, isize)) -> isize| {
        phases.iter().flat_map(|phase| phase.taps.iter().map(|&(_, place)| axis(place))).min().unwrap_or(0)
    };
    let corner = (corner(|place| place.0), corner(|place| place.1));
    for (_, place) in phases.iter_mut().flat_map(|phase| &mut phase.taps) {
        *place = (place.0 - corner.0, place.1 - corner.1);
    }
    let plan = Plan {
        weights: weights(geometry, weight, Side::Output),
        source: (geometry.output_channels, geometry.output),
        corner,
        stride: 1,
        target: (geometry.image_channels, geometry.image),
        step: stride,
        phases,
    };
    plan.compute(output)
}

/// The taps p with (y + top − p) divisible by the stride reach image pixels y, y + stride, ... from output row
/// (y + top − p) / stride on.
fn adjoint_phase(geometry: &Geometry, first: (usize, usize)) -> PhasePlan {
    let (stride, (kh, kw)) = (geometry.stride as isize, geometry.kernel);
    let place = |tap: usize| {
        let y = first.0 as isize + geometry.top - (tap / kw) as isize;
        let x = first.1 as isize + geometry.left - (tap % kw) as isize;
        (y.rem_euclid(stride) == 0 && x.rem_euclid(stride) == 0).then(|| (y.div_euclid(stride), x.div_euclid(stride)))
    };
    let taps = (0..kh * kw).filter_map(|tap| Some((tap, place(tap)?))).collect();
    let rows = (geometry.image.0 - first.0).div_ceil(geometry.stride);
    let columns = (geometry.image.1 - first.1).div_ceil(geometry.stride);
    PhasePlan { taps, first, grid: (rows, columns) }
}

/// The side that a convolution reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Image,
    Output,
}

/// The weight as a convolution from one side to the other reads it.
pub(super) fn weights<'a>(geometry: &Geometry, numbers: &'a [f32], from: Side) -> Weights<'a> {
    let taps = geometry.taps();
    let (i, o) = (geometry.image_channels, geometry.output_channels);
    // Numbers from one channel of the image side, and of the output side, to the next.
    let (image_step, output_step) = match geometry.order {
        WeightOrder::OutputFirst => (taps, i * taps),
        WeightOrder::ImageFirst => (o * taps, taps),
    };
    let (outputs, inputs, output_step, input_step) = match from {
        Side::Image => (o, i, output_step, image_step),
        Side::Output => (i, o, image_step, output_step),
    };
    Weights { numbers, outputs, inputs, output_step, input_step, gain: 1.0 }
}

/// One convolution, or several whose results interleave.
struct Plan<'a> {
    weights: Weights<'a>,
    /// Channels and size of what is read.
    source: (usize, (usize, usize)),
    /// The pixel of the source that tap (0, 0) sees at the first position.
    corner: (isize, isize),
    stride: usize,
    /// Channels and size of the result.
    target: (usize, (usize, usize)),
    step: usize,
    phases: Vec<PhasePlan>,
}

struct PhasePlan {
    /// Index of each tap in the kernel, and its row and column.
    taps: Vec<(usize, (isize, isize))>,
    first: (usize, usize),
    grid: (usize, usize),
}

impl Plan<'_> {
    fn compute(&self, numbers: &[f32]) -> Vec<f32> {
        let (channels, (rows, columns)) = self.source;
        let images = numbers.len().checked_div(channels * rows * columns).unwrap_or(0);
        let len = images * self.target.0 * self.target.1.0 * self.target.1.1;
        let fill = |to: Pointer| match self.winograd(images) {
            Some(taps) => self.by_tiles(numbers, images, taps, to),
            None => self.directly(numbers, images, to),
        };
        // SAFETY: both ways write every pixel of every image.
        unsafe { written(len, fill) }
    }

    /// Rows and columns of tiles of the result.
    fn tiles(&self) -> (usize, usize) {
        let (rows, columns) = self.target.1;
        (rows.div_ceil(TILE), columns.div_ceil(TILE))
    }

    /// Where the nine taps lie, if Winograd's way is open and pays.
    fn winograd(&self, images: usize) -> Option<[usize; 9]> {
        let [phase] = self.phases.as_slice() else { return None };
        let mut taps = [usize::MAX; 9];
        for &(tap, (y, x)) in &phase.taps {
            *(0..3)
                .contains(&y)
                .then(|| taps.get_mut((y * 3 + x) as usize))
                .flatten()
                .filter(|_| (0..3).contains(&x))? = tap;
        }
        let blocks = self.weights.input_blocks().min(self.weights.output_blocks());
        let tiles = images * self.tiles().0 * self.tiles().1;
        let open = Method::by_tiles() && self.stride == 1 && self.step == 1 && !taps.contains(&usize::MAX);
        (open && tiles >= MIN_TILES && blocks >= MIN_BLOCKS).then_some(taps)
    }

    /// Whether this is the transposed convolution in steps of 2 that doubles the size, and the way with fewer products is
    /// open and pays.
    fn doubles(&self, images: usize) -> bool {
        let (rows, columns) = self.source.1;
        let blocks = self.weights.input_blocks().min(self.weights.output_blocks());
        let nine = self.phases.iter().map(|phase| phase.taps.len()).eq([4, 2, 2, 1]);
        let whole = rows % TILE == 0 && columns % TILE == 0 && self.target.1 == (2 * rows + 1, 2 * columns + 1);
        let shape = self.step == 2 && self.corner == (-1, -1) && nine && whole;
        let open = Method::by_tiles();
        open && shape && images * rows * columns >= MIN_TILES * TILE * TILE && blocks >= MIN_BLOCKS
    }

    /// Ranges of images that are worked on together.
    fn chunks(&self, images: usize, source: Sizes, target: Sizes) -> impl Iterator<Item = Range<usize>> + use<> {
        let each = (CHUNK / (source.image() + target.image()).max(1)).clamp(1, images.max(1));
        (0..images).step_by(each).map(move |first| first..(first + each).min(images))
    }

    fn by_tiles(&self, numbers: &[f32], images: usize, taps: [usize; 9], to: Pointer) {
        let tiles = self.tiles();
        let source = Sizes::of(1, self.source.0, (tiles.0 * TILE + 2, tiles.1 * TILE + 2));
        let target = Sizes::of(1, self.target.0, (tiles.0 * TILE, tiles.1 * TILE));
        for chunk in self.chunks(images, source, target) {
            let source = self.read(numbers, chunk.clone(), source);
            let mut result = Maps::new(Sizes { images: chunk.len(), ..target });
            let (weights, corner) = (self.weights, (0, 0));
            let winograd = Winograd::<Same> {
                scheme: PhantomData,
                source: source.view(),
                scales: None,
                weights,
                taps,
                tiles,
                corner,
                finish: None,
                demodulation: None,
            };
            winograd.compute(&mut result);
            // SAFETY: room for all images.
            unsafe { to_planes(&result, self.target_planes(chunk), to) };
        }
    }

    fn directly(&self, numbers: &[f32], images: usize, to: Pointer) {
        let extent = |axis: fn((usize, usize)) -> usize, tap: fn((isize, isize)) -> isize| {
            let reach = |phase: &PhasePlan| {
                let last = phase.taps.iter().map(|&(_, place)| tap(place)).max().unwrap_or(0) as usize;
                axis(phase.grid).saturating_sub(1) * self.stride + last + 1
            };
            self.phases.iter().map(reach).max().unwrap_or(1)
        };
        let size = (extent(|grid| grid.0, |place| place.0), extent(|grid| grid.1, |place| place.1));
        let source = Sizes::of(1, self.source.0, size);
        let target = Sizes::of(1, self.target.0, self.target.1);
        let doubles = self.doubles(images);
        let phases: Option<Vec<Phase>> =
            (!doubles).then(|| self.phases.iter().map(|phase| self.packed(phase)).collect());
        for chunk in self.chunks(images, source, target) {
            let source = self.read(numbers, chunk.clone(), source);
            let mut result = Maps::new(Sizes { images: chunk.len(), ..target });
            if let Some(phases) = &phases {
                Direct { source: source.view(), stride: self.stride, step: self.step, phases }.compute(&mut result);
            } else {
                let (weights, size, corner) = (self.weights, self.source.1, (0, 0));
                let to = (result.sizes, Pointer::new(result.memory.first()));
                Doubled { source: source.view(), scales: None, weights, size, corner, demodulation: None }.write(to);
            }
            // SAFETY: room for all images.
            unsafe { to_planes(&result, self.target_planes(chunk), to) };
        }
    }

    fn packed(&self, phase: &PhasePlan) -> Phase {
        let taps: Vec<usize> = phase.taps.iter().map(|&(tap, _)| tap).collect();
        let places = phase.taps.iter().map(|&(_, (y, x))| (y as usize, x as usize));
        Phase { weights: self.weights.packed(&taps), taps: places.collect(), first: phase.first, grid: phase.grid }
    }

    fn read(&self, numbers: &[f32], images: Range<usize>, sizes: Sizes) -> Maps {
        let (channels, (rows, columns)) = self.source;
        let mut maps = Maps::new(Sizes { images: images.len(), ..sizes });
        let planes = Planes { channels, rows, columns, first_image: images.start };
        from_planes(numbers, planes, self.corner, &mut maps);
        maps
    }

    fn target_planes(&self, images: Range<usize>) -> Planes {
        let (channels, (rows, columns)) = self.target;
        Planes { channels, rows, columns, first_image: images.start }
    }
}

/// Weight from image side and output side.
///
/// Positions are summed in the same order on every run.
pub(in crate::ops::conv) fn weight_gradient(geometry: &Geometry, image: &[f32], output: &[f32]) -> Vec<f32> {
    let (rows, columns) = geometry.output;
    let images = output.len().checked_div(geometry.output_channels * rows * columns).unwrap_or(0);
    let tiles = (rows.div_ceil(TILE), columns.div_ceil(TILE));
    let blocks = (blocks_of(geometry.output_channels), blocks_of(geometry.image_channels));
    let by_tiles = Method::by_tiles()
        && geometry.kernel == (3, 3)
        && geometry.stride == 1
        && images * tiles.0 * tiles.1 >= MIN_TILES
        && blocks.0.min(blocks.1) >= MIN_BLOCKS;
    let fill = |to: Pointer| {
        let write = |output: usize, input: usize, taps: &[f32]| {
            // SAFETY: every kernel belongs to one block, which is given once.
            unsafe { scatter(geometry, (output, input), (taps, 1.0), to) };
        };
        let sides = (image, output, images);
        if by_tiles {
            tile_sums(geometry, sides, tiles, blocks).taps(write)
        } else {
            tap_sums(geometry, sides, blocks).taps(write)
        }
    };
    // SAFETY: all blocks are given, and with them all kernels.
    unsafe { written(geometry.weight_shape().iter().product(), fill) }
}

fn tile_sums(
    geometry: &Geometry,
    (image, output, images): (&[f32], &[f32], usize),
    tiles: (usize, usize),
    (outputs, inputs): (usize, usize),
) -> KernelSums<Same> {
    let (height, width) = (tiles.0 * TILE, tiles.1 * TILE);
    let mut sums = KernelSums::new(outputs, inputs);
    both_sides(geometry, (image, output, images), ((height + 2, width + 2), (height, width)), |image, output| {
        let [image, output] = [image, output].map(|maps| Factor { maps: maps.view(), scales: None });
        sums.add(image, output, tiles);
    });
    sums
}

fn tap_sums(geometry: &Geometry, (image, output, images): (&[f32], &[f32], usize), blocks: (usize, usize)) -> TapSums {
    let (kh, kw) = geometry.kernel;
    let taps = (0..kh * kw).map(|tap| (tap / kw, tap % kw)).collect();
    let mut sums = TapSums::new(taps, geometry.stride, blocks);
    let reach = |positions: usize, kernel: usize| (positions - 1) * geometry.stride + kernel;
    let room = (reach(geometry.output.0, kh), reach(geometry.output.1, kw));
    both_sides(geometry, (image, output, images), (room, geometry.output), |image, output| {
        sums.add(image.view(), output.view())
    });
    sums
}

/// Brings some images of both sides at a time into blocks; positions beyond the output side are zero.
fn both_sides(
    geometry: &Geometry,
    (image, output, images): (&[f32], &[f32], usize),
    (image_size, output_size): ((usize, usize), (usize, usize)),
    mut work: impl FnMut(&Maps, &Maps),
) {
    let image_sizes = Sizes::of(1, geometry.image_channels, image_size);
    let output_sizes = Sizes::of(1, geometry.output_channels, output_size);
    let each = (CHUNK / (image_sizes.image() + output_sizes.image())).clamp(1, images.max(1));
    for first in (0..images).step_by(each) {
        let count = each.min(images - first);
        let planes =
            |channels: usize, (rows, columns): (usize, usize)| Planes { channels, rows, columns, first_image: first };
        let mut image_maps = Maps::new(Sizes { images: count, ..image_sizes });
        let corner = (-geometry.top, -geometry.left);
        from_planes(image, planes(geometry.image_channels, geometry.image), corner, &mut image_maps);
        let mut output_maps = Maps::new(Sizes { images: count, ..output_sizes });
        from_planes(output, planes(geometry.output_channels, geometry.output), (0, 0), &mut output_maps);
        work(&image_maps, &output_maps);
    }
}

/// Writes `[tap, 16 inputs, 16 outputs]`, times a gain, to where the weight has them.
///
/// # Safety
/// `to` has room for the weight, and nobody else writes this block.
pub(super) unsafe fn scatter(
    geometry: &Geometry,
    (output, input): (usize, usize),
    (taps, gain): (&[f32], f32),
    to: Pointer,
) {
    let places = weights(geometry, &[], Side::Image);
    let (first_output, first_input) = (output * 16, input * 16);
    for o in 0..16.min(places.outputs - first_output) {
        for i in 0..16.min(places.inputs - first_input) {
            let kernel = (first_output + o) * places.output_step + (first_input + i) * places.input_step;
            for (tap, numbers) in taps.chunks_exact(BLOCK).enumerate() {
                // SAFETY: a tap of a kernel of this block.
                unsafe { *to.at(kernel + tap) = gain * numbers[i * 16 + o] };
            }
        }
    }
}
