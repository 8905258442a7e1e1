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
    let seen_px = resolution_px.min(64);
    EncoderConfig { resolution_px, img_channels: 3, num_ws: 4, w_dim: 12, seen_px, first_channels: 4, most_channels: 8 }
}

fn file(config: &EncoderConfig) -> EncoderFile {
    let w_avg = Tensor::arange(0f32, config.w_dim as f32, &Device::Cpu).unwrap();
    let tensors = random_tensors(config, (&w_avg, 0.5), &mut RandomState::new(1)).unwrap();
    let history =
        EncoderHistory { network_sha256: "abc".to_owned(), kimg: 1.5, seed: 3, unexplained: 0.25, unlike: 0.5 };
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
        let answer = encoder.offsets(&images(2, px, 1)).unwrap();
        let average: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(encoder.w(&answer).unwrap().tensor().to_vec2::<f32>().unwrap(), [average.clone(), average.clone()]);
        let layers = encoder.w_plus(&answer).unwrap().tensor().to_vec3::<f32>().unwrap();
        assert_eq!(layers, [vec![average.clone(); 4], vec![average; 4]]);
    }
}

#[test]
fn answers_depend_on_the_image_and_on_nothing_beside_it() {
    let mut file = file(&config(32));
    for (index, name) in ["shared.weight", "each.weight"].into_iter().enumerate() {
        let (_, head) = file.tensors.iter_mut().find(|(other, _)| other == name).unwrap();
        let drawn = images(1, 16, 9 + index as u32).flatten_all().unwrap();
        *head = drawn.narrow(0, 0, head.elem_count()).unwrap().reshape(head.dims()).unwrap();
    }
    let encoder = file.encoder().unwrap();
    let answer = |images: &Tensor| {
        let offsets = encoder.offsets(images).unwrap();
        let layers = encoder.w_plus(&offsets).unwrap().tensor().to_vec3::<f32>().unwrap();
        (encoder.w(&offsets).unwrap().tensor().to_vec2::<f32>().unwrap(), layers)
    };
    let both = images(2, 32, 2);
    let (alone, together) = (answer(&both.narrow(0, 1, 1).unwrap()), answer(&both));
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(near(&alone.0[0], &together.0[1]) && near(&alone.1[0].concat(), &together.1[1].concat()));
    assert!(together.0[0] != together.0[1] && together.1[0] != together.1[1]);
    assert_ne!(together.1[0][0], together.1[0][1], "each layer departs in its own way");
    assert!(encoder.offsets(&images(1, 16, 2)).err().unwrap().to_string().contains("32"));
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
