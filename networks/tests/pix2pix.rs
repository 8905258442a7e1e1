//! The student and its discriminator: shapes, odd sizes, gradients against finite differences, and files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use toonify_networks::checkpoint::Precision;
use toonify_networks::grad::Dual;
use toonify_networks::pix2pix::*;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{TensorName, Weights};

fn tiny(block: BlockKind) -> StudentConfig {
    StudentConfig {
        img_channels: 4,
        fine_width: 3,
        coarse_width: 5,
        fine_blocks: 1,
        coarse_blocks: 1,
        exit_width: 2,
        block,
    }
}

fn noise(shape: &[usize], seed: u32) -> Tensor {
    let numbers = RandomState::new(seed).gauss_vec(shape.iter().product());
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

/// Weights in double precision that training could move.
fn vars<L: TensorName>(weights: &Weights<L>) -> HashMap<String, Var> {
    let double = |tensor: &Tensor| Var::from_tensor(&tensor.to_dtype(DType::F64).unwrap()).unwrap();
    weights.iter().map(|(layer, tensor)| (layer.to_string(), double(tensor))).collect()
}

fn builder(vars: &HashMap<String, Var>) -> VarBuilder<'static> {
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu)
}

/// Compares the gradient of `loss` along a random direction of every tensor with a central difference. The directions are
/// the same in every run: now and then a number lies so close to a kink that a difference straddles it, and no test should
/// fail by the dice.
fn check_gradients(vars: &HashMap<String, Var>, loss: impl Fn(&VarBuilder<'_>) -> Tensor) {
    let gradients = loss(&builder(vars)).backward().unwrap();
    let step = 1e-6;
    let sorted: BTreeMap<_, _> = vars.iter().collect();
    for (seed, (name, var)) in sorted.into_iter().enumerate() {
        let direction = noise(var.dims(), seed as u32);
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let expected = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let start = var.as_tensor().copy().unwrap();
        let at = |offset: f64| {
            var.set(&(&start + (&direction * offset).unwrap()).unwrap()).unwrap();
            let value = loss(&builder(vars)).to_scalar::<f64>().unwrap();
            var.set(&start).unwrap();
            value
        };
        let found = (at(step) - at(-step)) / (2.0 * step);
        assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{name}: {found} instead of {expected}");
    }
}

#[test]
fn the_students_gradients_are_finite_differences() {
    for block in [BlockKind::Plain, BlockKind::Separable] {
        let config = tiny(block);
        let vars = vars(&Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).unwrap());
        let (photo, direction) = (noise(&[2, 4, 16, 24], 2), noise(&[2, 3, 16, 24], 3));
        check_gradients(&vars, |vb| {
            let picture = Student::new(&config, vb).unwrap().forward(&Dual::from(&photo)).unwrap().into_value();
            (picture * &direction).unwrap().sum_all().unwrap()
        });
    }
}

#[test]
fn the_discriminators_gradients_are_finite_differences() {
    let config = PatchConfig { img_channels: 5, width: 2, shrinking: 2 };
    let weights = Weights::<PatchLayer>::random(&config, &mut RandomState::new(1)).unwrap();
    // Larger than a training begins with, so that the normalisation is not all there is.
    let weights = Weights::build(&config, |layer, _| Ok((weights.get(layer).unwrap() * 10.0)?)).unwrap();
    let vars = vars(&weights);
    let (photo, picture) = (noise(&[2, 2, 24, 32], 2), noise(&[2, 3, 24, 32], 3));
    check_gradients(&vars, |vb| {
        let net = PatchDiscriminator::new(&config, vb).unwrap();
        let opinion = net.judge(&Dual::from(&photo), &Dual::from(&picture)).unwrap();
        assert_eq!(opinion.features.len(), 3);
        let features = opinion.features[1].value().sqr().unwrap().sum_all().unwrap();
        (opinion.logits.value().sqr().unwrap().sum_all().unwrap() + features).unwrap()
    });
}

#[test]
fn images_of_any_size_keep_it() {
    let config = tiny(BlockKind::Plain);
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).unwrap();
    let student = Student::from_weights(&config, &weights).unwrap();
    for (h, w) in [(1, 1), (8, 8), (7, 9), (23, 16), (33, 40)] {
        let photo = noise(&[2, 4, h, w], 5).to_dtype(DType::F32).unwrap();
        assert_eq!(student.forward(&Dual::from(&photo)).unwrap().dims(), [2, 3, h, w]);
    }
    let empty = Tensor::zeros((0, 4, 8, 8), DType::F32, &Device::Cpu).unwrap();
    assert!(student.forward(&Dual::from(&empty)).is_err());
    let colours_only = noise(&[1, 3, 8, 8], 5).to_dtype(DType::F32).unwrap();
    assert!(student.forward(&Dual::from(&colours_only)).is_err());
}

#[test]
fn padding_does_not_change_what_is_far_from_it() {
    let config = StudentConfig { coarse_blocks: 0, ..tiny(BlockKind::Plain) };
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).unwrap();
    let student = Student::from_weights(&config, &weights).unwrap();
    let photo = noise(&[1, 4, 128, 128], 5).to_dtype(DType::F32).unwrap();
    let whole = student.forward(&Dual::from(&photo)).unwrap().into_value();
    let cut = student.forward(&Dual::from(photo.narrow(2, 0, 125).unwrap())).unwrap().into_value();
    let corner = |x: &Tensor| x.narrow(2, 0, 64).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(corner(&whole), corner(&cut));
}

#[test]
fn a_patch_is_as_large_as_the_paper_says() {
    assert_eq!(PatchConfig::published(6).patch_px(), 70);
    assert_eq!(PatchConfig { shrinking: 1, ..PatchConfig::published(6) }.patch_px(), 16);
    assert_eq!(PatchConfig { shrinking: 5, ..PatchConfig::published(6) }.patch_px(), 286);
}

fn file() -> StudentFile {
    let (config, patch) = (tiny(BlockKind::Separable), PatchConfig { img_channels: 7, width: 2, shrinking: 1 });
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1)).unwrap();
    let discriminator = Weights::<PatchLayer>::random(&patch, &mut RandomState::new(2)).unwrap();
    let history = StudentHistory { resolution_px: Some(256), kimg: 1.5, notes: vec!["512 pairs".to_owned()] };
    StudentFile { config, weights, discriminator: Some((patch, discriminator)), history }
}

fn numbers<L: TensorName>(weights: &Weights<L>) -> Vec<Vec<f32>> {
    weights.iter().map(|(_, tensor)| tensor.flatten_all().unwrap().to_vec1().unwrap()).collect()
}

#[test]
fn a_file_gives_back_what_was_written() {
    let file = file();
    let bytes = write_student(&file, Precision::Single).unwrap();
    assert!(is_student(&bytes));
    let read = read_student(&bytes).unwrap();
    assert_eq!((&read.config, &read.history), (&file.config, &file.history));
    assert_eq!(numbers(&read.weights), numbers(&file.weights));
    let ((config, weights), (expected, patch)) = (read.discriminator.unwrap(), file.discriminator.clone().unwrap());
    assert_eq!(config, expected);
    assert_eq!(numbers(&weights), numbers(&patch));

    let half = read_student(&write_student(&file, Precision::Half).unwrap()).unwrap();
    for (found, expected) in numbers(&half.weights).concat().iter().zip(numbers(&file.weights).concat()) {
        assert!((found - expected).abs() <= 1e-3 * expected.abs() + 1e-7, "{found} instead of {expected}");
    }
}

#[test]
fn damaged_files_are_refused() {
    let bytes = write_student(&file(), Precision::Single).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        assert!(read_student(&bytes[..length]).is_err(), "{length} bytes");
    }
    let mut header_changed = bytes.clone();
    let place = bytes.windows(12).position(|window| window == b"\"kind\":\"stud").unwrap();
    header_changed[place + 8] = b'S';
    assert!(read_student(&header_changed).is_err());
}

#[test]
fn a_checkpoint_reader_says_what_a_student_is() {
    let bytes = write_student(&file(), Precision::Single).unwrap();
    let error = toonify_networks::checkpoint::open(&bytes).err().unwrap().to_string();
    assert!(error.contains("student"), "{error}");
}
