//! Projection takes the published steps when it is given the published draws.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may fail loudly and say what they left out")]

mod support;

use candle_core::{DType, Tensor};
use support::{Golden, largest};
use toonify_networks::Result;
use toonify_networks::latent::WPlus;
use toonify_networks::projection::{Perception, Projection, Schedule, Start, WStatistics};
use toonify_networks::stylegan2::{Generator, Noise};

/// The reference run looks at pixels: features(img) = img / (255 · side).
struct Pixels;

impl Perception for Pixels {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let side = images.dim(2)? as f64;
        Ok((images.flatten_from(1)? / (255.0 * side))?)
    }
}

struct Run<'a> {
    name: &'static str,
    golden: &'a Golden,
    schedule: Schedule,
}

impl Run<'_> {
    fn get(&self, name: &str) -> Tensor {
        self.golden.get(&format!("{}.{name}", self.name))
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        self.get(name).to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    fn check(&self, generator: &Generator, statistics: &WStatistics) {
        let config = generator.config();
        let target = self.golden.get("target_u8_chw").unsqueeze(0).unwrap();
        let noise =
            (0..7).map(|index| self.get(&format!("noise_init{index}")).unsqueeze(0).unwrap().unsqueeze(0).unwrap());
        let start = Start { w: statistics.w_avg.reshape((1, 1, ())).unwrap(), noise: noise.collect() };
        let mut projection = Projection::new(generator, &Pixels, &target, (start, self.schedule)).unwrap();
        let (w_noise, w_steps) = (self.get("w_noise"), self.get("w_steps"));
        let (losses, distances, rates) = (self.numbers("loss"), self.numbers("dist"), self.numbers("lr"));
        for step in 0..self.schedule.steps {
            let rate = self.schedule.learning_rate_at(step);
            assert!((rate - rates[step]).abs() < 1e-6, "{} step {step}: learning rate {rate}", self.name);
            let drawn = w_noise.narrow(0, step, 1).unwrap().reshape((1, 1, config.w_dim)).unwrap();
            let loss = projection.step(&drawn, statistics.w_std).unwrap();
            let total = loss.distance[0] + loss.noise[0] * self.schedule.noise_regularisation;
            close(total, losses[step], "loss", self.name, step);
            close(loss.distance[0], distances[step], "distance", self.name, step);
            let w = projection.w_plus().unwrap().tensor().narrow(1, 0, 1).unwrap().reshape((1, config.w_dim)).unwrap();
            let off = largest(&(w - w_steps.narrow(0, step, 1).unwrap()).unwrap());
            assert!(off < 1e-3, "{} step {step}: w is off by {off}", self.name);
        }
        let found = projection.w_plus().unwrap();
        let image = generator
            .render(&WPlus::new(found.tensor().clone(), config.num_ws(), config.w_dim).unwrap(), &Noise::Const);
        let off = largest(&(image.unwrap() - self.get("img_final")).unwrap());
        assert!(off < 2e-3, "{}: the image is off by {off}", self.name);
    }
}

/// Within 1e-3 relative, as the published code is to itself on another code path.
fn close(found: f64, expected: f64, what: &str, run: &str, step: usize) {
    assert!((found - expected).abs() <= 1e-3 * expected.abs(), "{run} step {step}: {what} is {found}, not {expected}");
}

#[test]
fn both_reference_runs_are_followed_step_by_step() {
    let Some(folder) = support::beside("projector") else { return };
    let golden = Golden::load(&folder);
    let checkpoint = support::read(&folder.join("network.pkl"));
    let generator = Generator::from_weights(&checkpoint.config, &checkpoint.ema).unwrap();
    let statistics = WStatistics::measure(&generator, None).unwrap();
    golden.expect("w_avg_10000", &statistics.w_avg, 1e-5);
    assert!((statistics.w_std / 4.181427955627441 - 1.0).abs() < 1e-5, "{}", statistics.w_std);

    let published = Schedule::published(20);
    Run { name: "run0", golden: &golden, schedule: published }.check(&generator, &statistics);
    let slower = Schedule { steps: 50, learning_rate: 0.05, noise_regularisation: 1e4, ..published };
    Run { name: "run1", golden: &golden, schedule: slower }.check(&generator, &statistics);
}
