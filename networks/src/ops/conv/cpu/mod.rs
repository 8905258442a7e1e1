//! The fast paths on the CPU. [`single`] serves single precision. Here, for double precision and for groups: pixels are gathered tile by tile into a small matrix, which is multiplied by the weights.
//!
//! The adjoint is gathered as well, never scattered: with stride s it falls apart into s² correlations, one for each
//! position of an image pixel relative to the stride, each with the taps that reach it.

pub(in crate::ops) mod blocks;
mod correlation;
mod gather;
mod matrix;
mod pack;
pub(in crate::ops) mod single;
mod weight_gradient;

use std::borrow::Cow;

use super::geometry::{Geometry, WeightOrder};
use crate::ops::real::Real;
use correlation::{Correlation, Phase};
use gather::Source;
use pack::Blocks;

pub(super) use weight_gradient::weight_gradient;

/// Output side from image side and weight.
pub(super) fn convolution<T: Real>(geometry: &Geometry, image: &[T], weight: &[T]) -> Vec<T> {
    let (_, kw) = geometry.kernel;
    let taps: Vec<usize> = (0..geometry.taps()).collect();
    let offsets = taps.iter().map(|tap| ((tap / kw) as isize - geometry.top, (tap % kw) as isize - geometry.left));
    let weight = match geometry.order {
        WeightOrder::OutputFirst => Cow::Borrowed(weight),
        WeightOrder::ImageFirst => Cow::Owned(blocks(geometry).exchanged(weight, &taps)),
    };
    let phase = Phase { weight, taps: offsets.collect(), first: (0, 0), grid: geometry.output };
    let source =
        Source { pixels: image, channels: geometry.image_channels, size: geometry.image, stride: geometry.stride };
    let (inputs, outputs) = (geometry.image_group(), geometry.output_group());
    let (groups, target) = (geometry.groups, geometry.output);
    Correlation { source, groups, inputs, outputs, target, step: 1, phases: vec![phase] }.compute()
}

/// Image side from output side and weight.
pub(super) fn adjoint<T: Real>(geometry: &Geometry, output: &[T], weight: &[T]) -> Vec<T> {
    let phases = (0..geometry.stride.min(geometry.image.0))
        .flat_map(|y| (0..geometry.stride.min(geometry.image.1)).map(move |x| (y, x)))
        .map(|first| adjoint_phase(geometry, weight, first))
        .collect();
    let source = Source { pixels: output, channels: geometry.output_channels, size: geometry.output, stride: 1 };
    let (inputs, outputs) = (geometry.output_group(), geometry.image_group());
    let (groups, target, step) = (geometry.groups, geometry.image, geometry.stride);
    Correlation { source, groups, inputs, outputs, target, step, phases }.compute()
}

/// Image pixels `first`, `first + stride`, ...: they see the taps p with (y + top − p) divisible by the stride, from
/// output row (y + top − p) / stride.
fn adjoint_phase<'a, T: Real>(geometry: &Geometry, weight: &'a [T], first: (usize, usize)) -> Phase<'a, T> {
    let (stride, (_, kw)) = (geometry.stride as isize, geometry.kernel);
    let offset = |tap: usize| {
        let y = first.0 as isize + geometry.top - (tap / kw) as isize;
        let x = first.1 as isize + geometry.left - (tap % kw) as isize;
        (y.rem_euclid(stride) == 0 && x.rem_euclid(stride) == 0).then(|| (y.div_euclid(stride), x.div_euclid(stride)))
    };
    let (taps, offsets): (Vec<usize>, Vec<_>) =
        (0..geometry.taps()).filter_map(|tap| Some((tap, offset(tap)?))).unzip();
    let weight = match geometry.order {
        WeightOrder::OutputFirst => Cow::Owned(blocks(geometry).exchanged(weight, &taps)),
        WeightOrder::ImageFirst => blocks(geometry).selected(weight, &taps),
    };
    let rows = (geometry.image.0 - first.0).div_ceil(geometry.stride);
    let columns = (geometry.image.1 - first.1).div_ceil(geometry.stride);
    Phase { weight, taps: offsets, first, grid: (rows, columns) }
}

/// How the weight lies in memory.
fn blocks(geometry: &Geometry) -> Blocks {
    let (rows, columns) = match geometry.order {
        WeightOrder::OutputFirst => (geometry.output_group(), geometry.image_group()),
        WeightOrder::ImageFirst => (geometry.image_group(), geometry.output_group()),
    };
    Blocks { groups: geometry.groups, rows, columns, taps: geometry.taps() }
}
