//! The regularisers' gradients, through whole networks in double precision: against finite differences, and against two
//! backward passes.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::process::Command;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use toonify_networks::Result;
use toonify_networks::draws::Draws;
use toonify_networks::grad::{DOUBLE_BACKWARD_VARIABLE, Dual, double_backward_is_on};
use toonify_networks::losses::{Crossover, PathLengthConfig, path_length, r1};
use toonify_networks::ops::Activation;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Discriminator, DiscriminatorConfig, DiscriminatorLayer, Generator, GeneratorConfig, Layer,
    MappingConfig, Noise, Resolution, TensorName, Weights,
};

/// Step of the central differences, and what their error and the roundings may make, relative to the result.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

type Params = BTreeMap<String, Tensor>;

fn params<L: TensorName>(weights: &Weights<L>) -> Params {
    let mut random = RandomState::new(9);
    let double = |(name, tensor): (L, &Tensor)| {
        // Away from the start, where biases are 0 and hide mistakes.
        let shift = (random.normal(tensor.dims()).unwrap() * 0.1).unwrap();
        (name.to_string(), (tensor + shift).unwrap().to_dtype(DType::F64).unwrap())
    };
    weights.iter().map(double).collect()
}

fn builder(params: &Params) -> VarBuilder<'static> {
    let named = params.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    VarBuilder::from_tensors(named, DType::F64, &Device::Cpu)
}

fn variables(params: &Params) -> (BTreeMap<String, Var>, Params) {
    let vars: BTreeMap<String, Var> =
        params.iter().map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap())).collect();
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    (vars, tensors)
}

/// The parameters, gone `step` in a fixed random direction; and that direction.
fn moved(params: &Params, step: f64) -> (Params, Params) {
    let mut random = RandomState::new(4);
    let mut direction = Params::new();
    for (name, tensor) in params {
        direction.insert(name.clone(), random.normal(tensor.dims()).unwrap().to_dtype(DType::F64).unwrap());
    }
    let there = params.iter().map(|(name, x)| (name.clone(), (x + (&direction[name] * step).unwrap()).unwrap()));
    (there.collect(), direction)
}

/// Derivative of a function of the parameters, given the gradients of a scalar that stands for it.
fn slope(vars: &BTreeMap<String, Var>, scalar: &Tensor, direction: &Params) -> f64 {
    let gradients = scalar.backward().unwrap();
    let along = |(name, var): (&String, &Var)| match gradients.get(var) {
        Some(gradient) => (gradient * &direction[name]).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap(),
        None => 0.0,
    };
    vars.iter().map(along).sum()
}

fn resolution() -> Resolution {
    Resolution::new(8).unwrap()
}

fn mapping(num_layers: usize, width: usize) -> MappingConfig {
    MappingConfig {
        num_layers,
        embed_features: width,
        layer_features: width,
        activation: Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    }
}

fn discriminator(architecture: Architecture) -> DiscriminatorConfig {
    DiscriminatorConfig {
        c_dim: 0,
        resolution: resolution(),
        img_channels: 3,
        cmap_dim: 0,
        mapping: mapping(8, 5),
        channels: Channels::from_base(64, 5, resolution()),
        architecture,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        mbstd_group_size: Some(2),
        mbstd_num_channels: 1,
        freeze_layers: 0,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    }
}

fn generator(architecture: Architecture) -> GeneratorConfig {
    GeneratorConfig {
        z_dim: 6,
        c_dim: 0,
        w_dim: 6,
        resolution: resolution(),
        img_channels: 3,
        mapping: mapping(2, 6),
        channels: Channels::from_base(64, 5, resolution()),
        architecture,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    }
}

const ARCHITECTURES: [Architecture; 3] = [Architecture::Orig, Architecture::Skip, Architecture::Resnet];

fn normal(shape: &[usize], seed: u32) -> Tensor {
    RandomState::new(seed).normal(shape).unwrap().to_dtype(DType::F64).unwrap()
}

fn judge_params(config: &DiscriminatorConfig) -> Params {
    params(&Weights::<DiscriminatorLayer>::random(config, &mut RandomState::new(1)).unwrap())
}

#[test]
fn the_gradient_of_r1_is_that_of_finite_differences() -> Result<()> {
    for architecture in ARCHITECTURES {
        let config = discriminator(architecture);
        let (images, params) = (normal(&[4, 3, 8, 8], 2), judge_params(&config));
        let penalty = |params: &Params| -> Result<f64> {
            let judge = Discriminator::new(&config, &builder(params))?;
            let score = |images: &Dual| judge.forward(images, None);
            Ok(r1(&images, score, score)?.penalty.sum_all()?.to_scalar()?)
        };
        let expected = (penalty(&moved(&params, STEP).0)? - penalty(&moved(&params, -STEP).0)?) / (2.0 * STEP);
        let (vars, tensors) = variables(&params);
        let (fixed, learning) =
            (Discriminator::new(&config, &builder(&params))?, Discriminator::new(&config, &builder(&tensors))?);
        let found = r1(&images, |x: &Dual| fixed.forward(x, None), |x: &Dual| learning.forward(x, None))?;
        let found = slope(&vars, &found.slope, &moved(&params, 0.0).1);
        assert!(expected.abs() > 1e-6, "{architecture}: the penalty depends on the weights");
        assert!((found - expected).abs() <= TOLERANCE * expected.abs(), "{architecture}: {found} {expected}");
    }
    Ok(())
}

/// The penalty's path goes through the mapping network too, and through style mixing.
#[test]
fn the_gradient_of_path_lengths_is_that_of_finite_differences() -> Result<()> {
    for architecture in ARCHITECTURES {
        let config = generator(architecture);
        let params = params(&Weights::<Layer>::random(&config, &mut RandomState::new(3)).unwrap());
        let (z, others, y) = (normal(&[3, 6], 5), normal(&[3, 6], 6), normal(&[3, 3, 8, 8], 7));
        let noise = Noise::Given([4, 8, 8].map(|r| normal(&[3, 1, r, r], r as u32).into()).to_vec());
        let ws = |net: &Generator| -> Result<Tensor> {
            let crossover = Crossover { cutoff: 2, z: others.clone() };
            let map = |z: &Tensor| net.mapping.forward(Some(&z.into()), None).map(Dual::into_value);
            let ws = map(&z)?.unsqueeze(1)?.repeat((1, config.num_ws(), 1))?;
            crossover.apply(&ws, &map(&crossover.z)?)
        };
        let run = |fixed: &Generator, learning: &Generator| {
            path_length(
                (&ws(learning)?, &y),
                (0.4, PathLengthConfig { decay: 0.2 }),
                |ws: &Dual| fixed.synthesis.forward(ws, &noise),
                |ws: &Dual| learning.synthesis.forward(ws, &noise),
            )
        };
        let penalty = |params: &Params| -> Result<f64> {
            let net = Generator::new(&config, &builder(params))?;
            Ok(run(&net, &net)?.penalty.mean_all()?.to_scalar()?)
        };
        let expected = (penalty(&moved(&params, STEP).0)? - penalty(&moved(&params, -STEP).0)?) / (2.0 * STEP);
        let (vars, tensors) = variables(&params);
        let found = run(&Generator::new(&config, &builder(&params))?, &Generator::new(&config, &builder(&tensors))?)?;
        let found = slope(&vars, &found.slope, &moved(&params, 0.0).1);
        assert!(expected.abs() > 1e-6, "{architecture}: the penalty depends on the weights");
        assert!((found - expected).abs() <= TOLERANCE * expected.abs(), "{architecture}: {found} {expected}");
    }
    Ok(())
}

/// Runs itself again with the variable that lets candle keep the graph of gradients.
#[test]
fn two_backward_passes_give_the_same_gradient() -> Result<()> {
    if !double_backward_is_on()? {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--exact", "two_backward_passes_give_the_same_gradient"];
        let status = Command::new(program).args(arguments).env(DOUBLE_BACKWARD_VARIABLE, "1").status().unwrap();
        assert!(status.success(), "two backward passes disagree");
        return Ok(());
    }
    let config = discriminator(Architecture::Resnet);
    let (images, params) = (normal(&[4, 3, 8, 8], 2), judge_params(&config));
    let (vars, tensors) = variables(&params);
    let judge = Discriminator::new(&config, &builder(&tensors))?;
    let score = |x: &Dual| judge.forward(x, None);
    let duals = r1(&images, score, score)?.slope.backward()?;
    let x = Var::from_tensor(&images)?;
    let first = judge.forward(&x.as_tensor().into(), None)?.sum_all()?.into_value().backward()?;
    let twice = first.get(&x).unwrap().sqr()?.sum_all()?.backward()?;
    for (name, var) in &vars {
        let Some(expected) = twice.get(var) else { continue };
        let found = duals.get(var).unwrap();
        let largest = |x: &Tensor| x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
        let off = largest(&(found - expected)?);
        assert!(off <= 1e-12 * largest(expected).max(1.0), "{name} is off by {off:e}");
    }
    Ok(())
}
