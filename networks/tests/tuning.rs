//! Projection and tuning come closer step by step: W, then W+, then a tuned generator.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use candle_core::{Device, Tensor};
use toonify_networks::latent::{Seed, WPlus, Z};
use toonify_networks::ops::Activation;
use toonify_networks::perceptual::{Pixels, distances};
use toonify_networks::projection::{Projection, Schedule, Space, Start, WStatistics};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Generator, GeneratorConfig, Layer, MappingConfig, Noise, Resolution, Term, Weights,
};
use toonify_networks::tuning::{Locality, Pivot, Tuning, TuningConfig};

fn config() -> GeneratorConfig {
    let resolution = Resolution::new(16).unwrap();
    GeneratorConfig {
        z_dim: 16,
        c_dim: 0,
        w_dim: 16,
        resolution,
        img_channels: 3,
        mapping: MappingConfig {
            num_layers: 2,
            embed_features: 16,
            layer_features: 16,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        },
        channels: Channels::from_base(256, 16, resolution),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    }
}

struct Bench {
    weights: Weights<Layer>,
    generator: Generator,
    statistics: WStatistics,
}

fn bench() -> Bench {
    network(1)
}

fn network(seed: u32) -> Bench {
    let weights = Weights::<Layer>::random(&config(), &mut RandomState::new(seed)).unwrap();
    let generator = Generator::from_weights(&config(), &weights).unwrap();
    let statistics = WStatistics::measure(&generator, None).unwrap();
    Bench { weights, generator, statistics }
}

impl Bench {
    /// The image of a seed, from 0 to 255, and something that the generator cannot render.
    fn target(&self, seed: u32, foreign: f64) -> Tensor {
        let w = self.generator.map(&Z::from_seeds(&[Seed(seed)], 16, &Device::Cpu).unwrap(), None).unwrap();
        let image = self.generator.render(&w.broadcast(config().num_ws()).unwrap(), &Noise::Const).unwrap();
        let drawn: Vec<f32> = RandomState::new(9).gauss_vec(3 * 16 * 16).iter().map(|x| *x as f32).collect();
        let noise = Tensor::from_vec(drawn, (1, 3, 16, 16), &Device::Cpu).unwrap();
        (image + (noise * foreign).unwrap()).unwrap().affine(127.5, 127.5).unwrap()
    }

    fn search(&self, target: &Tensor, space: Space, steps: usize) -> WPlus {
        let mut rng = RandomState::new(303);
        let start = Start::at_average(&config(), &self.statistics, (1, space), &mut rng).unwrap();
        let schedule = Schedule::published(steps);
        let mut projection = Projection::new(&self.generator, &Pixels::MULTI_SCALE, target, (start, schedule)).unwrap();
        while projection.steps_done() < projection.steps() {
            let (n, layers, w_dim) = projection.free_shape();
            let drawn: Vec<f32> = rng.gauss_vec(n * layers * w_dim).iter().map(|x| *x as f32).collect();
            let drawn = Tensor::from_vec(drawn, (n, layers, w_dim), &Device::Cpu).unwrap();
            projection.step(&drawn, self.statistics.w_std).unwrap();
        }
        projection.w_plus().unwrap()
    }

    fn distance(&self, generator: &Generator, ws: &WPlus, target: &Tensor) -> f64 {
        let image = generator.render(ws, &Noise::Const).unwrap().affine(127.5, 127.5).unwrap();
        distances(&Pixels::MULTI_SCALE, &image, target).unwrap()[0]
    }

    fn pivot<'a>(&self, target: &Tensor, ws: &WPlus) -> Pivot<'a> {
        Pivot { perception: &Pixels::MULTI_SCALE, target: target.clone(), ws: ws.clone(), label: None }
    }
}

#[test]
fn w_plus_comes_closer_than_w_and_tuning_closer_than_both() {
    let bench = bench();
    // A face of another network, which this one cannot render.
    let target = network(2).target(5, 0.0);
    let average = WPlus::new(bench.statistics.w_avg.broadcast_as((1, 6, 16)).unwrap(), 6, 16).unwrap();
    let (w, w_plus) = (bench.search(&target, Space::W, 100), bench.search(&target, Space::WPlus, 100));
    let mut tuning =
        Tuning::new(&config(), &bench.weights, bench.pivot(&target, &w_plus), TuningConfig::PUBLISHED).unwrap();
    for _ in 0..60 {
        tuning.step(&mut RandomState::new(1)).unwrap();
    }
    let of = |generator: &Generator, ws: &WPlus| bench.distance(generator, ws, &target);
    let reached = [
        of(&bench.generator, &average),
        of(&bench.generator, &w),
        of(&bench.generator, &w_plus),
        of(tuning.generator(), &w_plus),
    ];
    assert!(reached.is_sorted_by(|closer, next| *next < 0.9 * closer), "{reached:?}");
}

#[test]
fn the_latents_of_a_rendered_face_are_found_again() {
    let bench = bench();
    let target = bench.target(7, 0.0);
    let found = bench.search(&target, Space::W, 300);
    let start = bench.distance(&bench.generator, &bench.search(&target, Space::W, 1), &target);
    let reached = bench.distance(&bench.generator, &found, &target);
    assert!(reached * 100.0 < start, "{start} at the start, {reached} at the end");
}

#[test]
fn tuning_leaves_mapping_average_noise_images_and_the_original_alone() {
    let bench = bench();
    let target = bench.target(3, 0.3);
    let ws = bench.search(&target, Space::W, 5);
    let before = bench.distance(&bench.generator, &ws, &target);
    let mut tuning =
        Tuning::new(&config(), &bench.weights, bench.pivot(&target, &ws), TuningConfig::PUBLISHED).unwrap();
    tuning.step(&mut RandomState::new(1)).unwrap();
    let tuned = tuning.weights().unwrap();
    for (layer, tensor) in bench.weights.iter() {
        let moved = (tuned.get(layer).unwrap() - tensor).unwrap().abs().unwrap().sum_all().unwrap();
        let moved = moved.to_scalar::<f32>().unwrap() > 0.0;
        let kept = match layer {
            Layer::Embed(_) | Layer::Fc(..) | Layer::WAvg => true,
            Layer::Block { term, .. } => term == Term::NoiseConst,
            Layer::Const => false,
        };
        assert_eq!(moved, !kept, "{layer}");
    }
    assert_eq!(bench.distance(&bench.generator, &ws, &target), before);
    let copy = Generator::from_weights(&config(), &tuned).unwrap();
    // The copy renders on blocked features, the one that is being tuned on tensors that remember their gradients.
    let (found, expected) = (bench.distance(&copy, &ws, &target), bench.distance(tuning.generator(), &ws, &target));
    assert!((found - expected).abs() <= 1e-5 * expected, "{found} instead of {expected}");
}

#[test]
fn locality_keeps_other_faces_closer_to_what_they_were() {
    let bench = bench();
    let target = bench.target(3, 0.5);
    let ws = bench.search(&target, Space::W, 40);
    let drift = |locality: Option<Locality>| {
        let settings = TuningConfig { locality, learning_rate: 3e-3, ..TuningConfig::PUBLISHED };
        let mut tuning = Tuning::new(&config(), &bench.weights, bench.pivot(&target, &ws), settings).unwrap();
        let mut rng = RandomState::new(1);
        for _ in 0..40 {
            tuning.step(&mut rng).unwrap();
        }
        let faces = Z::from_seeds(&[Seed(20), Seed(21), Seed(22)], 16, &Device::Cpu).unwrap();
        let others = bench.generator.map(&faces, None).unwrap().broadcast(6).unwrap();
        let was = bench.generator.render(&others, &Noise::Const).unwrap();
        let is = tuning.generator().render(&others, &Noise::Const).unwrap();
        (was - is).unwrap().sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap()
    };
    // In this small space random faces lie about as far from the pivot as the published radius.
    let kept = drift(Some(Locality { radius: 3.0, weight: 10.0 }));
    assert!(kept < 0.8 * drift(None), "{kept}");
}

#[test]
fn a_search_that_is_cut_short_still_ramps_down() {
    let bench = bench();
    let target = bench.target(3, 0.0);
    let start = Start::at_average(&config(), &bench.statistics, (1, Space::W), &mut RandomState::new(1)).unwrap();
    let schedule = Schedule::published(100);
    let mut projection = Projection::new(&bench.generator, &Pixels::MULTI_SCALE, &target, (start, schedule)).unwrap();
    let none = Tensor::zeros((1, 1, 16), candle_core::DType::F32, &Device::Cpu).unwrap();
    for _ in 0..30 {
        projection.step(&none, 0.0).unwrap();
    }
    projection.ramp_down_now();
    assert_eq!(projection.steps(), 40, "30 steps are the first three quarters of 40");
    projection.ramp_down_now();
    assert_eq!(projection.steps(), 40);
}

#[test]
fn a_target_of_another_size_is_refused() {
    let bench = bench();
    let small = Tensor::zeros((1, 3, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
    let ws = bench.search(&bench.target(1, 0.0), Space::W, 1);
    assert!(Tuning::new(&config(), &bench.weights, bench.pivot(&small, &ws), TuningConfig::PUBLISHED).is_err());
    assert!(Start::stack(&[]).is_err());
}
