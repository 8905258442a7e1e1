//! What a training measured, in the folder of its run: `metric-NAME.jsonl` with a line a snapshot, in the form of the
//! published trainer, and with all that the numbers depend on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::metrics::result::MetricResult;
use crate::store::atomic;

/// The measurements of one run.
#[derive(Clone, Debug)]
pub struct MetricLog(PathBuf);

/// One line: the published fields, then ours.
#[derive(Serialize)]
struct Line<'a> {
    total_time_str: String,
    num_gpus: usize,
    snapshot_pkl: &'a str,
    timestamp: f64,
    #[serde(flatten)]
    result: &'a MetricResult,
}

impl MetricLog {
    /// The log in the folder of a run.
    pub fn of(run_folder: &Path) -> MetricLog {
        MetricLog(run_folder.to_owned())
    }

    /// Writes down what was measured of a snapshot, in place of what the log says of it already.
    ///
    /// # Errors
    /// When a file cannot be read or written; the older one stays then.
    pub fn add(&self, snapshot: &str, results: &[MetricResult]) -> Result<()> {
        for result in results {
            let path = self.0.join(format!("metric-{}.jsonl", result.metric));
            let kept = if path.is_file() { lines(&path)? } else { Vec::new() };
            let kept = kept.into_iter().filter(|line| !is_of(line, snapshot));
            let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
            let total_time_str = duration(result.total_time);
            let line = Line { total_time_str, num_gpus: 1, snapshot_pkl: snapshot, timestamp, result };
            let text: String = kept.chain([serde_json::to_string(&line)?]).map(|line| line + "\n").collect();
            atomic::write(&path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Whether a snapshot was measured.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn has(&self, snapshot: &str) -> Result<bool> {
        let describe = || format!("cannot read the folder `{}`", self.0.display());
        for entry in fs::read_dir(&self.0).with_context(describe)? {
            let entry = entry.with_context(describe)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_log = name.starts_with("metric-") && name.ends_with(".jsonl");
            if is_log && lines(&entry.path())?.iter().any(|line| is_of(line, snapshot)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn is_of(line: &str, snapshot: &str) -> bool {
    let line: Option<Value> = serde_json::from_str(line).ok();
    line.is_some_and(|line| line.get("snapshot_pkl").and_then(Value::as_str) == Some(snapshot))
}

/// Seconds as the published code writes them: `45s`, `12m 03s`, `3h 20m 05s`, `2d 05h 00m`.
fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {:02}m {:02}s", s / 3600, s / 60 % 60, s % 60),
        _ => format!("{}d {:02}h {:02}m", s / 86_400, s / 3600 % 24, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(metric: &str, value: f64) -> MetricResult {
        let results = [(metric.to_owned(), value)].into();
        MetricResult {
            metric: metric.to_owned(),
            results,
            reals: 20,
            fakes: 20,
            detector: None,
            seed: 3,
            total_time: 61.5,
        }
    }

    #[test]
    fn a_line_a_snapshot_in_the_published_form() {
        let folder = tempfile::tempdir().unwrap();
        let log = MetricLog::of(folder.path());
        log.add("network-snapshot-000000.safetensors", &[result("swd", 50.0), result("kid20_full", 0.5)]).unwrap();
        log.add("network-snapshot-000004.safetensors", &[result("swd", 40.0)]).unwrap();
        // Measured anew, after a crash.
        log.add("network-snapshot-000004.safetensors", &[result("swd", 30.0)]).unwrap();
        let lines = lines(&folder.path().join("metric-swd.jsonl")).unwrap();
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let values: Vec<f64> = lines.iter().map(|line| line["results"]["swd"].as_f64().unwrap()).collect();
        assert_eq!(values, [50.0, 30.0]);
        let last = &lines[1];
        assert_eq!((last["metric"].as_str(), last["num_gpus"].as_u64()), (Some("swd"), Some(1)));
        assert_eq!((last["total_time"].as_f64(), last["total_time_str"].as_str()), (Some(61.5), Some("1m 02s")));
        assert_eq!((last["reals"].as_u64(), last["fakes"].as_u64()), (Some(20), Some(20)));
        assert!(last["timestamp"].as_f64().unwrap() > 1e9);
        assert!(log.has("network-snapshot-000000.safetensors").unwrap());
        assert!(!log.has("network-snapshot-000008.safetensors").unwrap());
    }

    #[test]
    fn durations_are_written_as_published() {
        let shown = [0.4, 59.6, 3599.0, 12_345.0, 180_000.0].map(duration);
        assert_eq!(shown, ["0s", "1m 00s", "59m 59s", "3h 25m 45s", "2d 02h 00m"]);
    }
}
