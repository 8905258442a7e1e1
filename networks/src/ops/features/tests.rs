//! Operators on blocks equal the general ones in double precision, at random sizes, odd ones included: results, gradients
//! and tangents.

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::ops::channels::{add_plane, scale_channels};
use crate::ops::conv::reference::{conv_transpose2d, conv2d};
use crate::ops::upfirdn2d::reference::upfirdn2d;
use crate::ops::upfirdn2d::{before_shrinking, behind_growing, downsampling};
use crate::ops::{Activation, BiasAct, Convolution, Filter, Resample, bias_act};
use crate::random::RandomState;

/// Largest distance relative to the norm: of single precision, with the roundings of Winograd's way.
const TOLERANCE: f64 = 2e-5;

struct Sizes {
    n: usize,
    inputs: usize,
    outputs: usize,
    h: usize,
    w: usize,
}

impl Sizes {
    fn random(rng: &mut RandomState) -> Self {
        let mut below = |n: u32| 1 + (rng.uniform() * f64::from(n)) as usize;
        Sizes { n: below(3), inputs: below(40), outputs: below(40), h: 2 + below(18), w: 2 + below(18) }
    }
}

fn draw(rng: &mut RandomState, shape: &[usize]) -> Tensor {
    let numbers = Tensor::from_vec(rng.gauss_vec(shape.iter().product()), shape, &Device::Cpu).unwrap();
    numbers.to_dtype(DType::F32).unwrap()
}

fn distance(found: &Tensor, exact: &Tensor) -> f64 {
    assert_eq!(found.dims(), exact.dims());
    let norm = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    norm(&(found.to_dtype(DType::F64).unwrap() - exact).unwrap()) / norm(exact).max(1e-30)
}

/// Value and tangent of a function, and the gradients of ⟨value + tangent, direction⟩ by all arguments and tangents.
fn everything(f: &dyn Fn(&[Dual]) -> Result<Dual>, arguments: &[(Tensor, Option<Tensor>)]) -> Vec<Tensor> {
    let var = |tensor: &Tensor| Var::from_tensor(tensor).unwrap();
    let vars: Vec<(Var, Option<Var>)> =
        arguments.iter().map(|(value, tangent)| (var(value), tangent.as_ref().map(var))).collect();
    let dual = |(value, tangent): &(Var, Option<Var>)| match tangent {
        Some(tangent) => Dual::with_tangent(value.as_tensor().clone(), tangent.as_tensor().clone()).unwrap(),
        None => value.as_tensor().into(),
    };
    let y = f(&vars.iter().map(dual).collect::<Vec<_>>()).unwrap();
    let weights = RandomState::new(3).gauss_vec(2 * y.value().elem_count());
    let (first, second) = weights.split_at(y.value().elem_count());
    let along = |y: &Tensor, weights: &[f64]| {
        let weights = Tensor::from_slice(weights, y.shape(), &Device::Cpu).unwrap().to_dtype(y.dtype()).unwrap();
        (y * weights).unwrap().sum_all().unwrap()
    };
    let mut scalar = along(y.value(), first);
    if let Some(tangent) = y.tangent() {
        scalar = (scalar + along(tangent, second)).unwrap();
    }
    let gradients = scalar.backward().unwrap();
    let all = vars.iter().flat_map(|(value, tangent)| [Some(value), tangent.as_ref()]).flatten();
    let mut found: Vec<Tensor> = all.map(|var| gradients.get(var).unwrap().detach()).collect();
    found.push(y.value().detach());
    found.extend(y.tangent().map(Tensor::detach));
    found
}

fn check(
    case: &str,
    fast: &dyn Fn(&[Dual]) -> Result<Dual>,
    plain: &dyn Fn(&[Dual]) -> Result<Dual>,
    arguments: &[(Tensor, Option<Tensor>)],
) {
    let double = |x: &Tensor| x.to_dtype(DType::F64).unwrap();
    let exact: Vec<_> =
        arguments.iter().map(|(value, tangent)| (double(value), tangent.as_ref().map(double))).collect();
    let (found, exact) = (everything(fast, arguments), everything(plain, &exact));
    for (i, (found, exact)) in found.iter().zip(&exact).enumerate() {
        let off = distance(found, exact);
        assert!(off < TOLERANCE, "{case}, result {i}: off by {off:e}");
    }
}

#[test]
fn convolutions_equal_the_reference() {
    let rng = &mut RandomState::new(1);
    for round in 0..24 {
        let form = [Form::Same, Form::Shrink, Form::Grow, Form::Pointwise][round % 4];
        let Sizes { n, inputs, outputs, h, w } = Sizes::random(rng);
        let (h, w) = if round == 6 { (8, 12) } else { (h, w) };
        let k = if form == Form::Pointwise { 1 } else { 3 };
        let x = (draw(rng, &[n, inputs, h, w]), Some(draw(rng, &[n, inputs, h, w])));
        let weight = (draw(rng, &[outputs, inputs, k, k]), None);
        let styles = (draw(rng, &[n, inputs]), (round % 3 == 0).then(|| draw(rng, &[n, inputs])));
        let plain = |x: &Dual, weight: &Dual| {
            x.bilinear(&weight.scale(0.7)?, |x, weight| match form {
                Form::Same => conv2d(x, weight, &Convolution { padding: [1; 4], ..Convolution::default() }),
                Form::Shrink => conv2d(x, weight, &Convolution { stride: 2, ..Convolution::default() }),
                Form::Grow => conv_transpose2d(x, weight, &Convolution { stride: 2, ..Convolution::default() }),
                Form::Pointwise => conv2d(x, weight, &Convolution::default()),
            })
        };
        let case = format!("{form:?} of {n}x{inputs}x{h}x{w} to {outputs}");
        check(
            &case,
            &|arguments| Features::enter(&arguments[0])?.convolve((&arguments[1], 0.7), form, None)?.leave(),
            &|arguments| plain(&arguments[0], &arguments[1]),
            &[x.clone(), weight.clone()],
        );
        if form == Form::Pointwise {
            continue;
        }
        check(
            &format!("modulated {case}"),
            &|arguments| {
                Features::enter(&arguments[0])?.convolve((&arguments[1], 0.7), form, Some(&arguments[2]))?.leave()
            },
            &|arguments| plain(&scale_channels(&arguments[0], &arguments[2])?, &arguments[1]),
            &[x, weight, styles],
        );
    }
}

#[test]
fn convolutions_of_many_channels_equal_the_reference() {
    let rng = &mut RandomState::new(6);
    let forms = [
        (Form::Same, (2, 200, 209), (6, 5)),
        (Form::Same, (2, 193, 200), (32, 36)),
        (Form::Shrink, (1, 209, 200), (7, 9)),
        (Form::Grow, (1, 193, 208), (4, 4)),
    ];
    for (form, (n, inputs, outputs), (h, w)) in forms {
        let x = (draw(rng, &[n, inputs, h, w]), None);
        let weight = (draw(rng, &[outputs, inputs, 3, 3]), None);
        let plain = |x: &Dual, weight: &Dual| {
            x.bilinear(weight, |x, weight| match form {
                Form::Same => conv2d(x, weight, &Convolution { padding: [1; 4], ..Convolution::default() }),
                Form::Grow => conv_transpose2d(x, weight, &Convolution { stride: 2, ..Convolution::default() }),
                _ => conv2d(x, weight, &Convolution { stride: 2, ..Convolution::default() }),
            })
        };
        check(
            &format!("{form:?} of {n}x{inputs}x{h}x{w} to {outputs}"),
            &|arguments| Features::enter(&arguments[0])?.convolve((&arguments[1], 1.0), form, None)?.leave(),
            &|arguments| plain(&arguments[0], &arguments[1]),
            &[x, weight],
        );
    }
}

#[test]
fn filters_equal_the_reference() {
    let rng = &mut RandomState::new(2);
    for round in 0..12 {
        let Sizes { n, inputs, h, w, .. } = Sizes::random(rng);
        let taps: &[f32] = [&[1.0, 3.0, 3.5, 1.5][..], &[1.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]][round % 3];
        let filter = Filter::new(taps).unwrap();
        let halved = downsampling(&filter, &Resample { down: (2, 2), ..Resample::default() });
        let spec = [behind_growing(&filter), before_shrinking(&filter), halved][round / 3 % 3];
        let (h, w) = (h + 4, w + 4);
        let x = (draw(rng, &[n, inputs, h, w]), Some(draw(rng, &[n, inputs, h, w])));
        check(
            &format!("{} taps on {n}x{inputs}x{h}x{w}", taps.len()),
            &|arguments| Features::enter(&arguments[0])?.resample(&filter, &spec)?.leave(),
            &|arguments| arguments[0].linear(|x| upfirdn2d(x, &filter, &spec)),
            &[x],
        );
    }
}

/// The end of a layer behind a filter or none, and its steps.
struct Case {
    name: String,
    filter: Option<Filter>,
    act: BiasAct,
}

impl Case {
    fn finished(&self, x: &Dual, bias: &Dual, factors: Option<&Dual>, noise: Option<NoiseTerm<'_>>) -> Result<Dual> {
        let filter = self.filter.as_ref().map(|filter| (filter, behind_growing(filter)));
        Features::enter(x)?.finish(&Ending { filter, factors, noise, bias, act: &self.act })?.leave()
    }

    fn in_steps(&self, x: &Dual, bias: &Dual, factors: Option<&Dual>, noise: Option<NoiseTerm<'_>>) -> Result<Dual> {
        let mut y = match &self.filter {
            Some(filter) => x.linear(|x| upfirdn2d(x, filter, &behind_growing(filter)))?,
            None => x.clone(),
        };
        if let Some(factors) = factors {
            y = scale_channels(&y, factors)?;
        }
        if let Some(noise) = noise {
            y = add_plane(&y, &noise.image.mul(noise.strength)?)?;
        }
        bias_act(&y, Some(bias), &self.act)
    }

    /// With factors and an image of noise that both have gradients, with noise whose strength alone has one, and with
    /// neither.
    fn check(&self, [x, bias, factors, image, strength]: [(Tensor, Option<Tensor>); 5]) {
        type Way<'a> = &'a dyn Fn(&Dual, &Dual, Option<&Dual>, Option<NoiseTerm<'_>>) -> Result<Dual>;
        let (fast, plain): (Way<'_>, Way<'_>) =
            (&|x, b, f, n| self.finished(x, b, f, n), &|x, b, f, n| self.in_steps(x, b, f, n));
        let all = |way: Way<'_>, all: &[Dual]| {
            way(&all[0], &all[1], Some(&all[2]), Some(NoiseTerm { image: &all[3], strength: &all[4] }))
        };
        let arguments = [x.clone(), bias.clone(), factors, image.clone(), strength.clone()];
        check(&self.name, &|arguments| all(fast, arguments), &|arguments| all(plain, arguments), &arguments);
        let by_strength = |way: Way<'_>, all: &[Dual]| {
            let image = image.0.to_dtype(all[0].value().dtype())?.into();
            way(&all[0], &all[1], None, Some(NoiseTerm { image: &image, strength: &all[2] }))
        };
        let name = format!("{}, noise by strength", self.name);
        let arguments = [x, bias, strength];
        check(&name, &|all| by_strength(fast, all), &|all| by_strength(plain, all), &arguments);
        let alone = |way: Way<'_>, all: &[Dual]| way(&all[0], &all[1], None, None);
        let name = format!("{}, bias alone", self.name);
        check(&name, &|all| alone(fast, all), &|all| alone(plain, all), &arguments[..2]);
    }
}

#[test]
fn the_end_of_a_layer_equals_its_steps() {
    let rng = &mut RandomState::new(3);
    for round in 0..16 {
        let Sizes { n, inputs, h, w, .. } = Sizes::random(rng);
        let filter = (round % 2 == 0).then(|| Filter::new(&[1.0, 3.0, 3.5, 1.5]).unwrap());
        let size = if filter.is_some() { (h - 1, w - 1) } else { (h, w) };
        let activation = [Activation::Lrelu, Activation::Relu, Activation::Linear][round % 3];
        let name = format!("{activation:?} of {n}x{inputs}x{h}x{w}, filtered: {}", filter.is_some());
        let noise_images = if round % 4 < 2 { 1 } else { n };
        let case = Case { name, filter, act: BiasAct { clamp: Some(2.0), ..BiasAct::new(activation) } };
        case.check([
            (draw(rng, &[n, inputs, h, w]), Some(draw(rng, &[n, inputs, h, w]))),
            (draw(rng, &[inputs]), None),
            (draw(rng, &[n, inputs]), (round % 3 == 0).then(|| draw(rng, &[n, inputs]))),
            (draw(rng, &[noise_images, 1, size.0, size.1]), None),
            (draw(rng, &[]), None),
        ]);
    }
}

#[test]
fn colours_equal_sums_of_products() {
    let rng = &mut RandomState::new(4);
    for _ in 0..8 {
        let Sizes { n, inputs, outputs: colours, h, w } = Sizes::random(rng);
        let colours = 1 + colours % 4;
        let x = (draw(rng, &[n, inputs, h, w]), Some(draw(rng, &[n, inputs, h, w])));
        let weights = (draw(rng, &[n, colours, inputs]), Some(draw(rng, &[n, colours, inputs])));
        let product = |weights: &Dual, x: &Dual| -> Result<Dual> {
            let (n, c, h, w) = x.dims4()?;
            let rows = weights.dims()[1];
            weights.matmul(&x.reshape((n, c, h * w))?)?.reshape((n, rows, h, w))
        };
        check(
            &format!("{n}x{inputs}x{h}x{w} to {colours} colours"),
            &|all| Features::enter(&all[0])?.mix(&all[1]),
            &|all| product(&all[1], &all[0]),
            &[x, weights],
        );
        let image = (draw(rng, &[n, colours, h, w]), Some(draw(rng, &[n, colours, h, w])));
        let weights = (draw(rng, &[1, colours, inputs]), None);
        check(
            &format!("{colours} colours to {n}x{inputs}x{h}x{w}"),
            &|all| Features::paint(&all[0], &all[1])?.leave(),
            &|all| {
                let shape = (n, inputs, colours);
                product(&all[1].linear(|weights| weights.t()?.broadcast_as(shape)?.contiguous())?, &all[0])
            },
            &[image, weights],
        );
    }
}

#[test]
fn sums_are_sums() {
    let rng = &mut RandomState::new(5);
    let argument =
        |rng: &mut RandomState, tangent: bool| (draw(rng, &[2, 19, 5, 7]), tangent.then(|| draw(rng, &[2, 19, 5, 7])));
    for tangents in [[true, true], [true, false], [false, true], [false, false]] {
        check(
            &format!("tangents {tangents:?}"),
            &|all| Features::enter(&all[0])?.add(Features::enter(&all[1])?)?.leave(),
            &|all| all[0].add(&all[1]),
            &tangents.map(|tangent| argument(rng, tangent)),
        );
    }
}
