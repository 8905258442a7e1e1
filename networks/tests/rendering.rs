//! Rendering without gradients, on blocked features, gives what the general way gives.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use candle_core::{Device, Tensor, Var};
use toonify_networks::grad::Dual;
use toonify_networks::ops::Activation;
use toonify_networks::ops::conv::Method;
use toonify_networks::ops::vector::Instructions;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Generator, GeneratorConfig, Layer, MappingConfig, Noise, Resolution, Term, Weights,
};

/// Channels that fill no block, and one that fills two and a bit.
fn config(activation: Activation, side: usize) -> GeneratorConfig {
    GeneratorConfig {
        z_dim: 8,
        c_dim: 0,
        w_dim: 8,
        resolution: Resolution::new(side).unwrap(),
        img_channels: 3,
        mapping: MappingConfig {
            num_layers: 1,
            embed_features: 0,
            layer_features: 8,
            activation: Activation::Lrelu,
            lr_multiplier: 0.01,
            w_avg_beta: 0.995,
        },
        channels: Channels::from_widths([40, 37, 33, 34, 36, 33, 17][..side.ilog2() as usize - 1].to_vec()),
        architecture: Architecture::Skip,
        activation,
        conv_clamp: Some(3.0),
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.5, 1.5],
    }
}

/// Random weights in which noise and biases count.
fn generator(config: &GeneratorConfig) -> Generator {
    let rng = &mut RandomState::new(1);
    let fresh = Weights::<Layer>::random(config, rng).unwrap();
    let weights = Weights::build(config, |layer, shape| match layer {
        Layer::Block { term: Term::NoiseStrength | Term::Bias, .. } => {
            let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.gauss() as f32 * 0.3).collect();
            Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
        }
        _ => Ok(fresh.get(layer).unwrap().clone()),
    });
    Generator::from_weights(config, &weights.unwrap()).unwrap()
}

#[test]
fn rendering_equals_the_general_way() {
    let rng = &mut RandomState::new(2);
    for (activation, side, n) in [
        (Activation::Lrelu, 128, 1),
        (Activation::Relu, 128, 3),
        (Activation::Linear, 64, 2),
        (Activation::Swish, 64, 1),
        (Activation::Lrelu, 256, 1),
    ] {
        let config = config(activation, side);
        let generator = generator(&config);
        let drawn: Vec<f32> = (0..n * config.num_ws() * 8).map(|_| rng.gauss() as f32).collect();
        let ws = Tensor::from_vec(drawn, (n, config.num_ws(), 8), &Device::Cpu).unwrap();
        let given = Noise::random(&config, n, rng, &Device::Cpu).unwrap();
        for noise in [Noise::Const, Noise::None, given] {
            let followed = Var::from_tensor(&ws).unwrap();
            let general = generator.synthesis.forward(&Dual::from(followed.as_tensor()), &noise).unwrap().into_value();
            for (method, instructions) in [
                (Method::Paired, Instructions::Widest),
                (Method::Paired, Instructions::Avx2),
                (Method::Paired, Instructions::Portable),
                (Method::Unpaired, Instructions::Widest),
                (Method::Direct, Instructions::Widest),
            ] {
                method.choose();
                instructions.choose();
                let fast = generator.synthesis.forward(&Dual::from(&ws), &noise).unwrap().into_value();
                Method::default().choose();
                Instructions::default().choose();
                let off = (&fast - &general).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                let size = general.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                // Of largest numbers; rounding adds up through as many as 14 layers, and in pairs it is somewhat larger.
                assert!(
                    off < 2e-5 * size,
                    "{activation:?} at {side} px by {method:?}, {instructions:?}: off by {off} of {size}"
                );
                assert!(!fast.track_op(), "nobody follows what is rendered");
            }
        }
    }
}
