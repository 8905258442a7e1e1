//! A step of a projection with the published `paper256` generator and VGG16, and which operators it spends its time in.
//!
//! `cargo bench -p toonify-networks --bench projection [-- STEPS]`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program, not the library")]

mod paper256;

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::Tensor;
use toonify_networks::draws::Draws;
use toonify_networks::perceptual::{LinearWeights, Lpips, Vgg16};
use toonify_networks::projection::{Projection, Schedule, Space, Start, WStatistics};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, Layer, Weights};
use toonify_networks::timing;

/// VGG16 with random kernels that keep the size of what passes.
fn random_vgg16(rng: &mut RandomState) -> Vgg16 {
    let widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512];
    let numbers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let (mut tensors, mut inputs) = (BTreeMap::new(), 3);
    for (number, outputs) in numbers.into_iter().zip(widths) {
        let gain = (inputs as f64 * 4.5).powf(-0.5);
        let weight = rng.normal(&[outputs, inputs, 3, 3]).unwrap().affine(gain, 0.0).unwrap();
        tensors.insert(format!("features.{number}.weight"), weight);
        tensors.insert(format!("features.{number}.bias"), rng.normal(&[outputs]).unwrap().affine(0.1, 0.0).unwrap());
        inputs = outputs;
    }
    Vgg16::from_tensors(tensors).unwrap()
}

fn main() {
    // As the command line does: one pool of threads, to which this one belongs.
    // SAFETY: no other thread has been started.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global().unwrap();
    measure();
}

fn measure() {
    let steps = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(15);
    let (config, rng) = (paper256::config(), &mut RandomState::new(1));
    let weights = Weights::<Layer>::random(&config, &mut RandomState::new(0)).unwrap();
    let generator = Generator::from_weights(&config, &weights).unwrap();
    let linear = LinearWeights::by_layer(&[64, 128, 256, 512, 512], &[1.0; 5]).unwrap();
    let eyes = Lpips::new(Box::new(random_vgg16(rng)), linear).unwrap();
    let statistics = WStatistics { w_avg: generator.w_avg().clone(), w_std: 10.0 };
    let start = Start::at_average(&config, &statistics, (1, Space::W), rng).unwrap();
    let target: Tensor = rng.normal(&[1, 3, 256, 256]).unwrap().affine(50.0, 127.5).unwrap();
    let schedule = Schedule::published(steps + 2);
    let mut projection = Projection::new(&generator, &eyes, &target, (start, schedule)).unwrap();
    let w_noise = rng.normal(&[1, 1, config.w_dim]).unwrap();
    let mut step = || projection.step(&w_noise, statistics.w_std).unwrap();

    step();
    timing::switch_on();
    timing::take();
    let mut seconds = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        let loss = step();
        seconds.push(start.elapsed().as_secs_f64());
        if seconds.len() == steps {
            println!("last distance {:?}", loss.distance);
        }
    }
    let rows = timing::take();
    let (all, known) = (seconds.iter().sum::<f64>(), rows.iter().map(|row| row.seconds).sum::<f64>());
    for row in rows {
        let ms = 1e3 / steps as f64 * row.seconds;
        println!("{:36} {:5} {ms:8.2} ms", row.operator, row.calls / steps as u64);
    }
    println!("{:36} {:5} {:8.2} ms", "outside operators", "", 1e3 / steps as f64 * (all - known));
    seconds.sort_by(f64::total_cmp);
    println!("a step: best {:.1} ms, median {:.1} ms", 1e3 * seconds[0], 1e3 * seconds[steps / 2]);
}
