//! Images per second of the paper256 generator, and its share of what the processor can do.
//!
//! `cargo bench -p toonify-networks --bench generator`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program, not the library")]

mod paper256;

use std::time::Instant;

use candle_core::Device;
use rayon::prelude::*;
use toonify_networks::latent::{Seed, Z};
use toonify_networks::ops::peak;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Arithmetic, Generator, Layer, Noise, Weights};

/// Floating-point operations a second of all threads on registers alone; the best of several rounds.
fn measured_peak() -> f64 {
    let round = || {
        let start = Instant::now();
        let threads = rayon::current_num_threads();
        let done: u64 = (0..threads)
            .into_par_iter()
            .map(|_| {
                let (flops, sum) = peak::multiply_add_loop(20_000_000);
                std::hint::black_box(sum);
                flops
            })
            .sum();
        done as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| round()).fold(0.0, f64::max)
}

/// Best and median seconds of one call.
fn seconds_of(mut call: impl FnMut()) -> (f64, f64) {
    call();
    let mut seconds: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    (seconds[0], seconds[seconds.len() / 2])
}

fn main() {
    let config = paper256::config();
    let weights = Weights::<Layer>::random(&config, &mut RandomState::new(0)).unwrap();
    let generator = Generator::from_weights(&config, &weights).unwrap();
    let peak = measured_peak();
    println!("{} threads, measured f32 peak {:.0} GFLOP/s", rayon::current_num_threads(), peak / 1e9);
    println!("paper256 generator: {:.2} GMAC an image", config.multiply_adds() as f64 / 1e9);
    println!(
        "{:>10} {:>6} {:>10} {:>10} {:>10} {:>14}",
        "arithmetic", "batch", "best ms", "median ms", "images/s", "share of peak"
    );
    for (arithmetic, batch) in [(Arithmetic::Single, 1), (Arithmetic::Single, 8), (Arithmetic::Half, 1)] {
        let generator = generator.clone().with_arithmetic(arithmetic);
        let seeds: Vec<Seed> = (0..batch).map(Seed).collect();
        let z = Z::from_seeds(&seeds, config.z_dim, &Device::Cpu).unwrap();
        let ws = generator.map(&z, None).unwrap().broadcast(config.num_ws()).unwrap();
        let (best, median) = seconds_of(|| {
            std::hint::black_box(generator.render(&ws, &Noise::Const).unwrap());
        });
        let rate = f64::from(batch) / best;
        let share = rate * 2.0 * config.multiply_adds() as f64 / peak;
        let (best, median) = (best * 1e3, median * 1e3);
        println!("{arithmetic:>10?} {batch:>6} {best:>10.1} {median:>10.1} {rate:>10.2} {:>13.1}%", share * 100.0);
    }
}
