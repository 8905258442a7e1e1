//! Networks with gradients, on blocked features in single precision, give what the general way gives in double precision:
//! results, gradients and gradients of gradients, with every instruction set.

#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use toonify_networks::draws::Draws;
use toonify_networks::grad::Dual;
use toonify_networks::losses::{PathLengthConfig, path_length, r1};
use toonify_networks::ops::Activation;
use toonify_networks::ops::vector::Instructions;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Discriminator, DiscriminatorConfig, DiscriminatorLayer, Generator, GeneratorConfig, Layer,
    MappingConfig, Noise, Resolution, TensorName, Weights,
};
use toonify_networks::timing;

/// Largest distance relative to the norm: roundings, and the few numbers that lie so near to a kink of an activation that
/// rounding decides.
const TOLERANCE: f64 = 1e-4;
/// The same for R1 by a bias, which it depends on through the minibatch's deviations alone: their second derivative keeps
/// single precision's roundings of what nearly cancels.
const OF_DEVIATIONS: f64 = 5e-3;
const IMAGES: usize = 4;

/// Choices of instructions hold for the whole process, so that the tests of this file take turns.
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

type Named = BTreeMap<String, Tensor>;

fn resolution() -> Resolution {
    Resolution::new(16).unwrap()
}

fn mapping() -> MappingConfig {
    MappingConfig {
        num_layers: 2,
        embed_features: 6,
        layer_features: 6,
        activation: Activation::Lrelu,
        lr_multiplier: 0.5,
        w_avg_beta: 0.995,
    }
}

/// Channels that fill no block, one, and two and a bit.
fn generator(activation: Activation, resample_filter: Vec<f32>) -> GeneratorConfig {
    GeneratorConfig {
        z_dim: 6,
        c_dim: 0,
        w_dim: 6,
        resolution: resolution(),
        img_channels: 3,
        mapping: mapping(),
        channels: Channels::from_widths(vec![37, 16, 9]),
        architecture: Architecture::Skip,
        activation,
        conv_clamp: Some(3.0),
        num_fp16_res: 0,
        use_noise: true,
        resample_filter,
    }
}

fn discriminator(activation: Activation, resample_filter: Vec<f32>) -> DiscriminatorConfig {
    DiscriminatorConfig {
        c_dim: 0,
        resolution: resolution(),
        img_channels: 3,
        cmap_dim: 0,
        mapping: mapping(),
        channels: Channels::from_widths(vec![37, 16, 9]),
        architecture: Architecture::Resnet,
        activation,
        conv_clamp: Some(3.0),
        num_fp16_res: 0,
        mbstd_group_size: Some(2),
        mbstd_num_channels: 1,
        freeze_layers: 0,
        resample_filter,
    }
}

/// Weights away from the start, where biases are 0 and hide mistakes.
fn parameters<L: TensorName>(weights: &Weights<L>) -> Named {
    let mut random = RandomState::new(9);
    let shifted = |(name, tensor): (L, &Tensor)| {
        let shift = (random.normal(tensor.dims()).unwrap() * 0.1).unwrap();
        (name.to_string(), (tensor + &shift).unwrap().to_dtype(DType::F32).unwrap())
    };
    weights.iter().map(shifted).collect()
}

/// Variables of a type, and a network's view of them, followed and not.
struct Held {
    vars: BTreeMap<String, Var>,
    dtype: DType,
}

impl Held {
    fn new(parameters: &Named, dtype: DType) -> Self {
        let var = |tensor: &Tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap();
        Held { vars: parameters.iter().map(|(name, tensor)| (name.clone(), var(tensor))).collect(), dtype }
    }

    fn builder(&self, view: impl Fn(&Var) -> Tensor) -> VarBuilder<'static> {
        let tensors = self.vars.iter().map(|(name, var)| (name.clone(), view(var))).collect();
        VarBuilder::from_tensors(tensors, self.dtype, &Device::Cpu)
    }

    fn learning(&self) -> VarBuilder<'static> {
        self.builder(|var| var.as_tensor().clone())
    }

    fn fixed(&self) -> VarBuilder<'static> {
        self.builder(Var::as_detached_tensor)
    }

    /// Gradients of a scalar by all variables that it depends on.
    fn gradients(&self, scalar: &Tensor, found: &mut Named, of: &str) {
        let gradients = scalar.backward().unwrap();
        for (name, var) in &self.vars {
            if let Some(gradient) = gradients.get(var) {
                found.insert(format!("{of} by {name}"), gradient.detach());
            }
        }
    }
}

fn draw(shape: &[usize], seed: u32, dtype: DType) -> Tensor {
    let numbers = RandomState::new(seed).gauss_vec(shape.iter().product());
    let single = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    single.to_dtype(dtype).unwrap()
}

/// Everything that training asks of a generator.
fn of_generator(config: &GeneratorConfig, parameters: &Named, dtype: DType) -> Named {
    let held = Held::new(parameters, dtype);
    let learning = Generator::new(config, &held.learning()).unwrap();
    let fixed = Generator::new(config, &held.fixed()).unwrap();
    let mut found = Named::new();
    let noise = |seed: u32| {
        let image = |(i, px): (usize, usize)| draw(&[IMAGES, 1, px, px], seed + i as u32, dtype).into();
        Noise::Given([4, 8, 8, 16, 16].into_iter().enumerate().map(image).collect())
    };
    let y = draw(&[IMAGES, 3, 16, 16], 50, dtype);
    let ws = || {
        let z = draw(&[IMAGES, config.z_dim], 51, dtype);
        let w = learning.mapping.forward(Some(&Dual::from(z)), None).unwrap().into_value();
        w.unsqueeze(1).unwrap().repeat((1, config.num_ws(), 1)).unwrap()
    };
    for (of, noise) in [("image", noise(60)), ("image with constant noise", Noise::Const), ("bare", Noise::None)] {
        let image = learning.synthesis.forward(&ws().into(), &noise).unwrap().into_value();
        held.gradients(&(&image * &y).unwrap().sum_all().unwrap(), &mut found, of);
        found.insert(of.to_owned(), image.detach());
    }
    let noise = noise(70);
    let paths = path_length(
        (&ws(), &y),
        (0.5, PathLengthConfig::PUBLISHED),
        |ws: &Dual| fixed.synthesis.forward(ws, &noise),
        |ws: &Dual| learning.synthesis.forward(ws, &noise),
    );
    let paths = paths.unwrap();
    held.gradients(&paths.slope, &mut found, "path length");
    found.insert("path length".to_owned(), paths.penalty);
    found
}

/// Everything that training asks of a discriminator.
fn of_discriminator(config: &DiscriminatorConfig, parameters: &Named, dtype: DType) -> Named {
    let held = Held::new(parameters, dtype);
    let learning = Discriminator::new(config, &held.learning()).unwrap();
    let fixed = Discriminator::new(config, &held.fixed()).unwrap();
    let mut found = Named::new();
    let images = Var::from_tensor(&draw(&[IMAGES, 3, 16, 16], 80, dtype)).unwrap();
    let logits = learning.forward(&images.as_tensor().into(), None).unwrap().into_value();
    held.gradients(&logits.sum_all().unwrap(), &mut found, "logit");
    let by_images = fixed.forward(&images.as_tensor().into(), None).unwrap().into_value().sum_all().unwrap();
    found.insert("logit by images".to_owned(), by_images.backward().unwrap().get(&images).unwrap().detach());
    found.insert("logit".to_owned(), logits.detach());
    let flat = r1(
        &images.as_detached_tensor(),
        |images: &Dual| fixed.forward(images, None),
        |images: &Dual| learning.forward(images, None),
    );
    let flat = flat.unwrap();
    held.gradients(&flat.slope, &mut found, "R1");
    found.insert("R1".to_owned(), flat.penalty);
    found
}

fn norm(tensor: &Tensor) -> f64 {
    tensor.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt()
}

fn compare(found: &Named, exact: &Named, setting: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), exact.keys().collect::<Vec<_>>(), "{setting}");
    for (name, exact) in exact {
        let found = found[name].to_dtype(DType::F64).unwrap();
        let off = norm(&(&found - exact).unwrap()) / norm(exact).max(1e-9);
        let by_deviations = name.starts_with("R1 by") && name.ends_with("bias");
        let tolerance = if by_deviations { OF_DEVIATIONS } else { TOLERANCE };
        assert!(off < tolerance, "{setting}, {name}: off by {off:e} of {:e}", norm(exact));
    }
}

#[test]
fn training_on_blocks_equals_the_general_way_in_double_precision() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    timing::switch_on();
    let cases = [
        (Activation::Lrelu, vec![1.0, 3.0, 3.5, 1.5]),
        (Activation::Relu, vec![1.0, 2.0, 1.0]),
        (Activation::Linear, vec![1.0, 3.0, 3.0, 1.0]),
    ];
    for (activation, filter) in cases {
        let (g, d) = (generator(activation, filter.clone()), discriminator(activation, filter));
        let of_g = parameters(&Weights::<Layer>::random(&g, &mut RandomState::new(1)).unwrap());
        let of_d = parameters(&Weights::<DiscriminatorLayer>::random(&d, &mut RandomState::new(2)).unwrap());
        let exact_g = of_generator(&g, &of_g, DType::F64);
        let exact_d = of_discriminator(&d, &of_d, DType::F64);
        for instructions in [Instructions::Widest, Instructions::Avx2, Instructions::Portable] {
            instructions.choose();
            drop(timing::take());
            let (found_g, found_d) = (of_generator(&g, &of_g, DType::F32), of_discriminator(&d, &of_d, DType::F32));
            let rows = timing::take();
            Instructions::default().choose();
            let blocked = |row: &timing::Row| ["growing convolution", "shrinking convolution"].contains(&row.operator);
            assert_eq!(rows.iter().filter(|row| blocked(row)).count(), 2, "both networks compute on blocks: {rows:?}");
            compare(&found_g, &exact_g, &format!("{activation:?} generator with {instructions:?}"));
            compare(&found_d, &exact_d, &format!("{activation:?} discriminator with {instructions:?}"));
        }
    }
}

#[test]
fn training_on_blocks_repeats_to_the_bit() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let g = generator(Activation::Lrelu, vec![1.0, 3.0, 3.0, 1.0]);
    let of_g = parameters(&Weights::<Layer>::random(&g, &mut RandomState::new(1)).unwrap());
    let bits = |named: Named| -> Vec<Vec<u32>> {
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        named.values().map(|tensor| numbers(tensor).into_iter().map(f32::to_bits).collect()).collect()
    };
    let first = bits(of_generator(&g, &of_g, DType::F32));
    for _ in 0..3 {
        assert_eq!(first, bits(of_generator(&g, &of_g, DType::F32)));
    }
}
