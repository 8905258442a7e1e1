//! Adam moves variables as PyTorch's does.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use toonify_networks::optim::{Adam, AdamConfig};

/// Learning rates and betas of the reference runs: generator and discriminator with lazy regularisation, projector.
const RUNS: [(f64, (f64, f64)); 3] =
    [(0.002, (0.0, 0.9919919678228657)), (0.0018823529411764706, (0.0, 0.9905854573074332)), (0.1, (0.9, 0.999))];

#[test]
fn six_steps_of_every_reference_run_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/ops/op_adam");
    let tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(folder.join("golden.safetensors"), &Device::Cpu).unwrap();
    for (run, (learning_rate, betas)) in RUNS.into_iter().enumerate() {
        let var = Var::from_tensor(&tensors[&format!("adam{run}_p0")]).unwrap();
        let mut adam = Adam::new(vec![var.clone()], AdamConfig { betas, eps: 1e-8 });
        for step in 0.. {
            let Some(gradient) = tensors.get(&format!("adam{run}_grad{step}")) else { break };
            let gradient = clean(gradient);
            let loss = (var.as_tensor() * &gradient).unwrap().sum_all().unwrap();
            adam.step(&loss.backward().unwrap(), learning_rate).unwrap();
            let expected: Vec<f32> = tensors[&format!("adam{run}_p{}", step + 1)].to_vec1().unwrap();
            for (found, expected) in var.to_vec1::<f32>().unwrap().into_iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "run {run}, step {step}");
            }
        }
    }
}

/// The training loop's clean-up: not-a-number to 0, infinities to ±1e5.
fn clean(gradient: &Tensor) -> Tensor {
    let numbers: Vec<f32> = gradient.to_vec1().unwrap();
    let clean = numbers.iter().map(|&g| if g.is_nan() { 0.0 } else { g.clamp(-1e5, 1e5) });
    Tensor::new(clean.collect::<Vec<f32>>(), &Device::Cpu).unwrap()
}
