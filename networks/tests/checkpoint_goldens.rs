//! Every checkpoint of the reference set: configuration and each tensor, bit for bit. Skipped where the set is absent.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failed helper is a failed test; skipped tests say so")]

mod checkpoint_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoint_support::all_bits;
use safetensors::SafeTensors;
use serde_json::Value as Json;
use toonify_networks::checkpoint::{Archive, Checkpoint, ImportReport, Kind, Parts, open};
use toonify_networks::stylegan2::{Channels, Resolution};

fn folder() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/goldens"));
    if !path.is_dir() {
        println!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

/// The tensors of a safetensors file: shape and bits.
fn reference(bytes: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let words = |bytes: &[u8]| bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    file.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), words(view.data())))).collect()
}

fn size(settings: &Json, name: &str, default: usize) -> usize {
    settings.get(name).and_then(Json::as_u64).map_or(default, |value| value as usize)
}

fn text<'j>(settings: &'j Json, name: &str, default: &'j str) -> &'j str {
    settings.get(name).and_then(Json::as_str).unwrap_or(default)
}

/// Compares the configuration with the keyword arguments that the reference network was built with.
fn check_config(archive: &Archive<'_>, manifest: &Json) {
    let newer = archive.kind() == Kind::NvidiaStylegan3Repository;
    let (fp16, clamp) = if newer { (4, Some(256.0)) } else { (0, None) };
    let number = |settings: &Json, name: &str, default: Option<f64>| match settings.get(name) {
        None => default,
        Some(value) => value.as_f64(),
    };
    let g = &manifest["G_init_kwargs"];
    let synthesis = if newer { g } else { &g["synthesis_kwargs"] };
    let config = archive.config();
    assert_eq!(
        (config.z_dim, config.c_dim, config.w_dim),
        (size(g, "z_dim", 512), size(g, "c_dim", 0), size(g, "w_dim", 512))
    );
    assert_eq!(
        (config.resolution.px(), config.img_channels),
        (size(g, "img_resolution", 0), size(g, "img_channels", 3))
    );
    assert_eq!(config.mapping.num_layers, size(&g["mapping_kwargs"], "num_layers", 8));
    assert_eq!(config.mapping.layer_features, size(&g["mapping_kwargs"], "layer_features", config.w_dim));
    let beta = if newer { 0.998 } else { 0.995 };
    assert_eq!(Some(config.mapping.w_avg_beta), number(&g["mapping_kwargs"], "w_avg_beta", Some(beta)));
    assert_eq!(Some(config.mapping.lr_multiplier), number(&g["mapping_kwargs"], "lr_multiplier", Some(0.01)));
    let widths = |settings: &Json| {
        Channels::from_base(
            size(settings, "channel_base", 32768),
            size(settings, "channel_max", 512),
            config.resolution,
        )
    };
    assert_eq!(config.channels, widths(synthesis));
    assert_eq!(config.num_fp16_res, size(synthesis, "num_fp16_res", fp16));
    assert_eq!(config.conv_clamp, number(synthesis, "conv_clamp", clamp));
    assert_eq!(config.architecture.to_string(), text(synthesis, "architecture", "skip"));
    assert!(config.use_noise);
    assert_eq!(config.resample_filter, [1.0, 3.0, 3.0, 1.0]);

    let d = &manifest["D_init_kwargs"];
    let found = archive.discriminator_config().expect("every reference file has a discriminator");
    assert_eq!(found.channels, widths(d));
    assert_eq!((found.c_dim, found.resolution.px()), (size(d, "c_dim", 0), size(d, "img_resolution", 0)));
    assert_eq!(found.architecture.to_string(), text(d, "architecture", "resnet"));
    assert_eq!(found.conv_clamp, number(d, "conv_clamp", clamp));
    assert_eq!(found.freeze_layers, size(&d["block_kwargs"], "freeze_layers", 0));
    let epilogue = &d["epilogue_kwargs"];
    let group = epilogue.get("mbstd_group_size").map_or(Some(4), |value| value.as_u64().map(|value| value as usize));
    assert_eq!(found.mbstd_group_size, group);
    assert_eq!(found.mbstd_num_channels, size(epilogue, "mbstd_num_channels", 1));
    assert_eq!(found.mapping.num_layers, size(&d["mapping_kwargs"], "num_layers", 8));
    assert_eq!(found.cmap_dim, if found.c_dim > 0 { found.channels.at(Resolution::R4) } else { 0 });
}

fn check(case: &str, kind: Kind) {
    let Some(folder) = folder() else { return };
    let folder = folder.join(case);
    let bytes = fs::read(folder.join("network.pkl")).unwrap();
    let manifest: Json = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let archive = open(&bytes).unwrap();
    assert_eq!(archive.kind(), kind);
    check_config(&archive, &manifest);
    let provenance = archive.provenance();
    assert_eq!(provenance.training_set.as_ref(), manifest.get("training_set_kwargs").filter(|value| !value.is_null()));
    assert_eq!(provenance.augment_p, manifest["augment_pipe"]["p"].as_f64());

    let (checkpoint, report) = archive.into_checkpoint(Parts::All, &mut || ()).unwrap();
    let found = all_bits(&checkpoint);
    let params = fs::read(folder.join("params.safetensors")).unwrap();
    let (filters, expected): (BTreeMap<_, _>, BTreeMap<_, _>) =
        reference(&params).into_iter().partition(|(name, _)| name.ends_with("resample_filter"));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, expected) in &expected {
        assert!(&found[name] == expected, "{case}: {name} differs");
    }
    assert_eq!((report.matched, report.missing.len(), report.unused.len()), (expected.len(), 0, 0));
    if kind != Kind::TensorFlow {
        assert_eq!(report.verified, filters.len());
    }
}

#[test]
fn python_37_and_torch_171() {
    check("ckpt_py37_torch171", Kind::NvidiaAda);
}

#[test]
fn plain_chains_and_gray_images() {
    check("ckpt_r16_origG_origD_gray", Kind::NvidiaAda);
}

#[test]
fn two_mapping_layers_and_frozen_discriminator_layers() {
    check("ckpt_r32_cifar_map2_fp16", Kind::NvidiaAda);
}

#[test]
fn labels() {
    check("ckpt_r32_cond5", Kind::NvidiaAda);
}

#[test]
fn channels_last_strides() {
    check("ckpt_r32_nhwc_strides", Kind::NvidiaAda);
}

#[test]
fn residual_generator_and_skip_discriminator() {
    check("ckpt_r32_resnetG_skipD_clamp", Kind::NvidiaAda);
}

#[test]
fn skip_generator_and_residual_discriminator() {
    check("ckpt_r64_skip_resnet_map8", Kind::NvidiaAda);
}

#[test]
fn the_stylegan3_repository() {
    check("ckpt_stylegan3_repo", Kind::NvidiaStylegan3Repository);
}

#[test]
fn a_real_training_run() {
    check("ckpt_training_loop", Kind::NvidiaAda);
}

#[test]
fn tensorflow_stylegan2() {
    check("ckpt_tf_sg2_configf", Kind::TensorFlow);
}

#[test]
fn tensorflow_stylegan2_ada() {
    check("ckpt_tf_sg2ada", Kind::TensorFlow);
}

fn read(folder: &Path, file: &str) -> (Checkpoint, ImportReport) {
    let bytes = fs::read(folder.join(file)).unwrap();
    open(&bytes).unwrap().into_checkpoint(Parts::All, &mut || ()).unwrap()
}

#[test]
fn rosinality_in_all_three_files() {
    let Some(folder) = folder() else { return };
    let folder = folder.join("ckpt_rosinality");
    let (zipped, report) = read(&folder, "converted.pt");
    let (stream, _) = read(&folder, "converted_legacy.pt");
    assert_eq!(zipped.config, stream.config);
    assert!(all_bits(&zipped) == all_bits(&stream));
    let config = &zipped.config;
    assert_eq!((config.resolution.px(), config.w_dim, config.mapping.num_layers), (64, 64, 8));
    assert_eq!(config.channels, Channels::from_base(1024, 32, config.resolution));
    assert!(report.missing.is_empty() && report.unused.is_empty());
    let golden = reference(&fs::read(folder.join("golden.safetensors")).unwrap());
    assert!(all_bits(&zipped)["G_ema.mapping.w_avg"] == golden["latent_avg"]);

    let (training, report) = read(&folder, "train.pt");
    let discriminator = training.discriminator.as_ref().unwrap();
    assert_eq!(discriminator.config.channels, config.channels);
    assert_eq!((discriminator.config.mbstd_group_size, discriminator.config.mbstd_num_channels), (Some(4), 1));
    assert_eq!(report.missing, ["g_ema.mapping.w_avg", "g.mapping.w_avg"]);
    assert_eq!(report.ignored, ["g_optim", "d_optim", "args"]);
}

#[test]
fn every_other_pickle_of_the_set() {
    let Some(folder) = folder() else { return };
    for file in ["blend/base.pkl", "blend/tuned.pkl", "projector/network.pkl"] {
        let (checkpoint, report) = read(&folder, file);
        assert!(checkpoint.generator.is_some() && checkpoint.discriminator.is_some(), "{file}");
        assert!(report.missing.is_empty() && report.unused.is_empty(), "{file}");
    }
}
