//! The parts of a training step, and which operators they spend their time in.
//!
//! `cargo bench -p toonify-networks --bench training [-- RESOLUTION CHANNEL_BASE CHANNEL_MAX BATCH]`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program, not the library")]

use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use toonify_networks::grad::Dual;
use toonify_networks::ops::Activation;
use toonify_networks::optim::{AdamConfig, Learner};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Discriminator, DiscriminatorConfig, DiscriminatorLayer, Generator, GeneratorConfig, Layer,
    MappingConfig, Noise, Resolution, TensorName, Weights,
};
use toonify_networks::timing;

/// Repetitions of each part, of which the fastest counts.
const REPETITIONS: usize = 5;

/// What is trained: side in pixels, `channel_base`, `channel_max` and the batch.
struct Setting {
    resolution: Resolution,
    channels: Channels,
    batch: usize,
}

impl Setting {
    fn from_arguments() -> Self {
        let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
        let [px, base, max, batch] = numbers.try_into().unwrap_or([64, 16384, 512, 8]);
        let resolution = Resolution::new(px).unwrap();
        Setting { resolution, channels: Channels::from_base(base, max, resolution), batch }
    }

    fn mapping(&self) -> MappingConfig {
        MappingConfig {
            num_layers: 2,
            embed_features: 0,
            layer_features: 512,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        }
    }

    fn generator(&self) -> GeneratorConfig {
        GeneratorConfig {
            z_dim: 512,
            c_dim: 0,
            w_dim: 512,
            resolution: self.resolution,
            img_channels: 3,
            mapping: self.mapping(),
            channels: self.channels.clone(),
            architecture: Architecture::Skip,
            activation: Activation::Lrelu,
            conv_clamp: Some(256.0),
            num_fp16_res: 4,
            use_noise: true,
            resample_filter: vec![1.0, 3.0, 3.0, 1.0],
        }
    }

    fn discriminator(&self) -> DiscriminatorConfig {
        DiscriminatorConfig {
            c_dim: 0,
            resolution: self.resolution,
            img_channels: 3,
            cmap_dim: 0,
            mapping: self.mapping(),
            channels: self.channels.clone(),
            architecture: Architecture::Resnet,
            activation: Activation::Lrelu,
            conv_clamp: Some(256.0),
            num_fp16_res: 4,
            mbstd_group_size: Some(4),
            mbstd_num_channels: 1,
            freeze_layers: 0,
            resample_filter: vec![1.0, 3.0, 3.0, 1.0],
        }
    }
}

/// The same network with a gradient for every parameter, and who gathers them.
fn trainable<L: TensorName + Copy>(config: &L::Config, weights: &Weights<L>) -> (Weights<L>, Learner) {
    let mut vars = Vec::new();
    let learning = Weights::build(config, |name, _| {
        let var = Var::from_tensor(weights.get(name).unwrap())?;
        vars.push(var.clone());
        Ok(var.as_tensor().clone())
    });
    (learning.unwrap(), Learner::new(vars, AdamConfig::DEFAULT, 0.0))
}

fn draw(rng: &mut RandomState, shape: &[usize]) -> Tensor {
    let numbers = rng.gauss_vec(shape.iter().product());
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()
}

/// The fastest of some calls in seconds, and where the time of all of them went.
fn measure(name: &str, mut call: impl FnMut()) -> f64 {
    call();
    drop(timing::take());
    let seconds = (0..REPETITIONS).map(|_| {
        let start = Instant::now();
        call();
        start.elapsed().as_secs_f64()
    });
    let seconds: Vec<f64> = seconds.collect();
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    println!("{name}: {:.1} ms (mean {:.1})", best * 1e3, seconds.iter().sum::<f64>() / seconds.len() as f64 * 1e3);
    for row in timing::take() {
        let ms = row.seconds * 1e3 / REPETITIONS as f64;
        let rate = row.operations as f64 / row.seconds / 1e9;
        println!(
            "    {:<34} {:>5} calls {ms:>9.1} ms {rate:>8.0} GFLOP/s",
            row.operator,
            row.calls / REPETITIONS as u64
        );
    }
    best
}

fn main() {
    let setting = Setting::from_arguments();
    let rng = &mut RandomState::new(0);
    let (g, d) = (setting.generator(), setting.discriminator());
    let generator = Weights::<Layer>::random(&g, rng).unwrap();
    let (generator, mut learner) = trainable(&g, &generator);
    let generator = Generator::from_weights(&g, &generator).unwrap();
    let discriminator = Weights::<DiscriminatorLayer>::random(&d, rng).unwrap();
    let fixed_judge = Discriminator::from_weights(&d, &discriminator).unwrap();
    let (judge, mut judges_learner) = trainable(&d, &discriminator);
    let judge = Discriminator::from_weights(&d, &judge).unwrap();
    timing::switch_on();

    let (n, r) = (setting.batch, setting.resolution.px());
    let image = draw(rng, &[n, 3, r, r]);
    let z = Dual::from(draw(rng, &[n, g.z_dim]));
    let fakes = |n: usize| {
        let w = generator.mapping.forward(Some(&z.narrow(0, 0, n).unwrap()), None).unwrap();
        let ws = w.linear(|w| w.unsqueeze(1)?.broadcast_as((n, g.num_ws(), g.w_dim))?.contiguous()).unwrap();
        generator.synthesis.forward(&ws, &Noise::Const).unwrap()
    };
    println!("{} threads, {r} px, batch {n}", rayon::current_num_threads());
    let g_main = measure("generator", || {
        let logits = fixed_judge.forward(&fakes(n), None).unwrap();
        learner.backward(logits.softplus().unwrap().sum_all().unwrap().value()).unwrap();
    });
    let d_main = measure("discriminator, real or fake", || {
        let logits = judge.forward(&Dual::from(&image), None).unwrap();
        judges_learner.backward(logits.softplus().unwrap().sum_all().unwrap().value()).unwrap();
    });
    let r1 = measure("R1", || {
        let dual = Dual::with_tangent(image.clone(), image.clone()).unwrap();
        let logits = judge.forward(&dual, None).unwrap();
        judges_learner.backward(&logits.tangent().unwrap().sum_all().unwrap()).unwrap();
    });
    let optimisers = measure("optimisers", || {
        learner.step().unwrap();
        judges_learner.step().unwrap();
    });
    let lazily = optimisers + g_main + 2.0 * d_main + r1 / 16.0;
    println!("without path length: {lazily:.3} s a step, {:.0} s a thousand images", lazily * 1e3 / n as f64);
}
