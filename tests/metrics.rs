//! `toonify metrics`: generators and folders against real images, with and without a detector.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{Device, Tensor};
use image::{Rgb, RgbImage};
use support::{check_failed, fail, succeed, text};
use toonify_networks::random::RandomState;

const PX: u32 = 32;

/// Pictures of stripes, of `width` px, in random colours, with a little noise.
fn stripes(folder: &Path, (count, width): (u32, u32), seed: u32) {
    std::fs::create_dir_all(folder).expect("a folder");
    let mut rng = RandomState::new(seed);
    for index in 0..count {
        let colour = [0; 3].map(|_| rng.below(200) as u8);
        let phase = rng.below(16) as u32;
        let picture = RgbImage::from_fn(PX, PX, |x, y| {
            let lit = ((x + 2 * y + phase) / width).is_multiple_of(2);
            Rgb(colour.map(|value| if lit { value } else { 255 - value }.saturating_add(rng.below(20) as u8)))
        });
        picture.save(folder.join(format!("{index:03}.png"))).expect("a picture");
    }
}

/// A folder with two kinds of stripes, and more of the first kind.
fn sets() -> (tempfile::TempDir, [String; 3]) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let [fine, more, coarse] = ["fine", "more", "coarse"].map(|name| root.path().join(name));
    stripes(&fine, (24, 3), 1);
    stripes(&more, (24, 3), 2);
    stripes(&coarse, (24, 9), 3);
    let names = [fine, more, coarse].map(|path| text(&path).to_owned());
    (root, names)
}

fn metrics(args: &[&str]) -> serde_json::Value {
    let printed = succeed(&[&["metrics", "--json", "--no-cache", "-q"], args].concat());
    serde_json::from_str(&printed).expect("JSON")
}

fn value(outcome: &serde_json::Value, metric: usize, name: &str) -> f64 {
    outcome["metrics"][metric]["results"][name].as_f64().unwrap_or_else(|| panic!("{name} in {outcome}"))
}

#[test]
fn patches_tell_sets_of_one_kind_from_sets_of_another() {
    let (_root, [fine, more, coarse]) = sets();
    let swd = |images: &str| metrics(&["--images", images, "--data", &fine]);
    let (near, far) = (swd(&more), swd(&coarse));
    assert!(value(&far, 0, "swd") > 3.0 * value(&near, 0, "swd"), "{near} {far}");
    let result = &near["metrics"][0];
    assert_eq!(
        (result["metric"].as_str(), result["reals"].as_u64(), result["fakes"].as_u64()),
        (Some("swd"), Some(24), Some(24))
    );
    let mean = (value(&near, 0, "swd_32px") + value(&near, 0, "swd_16px")) / 2.0;
    assert!((mean - value(&near, 0, "swd")).abs() < 1e-9);
}

fn network() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/networks/ckpt_r32_resnetG_skipD_clamp/network.pkl")
}

#[test]
fn a_generator_gives_the_same_number_again_and_another_with_another_seed() {
    let (_root, [fine, ..]) = sets();
    let swd = |seed: &str| {
        let outcome = metrics(&["--network", text(&network()), "--data", &fine, "--num", "20", "--seed", seed]);
        assert_eq!(outcome["metrics"][0]["fakes"].as_u64(), Some(20));
        value(&outcome, 0, "swd")
    };
    let first = swd("1");
    assert_eq!(first, swd("1"));
    assert_ne!(first, swd("2"));
}

/// SqueezeNet 1.1 under torchvision's names, with random weights.
fn squeezenet(path: &Path) {
    let mut tensors = HashMap::new();
    let mut rng = RandomState::new(7);
    let mut conv = |name: String, [out, inputs, kernel]: [usize; 3]| {
        let std = (2.0 / (inputs * kernel * kernel) as f64).sqrt();
        let numbers: Vec<f32> =
            rng.gauss_vec(out * inputs * kernel * kernel).into_iter().map(|x| (x * std) as f32).collect();
        let weight = Tensor::from_vec(numbers, (out, inputs, kernel, kernel), &Device::Cpu).expect("a tensor");
        tensors.insert(format!("{name}.weight"), weight);
        let bias = Tensor::zeros(out, candle_core::DType::F32, &Device::Cpu).expect("a tensor");
        tensors.insert(format!("{name}.bias"), bias);
    };
    conv("features.0".to_owned(), [64, 3, 3]);
    let mut inputs = 64;
    for (index, number) in [3, 4, 6, 7, 9, 10, 11, 12].into_iter().enumerate() {
        let (squeeze, expand) = (16 * (index / 2 + 1), 64 * (index / 2 + 1));
        conv(format!("features.{number}.squeeze"), [squeeze, inputs, 1]);
        conv(format!("features.{number}.expand1x1"), [expand, squeeze, 1]);
        conv(format!("features.{number}.expand3x3"), [expand, squeeze, 3]);
        inputs = 2 * expand;
    }
    candle_core::safetensors::save(&tensors, path).expect("a file");
}

#[test]
fn features_of_any_detector_are_compared_and_remembered() {
    let (root, [fine, more, coarse]) = sets();
    let detector = root.path().join("squeezenet.safetensors");
    squeezenet(&detector);
    let run = |images: &str| -> serde_json::Value {
        let args = ["metrics", "--json", "-q", "--metrics", "fid,kid,pr", "--detector", text(&detector)];
        let mut command = Command::new(env!("CARGO_BIN_EXE_toonify"));
        command.args(args).args(["--images", images, "--data", &fine]).env("XDG_CACHE_HOME", root.path().join("cache"));
        let output = command.output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let (near, far) = (run(&more), run(&coarse));
    let number =
        |outcome: &serde_json::Value, index, name: &str| value(outcome, index, &format!("{name}_squeezenet1.1"));
    // A network with random weights sees little, but the order is right.
    assert!(number(&far, 0, "fid24_full") > number(&near, 0, "fid24_full"), "{near} {far}");
    assert!(number(&far, 1, "kid24_full") > number(&near, 1, "kid24_full"), "{near} {far}");
    let facts = &near["metrics"][0]["detector"];
    assert_eq!((facts["name"].as_str(), facts["features"].as_u64()), (Some("SqueezeNet 1.1"), Some(512)));
    assert!(facts["resize"].as_str().is_some_and(|text| text.contains("224 px")));

    let kept = || support::files(&root.path().join("cache/toonify/metrics"));
    assert_eq!(kept().len(), 2, "features and their distribution: {:?}", kept());
    let mut again = run(&more);
    let mut before = near.clone();
    for outcome in [&mut again, &mut before] {
        outcome["metrics"]
            .as_array_mut()
            .expect("a list")
            .iter_mut()
            .for_each(|metric| metric["total_time"] = 0.into());
    }
    assert_eq!(again, before, "from the cache");
    // Another picture, another fingerprint.
    stripes(Path::new(&fine), (1, 5), 9);
    run(&more);
    assert_eq!(kept().len(), 4);
}

#[test]
fn what_is_missing_or_does_not_fit_is_said_in_words() {
    let (root, [fine, more, _]) = sets();
    let (images, data) = (["--images", &more], ["--data", &fine]);
    let base = [&["metrics"][..], &images, &data].concat();
    let missing = Command::new(env!("CARGO_BIN_EXE_toonify"))
        .args(&base)
        .args(["--metrics", "swd,kid50k_full"])
        .env("TOONIFY_MODELS", root.path().join("models"))
        .env("XDG_CACHE_HOME", root.path())
        .env("DNNLIB_CACHE_DIR", root.path())
        .output()
        .expect("the binary runs");
    check_failed(&missing, 1, &["kid50k_full", "models/inception-2015-12-05.pt", "--detector"]);
    fail(&[&base[..], &["--metrics", "fid5"]].concat(), 2, &["fid5", "kid50k_full"]);
    fail(&[&base[..], &["--num", "0"]].concat(), 2, &["--num"]);
    fail(&["metrics", "--data", &fine], 2, &["--network"]);
    let picture = format!("{fine}/000.png");
    fail(&[&base[..], &["--metrics", "fid", "--detector", &picture]].concat(), 1, &["000.png"]);
    let gray =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/networks/ckpt_r16_origG_origD_gray/network.pkl");
    fail(&["metrics", "--network", text(&gray), "--data", &fine], 1, &["16x16", "32x32", "dataset build"]);
}
