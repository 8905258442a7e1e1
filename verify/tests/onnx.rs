//! Our ONNX files, run by tract, give what our own networks give.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use candle_core::{Device, Tensor};
use toonify_networks::grad::Dual;
use toonify_networks::latent::{Truncation, WPlus, Z};
use toonify_networks::onnx::{self, Graph, Size, Storage};
use toonify_networks::pix2pix::layer::Part;
use toonify_networks::pix2pix::{BlockKind, Student, StudentConfig, StudentLayer};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Generator, GeneratorConfig, Layer, MappingConfig, Noise, Resolution, Term, Weights,
};
use toonify_verify::Input;

fn noise(shape: &[usize], seed: u32) -> Tensor {
    let drawn = RandomState::new(seed).gauss_vec(shape.iter().product());
    Tensor::from_vec(drawn.iter().map(|number| *number as f32).collect(), shape, &Device::Cpu).unwrap()
}

/// Runs a file on `inputs` in tract.
fn run(graph: Graph, inputs: &[&Tensor]) -> Vec<f32> {
    let input = |tensor: &&Tensor| Input {
        shape: tensor.dims().to_vec(),
        numbers: tensor.flatten_all().unwrap().to_vec1().unwrap(),
    };
    toonify_verify::run(&graph.into_bytes(), &inputs.iter().map(input).collect::<Vec<_>>()).unwrap()
}

#[track_caller]
fn check(found: &[f32], expected: &Tensor, tolerance: f32) {
    let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.len(), expected.len());
    let spread = expected.iter().map(|number| number.abs()).sum::<f32>() / expected.len() as f32;
    assert!(spread > 1e-2, "the expected numbers are all but zero");
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "off by {worst}");
}

fn student_of(block: BlockKind, img_channels: usize) -> (StudentConfig, Weights<StudentLayer>) {
    let (fine_width, coarse_width, exit_width) = (6, 10, 3);
    let config =
        StudentConfig { img_channels, fine_width, coarse_width, fine_blocks: 1, coarse_blocks: 2, exit_width, block };
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).unwrap();
    // Biases are 0 in a fresh student, which would hide a lost one.
    let biased = |layer: StudentLayer, shape: &[usize]| match layer.part {
        Part::Bias => Ok((noise(shape, 9) * 0.1)?),
        Part::Depthwise | Part::Weight => Ok(weights.get(layer).unwrap().clone()),
    };
    let weights = Weights::build(&config, biased).unwrap();
    (config, weights)
}

fn expected_picture(config: &StudentConfig, weights: &Weights<StudentLayer>, photo: &Tensor) -> Tensor {
    let student = Student::from_weights(config, weights).unwrap();
    student.forward(&Dual::from(photo)).unwrap().into_value().clamp(-1f32, 1f32).unwrap()
}

#[test]
fn a_students_file_translates_as_the_student_does() {
    for (block, channels) in [(BlockKind::Plain, 3), (BlockKind::Separable, 3), (BlockKind::Plain, 4)] {
        let (config, weights) = student_of(block, channels);
        let photo = (noise(&[1, channels, 24, 32], 2) * 0.5).unwrap();
        let expected = expected_picture(&config, &weights, &photo);
        let graph = onnx::student(&config, &weights, Size::Fixed(24, 32), Storage::Single).unwrap();
        check(&run(graph, &[&photo]), &expected, 1e-5);
    }
}

#[test]
fn a_students_file_of_any_size_takes_any_size() {
    let (config, weights) = student_of(BlockKind::Plain, 3);
    for shape in [[1, 3, 8, 8], [2, 3, 16, 40]] {
        let photo = (noise(&shape, 2) * 0.5).unwrap();
        let expected = expected_picture(&config, &weights, &photo);
        let graph = onnx::student(&config, &weights, Size::Dynamic, Storage::Single).unwrap();
        check(&run(graph, &[&photo]), &expected, 1e-5);
    }
}

#[test]
fn half_precision_keeps_three_digits() {
    let (config, weights) = student_of(BlockKind::Plain, 3);
    let photo = (noise(&[1, 3, 24, 32], 2) * 0.5).unwrap();
    let expected = expected_picture(&config, &weights, &photo);
    let graph = onnx::student(&config, &weights, Size::Dynamic, Storage::Half).unwrap();
    check(&run(graph, &[&photo]), &expected, 5e-3);
}

#[test]
fn sizes_that_the_student_cannot_halve_are_refused() {
    let (config, weights) = student_of(BlockKind::Plain, 3);
    for size in [Size::Fixed(20, 32), Size::Fixed(0, 8), Size::Fixed(8, 250)] {
        assert!(onnx::student(&config, &weights, size, Storage::Single).is_err());
    }
}

fn generator_of(architecture: Architecture, c_dim: usize) -> (GeneratorConfig, Weights<Layer>) {
    let resolution = Resolution::new(16).unwrap();
    let mapping = MappingConfig {
        num_layers: 2,
        embed_features: 5,
        layer_features: 7,
        activation: toonify_networks::ops::Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    };
    let config = GeneratorConfig {
        z_dim: 6,
        c_dim,
        w_dim: 8,
        resolution,
        img_channels: 3,
        mapping,
        channels: Channels::from_widths(vec![6, 5, 4]),
        architecture,
        activation: toonify_networks::ops::Activation::Lrelu,
        conv_clamp: Some(2.0),
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let weights = Weights::<Layer>::random(&config, &mut RandomState::new(3)).unwrap();
    let livelier = |layer: Layer, shape: &[usize]| match layer {
        Layer::Block { term: Term::Bias | Term::NoiseStrength, .. } | Layer::WAvg | Layer::Fc(_, Term::Bias) => {
            Ok((noise(shape, 9) * 0.3)?)
        }
        _ => Ok(weights.get(layer).unwrap().clone()),
    };
    let weights = Weights::build(&config, livelier).unwrap();
    (config, weights)
}

#[test]
fn a_generators_file_renders_as_the_generator_does() {
    for architecture in [Architecture::Skip, Architecture::Resnet, Architecture::Orig] {
        let (config, weights) = generator_of(architecture, 0);
        let ws = noise(&[2, config.num_ws(), config.w_dim], 4);
        let generator = Generator::from_weights(&config, &weights).unwrap();
        let expected =
            generator.render(&WPlus::new(ws.clone(), config.num_ws(), config.w_dim).unwrap(), &Noise::Const).unwrap();
        let graph = onnx::synthesis(&config, &weights, Storage::Single).unwrap();
        check(&run(graph, &[&ws]), &expected.clamp(-1f32, 1f32).unwrap(), 2e-5);
    }
}

#[test]
fn longer_resampling_filters_are_written_down_too() {
    for taps in [vec![1.0, 1.0], vec![1.0, 2.0, 1.0], vec![1.0, 2.0, 5.0, 4.0, 3.0]] {
        let (config, weights) = generator_of(Architecture::Skip, 0);
        let config = GeneratorConfig { resample_filter: taps, ..config };
        let ws = noise(&[1, config.num_ws(), config.w_dim], 4);
        let generator = Generator::from_weights(&config, &weights).unwrap();
        let expected =
            generator.render(&WPlus::new(ws.clone(), config.num_ws(), config.w_dim).unwrap(), &Noise::Const).unwrap();
        let graph = onnx::synthesis(&config, &weights, Storage::Single).unwrap();
        check(&run(graph, &[&ws]), &expected.clamp(-1f32, 1f32).unwrap(), 2e-5);
    }
}

#[test]
fn a_mappings_file_maps_and_truncates_as_the_generator_does() {
    for (c_dim, truncation) in [(0, Truncation::NONE), (4, Truncation { psi: 0.6, cutoff: Some(2) })] {
        let (config, weights) = generator_of(Architecture::Skip, c_dim);
        let (z, label) = (noise(&[3, config.z_dim], 5), noise(&[3, c_dim.max(1)], 6));
        let label = (c_dim > 0).then_some(&label);
        let generator = Generator::from_weights(&config, &weights).unwrap();
        let w = generator.map(&Z::new(z.clone(), config.z_dim).unwrap(), label).unwrap();
        let expected = w.broadcast(config.num_ws()).unwrap().truncate(generator.w_avg(), &truncation).unwrap();
        let graph = onnx::mapping(&config, &weights, &truncation, Storage::Single).unwrap();
        let inputs: Vec<&Tensor> = std::iter::once(&z).chain(label).collect();
        check(&run(graph, &inputs), expected.tensor(), 1e-5);
    }
}
