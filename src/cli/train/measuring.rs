//! Measures the networks of a run whenever it has saved them: in `metric-*.jsonl`, and a line for who looks on.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use toonify_networks::checkpoint::Parts;

use crate::cli::stored_images::StoredImages;
use crate::dataset::{Labels, Mirror, Selection};
use crate::events::{Event, Sink};
use crate::metrics::{Cache, Fakes, Listener, Metric, MetricLog, MetricResult, Probe, RealImages, Stopped, Watchers};
use crate::store::checkpoint;
use crate::store::models::ModelFolders;
use crate::train::Settings;

/// The training set as metrics take it, and the networks that they look with.
pub(super) struct Instruments {
    metrics: Vec<Metric>,
    watchers: Watchers,
    /// All images as they are.
    all: StoredImages,
    /// Those that the training sees.
    as_trained: StoredImages,
    cache: Cache,
    seed: u32,
}

impl Instruments {
    /// Opens what the metrics of a run need; `None` when it measures nothing.
    ///
    /// # Errors
    /// When a detector is missing, with the place to put it, or the training set cannot be read.
    pub fn open(settings: &Settings, detectors: &[PathBuf]) -> Result<Option<Instruments>> {
        let metrics: Vec<Metric> = settings.metrics.iter().map(|metric| metric.while_training()).collect();
        if metrics.is_empty() {
            return Ok(None);
        }
        let folders = ModelFolders::of_this_user();
        let watchers = Watchers::open(&metrics, detectors, &folders)?;
        let data = &settings.data;
        let labels = if data.labels { Labels::Read } else { Labels::Ignored };
        let mirror = if data.mirror { Mirror::Double } else { Mirror::No };
        let all = StoredImages::select(&data.path, Selection { labels, ..Selection::ALL })?;
        let chosen = Selection { labels, max_size: data.subset, seed: settings.seed, mirror };
        let as_trained = StoredImages::select(&data.path, chosen)?;
        Ok(Some(Instruments { metrics, watchers, all, as_trained, cache: Cache::of(&folders), seed: settings.seed }))
    }

    /// Takes the measurements.
    ///
    /// # Errors
    /// When there is nothing to measure against.
    pub fn probe(&self) -> Result<Probe<'_>> {
        let reals = RealImages { all: &self.all, as_trained: &self.as_trained };
        Probe::new(self.metrics.clone(), &self.watchers, (reals, self.cache.clone()), self.seed)
    }
}

/// Passes events on, and measures.
pub(super) struct Measuring<'a> {
    /// Whoever measures; `None` measures nothing.
    pub probe: Option<Probe<'a>>,
    /// Set to stop in the middle.
    pub stop: &'a AtomicBool,
    /// Who else listens.
    pub sink: &'a mut dyn Sink,
}

impl Measuring<'_> {
    /// Measures the newest snapshot of a run that goes on at `kimg` thousand images, if that was stopped before.
    pub fn catch_up(&mut self, run: &Path, kimg: f64) {
        let snapshot = newest_snapshot(run, kimg);
        let measured = |path: &PathBuf| MetricLog::of(run).has(&file_name(path)).unwrap_or(true);
        if let Some(path) = snapshot.filter(|path| !measured(path)) {
            self.measure(&path);
        }
    }

    /// A training does not end because it cannot be measured.
    fn measure(&mut self, snapshot: &Path) {
        let started = Instant::now();
        match self.try_to_measure(snapshot) {
            Err(error) if error.is::<Stopped>() => {
                let text = "stopped before the snapshot was measured: that is done when the run goes on";
                self.sink.event(&Event::Note(text.to_owned()));
            }
            Err(error) => self.sink.event(&Event::Warning(format!("not measured: {error:#}"))),
            Ok(results) if results.is_empty() => {}
            Ok(results) => self.sink.event(&Event::Note(line(snapshot, &results, started.elapsed().as_secs_f64()))),
        }
    }

    fn try_to_measure(&mut self, snapshot: &Path) -> Result<Vec<MetricResult>> {
        let Some(probe) = &mut self.probe else { return Ok(Vec::new()) };
        let networks = checkpoint::read(snapshot, Parts::GeneratorEma)?;
        let mut beside = Beside(&mut *self.sink);
        let results = probe.measure(Fakes::Checkpoint(&networks), &mut Listener { stop: self.stop, sink: &mut beside });
        self.sink.event(&Event::Status(String::new()));
        let results = results?;
        let run = snapshot.parent().context("a snapshot lies in a folder")?;
        MetricLog::of(run).add(&file_name(snapshot), &results)?;
        Ok(results)
    }
}

impl Sink for Measuring<'_> {
    fn event(&mut self, event: &Event) {
        self.sink.event(event);
        if let Event::Saved { path } = event
            && is_snapshot(path)
        {
            self.measure(path);
        }
    }
}

/// Shows how far a measurement is beside the bar of the training, which stays.
struct Beside<'a>(&'a mut dyn Sink);

impl Sink for Beside<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Progress { done, total, unit } => {
                self.0.event(&Event::Status(format!("measuring {done}/{total} {unit}")));
            }
            Event::Warning(_) => self.0.event(event),
            _ => {}
        }
    }
}

const SNAPSHOT: (&str, &str) = ("network-snapshot-", ".safetensors");

/// Whether a file holds the networks of a run.
pub(super) fn is_snapshot(path: &Path) -> bool {
    snapshot_kimg(path).is_some()
}

fn snapshot_kimg(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(SNAPSHOT.0)?.strip_suffix(SNAPSHOT.1)?.parse().ok()
}

/// The newest snapshot that is not of the future: a run that was killed makes that one anew.
fn newest_snapshot(run: &Path, kimg: f64) -> Option<PathBuf> {
    let paths = std::fs::read_dir(run).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let snapshots = paths.filter_map(|path| Some((snapshot_kimg(&path)?, path)));
    snapshots.filter(|(at, _)| *at as f64 <= kimg).max().map(|(_, path)| path)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `metrics   kimg 40       swd 12.3456  in 3 s`
fn line(snapshot: &Path, results: &[MetricResult], seconds: f64) -> String {
    let numbers = results.iter().flat_map(MetricResult::main_values);
    let numbers: Vec<String> = numbers.map(|(name, value)| format!("{name} {value:.4}")).collect();
    let kimg = snapshot_kimg(snapshot).unwrap_or_default();
    format!("metrics   kimg {kimg:<8} {}  in {seconds:.1} s", numbers.join("  "))
}
