//! Winograd's convolution is the convolution: at odd sizes, paddings and batches, forwards and backwards.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use candle_core::{DType, Device, Tensor, Var};
use toonify_networks::grad::Dual;
use toonify_networks::ops::{Convolution, conv::reference, conv2d};
use toonify_networks::random::RandomState;

/// Shapes on both sides of every block size: `[batch, inputs, outputs, height, width]` and the padding.
const CASES: [([usize; 5], [isize; 4]); 8] = [
    ([1, 16, 16, 24, 24], [1, 1, 1, 1]),
    ([1, 17, 33, 23, 29], [1, 1, 1, 1]),
    ([2, 16, 130, 17, 70], [0, 0, 0, 0]),
    ([3, 20, 16, 13, 14], [2, 2, 2, 2]),
    ([1, 64, 16, 40, 21], [1, 0, 2, 1]),
    ([9, 16, 18, 8, 8], [1, 1, 1, 1]),
    ([1, 16, 16, 30, 30], [-1, 1, 0, -2]),
    ([1, 16, 16, 9, 300], [1, 1, 1, 1]),
];

fn draw(rng: &mut RandomState, shape: &[usize]) -> Tensor {
    Tensor::from_vec(rng.gauss_vec(shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn norm(tensor: &Tensor) -> f64 {
    let squares = tensor.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap();
    squares.to_scalar::<f64>().unwrap().sqrt()
}

#[test]
fn it_equals_the_reference_and_so_do_its_gradients() {
    let mut rng = RandomState::new(4);
    for ([n, i, o, h, w], padding) in CASES {
        let spec = Convolution { stride: 1, padding, groups: 1 };
        let (x, weight) = (draw(&mut rng, &[n, i, h, w]), draw(&mut rng, &[o, i, 3, 3]));
        let (x, weight) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&weight).unwrap());
        let (dx, dw) = (Dual::from(x.as_tensor()), Dual::from(weight.as_tensor()));
        let fast = conv2d(&dx, &dw, &spec).unwrap();
        let plain = Dual::from(reference::conv2d(x.as_tensor(), weight.as_tensor(), &spec).unwrap());
        let direction = draw(&mut rng, fast.dims());
        let gradients = |y: &Dual| (y.value() * &direction).unwrap().sum_all().unwrap().backward().unwrap();
        let (of_fast, of_plain) = (gradients(&fast), gradients(&plain));
        let mut pairs = vec![(fast.value().clone(), plain.value().clone())];
        pairs.extend([&x, &weight].map(|var| (of_fast.get(var).unwrap().clone(), of_plain.get(var).unwrap().clone())));
        for (found, expected) in pairs {
            assert_eq!(found.dims(), expected.dims());
            let off = norm(&(found - &expected).unwrap()) / norm(&expected);
            assert!(off < 1e-12, "{n}x{i}x{h}x{w} to {o}, padding {padding:?}: off by {off:e}");
        }
    }
}

/// The price of fewer multiplications is rounding; measured 4e-6, against 1e-6 of the direct way.
#[test]
fn in_single_precision_it_is_off_by_less_than_a_hundred_thousandth() {
    let mut rng = RandomState::new(5);
    let spec = Convolution { stride: 1, padding: [1; 4], groups: 1 };
    let (x, weight) = (draw(&mut rng, &[1, 512, 32, 32]), draw(&mut rng, &[32, 512, 3, 3]));
    let exact = conv2d(&Dual::from(&x), &Dual::from(&weight), &spec).unwrap().into_value();
    let single = |tensor: &Tensor| Dual::from(tensor.to_dtype(DType::F32).unwrap());
    let found = conv2d(&single(&x), &single(&weight), &spec).unwrap().into_value().to_dtype(DType::F64).unwrap();
    let off = norm(&(found - &exact).unwrap()) / norm(&exact);
    assert!(off < 1e-5, "off by {off:e}");
}
