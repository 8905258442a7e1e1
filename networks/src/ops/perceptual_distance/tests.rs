//! The operator against plain operations in double precision.

use candle_core::{Device, Var};

use super::back::Largest;
use super::*;
use crate::draws::Draws;
use crate::ops::vector::{self, Instructions};
use crate::ops::{Convolution, Edge, MaxPool, conv2d, max_pool2d};
use crate::random::RandomState;

/// Widths of the layers of each group, behind the colours.
type Widths = [&'static [usize]];

fn random(rng: &mut RandomState, colours: usize, widths: &Widths) -> Vec<(Vec<ReluConv>, Tensor)> {
    let mut inputs = colours;
    let mut layer = |rng: &mut RandomState, outputs: usize| {
        let weight = rng.normal(&[outputs, inputs, 3, 3]).unwrap() * (inputs as f64 * 4.5).powf(-0.5);
        inputs = outputs;
        ReluConv { weight: weight.unwrap(), bias: (rng.normal(&[outputs]).unwrap() * 0.3).unwrap() }
    };
    let group = |widths: &&[usize]| {
        let layers: Vec<ReluConv> = widths.iter().map(|&outputs| layer(rng, outputs)).collect();
        let linear = rng.normal(&[*widths.last().unwrap()]).unwrap().sqr().unwrap();
        (layers, linear)
    };
    widths.iter().map(group).collect()
}

fn double(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F64).unwrap()
}

/// Distances by plain operations.
fn plain(images: [&Tensor; 2], groups: &[(Vec<ReluConv>, Tensor)], colours: &Colours) -> Tensor {
    let spec = Convolution { padding: [1; 4], ..Convolution::default() };
    let row = |numbers: &[f32]| double(&Tensor::new(numbers, &Device::Cpu).unwrap()).reshape((1, (), 1, 1)).unwrap();
    let mut maps = images.map(|images| {
        double(images).broadcast_sub(&row(&colours.shift)).unwrap().broadcast_div(&row(&colours.scale)).unwrap()
    });
    let mut sum = Tensor::zeros(images[0].dim(0).unwrap(), DType::F64, &Device::Cpu).unwrap();
    for (index, (layers, linear)) in groups.iter().enumerate() {
        if index > 0 {
            maps = maps.map(|x| max_pool2d(&x, &MaxPool { kernel: 2, stride: 2, edge: Edge::Drop }).unwrap());
        }
        for layer in layers {
            maps = maps.map(|x| {
                let y = conv2d(&x.into(), &double(&layer.weight).into(), &spec).unwrap().into_value();
                y.broadcast_add(&double(&layer.bias).reshape((1, (), 1, 1)).unwrap()).unwrap().relu().unwrap()
            });
        }
        let [a, b] = maps.each_ref().map(|x| {
            let length = (x.sqr().unwrap().sum_keepdim(1).unwrap() + 1e-8).unwrap().sqrt().unwrap();
            x.broadcast_div(&length).unwrap()
        });
        let linear = double(linear).reshape((1, (), 1, 1)).unwrap();
        let squares = (a - b).unwrap().sqr().unwrap().broadcast_mul(&linear).unwrap();
        sum = (sum + squares.sum(1).unwrap().mean((1, 2)).unwrap()).unwrap();
    }
    sum
}

fn gradient(distances: &Tensor, factors: &[f64], images: &Var) -> Tensor {
    let factors = Tensor::new(factors, &Device::Cpu).unwrap().to_dtype(distances.dtype()).unwrap();
    let gradients = (distances * factors).unwrap().sum_all().unwrap().backward().unwrap();
    double(gradients.get(images.as_tensor()).unwrap())
}

/// The norm of the difference over that of the second.
fn off(a: &Tensor, b: &Tensor) -> f64 {
    let norm = |x: &Tensor| double(x).sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    norm(&(double(a) - b).unwrap()) / norm(b)
}

#[test]
fn distances_and_gradients_are_those_of_plain_operations() {
    let rng = &mut RandomState::new(8);
    let cases: [(usize, usize, &Widths, (usize, usize)); 4] = [
        (1, 3, &[&[20, 17], &[33], &[16, 40]], (48, 64)),
        (2, 1, &[&[5], &[64, 70, 16]], (24, 32)),
        (3, 4, &[&[16]], (8, 12)),
        (1, 3, &[&[64], &[32, 512, 300]], (32, 40)),
    ];
    // Whatever other tests choose meanwhile: all instructions give these results.
    let all = [Instructions::Portable, Instructions::Avx2, Instructions::Widest];
    for (instructions, (n, c, widths, (h, w))) in cases.into_iter().flat_map(|case| all.map(|each| (each, case))) {
        instructions.choose();
        let groups = random(rng, c, widths);
        let colours = || Colours { shift: vec![100.0, 90.0, 80.0, 7.0][..c].to_vec(), scale: vec![60.0; c] };
        let mut draw = || rng.normal(&[n, c, h, w]).unwrap().affine(50.0, 127.5).unwrap();
        let (target, images) = (draw(), Var::from_tensor(&draw()).unwrap());
        let classifier = Arc::new(Classifier::new(groups.clone(), colours()).unwrap());
        let found = classifier.look_at(&target).unwrap().distance(images.as_tensor()).unwrap();
        let expected = plain([images.as_tensor(), &target], &groups, &colours());
        assert!(off(&found, &expected) < 1e-5, "{widths:?}, {instructions:?}: {found} instead of {expected}");
        let factors: Vec<f64> = (0..n).map(|image| 1.5 - 0.7 * image as f64).collect();
        let off = off(&gradient(&found, &factors, &images), &gradient(&expected, &factors, &images));
        assert!(off < 1e-3, "{widths:?}, {instructions:?}: the gradient is off by {off}");
    }
}

#[test]
fn an_image_is_at_no_distance_from_itself() {
    let rng = &mut RandomState::new(9);
    let groups = random(rng, 3, &[&[16], &[24]]);
    let colours = Colours { shift: vec![0.0; 3], scale: vec![1.0; 3] };
    let images = Var::from_tensor(&rng.normal(&[1, 3, 32, 32]).unwrap()).unwrap();
    let target = Arc::new(Classifier::new(groups, colours).unwrap()).look_at(images.as_tensor()).unwrap();
    let distance = target.distance(images.as_tensor()).unwrap();
    assert!(distance.to_vec1::<f32>().unwrap()[0] < 1e-12);
    let gradient = gradient(&distance, &[1.0], &images);
    assert!(gradient.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap() < 1e-6);
}

#[test]
fn the_gradient_of_a_maximum_goes_to_the_first_in_reading_order() {
    for (window, winner) in [
        ([1.0, 1.0, 1.0, 1.0], 0),
        ([0.0, 1.0, 1.0, 1.0], 1),
        ([0.0, 1.0, 2.0, 2.0], 2),
        ([0.0, 1.0, 2.0, 3.0], 3),
        ([3.0, 1.0, 3.0, 3.0], 0),
        ([-2.0, -1.0, -1.0, -3.0], 1),
    ] {
        let mut expected = [0.0; 4];
        expected[winner] = 5.0;
        assert_eq!(vector::run(Largest { window, gradient: 5.0 }), expected, "{window:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_what_is_not_served_is_said() {
    let rng = &mut RandomState::new(10);
    let colours = || Colours { shift: vec![0.0; 3], scale: vec![1.0; 3] };
    let groups = random(rng, 3, &[&[16], &[24]]);
    let classifier = Classifier::new(groups.clone(), colours()).unwrap();
    let images = |shape: [usize; 4], dtype| Tensor::zeros(&shape, dtype, &Device::Cpu).unwrap();
    assert!(classifier.serves(&images([1, 3, 32, 32], DType::F32)));
    for (shape, dtype) in [
        ([1, 3, 32, 32], DType::F64),
        ([1, 3, 36, 36], DType::F32),
        ([1, 3, 24, 16], DType::F32),
        ([1, 1, 32, 32], DType::F32),
    ] {
        assert!(!classifier.serves(&images(shape, dtype)), "{shape:?} {dtype:?}");
    }
    let target = Arc::new(classifier).look_at(&images([1, 3, 32, 32], DType::F32)).unwrap();
    assert!(target.distance(&images([2, 3, 32, 32], DType::F32)).is_err());
    let turned = groups.into_iter().rev().collect();
    assert!(Classifier::new(turned, colours()).is_err());
    assert!(
        Classifier::new(vec![(Vec::new(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap())], colours()).is_err()
    );
}
