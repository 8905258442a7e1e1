//! Augmentations: linear in the images, equal to their definition, differentiable to every order.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use toonify_networks::Result;
use toonify_networks::augment::{AugmentSet, Augmentation, Chance, Matrix};
use toonify_networks::grad::Dual;
use toonify_networks::ops::upfirdn2d::reference::upfirdn2d;
use toonify_networks::ops::{Filter, Orientation, Resample};
use toonify_networks::random::RandomState;

use crate::differences::check_derivatives;
use crate::draw;
use crate::equal::{assert_adjoint, assert_equal};

const SYM6: [f32; 12] = [
    0.015404109,
    0.003490712,
    -0.11799011,
    -0.048311744,
    0.49105594,
    0.78764114,
    0.33792942,
    -0.07263752,
    -0.021060292,
    0.044_724_9,
    0.001_767_712,
    -0.0078007083,
];

fn drawn(set: &str, p: f64, shape: [usize; 4], random: &mut RandomState) -> Result<Augmentation> {
    Augmentation::draw(&set.parse::<AugmentSet>()?, Chance::Probability(p), shape, random)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn moving_and_filtering_have_adjoints(
        set in prop_oneof![Just("bg"), Just("filter"), Just("cutout"), Just("hue=1,saturation=1,contrast=1,lumaflip=1")],
        (h, w) in (22usize..30, 22usize..34),
        p in prop_oneof![Just(0.5), Just(1.0)],
        seed: u32,
    ) {
        let mut random = RandomState::new(seed);
        let shape = [3, 3, h, w];
        let augmentation = drawn(set, p, shape, &mut random)?;
        let images = draw(&mut random, &shape)?;
        assert_adjoint(&mut random, &[images], |duals| augmentation.apply(&duals[0]))?;
    }

    #[test]
    fn moving_equals_its_definition((h, w) in (5usize..10, 5usize..12), seed: u32) {
        let mut random = RandomState::new(seed);
        let shape = [2, 1, h, w];
        let augmentation = drawn("bg", 0.9, shape, &mut random)?;
        let maps = augmentation.geometry.clone().expect("the set moves images");
        let images = draw(&mut random, &shape)?;
        let plain = |duals: &[Dual]| duals[0].linear(|x| by_definition(x, &maps));
        assert_equal(&mut random, &[images], |duals| augmentation.apply(&duals[0]), plain)?;
    }

    #[test]
    fn derivatives_are_finite_differences(seed: u32) {
        let mut random = RandomState::new(seed);
        let shape = [2, 3, 22, 23];
        let augmentation = drawn("bgcfnc", 1.0, shape, &mut random)?;
        check_derivatives(&mut random, &[&shape], |duals| augmentation.apply(&duals[0].softplus()?)?.sqr())?;
    }
}

/// The published pipeline in plain tensor operations.
fn by_definition(images: &Tensor, maps: &[Matrix<3>]) -> Result<Tensor> {
    let (_n, _c, h, w) = images.dims4()?;
    let filter = Filter::new(&SYM6)?;
    let up = Resample { up: (2, 2), padding: [6, 5, 6, 5], gain: 4.0, ..Resample::default() };
    let down =
        Resample { down: (2, 2), padding: [-1; 4], orientation: Orientation::Correlation, ..Resample::default() };
    let (rows, columns) = (margins(maps, h, w, |(_, y)| y), margins(maps, w, h, |(x, _)| x));
    let padded = mirrored(&mirrored(images, 2, rows)?, 3, columns)?;
    let doubled = upfirdn2d(&padded, &filter, &up)?;
    let (source, target) = (doubled.dims4()?, (2 * (h + 6), 2 * (w + 6)));
    let off = |(before, after): (usize, usize)| before as f64 - after as f64;
    let images = maps.iter().enumerate().map(|(i, map)| {
        let sampling = sampling_matrix(map, (source.2, source.3), target, (off(rows), off(columns)))?;
        let image = doubled.narrow(0, i, 1)?.flatten_from(2)?.squeeze(0)?; // [C, source pixels]
        let sampled = image.matmul(&sampling.t()?)?.reshape((1, (), target.0, target.1))?;
        upfirdn2d(&sampled, &filter, &down)
    });
    Ok(Tensor::cat(&images.collect::<Result<Vec<_>>>()?, 0)?)
}

/// Margins before and after an axis of `len` pixels: as far as any corner of any frame lies outside, plus 6 for the
/// filters, no wider than the mirror image.
fn margins(maps: &[Matrix<3>], len: usize, across: usize, along: fn((f64, f64)) -> f64) -> (usize, usize) {
    let half = |len: usize| (len as f64 - 1.0) / 2.0;
    let (x, y) = if along((1.0, 0.0)) == 1.0 { (half(len), half(across)) } else { (half(across), half(len)) };
    let corners = [(-x, -y), (x, -y), (x, y), (-x, y)];
    let places = || maps.iter().flat_map(|map| corners.map(|corner| along(map.apply(corner))));
    let (first, last) = places().fold((0f64, 0f64), |(first, last), at| (first.min(at), last.max(at)));
    let margin = |reach: f64| (reach + 6.0 - half(len) - 1e-6).clamp(0.0, len as f64 - 1.0).ceil() as usize;
    (margin(-first), margin(last))
}

/// Adds the mirror image, without the edge itself, on both sides of an axis.
fn mirrored(x: &Tensor, dim: usize, (before, after): (usize, usize)) -> Result<Tensor> {
    let last = x.dims()[dim] as i64 - 1;
    let places = -(before as i64)..=last + after as i64;
    let places: Vec<u32> = places.map(|i| if i > last { 2 * last - i } else { i.abs() } as u32).collect();
    Ok(x.index_select(&Tensor::new(places, &Device::Cpu)?, dim)?)
}

/// Weights max(0, 1 − |Δx|)·max(0, 1 − |Δy|) of every pixel of the source in every pixel of the target.
/// `off` says by how many pixels of the doubled image its centre lies before that of the given image, in y and x.
fn sampling_matrix(
    map: &Matrix<3>,
    (h, w): (usize, usize),
    (height, width): (usize, usize),
    off: (f64, f64),
) -> Result<Tensor> {
    let centred = |i: usize, len: usize| i as f64 - (len as f64 - 1.0) / 2.0;
    let mut weights = Vec::with_capacity(h * w * height * width);
    for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
        // Pixels of the doubled images lie half a pixel of theirs before those that they were made of.
        let place = ((centred(column, width) + 0.5) / 2.0, (centred(row, height) + 0.5) / 2.0);
        let (x, y) = map.apply(place);
        let (x, y) = (2.0 * x + off.1 - 0.5, 2.0 * y + off.0 - 0.5);
        let weight = |at: f64, i: usize, len: usize| (1.0 - (at - centred(i, len)).abs()).max(0.0);
        let row_of = |i: usize| (0..w).map(move |j| weight(y, i, h) * weight(x, j, w));
        weights.extend((0..h).flat_map(row_of));
    }
    Ok(Tensor::from_vec(weights, (height * width, h * w), &Device::Cpu)?)
}
