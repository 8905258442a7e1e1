//! The statistics give the published numbers for given features, and the sliced Wasserstein distance that of its formula.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use ndarray::Array2;
use toonify::statistics::{
    FeatureRoot, Gaussian, Moments, PatchPlan, Patches, Subset, frechet_distance, inception_score, kernel_distance,
    path_length, precision_recall, sliced_wasserstein,
};
use toonify_networks::latent::Z;
use toonify_networks::random::RandomState;

struct Golden {
    tensors: HashMap<String, Tensor>,
    results: serde_json::Value,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/metrics")
}

impl Golden {
    fn load() -> Golden {
        let tensors = candle_core::safetensors::load(folder().join("golden.safetensors"), &Device::Cpu).expect("file");
        let manifest = std::fs::read(folder().join("manifest.json")).expect("file");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        Golden { tensors, results: manifest["results"].clone() }
    }

    fn matrix(&self, name: &str) -> Array2<f32> {
        let tensor = &self.tensors[name];
        let numbers = tensor.to_dtype(DType::F32).expect("numbers").flatten_all().expect("numbers").to_vec1();
        Array2::from_shape_vec(tensor.dims2().expect("two axes"), numbers.expect("numbers")).expect("the same count")
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        let flat = self.tensors[name].to_dtype(DType::F64).expect("numbers").flatten_all().expect("numbers");
        flat.to_vec1().expect("numbers")
    }

    fn check(&self, name: &str, found: f64, tolerance: f64) {
        let expected = self.results[name].as_f64().expect("a number");
        assert!((found - expected).abs() <= tolerance * expected.abs(), "{name}: {found} instead of {expected}");
    }
}

fn gaussian(features: &Array2<f32>) -> Gaussian {
    let mut moments = Moments::new(features.ncols());
    features.axis_chunks_iter(ndarray::Axis(0), 64).for_each(|batch| moments.add(batch));
    moments.gaussian().expect("features")
}

#[test]
fn frechet_distance_is_the_published_one() {
    let golden = Golden::load();
    let (real, fake) = (gaussian(&golden.matrix("real_features")), gaussian(&golden.matrix("gen_features")));
    let near = |found: &[f64], name: &str| {
        found.iter().zip(golden.numbers(name)).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{name}: {a}, {b}"));
    };
    near(real.mean.as_slice().expect("contiguous"), "real_mu");
    near(real.covariance.as_standard_layout().as_slice().expect("contiguous"), "real_cov");
    golden.check("fid", frechet_distance(&FeatureRoot::new(real).expect("finite"), &fake).expect("comparable"), 1e-9);
}

#[test]
fn kernel_distance_is_the_published_one() {
    let golden = Golden::load();
    let rows = |name: &str| -> Vec<Vec<usize>> {
        let (subsets, size) = golden.tensors[name].dims2().expect("two axes");
        let numbers = golden.numbers(name);
        (0..subsets).map(|i| numbers[i * size..][..size].iter().map(|x| *x as usize).collect()).collect()
    };
    let pairs = rows("kid_subsets_gen").into_iter().zip(rows("kid_subsets_real"));
    let subsets: Vec<Subset> = pairs.map(|(fake, real)| Subset { fake, real }).collect();
    let (real, fake) = (golden.matrix("real_features"), golden.matrix("gen_features"));
    // The published sums are in single precision.
    golden.check("kid", kernel_distance(fake.view(), real.view(), &subsets).expect("comparable"), 1e-5);
}

#[test]
fn precision_and_recall_are_the_published_ones() {
    let golden = Golden::load();
    let (real, fake) = (golden.matrix("real_features"), golden.matrix("gen_features"));
    let found = precision_recall(real.view(), fake.view(), 3).expect("comparable");
    golden.check("precision", found.precision, 1e-6);
    golden.check("recall", found.recall, 1e-6);
}

#[test]
fn inception_score_and_path_length_are_the_published_ones() {
    let golden = Golden::load();
    let score = inception_score(golden.matrix("probs").view(), 10).expect("enough images");
    golden.check("is_mean", score.mean, 1e-6);
    golden.check("is_std", score.std, 1e-5);
    let lengths = path_length(&golden.numbers("ppl_dist")).expect("some paths");
    golden.check("ppl_lo", lengths.low, 1e-7);
    golden.check("ppl_hi", lengths.high, 1e-7);
    golden.check("ppl_filtered_mean", lengths.mean, 1e-6);
}

#[test]
fn latents_are_interpolated_on_the_sphere() {
    let golden = Golden::load();
    let z = |name: &str| Z::new(golden.tensors[name].clone(), 7).expect("latents");
    let found = z("slerp_a").slerp(&z("slerp_b"), &golden.numbers("slerp_t")).expect("latents");
    let found: Vec<f32> = found.tensor().flatten_all().expect("numbers").to_vec1().expect("numbers");
    for (found, expected) in found.iter().zip(golden.numbers("slerp_out")) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} instead of {expected}");
    }
}

const PX: usize = 64;

/// The pictures of make_swd.py.
fn pictures(kind: u32) -> Vec<Vec<u8>> {
    let mut rng = RandomState::new(kind);
    let value = |image: usize, place: usize, noise: u64| {
        let (x, y) = (place % PX, place / PX);
        ((7 * x * (1 + kind as usize) + 5 * y + 11 * image) % 200 + noise as usize) as u8
    };
    let mut picture = |image| (0..PX * PX * 3).map(|byte| value(image, byte / 3, rng.below(40))).collect();
    (0..10).map(&mut picture).collect()
}

#[test]
fn sliced_wasserstein_distance_is_that_of_its_formula() {
    let expected = std::fs::read(folder().join("swd.json")).expect("file");
    let expected: serde_json::Value = serde_json::from_slice(&expected).expect("JSON");
    let patches = |kind, seed| {
        let mut patches = Patches::new(PX, 3, PatchPlan::published(seed)).expect("large enough");
        pictures(kind).chunks(4).for_each(|batch| patches.add(batch));
        patches
    };
    let found = sliced_wasserstein(&patches(0, 100), &patches(1, 200), 5).expect("comparable");
    assert_eq!(found.levels.iter().map(|(px, _)| *px).collect::<Vec<_>>(), [64, 32, 16]);
    let all = found.levels.iter().map(|(_, distance)| *distance).chain([found.mean]);
    let wanted = expected["levels"].as_array().expect("a list").iter().chain([&expected["mean"]]);
    for (found, expected) in all.zip(wanted.map(|x| x.as_f64().expect("a number"))) {
        // Patches are kept in steps of 1/128 of a gray level.
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} instead of {expected}");
    }
}
