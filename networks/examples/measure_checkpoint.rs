//! Measures how long a checkpoint takes to open and how much memory it needs.
//!
//! ```text
//! cargo run --release -p toonify-networks --example measure_checkpoint -- make FILE.safetensors
//! cargo run --release -p toonify-networks --example measure_checkpoint -- make FILE.pt
//! cargo run --release -p toonify-networks --example measure_checkpoint -- read FILE [ema]
//! ```
//! `make` writes a random 1024 px network of the published width (config F: 30 M numbers in each generator, 29 M in the
//! discriminator); `read` prints seconds and the peak of resident memory, mapped pages of the file included.
#![allow(clippy::print_stdout, reason = "this is a program")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the rules bind the library")]

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::time::Instant;

use candle_core::{Device, Tensor};
use memmap2::{Mmap, UncheckedAdvice};
use toonify_networks::checkpoint::{
    Checkpoint, DiscriminatorCheckpoint, Parts, Precision, Provenance, open, write_rosinality, write_safetensors,
};
use toonify_networks::ops::Activation;
use toonify_networks::stylegan2::{
    Architecture, Channels, DiscriminatorConfig, GeneratorConfig, MappingConfig, Resolution, TensorName, Weights,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", path] => make(path),
        ["read", path] => read(path, Parts::All),
        ["read", path, "ema"] => read(path, Parts::GeneratorEma),
        _ => Err("make FILE, or read FILE [ema]".into()),
    }
}

fn read(path: &str, parts: Parts) -> Result<(), Box<dyn Error>> {
    let file = File::open(path)?;
    // SAFETY: nobody changes the file while this program runs.
    let map = unsafe { Mmap::map(&file)? };
    let begin = Instant::now();
    let archive = open(&map)?;
    let opened = begin.elapsed();
    let mut give_back = || {
        // SAFETY: the mapping is of a file and never written to, so the pages come back as they were.
        unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) }.expect("the whole mapping is a valid range");
    };
    let (checkpoint, report) = archive.into_checkpoint(parts, &mut give_back)?;
    let copied = begin.elapsed();
    let megabytes = map.len() as f64 / 1e6;
    println!("{path}: {} ({megabytes:.0} MB)", report.kind);
    println!("opened in {:.4} s, copied after {:.3} s", opened.as_secs_f64(), copied.as_secs_f64());
    println!("{} numbers in G_ema", checkpoint.ema.element_count());
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak in /proc/self/status")?;
    let peak: f64 = peak.trim().trim_end_matches(" kB").trim().parse()?;
    println!("peak memory {:.0} MB, {:.2} times the file", peak * 1.024e-3, peak * 1.024e-3 / megabytes);
    Ok(())
}

fn make(path: &str) -> Result<(), Box<dyn Error>> {
    let resolution = Resolution::R1024;
    let channels = Channels::from_base(32768, 512, resolution);
    let mapping = |width| MappingConfig {
        num_layers: 8,
        embed_features: 0,
        layer_features: width,
        activation: Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    };
    let config = GeneratorConfig {
        z_dim: 512,
        c_dim: 0,
        w_dim: 512,
        resolution,
        img_channels: 3,
        mapping: mapping(512),
        channels: channels.clone(),
        architecture: Architecture::Skip,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let discriminator = DiscriminatorConfig {
        c_dim: 0,
        resolution,
        img_channels: 3,
        cmap_dim: 0,
        mapping: mapping(0),
        channels,
        architecture: Architecture::Resnet,
        activation: Activation::Lrelu,
        conv_clamp: None,
        num_fp16_res: 0,
        mbstd_group_size: Some(4),
        mbstd_num_channels: 1,
        freeze_layers: 0,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    };
    let checkpoint = Checkpoint {
        ema: random(&config)?,
        generator: Some(random(&config)?),
        discriminator: Some(DiscriminatorCheckpoint { weights: random(&discriminator)?, config: discriminator }),
        config,
        provenance: Provenance { origin: "random numbers".to_owned(), ..Provenance::default() },
    };
    let mut out = BufWriter::new(File::create(path)?);
    if path.ends_with(".pt") {
        write_rosinality(&checkpoint, &mut out)?;
    } else {
        write_safetensors(&checkpoint, Precision::Single, &mut out)?;
    }
    Ok(())
}

fn random<L: TensorName>(config: &L::Config) -> toonify_networks::Result<Weights<L>> {
    Weights::build(config, |_, shape| Ok(Tensor::randn(0f32, 1.0, shape, &Device::Cpu)?))
}
