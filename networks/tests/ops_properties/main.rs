//! What must hold for the operators at every shape: fast paths equal their references, adjoints are adjoint, and
//! derivatives of first and second order equal finite differences. All in double precision, on random numbers.

mod augment;
mod composite;
mod differences;
mod equal;

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use toonify_networks::Result;
use toonify_networks::grad::Dual;
use toonify_networks::ops::conv::reference as conv_reference;
use toonify_networks::ops::upfirdn2d::reference as upfirdn2d_reference;
use toonify_networks::ops::*;
use toonify_networks::random::RandomState;

use differences::check_derivatives;
use equal::{assert_adjoint, assert_equal};

/// Random numbers of the standard normal distribution.
pub fn draw(random: &mut RandomState, shape: &[usize]) -> Result<Tensor> {
    let numbers = random.gauss_vec(shape.iter().product());
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// A convolution and sizes that suit it.
#[derive(Clone, Copy, Debug)]
struct ConvCase {
    spec: Convolution,
    batch: usize,
    inputs: usize,
    outputs: usize,
    kernel: (usize, usize),
    size: (usize, usize),
}

prop_compose! {
    fn axis()(kernel in 1usize..5, before in -2isize..4, after in -2isize..4, room in 0isize..9) -> (usize, isize, isize, usize) {
        let size = (kernel as isize + room - before - after).max(1) as usize;
        let missing = (kernel as isize - size as isize - before - after).max(0);
        (kernel, before, after + missing, size)
    }
}

prop_compose! {
    fn conv_case()(
        (kh, y0, y1, h) in axis(),
        (kw, x0, x1, w) in axis(),
        stride in 1usize..4,
        groups in 1usize..3,
        batch in 1usize..4,
        (inputs, outputs) in prop_oneof![4 => (1usize..4, 1usize..4), 1 => (60usize..140, 1usize..3), 1 => (1usize..3, 30usize..70)],
    ) -> ConvCase {
        let spec = Convolution { stride, padding: [x0, x1, y0, y1], groups };
        ConvCase { spec, batch, inputs: inputs * groups, outputs: outputs * groups, kernel: (kh, kw), size: (h, w) }
    }
}

impl ConvCase {
    fn arguments(&self, random: &mut RandomState) -> Result<[Tensor; 2]> {
        let x = draw(random, &[self.batch, self.inputs, self.size.0, self.size.1])?;
        let weight = [self.outputs, self.inputs / self.spec.groups, self.kernel.0, self.kernel.1];
        Ok([x, draw(random, &weight)?])
    }
}

#[derive(Clone, Debug)]
struct ResampleCase {
    spec: Resample,
    taps: Vec<f32>,
    columns: usize,
    separable: bool,
    size: (usize, usize),
}

prop_compose! {
    fn resample_case()(
        (rows, y0, y1, h) in axis(),
        (columns, x0, x1, w) in axis(),
        up in (1usize..4, 1usize..4),
        down in (1usize..4, 1usize..4),
        flipped in any::<bool>(),
        separable in any::<bool>(),
        taps in proptest::collection::vec(0.1f32..2.0, 16),
    ) -> ResampleCase {
        let orientation = if flipped { Orientation::Correlation } else { Orientation::Convolution };
        let spec = Resample { up, down, padding: [x0, x1, y0, y1], orientation, gain: 1.7 };
        let (rows, columns) = if separable { (1, rows.min(columns)) } else { (rows, columns) };
        ResampleCase { spec, taps: taps[..rows * columns].to_vec(), columns, separable, size: (h, w) }
    }
}

impl ResampleCase {
    fn filter(&self) -> Result<Filter> {
        let setup = FilterSetup { form: FilterForm::Separable, ..FilterSetup::default() };
        if self.separable {
            Filter::from_1d(&self.taps, &setup)
        } else {
            Filter::from_2d(&self.taps, self.columns, &setup)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolution_equals_its_reference(case in conv_case(), seed: u32) {
        let mut random = RandomState::new(seed);
        let arguments = case.arguments(&mut random)?;
        let fast = |duals: &[Dual]| conv2d(&duals[0], &duals[1], &case.spec);
        let plain = |duals: &[Dual]| duals[0].bilinear(&duals[1], |x, w| conv_reference::conv2d(x, w, &case.spec));
        assert_equal(&mut random, &arguments, fast, plain)?;
        assert_adjoint(&mut random, &arguments, fast)?;
    }

    #[test]
    fn transposed_convolution_equals_its_reference(case in conv_case(), seed: u32) {
        let mut random = RandomState::new(seed);
        let arguments = case.arguments(&mut random)?;
        let fast = |duals: &[Dual]| conv_transpose2d(&duals[0], &duals[1], &case.spec);
        let constants: Vec<Dual> = arguments.iter().map(Dual::from).collect();
        prop_assume!(fast(&constants).is_ok()); // padding may leave nothing
        let plain = |duals: &[Dual]| {
            duals[0].bilinear(&duals[1], |x, w| conv_reference::conv_transpose2d(x, w, &case.spec))
        };
        assert_equal(&mut random, &arguments, fast, plain)?;
        assert_adjoint(&mut random, &arguments, fast)?;
    }

    #[test]
    fn transposed_convolution_is_the_adjoint_of_convolution(case in conv_case(), seed: u32) {
        let mut random = RandomState::new(seed);
        let case = ConvCase { spec: Convolution { groups: 1, ..case.spec }, ..case };
        let [x, weight] = case.arguments(&mut random)?;
        let ax = conv2d(&(&x).into(), &(&weight).into(), &case.spec)?.into_value();
        let y = draw(&mut random, ax.dims())?;
        let exchanged = weight.transpose(0, 1)?;
        let aty = conv_transpose2d(&(&y).into(), &exchanged.into(), &case.spec);
        prop_assume!(aty.is_ok());
        let aty = aty?.into_value();
        prop_assume!(aty.dims() == x.dims()); // else the stride left pixels over
        let (left, right) = (equal::inner(&ax, &y)?, equal::inner(&x, &aty)?);
        prop_assert!((left - right).abs() <= 1e-10 * (1.0 + left.abs()), "⟨Ax, y⟩ = {left}, ⟨x, Aᵀy⟩ = {right}");
    }

    #[test]
    fn upfirdn2d_equals_its_reference(case in resample_case(), seed: u32) {
        let mut random = RandomState::new(seed);
        let filter = case.filter()?;
        let x = draw(&mut random, &[2, 3, case.size.0, case.size.1])?;
        let fast = |duals: &[Dual]| upfirdn2d(&duals[0], &filter, &case.spec);
        prop_assume!(fast(&[(&x).into()]).is_ok()); // the filter may be larger than the cropped image
        let plain = |duals: &[Dual]| duals[0].linear(|x| upfirdn2d_reference::upfirdn2d(x, &filter, &case.spec));
        assert_equal(&mut random, std::slice::from_ref(&x), fast, plain)?;
        assert_adjoint(&mut random, &[x], fast)?;
    }

    #[test]
    fn bias_act_equals_its_reference(
        slope in prop_oneof![Just(None), (0.0f64..1.0).prop_map(Some)],
        gain in 0.1f64..3.0,
        clamp in prop_oneof![Just(None), (0.1f64..2.0).prop_map(Some)],
        activation in prop_oneof![Just(Activation::Linear), Just(Activation::Relu), Just(Activation::Lrelu), Just(Activation::Swish)],
        (shape, dim) in (proptest::collection::vec(1usize..6, 1..5), 0usize..4),
        seed: u32,
    ) {
        let mut random = RandomState::new(seed);
        let dim = dim % shape.len();
        let spec = BiasAct { activation, alpha: slope, gain: Some(gain), clamp };
        let arguments = [draw(&mut random, &shape)?, draw(&mut random, &shape[dim..=dim])?];
        let fast = |duals: &[Dual]| bias_act_along(&duals[0], Some(&duals[1]), dim, &spec);
        let plain = |duals: &[Dual]| bias_act::reference::bias_act(&duals[0], Some(&duals[1]), dim, &spec);
        assert_equal(&mut random, &arguments, fast, plain)?;
        let fast = |duals: &[Dual]| bias_act_along(&duals[0], None, dim, &spec);
        let plain = |duals: &[Dual]| bias_act::reference::bias_act(&duals[0], None, dim, &spec);
        assert_equal(&mut random, &arguments[..1], fast, plain)?;
    }
}

// A fixed seed: now and then a number lies so close to a kink that a difference straddles it, and no test should fail
// by the dice. Deviations are taken over four samples or more, because over two they have a kink at zero.
proptest! {
    #![proptest_config(ProptestConfig { cases: 24, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn derivatives_of_a_modulated_convolution_are_finite_differences(
        (up, down) in prop_oneof![Just((1, 1)), Just((2, 1)), Just((1, 2))],
        kernel in prop_oneof![Just(1usize), Just(3usize)],
        demodulated in any::<bool>(),
        shared_noise in any::<bool>(),
        seed: u32,
    ) {
        let mut random = RandomState::new(seed);
        let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
        let demodulate = if demodulated { Demodulation::On } else { Demodulation::Off };
        let orientation = if up > 1 { Orientation::Convolution } else { Orientation::Correlation };
        let noisy = |duals: &[Dual]| {
            let noise = duals.get(3);
            let spec = ModulatedConv { up, down, padding: kernel / 2, demodulate, orientation, filter: &filter, noise };
            modulated_conv2d(&duals[0], &duals[1], &duals[2], &spec)
        };
        let shapes: [&[usize]; 3] = [&[2, 3, 4, 5], &[2, 3, kernel, kernel], &[2, 3]];
        let arguments: Vec<Dual> = shapes.iter().map(|shape| draw(&mut random, shape).map(Dual::from)).collect::<Result<_>>()?;
        let (_, _, h, w) = noisy(&arguments)?.dims4()?;
        let noise = [if shared_noise { 1 } else { 2 }, 1, h, w];
        check_derivatives(&mut random, &[shapes[0], shapes[1], shapes[2], &noise], noisy)?;
    }

    #[test]
    fn derivatives_of_activations_are_finite_differences(
        activation in prop_oneof![
            Just(Activation::Linear), Just(Activation::Relu), Just(Activation::Lrelu), Just(Activation::Tanh),
            Just(Activation::Sigmoid), Just(Activation::Elu), Just(Activation::Selu), Just(Activation::Softplus),
            Just(Activation::Swish),
        ],
        seed: u32,
    ) {
        let mut random = RandomState::new(seed);
        let spec = BiasAct::new(activation);
        check_derivatives(&mut random, &[&[3, 4, 2], &[4]], |duals| bias_act(&duals[0], Some(&duals[1]), &spec))?;
    }

    #[test]
    fn derivatives_of_the_minibatch_deviation_are_finite_differences(group in prop_oneof![Just(None), Just(Some(4))], seed: u32) {
        let mut random = RandomState::new(seed);
        check_derivatives(&mut random, &[&[8, 2, 2, 3]], |duals| minibatch_std(&duals[0], group, 2))?;
    }

    #[test]
    fn derivatives_of_dual_arithmetic_are_finite_differences(seed: u32) {
        let mut random = RandomState::new(seed);
        check_derivatives(&mut random, &[&[3, 4], &[1, 4], &[3, 1]], |duals| {
            let [matrix, row, column] = duals else { panic!("three arguments") };
            let constant = Dual::from(Tensor::new(&[[2.0f64], [-1.0], [0.5]], &Device::Cpu)?);
            let sum = row.add(matrix)?.sub(column)?.add(&column.mul(row)?)?.sub(&constant)?; // [3, 4]
            let positive = sum.sqr()?.shift(1.0)?;
            let product = sum.t()?.matmul(&positive.rsqrt()?)?; // [4, 4]
            let roots = positive.sqrt()?.mean_keepdim(1)?.mul(&constant)?.reshape((1, 3))?;
            let joined = Dual::cat(&[&roots, &constant.t()?, &product.narrow(1, 1, 3)?], 0)?; // [6, 3]
            joined.softplus()?.scale(0.7)?.sum_keepdim(0)?.sub(&constant.t()?)
        })?;
    }

    #[test]
    fn derivatives_of_the_normalization_are_finite_differences(seed: u32) {
        let mut random = RandomState::new(seed);
        check_derivatives(&mut random, &[&[3, 5]], |duals| normalize_2nd_moment(&duals[0]))?;
    }
}

#[test]
fn wrong_arguments_are_errors_and_not_panics() -> Result<()> {
    let x = || Dual::from(Tensor::zeros((2, 4, 5, 5), DType::F32, &Device::Cpu).expect("a small tensor"));
    let weight = |shape: &[usize]| Dual::from(Tensor::zeros(shape, DType::F32, &Device::Cpu).expect("a small tensor"));
    let spec = Convolution::default();
    assert!(conv2d(&x(), &weight(&[3, 5, 3, 3]), &spec).is_err(), "other channels");
    assert!(conv2d(&x(), &weight(&[3, 4, 6, 6]), &spec).is_err(), "a kernel larger than the image");
    assert!(conv2d(&x(), &weight(&[3, 4, 0, 3]), &spec).is_err(), "no kernel");
    assert!(conv2d(&x(), &weight(&[0, 4, 3, 3]), &spec).is_err(), "no output");
    assert!(conv2d(&x(), &weight(&[3, 4, 3, 3]), &Convolution { stride: 0, ..spec }).is_err(), "no stride");
    assert!(conv2d(&x(), &weight(&[3, 4, 3, 3]), &Convolution { groups: 0, ..spec }).is_err(), "no group");
    assert!(conv2d(&x(), &weight(&[3, 4, 3]), &spec).is_err(), "three axes");
    assert!(conv_transpose2d(&x(), &weight(&[3, 4, 1, 1]), &Convolution { padding: [9; 4], ..spec }).is_err());
    assert!(conv2d(&weight(&[2, 4, 0, 5]), &weight(&[3, 4, 1, 1]), &spec).is_err(), "no pixels");
    let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
    assert!(upfirdn2d(&x(), &filter, &Resample { up: (0, 1), ..Resample::default() }).is_err(), "factor 0");
    assert!(upfirdn2d(&x(), &filter, &Resample { padding: [-4; 4], ..Resample::default() }).is_err(), "all cropped");
    assert!(upfirdn2d(&x(), &filter, &Resample { padding: [isize::MAX; 4], ..Resample::default() }).is_err());
    let padding = [9; 4];
    assert!(upfirdn2d(&weight(&[2, 4, 0, 5]), &filter, &Resample { padding, ..Resample::default() }).is_err());
    assert!(conv2d(&weight(&[2, 4, 0, 5]), &weight(&[3, 4, 1, 1]), &Convolution { padding, ..spec }).is_err());
    assert!(Filter::new(&[]).is_err(), "no taps");
    assert!(Filter::new(&[1.0, -1.0]).is_err(), "taps without a sum");
    let spec = BiasAct::new(Activation::Lrelu);
    assert!(bias_act(&x(), Some(&weight(&[5])), &spec).is_err(), "another bias");
    assert!(bias_act_along(&x(), None, 4, &spec).is_err(), "no such axis");
    assert!(bias_act(&x(), None, &BiasAct { gain: Some(0.0), ..spec }).is_err(), "gain 0");
    assert!(minibatch_std(&x(), Some(0), 1).is_err(), "group of none");
    assert!(minibatch_std(&x(), None, 3).is_err(), "channels that do not divide");
    let half = Dual::from(x().into_value().to_dtype(DType::F16)?);
    assert!(
        conv2d(&half, &Dual::from(weight(&[3, 4, 3, 3]).into_value().to_dtype(DType::F16)?), &Convolution::default())
            .is_err()
    );
    Ok(())
}

#[test]
fn softplus_is_safe_for_every_number() -> Result<()> {
    let x = Var::from_tensor(&Tensor::new(&[-1000.0f32, -20.0, 0.0, 20.0, 1000.0], &Device::Cpu)?)?;
    let y = Dual::with_tangent(x.as_tensor().clone(), x.ones_like()?)?.softplus()?;
    let tiny = (-20.0f64).exp().ln_1p() as f32;
    assert_eq!(y.value().to_vec1::<f32>()?, [0.0, tiny, 2.0f32.ln(), 20.0, 1000.0]);
    let slope = y.tangent().expect("the argument has a tangent");
    assert_eq!(slope.to_vec1::<f32>()?, [0.0, (-20.0f32).exp(), 0.5, 1.0, 1.0]);
    for sum in [y.value().sum_all()?, slope.sum_all()?] {
        let gradients = sum.backward()?;
        let gradient = gradients.get(&x).expect("x is tracked").to_vec1::<f32>()?;
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
    Ok(())
}

#[test]
fn values_and_tangents_must_match() -> Result<()> {
    let tensor = |shape: (usize, usize), dtype| Tensor::zeros(shape, dtype, &Device::Cpu);
    assert!(Dual::with_tangent(tensor((2, 3), DType::F32)?, tensor((3, 2), DType::F32)?).is_err());
    assert!(Dual::with_tangent(tensor((2, 3), DType::F32)?, tensor((2, 3), DType::F64)?).is_err());
    Ok(())
}

#[test]
fn a_convolution_has_the_same_bytes_on_every_run() -> Result<()> {
    let mut random = RandomState::new(3);
    let (x, weight) = (draw(&mut random, &[3, 40, 17, 19])?, draw(&mut random, &[50, 40, 3, 3])?);
    let run = || {
        let weight = Var::from_tensor(&weight.to_dtype(DType::F32)?)?;
        let spec = Convolution { stride: 2, padding: [1; 4], groups: 1 };
        let y = conv2d(&x.to_dtype(DType::F32)?.into(), &weight.as_tensor().into(), &spec)?.into_value();
        let gradients = y.sqr()?.sum_all()?.backward()?;
        let gradient = gradients.get(&weight).expect("the weight is tracked").flatten_all()?;
        Ok::<_, toonify_networks::Error>((y.flatten_all()?.to_vec1::<f32>()?, gradient.to_vec1::<f32>()?))
    };
    let first = run()?;
    for _ in 0..5 {
        assert!(run()? == first, "sums depend on which thread came first");
    }
    Ok(())
}

#[test]
fn an_empty_batch_stays_empty() -> Result<()> {
    let x = Dual::from(Tensor::ones((0, 2, 4, 4), DType::F32, &Device::Cpu)?);
    let weight = Dual::from(Tensor::ones((3, 2, 3, 3), DType::F32, &Device::Cpu)?);
    let filter = Filter::new(&[1.0, 3.0, 3.0, 1.0])?;
    let y = conv2d(&x, &weight, &Convolution::default())?;
    assert_eq!(y.dims(), [0, 3, 2, 2]);
    assert_eq!(conv_transpose2d(&x, &weight, &Convolution::default())?.dims(), [0, 3, 6, 6]);
    assert_eq!(upsample2d(&x, &filter, 2)?.dims(), [0, 2, 8, 8]);
    assert_eq!(bias_act(&y, None, &BiasAct::new(Activation::Lrelu))?.dims(), [0, 3, 2, 2]);
    Ok(())
}

#[test]
fn constants_have_no_graph() -> Result<()> {
    let x = Dual::from(Tensor::ones((1, 2, 4, 4), DType::F32, &Device::Cpu)?);
    let weight = Dual::from(Tensor::ones((2, 2, 3, 3), DType::F32, &Device::Cpu)?);
    let y = bias_act(&conv2d(&x, &weight, &Convolution::default())?, None, &BiasAct::new(Activation::Lrelu))?;
    assert!(y.tangent().is_none() && !y.value().track_op());
    Ok(())
}

#[test]
fn only_what_is_trained_gets_a_gradient() -> Result<()> {
    let x = Tensor::ones((1, 2, 4, 4), DType::F32, &Device::Cpu)?;
    let weight = Var::from_tensor(&Tensor::ones((2, 2, 3, 3), DType::F32, &Device::Cpu)?)?;
    let y = conv2d(&(&x).into(), &weight.as_tensor().into(), &Convolution::default())?;
    let gradients = y.into_value().sum_all()?.backward()?;
    assert!(gradients.get(&weight).is_some() && gradients.get(&x).is_none());
    Ok(())
}
