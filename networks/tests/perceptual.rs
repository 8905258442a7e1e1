//! Every perception tells images apart, is blind to nothing that it should see, and has the right gradient.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests may read, print and fail"
)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use toonify_networks::Result;
use toonify_networks::checkpoint::read_state_dict;
use toonify_networks::ops::Activation;
use toonify_networks::perceptual::{
    Backbone, Combined, Judge, LinearWeights, Lpips, Perception, Pixels, SqueezeNet, Vgg16, distances,
};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Discriminator, DiscriminatorConfig, DiscriminatorLayer, MappingConfig, Resolution, Weights,
};

fn drawn(seed: u32, shape: &[usize], (mean, std): (f64, f64)) -> Tensor {
    let numbers = RandomState::new(seed).gauss_vec(shape.iter().product());
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().affine(std, mean).unwrap()
}

fn images(seed: u32, n: usize, px: usize) -> Tensor {
    drawn(seed, &[n, 3, px, px], (128.0, 50.0))
}

/// Random weights that keep the size of what passes (He et al. 2015).
fn weights(shapes: impl IntoIterator<Item = (String, Vec<usize>)>) -> BTreeMap<String, Tensor> {
    let make = |(seed, (name, shape)): (usize, (String, Vec<usize>))| {
        let std = if shape.len() == 4 { (2.0 / shape[1..].iter().product::<usize>() as f64).sqrt() } else { 0.1 };
        let tensor = drawn(seed as u32, &shape, (0.0, std));
        (name, tensor)
    };
    shapes.into_iter().enumerate().map(make).collect()
}

fn conv(name: String, shape: [usize; 4]) -> [(String, Vec<usize>); 2] {
    [(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), vec![shape[0]])]
}

/// The tensors of SqueezeNet 1.1 under torchvision's names, or of 1.0 under Caffe's.
fn squeezenet_shapes(torchvision: bool) -> Vec<(String, Vec<usize>)> {
    let mut list = Vec::new();
    let mut inputs = if torchvision { 64 } else { 96 };
    list.extend(if torchvision {
        conv("features.0".into(), [64, 3, 3, 3])
    } else {
        conv("conv1".into(), [96, 3, 7, 7])
    });
    let numbers = [3, 4, 6, 7, 9, 10, 11, 12];
    for (index, number) in numbers.into_iter().enumerate() {
        let (squeeze, expand) = (16 * (index / 2 + 1), 64 * (index / 2 + 1));
        let names = match torchvision {
            true => ["squeeze", "expand1x1", "expand3x3"].map(|part| format!("features.{number}.{part}")),
            false => ["conv1x1_1", "conv1x1_2", "conv3x3_2"].map(|part| format!("fire{}/{part}", index + 2)),
        };
        let [first, second, third] = names;
        list.extend(conv(first, [squeeze, inputs, 1, 1]));
        list.extend(conv(second, [expand, squeeze, 1, 1]));
        list.extend(conv(third, [expand, squeeze, 3, 3]));
        inputs = 2 * expand;
    }
    list
}

fn vgg16_shapes() -> Vec<(String, Vec<usize>)> {
    let widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
    let numbers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let inputs = std::iter::once(3).chain(widths);
    let all = numbers.into_iter().zip(widths).zip(inputs);
    all.flat_map(|((number, out), inputs)| conv(format!("features.{number}"), [out, inputs, 3, 3])).collect()
}

fn discriminator(dtype: DType) -> Discriminator {
    let resolution = Resolution::new(16).unwrap();
    let config = DiscriminatorConfig {
        c_dim: 0,
        resolution,
        img_channels: 3,
        cmap_dim: 0,
        mapping: MappingConfig {
            num_layers: 0,
            embed_features: 0,
            layer_features: 0,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        },
        channels: Channels::from_base(96, 8, resolution),
        architecture: Architecture::Resnet,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        mbstd_group_size: Some(4),
        mbstd_num_channels: 1,
        freeze_layers: 0,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let weights = Weights::<DiscriminatorLayer>::random(&config, &mut RandomState::new(2)).unwrap();
    Discriminator::new(&config, &weights.var_builder(dtype, &Device::Cpu)).unwrap()
}

fn lpips(backbone: impl Backbone + 'static) -> Lpips {
    let channels = backbone.channels();
    let linear = LinearWeights::by_layer(&channels, &vec![1.0; channels.len()]).unwrap();
    Lpips::new(Box::new(backbone), linear).unwrap()
}

/// Compares the gradient along a few directions with finite differences, in double precision.
fn check_gradient(name: &str, perception: &dyn Perception, px: usize) {
    // So small that hardly a ReLU changes sides.
    const STEP: f64 = 1e-6;
    let (image, target) = (images(1, 2, px), images(2, 2, px));
    let wanted = perception.features(&target).unwrap();
    let loss =
        |image: &Tensor| (perception.features(image).unwrap() - &wanted).unwrap().sqr().unwrap().sum_all().unwrap();
    let var = Var::from_tensor(&image).unwrap();
    let gradients = loss(var.as_tensor()).backward().unwrap();
    let gradient = gradients.get(var.as_tensor()).unwrap();
    let length = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    for seed in 3..6 {
        let direction = drawn(seed, image.dims(), (0.0, 1.0));
        let found = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let at = |by: f64| loss(&(&image + (&direction * by).unwrap()).unwrap()).to_scalar::<f64>().unwrap();
        let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        // Along a random direction the change is about as large as the gradient is long.
        let off = (found - expected).abs() / length;
        assert!(off < 1e-4, "{name}, direction {seed}: {found} instead of {expected}");
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check_gradient("pixels", &Pixels::MULTI_SCALE, 16);
    check_gradient("discriminator", &lpips(Judge::new(discriminator(DType::F64))), 16);
    check_gradient("SqueezeNet 1.0", &lpips(SqueezeNet::from_tensors(weights(squeezenet_shapes(false))).unwrap()), 16);
    check_gradient("SqueezeNet 1.1", &lpips(SqueezeNet::from_tensors(weights(squeezenet_shapes(true))).unwrap()), 64);
    check_gradient("VGG16", &lpips(Vgg16::from_tensors(weights(vgg16_shapes())).unwrap()), 32);
    let parts: Vec<Box<dyn Perception>> =
        vec![Box::new(lpips(Judge::new(discriminator(DType::F64)))), Box::new(Pixels::MULTI_SCALE)];
    check_gradient("combined", &Combined(parts), 16);
}

/// Compares a comparison with a target that was looked at, and its gradient, with the squared distance of features.
fn check_comparison(name: &str, perception: &dyn Perception, images: [Tensor; 2], tolerance: f64) {
    let [image, target] = images;
    let var = Var::from_tensor(&image).unwrap();
    let by_features = (perception.features(var.as_tensor()).unwrap() - perception.features(&target).unwrap()).unwrap();
    let expected = by_features.sqr().unwrap().sum(1).unwrap();
    let found = perception.look_at(&target).unwrap().distance(var.as_tensor()).unwrap();
    let gradient = |distances: &Tensor| {
        let gradients = distances.sum_all().unwrap().backward().unwrap();
        gradients.get(var.as_tensor()).unwrap().clone()
    };
    let norm = |x: &Tensor| {
        x.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
    };
    for (what, found, expected) in
        [("distance", found.clone(), expected.clone()), ("gradient", gradient(&found), gradient(&expected))]
    {
        let off = norm(&(&found - &expected).unwrap()) / norm(&expected);
        assert!(off < tolerance, "{name}: the {what} is off by {off}");
    }
}

#[test]
fn a_target_that_was_looked_at_is_as_far_away_as_its_features() {
    let pair = |n, px| [images(1, n, px), images(2, n, px)];
    let single = |pair: [Tensor; 2]| pair.map(|images| images.to_dtype(DType::F32).unwrap());
    let squeezenet = || lpips(SqueezeNet::from_tensors(weights(squeezenet_shapes(true))).unwrap());
    let vgg16 = weights(vgg16_shapes());
    let in_single = vgg16.iter().map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::F32).unwrap())).collect();
    check_comparison("pixels", &Pixels::MULTI_SCALE, pair(2, 16), 1e-9);
    check_comparison("SqueezeNet", &squeezenet(), pair(2, 32), 1e-9);
    check_comparison("VGG16, layer by layer", &lpips(Vgg16::from_tensors(vgg16).unwrap()), pair(1, 36), 1e-9);
    let parts: Vec<Box<dyn Perception>> = vec![Box::new(squeezenet()), Box::new(Pixels::MULTI_SCALE)];
    check_comparison("combined", &Combined(parts), pair(2, 32), 1e-9);
    let vgg16 = lpips(Vgg16::from_tensors(in_single).unwrap());
    check_comparison("VGG16 as one operator", &vgg16, single(pair(3, 128)), 1e-3);
    let odd = "VGG16 at a size that does not halve often enough";
    check_comparison(odd, &vgg16, single(pair(1, 72)), 1e-3);
    let other_size = vgg16.look_at(&images(1, 3, 128).to_dtype(DType::F32).unwrap()).unwrap();
    assert!(other_size.distance(&images(1, 3, 64).to_dtype(DType::F32).unwrap()).is_err());
}

#[test]
fn large_images_are_looked_at_in_256_px() {
    let net = SqueezeNet::from_tensors(weights(squeezenet_shapes(true))).unwrap();
    let sides = |px: usize| -> Vec<usize> {
        net.feature_maps(&images(1, 1, px)).unwrap().iter().map(|map| map.dims()[3]).collect()
    };
    assert_eq!(sides(512), sides(256));
}

#[test]
fn feature_maps_have_the_published_sizes() {
    let sides = |net: &dyn Backbone| -> Vec<Vec<usize>> {
        net.feature_maps(&images(1, 1, 224)).unwrap().iter().map(|map| map.dims()[1..3].to_vec()).collect()
    };
    let squeezenet = SqueezeNet::from_tensors(weights(squeezenet_shapes(false))).unwrap();
    // Iandola et al. 2016, table 1, without their padding of the image to 227 px.
    assert_eq!(
        sides(&squeezenet),
        [[96, 109], [128, 54], [256, 27], [384, 27], [384, 27], [512, 27], [512, 13]].map(Vec::from)
    );
}

/// Two channels that are the image's own.
struct Plain;

impl Backbone for Plain {
    fn channels(&self) -> Vec<usize> {
        vec![3]
    }

    fn feature_maps(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        Ok(vec![images.clone()])
    }
}

#[test]
fn lpips_is_the_weighted_difference_of_directions_averaged_over_positions() {
    let image = |numbers: [f32; 6]| Tensor::from_vec(numbers.to_vec(), (1, 3, 1, 2), &Device::Cpu).unwrap();
    // Channel by channel, two positions each: (3, 4, 0) and (0, 0, 7) against (6, 8, 0) and (0, 2, 0).
    let (a, b) = (image([3.0, 0.0, 4.0, 0.0, 0.0, 7.0]), image([6.0, 0.0, 8.0, 2.0, 0.0, 0.0]));
    let weights = Tensor::from_vec(vec![1f32, 0.5, 0.25], (1, 3, 1, 1), &Device::Cpu).unwrap();
    let named = BTreeMap::from([("lin0.model.1.weight".to_owned(), weights)]);
    let perception = Lpips::new(Box::new(Plain), LinearWeights::published(&[3], named).unwrap()).unwrap();
    let found = distances(&perception, &a, &b).unwrap();
    // The first position has one direction, the second differs by 1 in the last two channels.
    assert!((found[0] - (0.5 + 0.25) / 2.0).abs() < 1e-6, "{found:?}");
}

#[test]
fn pixels_see_brightness_at_every_scale() {
    let gray = |value: f64| Tensor::full(value, (1, 3, 32, 32), &Device::Cpu).unwrap();
    let found = distances(&Pixels::MULTI_SCALE, &gray(0.0), &gray(255.0)).unwrap();
    assert!((found[0] - 4.0).abs() < 1e-9, "black to white is 2 in every pixel: {found:?}");
}

#[test]
fn the_images_of_a_batch_do_not_see_each_other() {
    let perception = lpips(Judge::new(discriminator(DType::F64)));
    let both = images(7, 2, 16);
    let together = perception.features(&both).unwrap();
    for index in 0..2 {
        let alone = perception.features(&both.narrow(0, index, 1).unwrap()).unwrap();
        let off = (alone - together.narrow(0, index, 1).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
        assert!(off.to_scalar::<f64>().unwrap() < 1e-9);
    }
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let text = |result: Result<SqueezeNet>| result.err().unwrap().to_string();
    assert!(text(SqueezeNet::from_tensors(BTreeMap::new())).contains("SqueezeNet"));
    let mut short = weights(squeezenet_shapes(false));
    short.remove("fire5/conv3x3_2.bias");
    assert!(text(SqueezeNet::from_tensors(short)).contains("fire5/conv3x3_2.bias"));
    assert!(Vgg16::from_tensors(weights(squeezenet_shapes(true))).is_err());
    assert!(LinearWeights::by_layer(&[3, 4], &[1.0]).is_err());
    let linear = LinearWeights::by_layer(&[4], &[1.0]).unwrap();
    assert!(Lpips::new(Box::new(Plain), linear).is_err());
}

#[test]
fn published_files_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/weights");
    if !folder.is_dir() {
        println!("not there, left out: {}", folder.display());
        return;
    }
    let read = |name: &str| read_state_dict(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    let net = SqueezeNet::from_tensors(read("squeezenet10/squeezenet10_decoded.safetensors")).unwrap();
    for version in ["v0.0", "v0.1"] {
        let published = |name: &str| read(&format!("lpips/{version}-{name}.pth"));
        assert!(LinearWeights::published(&[64, 128, 256, 384, 384, 512, 512], published("squeeze")).is_ok());
        assert!(LinearWeights::published(&[64, 128, 256, 512, 512], published("vgg")).is_ok());
        let refused = LinearWeights::published(&net.channels(), published("squeeze")).err().unwrap();
        assert!(refused.to_string().contains("lin0.model.1.weight"), "{refused}");
    }
    // A flat image is nearer to a slightly darker one than to noise of the same size.
    let perception = lpips(net);
    let flat = Tensor::full(128f32, (1, 3, 64, 64), &Device::Cpu).unwrap();
    let noise = images(4, 1, 64).to_dtype(DType::F32).unwrap();
    let (near, far) = (distances(&perception, &flat, &(&flat - 10.0).unwrap()), distances(&perception, &flat, &noise));
    assert!(near.unwrap()[0] * 3.0 < far.unwrap()[0]);
}

#[test]
fn files_that_are_no_state_dict_are_refused() {
    for bytes in [&b""[..], b"hello", b"PK\x05\x06", b"\x80\x02}q\0."] {
        assert!(read_state_dict(bytes).is_err(), "{bytes:?}");
    }
}
