//! Moving, turning and scaling images: from a matrix to the stages that carry it out.
//!
//! An image is mirrored at its edges as far as the transformed frame reaches, doubled in size, sampled, and halved
//! (Karras et al. 2020, appendix B.1). The doubling and halving filters are orthogonal, so that a map that changes
//! nothing may be left out.

use std::ops::Range;

use super::chain::{Chains, Stage};
use super::filter_bank::SYM6;
use super::matrix::Matrix;
use super::reflect::Reflect;
use super::sample::Sample;
use crate::error::Result;
use crate::ops::upfirdn2d::{Resampler, downsampling, upsampling};
use crate::ops::{Filter, Orientation, Resample};

/// Pixels of the given image around the frame that the filters reach: a quarter of the taps, for either filter.
const REACH: usize = SYM6.len() / 4 * 2;
/// Below this a margin counts as rounding: 90° turns do not quite end on pixels.
const ROUNDING_PX: f64 = 1e-6;

/// Plans the maps from transformed to given images, in pixels from the centre, for images `[height, width]`.
pub(super) fn plan(maps: &[Matrix<3>], size: (usize, usize)) -> Result<Chains> {
    let filter = Filter::new(&SYM6)?;
    let widest = |all: [usize; 4], one: [usize; 4]| std::array::from_fn(|side| all[side].max(one[side]));
    // One for all images of the batch: the filters' tails reach a little further than the published margins.
    let margins = maps.iter().map(|map| margins(map, size)).fold([0; 4], widest);
    Ok(Chains::new(maps.iter().map(|map| stages(map, size, (margins, &filter))).collect::<Result<_>>()?))
}

fn stages(
    given_from_transformed: &Matrix<3>,
    size: (usize, usize),
    (margins, filter): ([usize; 4], &Filter),
) -> Result<Vec<Stage>> {
    if *given_from_transformed == Matrix::IDENTITY {
        return Ok(Vec::new());
    }
    let [x0, x1, y0, y1] = margins;
    let reflect = Reflect::new(size, margins);
    let doubled = (2 * reflect.size().0, 2 * reflect.size().1);
    // Two more margins of REACH/2 on each side, for the filter that halves.
    let sampled = (2 * (size.0 + REACH), 2 * (size.1 + REACH));
    let middle = Matrix::translation((x0 as f64 - x1 as f64) / 2.0, (y0 as f64 - y1 as f64) / 2.0);
    let map = in_doubled_pixels(middle * *given_from_transformed, doubled, sampled);
    // Only what is sampled is doubled: of wide margins most are there for other images of the batch.
    let Part { columns, rows } = Part::sampled_by(&map, doubled, sampled);
    let outside = |part: &Range<usize>, len: usize| [-(part.start as isize), part.end as isize - len as isize];
    let ([left, right], [top, bottom]) = (outside(&columns, doubled.1), outside(&rows, doubled.0));
    let twice = Resample { up: (2, 2), padding: [left, right, top, bottom], ..Resample::default() };
    let double = Resampler::for_size(reflect.size(), filter, &upsampling(filter, &twice))?;
    let sample = Sample {
        source_from_result: Matrix::translation(-(columns.start as f64), -(rows.start as f64)) * map,
        source: (rows.len(), columns.len()),
        result: sampled,
    };
    let crop = [-(REACH as isize); 4];
    let half = Resample { down: (2, 2), padding: crop, orientation: Orientation::Correlation, ..Resample::default() };
    let halve = Resampler::for_size(sampled, filter, &downsampling(filter, &half))?;
    let (double, halve) = (Stage::Resample(Box::new(double)), Stage::Resample(Box::new(halve)));
    Ok(vec![Stage::Reflect(reflect), double, Stage::Sample(sample), halve])
}

/// A rectangle of pixels.
struct Part {
    columns: Range<usize>,
    rows: Range<usize>,
}

impl Part {
    /// What of a source of this size is read when a map takes the indices of a result to it; at least one pixel.
    fn sampled_by(map: &Matrix<3>, source: (usize, usize), result: (usize, usize)) -> Part {
        let (right, bottom) = (result.1 as f64 - 1.0, result.0 as f64 - 1.0);
        let corners = [(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)].map(|corner| map.apply(corner));
        let range = |along: fn((f64, f64)) -> f64, len: usize| {
            let places = corners.map(along);
            let first = places.into_iter().fold(f64::INFINITY, f64::min).floor();
            let last = places.into_iter().fold(f64::NEG_INFINITY, f64::max).floor() + 1.0;
            let start = first.clamp(0.0, len as f64 - 1.0) as usize;
            start..(last.clamp(0.0, len as f64 - 1.0) as usize).max(start) + 1
        };
        Part { columns: range(|(x, _)| x, source.1), rows: range(|(_, y)| y, source.0) }
    }
}

/// How far the transformed frame and the filters reach out of the given image: left, right, top, bottom; at most what
/// there is to mirror.
fn margins(map: &Matrix<3>, (height, width): (usize, usize)) -> [usize; 4] {
    let (cx, cy) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
    let corners = [(-cx, -cy), (cx, -cy), (cx, cy), (-cx, cy)].map(|corner| map.apply(corner));
    let reach = |outwards: fn((f64, f64)) -> f64, to_edge: f64, len: usize| {
        let furthest = corners.into_iter().map(outwards).fold(f64::NEG_INFINITY, f64::max);
        let margin = furthest + REACH as f64 - to_edge - ROUNDING_PX;
        margin.clamp(0.0, len as f64 - 1.0).ceil() as usize
    };
    [
        reach(|(x, _)| -x, cx, width),
        reach(|(x, _)| x, cx, width),
        reach(|(_, y)| -y, cy, height),
        reach(|(_, y)| y, cy, height),
    ]
}

/// A map of pixels from the centre becomes one of pixel indices at twice the resolution.
fn in_doubled_pixels(map: Matrix<3>, source: (usize, usize), result: (usize, usize)) -> Matrix<3> {
    let half = |len: usize| len as f64 / 2.0;
    let doubled = Matrix::scaling(2.0, 2.0) * map * Matrix::scaling(0.5, 0.5);
    // The doubled image has its pixels half a pixel off the ones that it was made of.
    let aligned = Matrix::translation(-0.5, -0.5) * doubled * Matrix::translation(0.5, 0.5);
    let from_index = Matrix::translation(0.5 - half(result.1), 0.5 - half(result.0));
    let to_index = Matrix::translation(half(source.1) - 0.5, half(source.0) - 0.5);
    to_index * aligned * from_index
}
