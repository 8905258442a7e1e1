//! Compares what other runtimes make of an exported file with our own network.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use toonify_networks::latent::{WPlus, Z};
use toonify_networks::onnx::{Size, Storage};
use toonify_networks::pix2pix::Swift;
use toonify_networks::random::RandomState;
use toonify_networks::stylegan2::{Generator, Noise};

use super::{Comparison, ExportPlan, Model, Part};

/// Side of the image that a student of any size is tried on.
const TRIAL_PX: usize = 64;
/// Differences that single and half precision explain, in units of half the range of an image.
const SINGLE: f32 = 1e-3;
const HALF: f32 = 5e-2;

/// Runs the file in every runtime at hand.
///
/// # Errors
/// When a runtime cannot run the file, or gives something else than our own network.
pub(super) fn compare(model: &Model, plan: &ExportPlan, file: &[u8]) -> Result<Vec<Comparison>> {
    let (inputs, expected) = trial(model, plan.part)?;
    let expected = expected.flatten_all()?.to_vec1::<f32>()?;
    let tolerance = match plan.storage {
        Storage::Single => SINGLE,
        Storage::Half => HALF,
    };
    let mut comparisons = Vec::new();
    for run in RUNTIMES {
        if let Some(Ran { runtime, output }) = run(file, &inputs)? {
            let comparison = compared(runtime, (&output, &expected), tolerance)?;
            comparisons.push(comparison);
        }
    }
    Ok(comparisons)
}

/// What a runtime made of a file.
pub(super) struct Ran {
    /// Its name and version.
    pub runtime: String,
    /// The numbers of the first output.
    pub output: Vec<f32>,
}

/// Runs a file on inputs in the file's order; `None` when the runtime is not installed.
type Run = fn(&[u8], &[Tensor]) -> Result<Option<Ran>>;

const RUNTIMES: &[Run] = &[
    super::onnxruntime::run,
    #[cfg(feature = "verify")]
    super::tract::run,
];

fn compared(runtime: String, (found, expected): (&[f32], &[f32]), tolerance: f32) -> Result<Comparison> {
    let (n_found, n_expected) = (found.len(), expected.len());
    ensure!(n_found == n_expected, "the file gives {n_found} numbers in {runtime}, expected {n_expected}");
    let differences = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    let (largest, sum) = differences.fold((0f32, 0f32), |(largest, sum), next| (largest.max(next), sum + next));
    // Not-a-number is no small difference either.
    let agrees = largest <= tolerance && sum.is_finite();
    ensure!(agrees, "the file's result in {runtime} is off by {largest}, at most {tolerance} is expected");
    Ok(Comparison { runtime, largest, mean: sum / n_expected as f32, tolerance })
}

/// Random inputs, and what our own network makes of them.
fn trial(model: &Model, part: Part) -> Result<(Vec<Tensor>, Tensor)> {
    let mut rng = RandomState::new(1);
    let mut draw = |shape: &[usize], scale: f64| {
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| (rng.gauss() * scale) as f32).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu)
    };
    match (model, part) {
        (Model::Student(file), Part::Student(size)) => {
            let (height, width) = match size {
                Size::Fixed(height, width) => (height, width),
                Size::Dynamic => (TRIAL_PX, TRIAL_PX),
            };
            let photo = draw(&[1, file.config.img_channels, height, width], 0.5)?;
            let picture = Swift::new(&file.config, &file.weights)?.forward(&photo)?;
            Ok((vec![photo], picture.clamp(-1f32, 1f32)?))
        }
        (Model::Generator(model), part) => {
            let generator = Generator::from_weights(&model.config, &model.ema)?;
            let (config, z) = (&model.config, draw(&[1, model.config.z_dim], 1.0)?);
            let label = (config.c_dim > 0).then(|| draw(&[1, config.c_dim], 1.0)).transpose()?;
            let ws = generator.map(&Z::new(z.clone(), config.z_dim)?, label.as_ref())?.broadcast(config.num_ws())?;
            if let Part::Mapping(truncation) = part {
                let ws = ws.truncate(generator.w_avg(), &truncation)?;
                return Ok((std::iter::once(z).chain(label).collect(), ws.tensor().clone()));
            }
            let image =
                generator.render(&WPlus::new(ws.tensor().clone(), config.num_ws(), config.w_dim)?, &Noise::Const)?;
            Ok((vec![ws.tensor().clone()], image.clamp(-1f32, 1f32)?))
        }
        (Model::Student(_), _) => anyhow::bail!("a student has one network only"),
    }
}
