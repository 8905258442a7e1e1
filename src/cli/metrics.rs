//! `toonify metrics`

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use toonify_networks::checkpoint::Parts;

use crate::cli::stored_images::StoredImages;
use crate::cli::{Misuse, OutputArgs};
use crate::dataset::Mirror;
use crate::metrics::{Cache, Fakes, Images, Listener, Metric, MetricResult, Probe, RealImages, Watchers};
use crate::store::checkpoint;
use crate::store::models::ModelFolders;

const EXAMPLES: &str = "\
Examples:
  # Patches at every scale; needs nothing but the images
  toonify metrics --network characters.safetensors --data game.zip

  # The published numbers, with the published detectors in the model folder
  toonify metrics --network ffhq.pkl --data ffhq256.zip --metrics fid50k_full,kid50k_full,pr50k3_full

  # Two sets of images, compared by SqueezeNet
  toonify metrics --images toons --data game.zip --metrics fid,kid --detector squeezenet.safetensors";

/// Arguments of `toonify metrics`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MetricsArgs {
    /// Checkpoint file whose generator is measured
    #[arg(long, value_name = "FILE", required_unless_present = "images", conflicts_with = "images")]
    network: Option<PathBuf>,
    /// Folder or zip of images that are measured in place of a generator's
    #[arg(long, value_name = "DIR|ZIP")]
    images: Option<PathBuf>,
    /// Folder or zip with the real images
    #[arg(long, value_name = "DIR|ZIP")]
    data: PathBuf,
    /// What to measure: swd, fid, kid, pr, is, ppl, or a published name such as fid50k_full
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "swd")]
    metrics: Vec<Metric>,
    /// Detector file (TorchScript, .pth or .safetensors) in place of the published one; repeat it for several
    #[arg(long, value_name = "FILE")]
    detector: Vec<PathBuf>,
    /// Generated images [default: as published, 50000, and 16384 for swd]
    #[arg(long, value_name = "N")]
    num: Option<usize>,
    /// Where the random numbers start
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    /// Whether training mirrored its images; for fid50k, kid50k and pr50k3
    #[arg(long)]
    mirror: bool,
    /// Compute the statistics of the real images anew and do not keep them
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What was measured.
#[derive(Serialize)]
struct Measured {
    measured: String,
    data: String,
    metrics: Vec<MetricResult>,
}

impl MetricsArgs {
    pub(crate) fn run(self) -> Result<()> {
        if self.num == Some(0) {
            return Err(Misuse("--num counts from 1".to_owned()).into());
        }
        let sink = &mut self.output.sink();
        let metrics: Vec<Metric> =
            self.metrics.iter().map(|metric| self.num.map_or(*metric, |num| metric.with_fakes(num))).collect();
        let folders = ModelFolders::of_this_user();
        let watchers = Watchers::open(&metrics, &self.detector, &folders)?;
        let all = StoredImages::open(&self.data, Mirror::No)?;
        let as_trained = StoredImages::open(&self.data, if self.mirror { Mirror::Double } else { Mirror::No })?;
        let reals = RealImages { all: &all, as_trained: &as_trained };
        let cache = if self.no_cache { Cache(None) } else { Cache::of(&folders) };
        let mut probe = Probe::new(metrics, &watchers, (reals, cache), self.seed)?;
        // There is nothing to save: Ctrl-C ends the program.
        let listener = &mut Listener { stop: &AtomicBool::new(false), sink };
        let (measured, results) = match (&self.network, &self.images) {
            (Some(path), _) => {
                let checkpoint = checkpoint::read(path, Parts::GeneratorEma)?;
                (path, probe.measure(Fakes::Checkpoint(&checkpoint), listener)?)
            }
            (None, Some(path)) => {
                let images = StoredImages::open(path, Mirror::No)?;
                (path, probe.measure(Fakes::Images(&images), listener)?)
            }
            (None, None) => return Err(Misuse("--network or --images says what is measured".to_owned()).into()),
        };
        let outcome = Measured { measured: measured.display().to_string(), data: all.name(), metrics: results };
        self.output.print(&outcome, outcome.metrics.iter().flat_map(lines))
    }
}

/// A line a number, then what it depends on.
fn lines(result: &MetricResult) -> Vec<String> {
    let mut lines: Vec<String> = result.results.iter().map(|(name, value)| format!("{name:<28} {value:.4}")).collect();
    let counts = match (result.reals, result.fakes) {
        (0, fakes) => format!("{fakes} generated"),
        (reals, fakes) => format!("{fakes} generated against {reals} real images"),
    };
    lines.push(match &result.detector {
        Some(detector) => format!("  {counts}; {}, {}", detector.name, detector.resize),
        None => format!("  {counts}; patches at every scale, times 1000"),
    });
    lines
}
