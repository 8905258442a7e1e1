//! Convolutions in single precision equal their reference in double precision: with every instruction set, by Winograd's
//! way and tap by tap, forwards and backwards, at sizes on both sides of every block.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly")]

use candle_core::{DType, Device, Tensor, Var};
use toonify_networks::grad::Dual;
use toonify_networks::ops::conv::{Method, reference};
use toonify_networks::ops::vector::Instructions;
use toonify_networks::ops::{Convolution, conv_transpose2d, conv2d};
use toonify_networks::random::RandomState;

/// Choices hold for the whole process, so that the tests of this file take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn draw(rng: &mut RandomState, shape: &[usize]) -> Tensor {
    Tensor::from_vec(rng.gauss_vec(shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn norm(tensor: &Tensor) -> f64 {
    let squares = tensor.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap();
    squares.to_scalar::<f64>().unwrap().sqrt()
}

/// Distance from `exact` in units of its norm.
fn error(found: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(found.dims(), exact.dims());
    norm(&(found.to_dtype(DType::F64).unwrap() - exact).unwrap()) / norm(exact).max(1e-30)
}

/// A convolution or its adjoint, with sizes.
#[derive(Clone, Debug)]
struct Case {
    transposed: bool,
    spec: Convolution,
    image: [usize; 4],
    weight: [usize; 4],
}

impl Case {
    fn random(rng: &mut RandomState) -> Self {
        let mut below = |n: u32| (rng.uniform() * f64::from(n)) as usize;
        let kernel = [1, 3, 3, 3, 4, 5][below(6)];
        let stride = [1, 1, 2, 3][below(4)];
        let padding = std::array::from_fn(|_| below(4) as isize - 1);
        let sizes = [below(40) + kernel + 4, below(40) + kernel + 4];
        let channels = [below(70) + 1, below(70) + 1];
        Case {
            transposed: below(3) == 0,
            spec: Convolution { stride, padding, groups: 1 },
            image: [below(3) + 1, channels[0], sizes[0], sizes[1]],
            weight: [channels[1], channels[0], kernel, kernel],
        }
    }

    fn fast(&self, x: &Dual, weight: &Dual) -> Tensor {
        let y = if self.transposed { conv_transpose2d(x, weight, &self.spec) } else { conv2d(x, weight, &self.spec) };
        y.unwrap().into_value()
    }

    fn plain(&self, x: &Tensor, weight: &Tensor) -> Tensor {
        let y = match self.transposed {
            true => reference::conv_transpose2d(x, weight, &self.spec),
            false => reference::conv2d(x, weight, &self.spec),
        };
        y.unwrap()
    }
}

/// Result and both gradients of ⟨f(x, weight), direction⟩, in the precision of the arguments.
fn everything(f: impl Fn(&Tensor, &Tensor) -> Tensor, arguments: [&Tensor; 2], direction: &Tensor) -> [Tensor; 3] {
    let [x, weight] = arguments.map(|argument| Var::from_tensor(argument).unwrap());
    let y = f(x.as_tensor(), weight.as_tensor());
    let inner = (&y * direction.to_dtype(y.dtype()).unwrap()).unwrap().sum_all().unwrap();
    let gradients = inner.backward().unwrap();
    [y.detach(), gradients.get(&x).unwrap().clone(), gradients.get(&weight).unwrap().clone()]
}

/// The largest error of a case among result and gradients.
fn worst_error(case: &Case, rng: &mut RandomState) -> f64 {
    let (x, weight) = (draw(rng, &case.image), draw(rng, &case.weight));
    let [x, weight] = [&x, &weight].map(|tensor| tensor.to_dtype(DType::F32).unwrap());
    let [exact_x, exact_weight] = [&x, &weight].map(|tensor| tensor.to_dtype(DType::F64).unwrap());
    let direction = draw(rng, case.plain(&exact_x, &exact_weight).dims());
    let direction = direction.to_dtype(DType::F32).unwrap().to_dtype(DType::F64).unwrap();
    let exact = everything(|x, weight| case.plain(x, weight), [&exact_x, &exact_weight], &direction);
    let fast = |x: &Tensor, weight: &Tensor| case.fast(&x.into(), &weight.into());
    let found = everything(fast, [&x, &weight], &direction);
    found.iter().zip(&exact).map(|(found, exact)| error(found, exact)).fold(0.0, f64::max)
}

#[test]
fn every_instruction_set_and_method_gives_what_the_reference_gives() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut rng = RandomState::new(4);
    for instructions in [Instructions::Widest, Instructions::Avx2, Instructions::Portable] {
        for method in [Method::Paired, Method::Unpaired, Method::Direct] {
            instructions.choose();
            method.choose();
            for _ in 0..12 {
                let case = Case::random(&mut rng);
                let off = worst_error(&case, &mut rng);
                assert!(off < 5e-6, "{case:?} by {method:?} with {}: off by {off:e}", Instructions::name());
            }
        }
    }
    Instructions::default().choose();
    Method::default().choose();
}

/// Layers of training and of rendering: many tiles of few channels, few tiles of many, several chunks of images, and the
/// transposed convolution that doubles the size.
#[test]
fn layers_of_every_schedule_give_what_the_reference_gives() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut rng = RandomState::new(6);
    let same = Convolution { padding: [1; 4], ..Convolution::default() };
    let twice = Convolution { stride: 2, ..Convolution::default() };
    let cases = [
        (same, [1, 512, 12, 16], 33),
        (same, [1, 32, 100, 98], 20),
        (same, [5, 40, 38, 34], 33),
        (same, [1, 512, 14, 13], 33),
        (twice, [2, 40, 16, 12], 33),
        (twice, [1, 33, 48, 44], 70),
        (twice, [1, 400, 16, 16], 33),
    ];
    for (spec, image, outputs) in cases {
        let case = Case { transposed: spec == twice, spec, image, weight: [outputs, image[1], 3, 3] };
        for instructions in [Instructions::Widest, Instructions::Avx2] {
            for method in [Method::Paired, Method::Unpaired] {
                instructions.choose();
                method.choose();
                let off = worst_error(&case, &mut rng);
                Instructions::default().choose();
                Method::default().choose();
                assert!(off < 1e-5, "{case:?} by {method:?} with {instructions:?}: off by {off:e}");
            }
        }
    }
}

/// The price of fewer multiplications is rounding. Relative to the norm, measured 1.8e-6 by Winograd's way where sums over
/// channels are added in parts, block by block; 4.5e-6 where they are one chain, tile by tile, as few threads take it; and
/// 1.2e-6 tap by tap.
#[test]
fn rounding_at_512_channels_is_what_the_documents_say() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut rng = RandomState::new(5);
    let spec = Convolution { padding: [1; 4], ..Convolution::default() };
    let (x, weight) = (draw(&mut rng, &[1, 512, 32, 32]), draw(&mut rng, &[32, 512, 3, 3]));
    let [x, weight] = [x, weight].map(|tensor| tensor.to_dtype(DType::F32).unwrap());
    let exact =
        reference::conv2d(&x.to_dtype(DType::F64).unwrap(), &weight.to_dtype(DType::F64).unwrap(), &spec).unwrap();
    let found = |method: Method, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        method.choose();
        let y = pool.install(|| conv2d(&Dual::from(&x), &Dual::from(&weight), &spec).unwrap().into_value());
        Method::default().choose();
        error(&y, &exact)
    };
    let [by_block, by_tile] = [4, 1].map(|threads| found(Method::Unpaired, threads));
    let [paired_by_block, paired_by_tile] = [4, 1].map(|threads| found(Method::Paired, threads));
    let direct = found(Method::Direct, 4);
    println!("off by {by_block:e} block by block, {by_tile:e} tile by tile, {direct:e} tap by tap");
    println!("off by {paired_by_block:e} and {paired_by_tile:e} in pairs");
    assert!(by_block < 3e-6 && by_tile < 6e-6 && direct < 2e-6, "{by_block:e}, {by_tile:e}, {direct:e}");
    // Measured 2.4e-6 and 4.9e-6.
    assert!(paired_by_block < 4e-6 && paired_by_tile < 8e-6, "in pairs {paired_by_block:e}, {paired_by_tile:e}");
}

/// Numbers of one magnitude are added before they are multiplied; that of pixels and weights does not matter.
#[test]
fn rounding_in_pairs_does_not_depend_on_the_size_of_the_numbers() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let spec = Convolution { padding: [1; 4], ..Convolution::default() };
    let (x, weight) =
        (draw(&mut RandomState::new(7), &[1, 48, 40, 40]), draw(&mut RandomState::new(8), &[40, 48, 3, 3]));
    Method::Paired.choose();
    for (x_scale, weight_scale) in [(1.0, 1.0), (1e-9, 1.0), (1e6, 1.0), (1.0, 1e-5), (1e5, 1e5), (3e-12, 2e-3)] {
        let [x, weight] = [(&x, x_scale), (&weight, weight_scale)]
            .map(|(numbers, scale)| (numbers * scale).unwrap().to_dtype(DType::F32).unwrap());
        let exact = reference::conv2d(&x.to_dtype(DType::F64).unwrap(), &weight.to_dtype(DType::F64).unwrap(), &spec);
        let y = conv2d(&Dual::from(&x), &Dual::from(&weight), &spec).unwrap().into_value();
        let off = error(&y, &exact.unwrap());
        assert!(off < 5e-6, "numbers of {x_scale:e} and weights of {weight_scale:e}: off by {off:e}");
    }
    Method::default().choose();
}
