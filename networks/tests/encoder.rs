//! Encoders start at the average, can learn, and survive the way to a file and back.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests may read and fail")]

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use toonify_networks::checkpoint::{self, Precision};
use toonify_networks::encoder::{
    Encoder, EncoderConfig, EncoderFile, EncoderHistory, random_tensors, read_encoder, write_encoder,
};
use toonify_networks::random::RandomState;

fn config(resolution_px: usize) -> EncoderConfig {
    EncoderConfig { first_channels: 4, most_channels: 8, ..EncoderConfig::for_generator(resolution_px, 3, 12) }
}

fn file(config: &EncoderConfig) -> EncoderFile {
    let w_avg = Tensor::arange(0f32, config.w_dim as f32, &Device::Cpu).unwrap();
    let tensors = random_tensors(config, (&w_avg, 0.5), &mut RandomState::new(1)).unwrap();
    let history = EncoderHistory { network_sha256: "abc".to_owned(), kimg: 1.5, seed: 3, unexplained: 0.25 };
    EncoderFile { config: config.clone(), tensors, history }
}

fn images(n: usize, px: usize, seed: u32) -> Tensor {
    let drawn = RandomState::new(seed).gauss_vec(n * 3 * px * px);
    Tensor::from_vec(drawn, (n, 3, px, px), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()
}

#[test]
fn a_fresh_encoder_answers_with_the_average() {
    for px in [8, 32, 128] {
        let encoder = file(&config(px)).encoder().unwrap();
        let w = encoder.encode(&images(2, px, 1)).unwrap().tensor().to_vec2::<f32>().unwrap();
        let average: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(w, [average.clone(), average]);
    }
}

#[test]
fn answers_depend_on_the_image_and_on_nothing_beside_it() {
    let mut file = file(&config(32));
    let out = file.tensors.iter_mut().find(|(name, _)| name == "out.weight").unwrap();
    out.1 = images(1, 12, 9).flatten_all().unwrap().narrow(0, 0, 144).unwrap().reshape((12, 12)).unwrap();
    let encoder = file.encoder().unwrap();
    let both = images(2, 32, 2);
    let alone = encoder.encode(&both.narrow(0, 1, 1).unwrap()).unwrap().tensor().to_vec2::<f32>().unwrap();
    let together = encoder.encode(&both).unwrap().tensor().to_vec2::<f32>().unwrap();
    assert!(alone[0].iter().zip(&together[1]).all(|(a, b)| (a - b).abs() < 1e-5));
    assert_ne!(together[0], together[1]);
    assert!(encoder.encode(&images(1, 16, 2)).unwrap_err().to_string().contains("32"));
}

#[test]
fn encoders_survive_the_way_to_a_file_and_back() {
    let file = file(&config(16));
    for (precision, tolerance) in [(Precision::Single, 0.0), (Precision::Half, 2e-3)] {
        let bytes = write_encoder(&file, precision).unwrap();
        assert!(bytes == write_encoder(&file, precision).unwrap(), "the bytes differ");
        let back = read_encoder(&bytes).unwrap();
        assert_eq!((&back.config, &back.history), (&file.config, &file.history));
        for ((name, tensor), (expected, original)) in back.tensors.iter().zip(&file.tensors) {
            assert_eq!(name, expected);
            let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let near = |(a, b): (f32, f32)| (a - b).abs() <= tolerance * b.abs().max(1.0);
            assert!(numbers(tensor).into_iter().zip(numbers(original)).all(near), "{name}");
        }
    }
}

#[test]
fn damage_and_other_files_are_refused() {
    let file = file(&config(8));
    let bytes = write_encoder(&file, Precision::Half).unwrap();
    for length in 0..bytes.len() {
        assert!(read_encoder(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
    assert!(checkpoint::open(&bytes).unwrap_err().to_string().contains("encoder"));
    let mut other = file.clone();
    other.config.w_dim = 13;
    assert!(read_encoder(&write_encoder(&other, Precision::Single).unwrap()).is_err());
    for wrong in [
        EncoderConfig { seen_px: 16, ..file.config.clone() },
        EncoderConfig { resolution_px: 24, ..file.config.clone() },
        EncoderConfig { first_channels: 0, ..file.config.clone() },
        EncoderConfig { most_channels: usize::MAX, ..file.config.clone() },
    ] {
        assert!(wrong.check().is_err());
        let tensors: HashMap<String, Tensor> = file.tensors.iter().cloned().collect();
        assert!(Encoder::new(&wrong, &VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)).is_err());
    }
}
