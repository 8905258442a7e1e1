//! Tiny checkpoints of every kind, made by `tests/make/checkpoints.py`: each tensor is compared, bit for bit,
//! with numbers that follow from its name.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod checkpoint_support;

use std::collections::BTreeMap;

use checkpoint_support::{all_bits, tiny};
use toonify_networks::checkpoint::{Checkpoint, ImportReport, Kind, Parts, open};
use toonify_networks::stylegan2::{Architecture, Layer, TensorName};

/// The numbers of `checkpoints.py`: exact in single precision, decided by network, name and index.
fn values(name: &str, shape: &[usize]) -> Vec<u32> {
    let start = u64::from(crc32fast::hash(name.as_bytes()));
    let count = shape.iter().product::<usize>() as u64;
    let number = |index: u64| ((start + index * 7919) % 2049) as f32 - 1024.0;
    (0..count).map(|index| (number(index) / 256.0).to_bits()).collect()
}

fn check(file: &str, kind: Kind) -> (Checkpoint, ImportReport) {
    let bytes = tiny(file);
    let archive = open(&bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(archive.kind(), kind);
    let (checkpoint, report) = archive.into_checkpoint(Parts::All, &mut || ()).unwrap();
    let estimated: BTreeMap<&str, ()> = report.missing.iter().map(|name| (name.as_str(), ())).collect();
    for (name, (shape, found)) in all_bits(&checkpoint) {
        let theirs = name.replace("G_ema.", "g_ema.").replace("G.", "g.");
        if estimated.contains_key(theirs.as_str()) {
            continue;
        }
        // A converted file keeps one average for both generators.
        assert_eq!(found, values(&name, &shape), "{file}: {name}");
    }
    assert!(report.unused.is_empty());
    (checkpoint, report)
}

#[test]
fn nvidia_with_labels_residual_generator_and_skip_discriminator() {
    let (checkpoint, report) = check("ada_labels_protocol3.pkl", Kind::NvidiaAda);
    assert_eq!((checkpoint.config.c_dim, checkpoint.config.architecture), (3, Architecture::Resnet));
    assert_eq!(checkpoint.config.conv_clamp, Some(256.0));
    let discriminator = checkpoint.discriminator.unwrap();
    assert_eq!((discriminator.config.cmap_dim, discriminator.config.architecture), (4, Architecture::Skip));
    assert_eq!(checkpoint.provenance.augment_p, Some(0.25));
    assert_eq!(checkpoint.provenance.training_set, Some(serde_json::json!({ "class_name": "Tiny", "xflip": true })));
    assert!(report.verified > 0);
}

#[test]
fn nvidia_with_frozen_layers_in_channels_last_order() {
    let (checkpoint, _) = check("ada_frozen_channels_last_protocol4.pkl", Kind::NvidiaAda);
    assert_eq!(checkpoint.discriminator.unwrap().config.freeze_layers, 2);
}

#[test]
fn nvidia_with_plain_chains() {
    let (checkpoint, _) = check("ada_orig_protocol5.pkl", Kind::NvidiaAda);
    assert_eq!(checkpoint.config.architecture, Architecture::Orig);
}

#[test]
fn the_stylegan3_repository_has_other_defaults() {
    let (checkpoint, _) = check("stylegan3_repository_protocol4.pkl", Kind::NvidiaStylegan3Repository);
    let config = checkpoint.config;
    assert_eq!((config.conv_clamp, config.num_fp16_res, config.mapping.w_avg_beta), (Some(256.0), 4, 0.998));
}

#[test]
fn tensorflow_in_protocol_2() {
    let (checkpoint, _) = check("tensorflow_protocol2.pkl", Kind::TensorFlow);
    assert_eq!(checkpoint.discriminator.unwrap().config.mbstd_group_size, None);
}

#[test]
fn tensorflow_with_labels() {
    let (checkpoint, _) = check("tensorflow_labels_protocol4.pkl", Kind::TensorFlow);
    assert_eq!(checkpoint.config.c_dim, 3);
}

#[test]
fn tensorflow_with_arrays_in_column_order() {
    check("tensorflow_columns_protocol5.pkl", Kind::TensorFlow);
}

#[test]
fn rosinality_in_both_containers() {
    for file in ["rosinality.pt", "rosinality_legacy.pt"] {
        let (checkpoint, report) = check(file, Kind::Rosinality);
        assert!(checkpoint.generator.is_none() && checkpoint.discriminator.is_none());
        assert!(report.missing.is_empty() && checkpoint.provenance.notes.is_empty());
    }
}

#[test]
fn a_training_file_of_rosinality_gets_its_average_estimated_and_says_so() {
    let (checkpoint, report) = check("rosinality_training.pt", Kind::Rosinality);
    assert_eq!(report.missing, ["g_ema.mapping.w_avg", "g.mapping.w_avg"]);
    assert_eq!(report.ignored, ["g_optim", "args"]);
    assert_eq!(checkpoint.provenance.augment_p, Some(0.25));
    assert!(checkpoint.provenance.notes[0].contains("estimated"));
    let average: Vec<f32> = checkpoint.ema.get(Layer::WAvg).unwrap().to_vec1().unwrap();
    for (found, expected) in average.iter().zip(expected_average(&checkpoint)) {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} instead of {expected}");
    }
}

/// The mean of `w` by plain loops in double precision.
fn expected_average(checkpoint: &Checkpoint) -> Vec<f64> {
    use toonify_networks::{random::RandomState, stylegan2::Term};
    let tensor = |index, term| -> Vec<f32> {
        checkpoint.ema.get(Layer::Fc(index, term)).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let width = checkpoint.config.w_dim;
    let mut random = RandomState::new(0);
    let mut sum = vec![0.0; width];
    for _ in 0..10_000 {
        let mut x = random.gauss_vec(width);
        let power = x.iter().map(|v| v * v).sum::<f64>() / width as f64;
        x.iter_mut().for_each(|v| *v /= (power + 1e-8).sqrt());
        for index in 0..checkpoint.config.mapping.num_layers {
            let (weight, bias) = (tensor(index, Term::Weight), tensor(index, Term::Bias));
            let row = |o: usize| -> f64 {
                let dot: f64 = (0..width).map(|i| f64::from(weight[o * width + i]) * x[i]).sum();
                let y = dot * 0.01 / (width as f64).sqrt() + f64::from(bias[o]) * 0.01;
                (if y < 0.0 { 0.2 * y } else { y }) * std::f64::consts::SQRT_2
            };
            x = (0..width).map(row).collect();
        }
        sum.iter_mut().zip(x).for_each(|(sum, v)| *sum += v / 10_000.0);
    }
    sum
}

#[test]
fn only_what_is_wanted_is_copied_and_the_file_can_be_let_go_every_16_tensors() {
    let bytes = tiny("ada_orig_protocol5.pkl");
    let names: Vec<String> = open(&bytes).unwrap().tensors().into_iter().map(|entry| entry.name).collect();
    let times = |network: &str| names.iter().filter(|name| name.starts_with(network)).count().div_ceil(16);
    let mut calls = 0;
    let (checkpoint, _) = open(&bytes).unwrap().into_checkpoint(Parts::GeneratorEma, &mut || calls += 1).unwrap();
    assert!(checkpoint.generator.is_none() && checkpoint.discriminator.is_none());
    assert_eq!(calls, times("G_ema."));
    open(&bytes).unwrap().into_checkpoint(Parts::All, &mut || calls += 1).unwrap();
    assert_eq!(calls, 2 * times("G_ema.") + times("G.") + times("D."));
}

#[test]
fn tensors_are_listed_under_our_names_and_theirs() {
    let bytes = tiny("tensorflow_protocol2.pkl");
    let archive = open(&bytes).unwrap();
    let list = archive.tensors();
    assert_eq!(list.len(), archive.report().matched);
    assert_eq!(list.len(), 2 * Layer::all(archive.config()).len() + 13);
    let entry = list.iter().find(|entry| entry.name == "G.synthesis.b8.conv0.weight").unwrap();
    assert_eq!((entry.theirs.as_str(), entry.dtype.as_str()), ("synthesis/8x8/Conv0_up/weight", "float32"));
    assert_eq!(entry.shape, [4, 4, 3, 3]);
}
