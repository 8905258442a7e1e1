//! What the checkpoint tests share: the tiny files, and the bits of all tensors of a checkpoint.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::fs;

use candle_core::Tensor;
use toonify_networks::checkpoint::Checkpoint;
use toonify_networks::stylegan2::{TensorName, Weights};

/// Names of the tiny files.
pub const TINY: [&str; 10] = [
    "ada_labels_protocol3.pkl",
    "ada_frozen_channels_last_protocol4.pkl",
    "ada_orig_protocol5.pkl",
    "stylegan3_repository_protocol4.pkl",
    "tensorflow_protocol2.pkl",
    "tensorflow_labels_protocol4.pkl",
    "tensorflow_columns_protocol5.pkl",
    "rosinality.pt",
    "rosinality_legacy.pt",
    "rosinality_training.pt",
];

/// Shape and bits of tensors by name.
pub type Bits = BTreeMap<String, (Vec<usize>, Vec<u32>)>;

/// The bytes of a tiny file.
pub fn tiny(file: &str) -> Vec<u8> {
    let path = format!("{}/../tests/reference/checkpoints/{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn bits<L: TensorName>(weights: &Weights<L>, network: &str) -> Bits {
    let entry = |(name, tensor): (L, &Tensor)| {
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        (format!("{network}.{name}"), (tensor.dims().to_vec(), values.into_iter().map(f32::to_bits).collect()))
    };
    weights.iter().map(entry).collect()
}

/// Every tensor of a checkpoint, under network and canonical name.
pub fn all_bits(checkpoint: &Checkpoint) -> Bits {
    let mut found = bits(&checkpoint.ema, "G_ema");
    found.extend(checkpoint.generator.iter().flat_map(|weights| bits(weights, "G")));
    found.extend(checkpoint.discriminator.iter().flat_map(|part| bits(&part.weights, "D")));
    found
}
