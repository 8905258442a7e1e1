//! Half precision on request: the roundings are those of the published code on a CPU.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests read files and fail loudly"
)]

mod support;

use candle_core::{DType, Device, Tensor, Var};
use support::{Golden, beside, largest, read};
use toonify_networks::grad::Dual;
use toonify_networks::latent::WPlus;
use toonify_networks::ops::{
    Activation, BiasAct, Demodulation, Filter, ModulatedConv, Orientation, ResampleConv, conv2d_resample,
    half_precision,
};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Arithmetic, Channels, Features, Generator, GeneratorConfig, Layer, MappingConfig, Noise, Resolution,
    Weights,
};

/// The golden images of half precision.
const IMAGE: &str = "img_fp16_const_psi1_sample0";

fn mean_difference(a: &Tensor, b: &Tensor) -> f64 {
    let difference = (a - b).unwrap().abs().unwrap().mean_all().unwrap();
    f64::from(difference.to_scalar::<f32>().unwrap())
}

/// The first image of the golden's batch, of which only this one was kept: the same image twice, as a batch of two takes
/// the same form of the modulated convolution. Starts from the published features of the last block in single precision,
/// because their last bits decide which way some of them round (docs/decisions/0012).
fn render(golden: &Golden, generator: &Generator, arithmetic: Arithmetic) -> Tensor {
    let twice = |tensor: Tensor| Dual::from(Tensor::cat(&[&tensor, &tensor], 0).unwrap());
    let generator = generator.clone().with_arithmetic(arithmetic);
    let ws = twice(golden.ws("w_psi1", &generator).narrow(0, 1).unwrap().tensor().clone());
    let (single, half): (Vec<_>, Vec<_>) =
        generator.synthesis.blocks().iter().partition(|block| !generator.config().is_half(block.resolution()));
    let last = single.last().unwrap().resolution();
    let x = golden.get(&format!("x_b{last}_sample0"));
    let image = golden.get(&format!("img_b{last}")).narrow(0, 0, 1).unwrap();
    let mut features = Features { x: twice(x.unsqueeze(0).unwrap()), image: Some(twice(image)) };
    for block in half {
        features = block.forward(Some(features), &ws, &Noise::Const).unwrap();
    }
    features.image.unwrap().value().narrow(0, 0, 1).unwrap()
}

/// Compares the mean |difference| to the published image.
fn check(folder: &str, allowed: f64) {
    let Some(folder) = beside(folder) else { return };
    let (golden, checkpoint) = (Golden::load(&folder), read(&folder.join("network.pkl")));
    let generator = Generator::from_weights(&checkpoint.config, &checkpoint.ema).unwrap();
    let expected = golden.get(IMAGE);
    let single = mean_difference(&render(&golden, &generator, Arithmetic::Single), &expected);
    let half = mean_difference(&render(&golden, &generator, Arithmetic::Half), &expected);
    println!("{}: single {single:.2e}, half {half:.2e}", golden.name);
    assert!(half <= allowed, "{}: off by {half:e} in half precision, by {single:e} in single", golden.name);
    assert!(single > 5e-4, "{}: {single:e} in single precision, so this image proves nothing", golden.name);
}

#[test]
fn half_precision_gives_the_published_image_of_64_px() {
    check("ckpt_py37_torch171", 1e-5);
}

#[test]
fn half_precision_gives_the_published_image_of_a_conditional_network() {
    check("ckpt_r32_cond5", 1e-5);
}

#[test]
fn half_precision_gives_the_published_image_of_a_network_with_wide_layers() {
    check("ckpt_r32_cifar_map2_fp16", 1e-5);
}

/// This checkpoint asks for channels-last memory, in which PyTorch adds the taps of a transposed convolution up in
/// another order. That setting changes nothing but last bits, and is not kept: half of the difference remains.
#[test]
fn half_precision_comes_nearer_to_the_published_image_of_a_network_with_channels_last() {
    check("ckpt_r32_nhwc_strides", 5e-4);
}

#[test]
fn a_modulated_convolution_in_half_precision_is_the_published_one_bit_for_bit() {
    let Some(folder) = beside("op_modulated_conv2d") else { return };
    let golden = Golden::load(&folder);
    let filter = Filter::identity();
    let spec = ModulatedConv {
        up: 1,
        down: 1,
        padding: 1,
        demodulate: Demodulation::On,
        orientation: Orientation::Correlation,
        filter: &filter,
        noise: None,
    };
    let [x, weight, styles] = ["fp16_x", "fp16_w", "fp16_s"].map(|name| Dual::from(golden.get(name)));
    let found = half_precision::modulated_conv2d(&x, &weight, &styles, &spec).unwrap();
    assert_eq!(largest(&(found.value() - golden.get("fp16_y")).unwrap()), 0.0);
    assert!(mean_difference(&golden.get("fp16_same_in_fp32_y"), &golden.get("fp16_y")) > 1e-3);
}

/// A 16 px generator of two half-precision blocks out of three.
fn small(architecture: Architecture, num_fp16_res: usize) -> Generator {
    let resolution = Resolution::new(16).unwrap();
    let config = GeneratorConfig {
        z_dim: 4,
        c_dim: 0,
        w_dim: 4,
        resolution,
        img_channels: 3,
        mapping: MappingConfig {
            num_layers: 1,
            embed_features: 4,
            layer_features: 4,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        },
        channels: Channels::from_base(64, 5, resolution),
        architecture,
        activation: Activation::Lrelu,
        conv_clamp: Some(256.0),
        num_fp16_res,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let weights = Weights::<Layer>::random(&config, &mut RandomState::new(3)).unwrap();
    Generator::from_weights(&config, &weights).unwrap()
}

fn latents(n: usize, generator: &Generator) -> WPlus {
    let config = generator.config();
    let count = n * config.num_ws() * config.w_dim;
    let mut rng = RandomState::new(4);
    let values: Vec<f32> = (0..count).map(|_| rng.gauss() as f32).collect();
    let ws = Tensor::from_vec(values, (n, config.num_ws(), config.w_dim), &Device::Cpu).unwrap();
    WPlus::new(ws, config.num_ws(), config.w_dim).unwrap()
}

#[test]
fn half_precision_changes_nothing_where_no_block_is_marked_for_it() {
    let generator = small(Architecture::Skip, 0);
    let ws = latents(2, &generator);
    let single = generator.render(&ws, &Noise::Const).unwrap();
    let half = generator.clone().with_arithmetic(Arithmetic::Half).render(&ws, &Noise::Const).unwrap();
    assert_eq!(largest(&(half - &single).unwrap()), 0.0);
    let back = generator.with_arithmetic(Arithmetic::Half).with_arithmetic(Arithmetic::Single);
    assert_eq!(largest(&(back.render(&ws, &Noise::Const).unwrap() - &single).unwrap()), 0.0);
}

#[test]
fn half_precision_stays_near_single_precision_in_every_architecture_alone_and_in_a_batch() {
    for architecture in [Architecture::Orig, Architecture::Skip, Architecture::Resnet] {
        let generator = small(architecture, 2);
        let ws = latents(3, &generator);
        let single = generator.render(&ws, &Noise::Const).unwrap();
        let generator = generator.with_arithmetic(Arithmetic::Half);
        let batch = generator.render(&ws, &Noise::Const).unwrap();
        let alone = (0..3).map(|n| generator.render(&ws.narrow(n, 1).unwrap(), &Noise::Const).unwrap());
        let alone = Tensor::cat(&alone.collect::<Vec<_>>(), 0).unwrap();
        for half in [&batch, &alone] {
            let difference = largest(&(half - &single).unwrap());
            // A few units in the last of eleven places.
            assert!(difference > 0.0 && difference < 5e-3 * largest(&single), "{architecture}: {difference:e}");
        }
    }
}

#[test]
fn blocks_are_half_from_the_top_but_never_at_4_px() {
    let check = |num_fp16_res: usize, expected: &[usize]| {
        let generator = small(Architecture::Skip, num_fp16_res);
        let config = generator.config();
        let half: Vec<_> = config.resolution.ladder().filter(|r| config.is_half(*r)).map(Resolution::px).collect();
        assert_eq!(half, expected, "{num_fp16_res}");
    };
    check(0, &[]);
    check(1, &[16]);
    check(2, &[8, 16]);
    check(3, &[8, 16]);
    check(usize::MAX, &[8, 16]);
}

#[test]
fn half_precision_refuses_whatever_wants_a_gradient() {
    let refused = |x: &Dual| {
        let error = half_precision::round_half(x).unwrap_err().to_string();
        assert!(error.contains("single where gradients are wanted"), "{error}");
        let act = BiasAct::new(Activation::Lrelu);
        assert!(half_precision::bias_act(x, None, &act).is_err());
        assert!(
            half_precision::bias_act(&Dual::from(x.value().detach()), Some(&x.reshape(16).unwrap()), &act).is_err()
        );
    };
    let x = Tensor::ones((1, 16, 1, 1), DType::F32, &Device::Cpu).unwrap();
    refused(&Dual::with_tangent(x.clone(), x.clone()).unwrap());
    refused(&Dual::from(Var::from_tensor(&x).unwrap().as_tensor()));
}

#[test]
fn an_up_sampling_convolution_in_half_precision_is_the_single_one_but_for_rounding() {
    let mut rng = RandomState::new(9);
    let mut tensor = |shape: [usize; 4]| -> Dual {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.gauss() as f32).collect();
        let exact = half_precision::round_half(&Tensor::from_vec(values, &shape, &Device::Cpu).unwrap().into());
        exact.unwrap()
    };
    for (taps, kernel) in [(vec![1.0, 3.0, 3.0, 1.0], 3), (vec![1.0, 2.0, 1.0], 3), (vec![1.0], 3), (vec![1.0; 4], 1)] {
        let (x, weight) = (tensor([2, 5, 7, 6]), tensor([3, 5, kernel, kernel]));
        let filter = Filter::new(&taps).unwrap();
        let single = ResampleConv {
            up: 2,
            padding: [(kernel / 2) as isize; 4],
            orientation: Orientation::Convolution,
            ..Default::default()
        };
        let half = ResampleConv { arithmetic: Arithmetic::Half, ..single };
        let [single, half] = [single, half].map(|spec| conv2d_resample(&x, &weight, &filter, &spec).unwrap());
        let difference = largest(&(half.value() - single.value()).unwrap());
        assert!(difference < 4e-3 * largest(single.value()), "{taps:?}: {difference:e}");
    }
}
