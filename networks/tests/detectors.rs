//! Detectors give PyTorch's features for the same weights, and TorchScript programs give up their tensors.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests may read, print and fail"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use toonify_networks::checkpoint::{self, read_state_dict};
use toonify_networks::detector;
use toonify_networks::perceptual::{Backbone, Vgg16};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/detectors")
}

/// Numbers in [-0.5, 0.5): a hash of a name and a place, as in make.py.
fn hashed(name: &str, count: usize) -> Vec<f64> {
    let start = crc32fast::hash(name.as_bytes());
    let number = |i: usize| {
        let mut x = (i as u32).wrapping_add(start);
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        f64::from(x) / 4_294_967_296.0 - 0.5
    };
    (0..count).into_par_iter().map(number).collect()
}

fn weight(name: &str, shape: &[usize]) -> Tensor {
    let fan_in: usize = shape[1..].iter().product();
    let change = |x: f64| match shape.len() {
        1 if name.ends_with("var") => 1.0 + x,
        1 => 0.2 * x,
        _ => x * 2.0 * (6.0 / fan_in as f64).sqrt(),
    };
    let numbers: Vec<f32> = hashed(name, shape.iter().product()).into_par_iter().map(|x| change(x) as f32).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

fn images() -> Tensor {
    let noise = hashed("images", 2 * 3 * 70 * 70);
    let pixel = |(i, noise): (usize, f64)| {
        let (x, y) = (i % 70, i / 70 % 70);
        (96.0 * noise + 48.0 + ((3 * x + 2 * y) % 160) as f64) as f32
    };
    let pixels: Vec<f32> = noise.into_iter().enumerate().map(pixel).collect();
    Tensor::from_vec(pixels, (2, 3, 70, 70), &Device::Cpu).unwrap()
}

/// Names and shapes of Inception's tensors: published and torchvision's.
fn inception_tensors() -> Vec<([String; 2], Vec<usize>)> {
    let table = std::fs::read_to_string(folder().join("tensors.tsv")).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let shape = fields[2].split(',').map(|extent| extent.parse().unwrap()).collect();
        ([fields[0].to_owned(), fields[1].to_owned()], shape)
    };
    table.lines().map(line).collect()
}

/// Compares some of the features with PyTorch's; the tolerance is for sums in another order over some ninety layers.
fn check(what: &str, found: &Tensor) {
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder().join("features.json")).unwrap()).unwrap();
    let found = found.to_vec2::<f32>().unwrap();
    for (found, expected) in found.iter().zip(expected[what].as_array().unwrap()) {
        let expected: Vec<f64> = expected.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let found: Vec<f64> = found.iter().step_by(found.len() / 32).map(|x| f64::from(*x)).collect();
        assert_eq!(found.len(), expected.len());
        let size = (expected.iter().map(|x| x * x).sum::<f64>() / expected.len() as f64).sqrt();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-5 * size, "{what}: {found} instead of {expected}");
        }
    }
}

#[test]
fn inception_gives_the_features_and_probabilities_of_the_published_network() {
    let tensors = inception_tensors().into_iter().map(|([name, _], shape)| {
        let tensor = weight(&name, &shape);
        (name, tensor)
    });
    let inception = detector::from_tensors(tensors.collect()).unwrap();
    assert_eq!((inception.name(), inception.length()), ("Inception V3 (2015-12-05)", 2048));
    let features = inception.features(&images()).unwrap();
    check("inception", &features);
    check("inception_probabilities", &inception.probabilities(&features).unwrap().unwrap());
}

#[test]
fn inception_with_torchvisions_weights_is_torchvisions_network() {
    let mut tensors = BTreeMap::new();
    for ([_, name], mut shape) in inception_tensors() {
        if name.starts_with("fc.") {
            shape[0] = 1000;
        }
        if let Some(layer) = name.strip_suffix(".bn.bias") {
            tensors.insert(
                format!("{layer}.bn.weight"),
                Tensor::ones(shape.clone(), candle_core::DType::F32, &Device::Cpu).unwrap(),
            );
        }
        let tensor = weight(&name, &shape);
        tensors.insert(name, tensor);
    }
    let inception = detector::from_tensors(tensors).unwrap();
    assert_eq!(inception.name(), "Inception V3 (torchvision)");
    let features = inception.features(&images()).unwrap();
    assert!(inception.probabilities(&features).unwrap().is_none());
    check("inception_torchvision", &features);
}

fn vgg_tensors() -> BTreeMap<String, Tensor> {
    let widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
    let inputs = std::iter::once(3).chain(widths);
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, (out, inputs)) in widths.into_iter().zip(inputs).enumerate() {
        shapes.push((format!("layers.conv{}.weight", index + 1), vec![out, inputs, 3, 3]));
        shapes.push((format!("layers.conv{}.bias", index + 1), vec![out]));
    }
    for (name, out, inputs) in [("fc1", 4096, 25088), ("fc2", 4096, 4096)] {
        shapes.push((format!("layers.{name}.weight"), vec![out, inputs]));
        shapes.push((format!("layers.{name}.bias"), vec![out]));
    }
    for (index, channels) in [64, 128, 256, 512, 512].into_iter().enumerate() {
        shapes.push((format!("lpips{index}"), vec![channels, 1, 1]));
    }
    let filled = shapes.into_iter().map(|(name, shape)| {
        let tensor = weight(&name, &shape);
        (name, tensor)
    });
    filled.collect()
}

#[test]
fn vgg16_gives_the_features_of_the_published_network_and_keeps_its_linear_weights() {
    let tensors = vgg_tensors();
    let linear = Vgg16::published_linear_weights(&tensors).unwrap();
    assert!(linear.is_some());
    let mut damaged = tensors.clone();
    damaged.insert("lpips3".to_owned(), tensors["lpips2"].clone());
    assert!(Vgg16::published_linear_weights(&damaged).is_err());
    let renamed =
        tensors.iter().filter_map(|(name, tensor)| Some((torchvisions_name(name)?, tensor.clone()))).collect();
    let vgg16 = detector::from_tensors(tensors).unwrap();
    assert_eq!((vgg16.name(), vgg16.length()), ("VGG16", 4096));
    let features = vgg16.features(&images()).unwrap();
    check("vgg16", &features);
    // The same network under torchvision's names: other weights, as a rule, so its numbers have another name.
    let vgg16 = detector::from_tensors(renamed).unwrap();
    assert_eq!((vgg16.name(), vgg16.length()), ("VGG16 (torchvision)", 4096));
    assert_eq!(vgg16.features(&images()).unwrap().to_vec2::<f32>().unwrap(), features.to_vec2::<f32>().unwrap());
}

/// `layers.conv3.weight` → `features.5.weight`; `None` for what torchvision's file does not have.
fn torchvisions_name(name: &str) -> Option<String> {
    const NUMBERS: [usize; 13] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let (layer, rest) = name.strip_prefix("layers.")?.split_once('.')?;
    Some(match layer {
        "fc1" => format!("classifier.0.{rest}"),
        "fc2" => format!("classifier.3.{rest}"),
        conv => format!("features.{}.{rest}", NUMBERS[conv.strip_prefix("conv")?.parse::<usize>().ok()? - 1]),
    })
}

#[test]
fn programs_give_up_their_tensors_and_are_no_checkpoints() {
    let bytes = std::fs::read(folder().join("module.pt")).unwrap();
    let tensors = read_state_dict(&bytes).unwrap();
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    let layer = ["layers.conv.beta", "layers.conv.mean", "layers.conv.var", "layers.conv.weight"];
    assert_eq!(names, [&layer[..], &["output.bias", "output.weight"]].concat());
    let near = |name: &str, shape: &[usize], tolerance: f32| {
        let found = tensors[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = weight(name, shape).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(tensors[name].dims(), shape);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance), "{name}");
    };
    near("layers.conv.weight", &[4, 3, 1, 7], 0.0);
    near("layers.conv.var", &[4], 0.0);
    near("output.weight", &[5, 4], 1e-3); // half precision
    assert!(checkpoint::open(&bytes).unwrap_err().to_string().contains("TorchScript"));
    for length in 0..bytes.len() {
        assert!(read_state_dict(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn what_belongs_to_no_detector_is_refused_in_words() {
    let refused = |tensors: BTreeMap<String, Tensor>| detector::from_tensors(tensors).err().unwrap().to_string();
    let one = weight("x", &[2, 2]);
    assert!(refused(BTreeMap::new()).contains("Inception V3, VGG16 or SqueezeNet"));
    assert!(refused([("embed.weight".to_owned(), one.clone())].into()).contains("embed.weight"));
    let partial = [("layers.mixed_10.conv.weight", &one), ("output.weight", &one)];
    assert!(refused(partial.map(|(name, tensor)| (name.to_owned(), tensor.clone())).into()).contains("output.weight"));
    let wide = weight("x", &[1008, 2048]);
    let partial = [("layers.mixed_10.conv.weight", &one), ("output.weight", &wide)];
    assert!(
        refused(partial.map(|(name, tensor)| (name.to_owned(), tensor.clone())).into()).contains("layers.conv.weight")
    );
}

#[test]
fn squeezenet_sums_up_the_last_fire_module() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/weights/squeezenet10/squeezenet10_decoded.safetensors");
    let Ok(bytes) = std::fs::read(&path) else {
        println!("not there, left out: {}", path.display());
        return;
    };
    let tensors = read_state_dict(&bytes).unwrap();
    let net = toonify_networks::perceptual::SqueezeNet::from_tensors(tensors.clone()).unwrap();
    let squeezenet = detector::from_tensors(tensors).unwrap();
    let seen = detector::resize_bilinear(&images(), 224).unwrap();
    let expected = net.feature_maps(&seen).unwrap().pop().unwrap().mean((2, 3)).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(squeezenet.features(&images()).unwrap().to_vec2::<f32>().unwrap(), expected);
    assert_eq!(expected[0].len(), squeezenet.length());
    // A gray image counts as one with three equal channels.
    let gray = images().narrow(1, 0, 1).unwrap().contiguous().unwrap();
    let repeated = Tensor::cat(&[&gray, &gray, &gray], 1).unwrap();
    let of = |images: &Tensor| squeezenet.features(images).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(of(&gray), of(&repeated));
}
