//! Writes ONNX files with inputs and our own results into a folder, or times the student; for tools/compare_onnx.py.
//!
//! `onnx_trials write FOLDER` makes `NAME.onnx` beside `NAME.json` (shapes), `NAME.input` and `NAME.expected` (numbers);
//! `onnx_trials time PRESET SIDE SECONDS` prints the least milliseconds of a frame.

use std::fs;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use toonify_networks::latent::{Truncation, WPlus, Z};
use toonify_networks::onnx::{self, Graph, Size, Storage};
use toonify_networks::ops::Activation;
use toonify_networks::pix2pix::{BlockKind, Preset, StudentConfig, StudentLayer, Swift};
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{
    Architecture, Channels, Generator, GeneratorConfig, Layer, MappingConfig, Noise, Resolution, Weights,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", folder] => write_all(Path::new(folder)),
        ["time", preset, side, seconds] => time(preset, side.parse()?, seconds.parse()?),
        _ => Err("usage: onnx_trials write FOLDER | onnx_trials time PRESET SIDE SECONDS".into()),
    }
}

fn random(shape: &[usize], scale: f64) -> Outcome<Tensor> {
    let mut rng = RandomState::new(7);
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| (rng.gauss() * scale) as f32).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// `tiny` or `tiny-separable`.
fn student(name: &str) -> Outcome<(StudentConfig, Weights<StudentLayer>)> {
    let (preset, block) = match name.strip_suffix("-separable") {
        Some(preset) => (preset, BlockKind::Separable),
        None => (name, BlockKind::Plain),
    };
    let config = preset.parse::<Preset>()?.config(block, 3);
    let weights = Weights::<StudentLayer>::random(&config, &mut RandomState::new(1))?;
    Ok((config, weights))
}

fn write_all(folder: &Path) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    for side in [256, 512] {
        for name in ["tiny", "tiny-separable", "small", "small-separable", "base"] {
            let (config, weights) = student(name)?;
            let photo = random(&[1, 3, side, side], 0.4)?;
            let picture = Swift::new(&config, &weights)?.forward(&photo)?.clamp(-1f32, 1f32)?;
            let graph = onnx::student(&config, &weights, Size::Fixed(side, side), Storage::Single)?;
            save(folder, &format!("student-{name}-{side}"), graph, (&photo, &picture))?;
            if side == 256 {
                let graph = onnx::student(&config, &weights, Size::Dynamic, Storage::Half)?;
                save(folder, &format!("student-{name}-dynamic-half"), graph, (&photo, &picture))?;
            }
        }
    }
    generators(folder)
}

fn generators(folder: &Path) -> Outcome<()> {
    for architecture in [Architecture::Skip, Architecture::Resnet, Architecture::Orig] {
        let config = generator_config(architecture)?;
        let weights = Weights::<Layer>::random(&config, &mut RandomState::new(3))?;
        let generator = Generator::from_weights(&config, &weights)?;
        let z = random(&[2, config.z_dim], 1.0)?;
        let ws = generator.map(&Z::new(z.clone(), config.z_dim)?, None)?.broadcast(config.num_ws())?;
        let graph = onnx::mapping(&config, &weights, &Truncation::NONE, Storage::Single)?;
        save(folder, &format!("mapping-{architecture}"), graph, (&z, ws.tensor()))?;
        let ws = random(&[2, config.num_ws(), config.w_dim], 1.0)?;
        let image = generator.render(&WPlus::new(ws.clone(), config.num_ws(), config.w_dim)?, &Noise::Const)?;
        let graph = onnx::synthesis(&config, &weights, Storage::Single)?;
        save(folder, &format!("synthesis-{architecture}"), graph, (&ws, &image.clamp(-1f32, 1f32)?))?;
    }
    Ok(())
}

fn generator_config(architecture: Architecture) -> Outcome<GeneratorConfig> {
    let resolution = Resolution::new(64)?;
    let mapping = MappingConfig {
        num_layers: 4,
        embed_features: 0,
        layer_features: 64,
        activation: Activation::Lrelu,
        lr_multiplier: 0.01,
        w_avg_beta: 0.995,
    };
    Ok(GeneratorConfig {
        z_dim: 64,
        c_dim: 0,
        w_dim: 64,
        resolution,
        img_channels: 3,
        mapping,
        channels: Channels::from_base(1024, 32, resolution),
        architecture,
        activation: Activation::Lrelu,
        conv_clamp: Some(256.0),
        num_fp16_res: 0,
        use_noise: true,
        resample_filter: vec![1.0, 3.0, 3.0, 1.0],
    })
}

fn save(folder: &Path, name: &str, graph: Graph, (input, expected): (&Tensor, &Tensor)) -> Outcome<()> {
    let bytes = |tensor: &Tensor| -> Outcome<Vec<u8>> {
        let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
        Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    };
    let shapes = serde_json::json!({ "input": input.dims(), "expected": expected.dims() });
    fs::write(folder.join(format!("{name}.onnx")), graph.into_bytes())?;
    fs::write(folder.join(format!("{name}.json")), serde_json::to_vec(&shapes)?)?;
    fs::write(folder.join(format!("{name}.input")), bytes(input)?)?;
    Ok(fs::write(folder.join(format!("{name}.expected")), bytes(expected)?)?)
}

#[expect(clippy::print_stdout, reason = "the answer goes to the script that asked")]
fn time(preset: &str, side: usize, seconds: f64) -> Outcome<()> {
    let (config, weights) = student(preset)?;
    let mut swift = Swift::new(&config, &weights)?;
    let photo = random(&[3, side, side], 0.4)?.flatten_all()?.to_vec1::<f32>()?;
    let (mut least, start) = (f64::INFINITY, Instant::now());
    while start.elapsed().as_secs_f64() < seconds {
        let begin = Instant::now();
        std::hint::black_box(swift.translate(std::hint::black_box(&photo), (side, side)));
        least = least.min(begin.elapsed().as_secs_f64());
    }
    println!("{:.3}", least * 1e3);
    Ok(())
}
