//! What the files of a run say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Points of a curve: thousands of images, and the value.
pub type Curve = Vec<(f64, f64)>;

/// A run as its folder describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRecord {
    /// The folder.
    pub folder: PathBuf,
    /// Means of what was reported, by name, over thousands of images.
    pub curves: BTreeMap<String, Curve>,
    /// Results of each metric, by the metric's name and their own, over thousands of images.
    pub metrics: BTreeMap<String, BTreeMap<String, Curve>>,
    /// Pictures of the fixed grid, by thousands of images.
    pub fakes: BTreeMap<u64, PathBuf>,
    /// What the training was asked to do.
    pub options: Value,
}

impl RunRecord {
    /// Reads the folder of a run. A last line that a crash has cut off is left out.
    ///
    /// # Errors
    /// When the folder holds no statistics, or a file cannot be read.
    pub fn read(folder: &Path) -> Result<RunRecord> {
        let mut record = RunRecord { folder: folder.to_owned(), ..RunRecord::default() };
        let statistics = folder.join("stats.jsonl");
        ensure!(statistics.is_file(), "`{}` is not the folder of a run: it has no `stats.jsonl`", folder.display());
        for line in lines(&statistics)? {
            record.add_statistics(&line);
        }
        ensure!(!record.curves.is_empty(), "`{}` holds no statistics yet", folder.display());
        for (name, path) in files(folder)? {
            if let Some(number) = between(&name, "fakes", ".png").and_then(|digits| digits.parse().ok()) {
                record.fakes.insert(number, path);
            } else if let Some(metric) = between(&name, "metric-", ".jsonl") {
                lines(&path)?.iter().for_each(|line| record.add_metrics(metric, line));
            } else if name == "training_options.json" {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
                record.options = serde_json::from_str(&text).unwrap_or_default();
            }
        }
        Ok(record)
    }

    /// The name of the run.
    pub fn name(&self) -> String {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        folder.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Side of one image in the pictures of the grid, where the options tell it.
    pub fn cell_px(&self) -> Option<u32> {
        let places = ["/generator/resolution", "/training_set_kwargs/resolution"];
        let found = places.iter().find_map(|place| self.options.pointer(place)?.as_u64());
        found.and_then(|px| u32::try_from(px).ok()).filter(|px| *px > 0)
    }

    fn add_statistics(&mut self, line: &Value) {
        let mean = |value: &Value| value.get("mean").and_then(Value::as_f64);
        let Some(kimg) = line.get("Progress/kimg").and_then(mean) else { return };
        for (name, value) in line.as_object().into_iter().flatten() {
            if let Some(value) = mean(value) {
                self.curves.entry(name.clone()).or_default().push((kimg, value));
            }
        }
    }

    fn add_metrics(&mut self, metric: &str, line: &Value) {
        let snapshot = line.get("snapshot_pkl").and_then(Value::as_str).unwrap_or_default();
        let Some(kimg) = snapshot_kimg(snapshot) else { return };
        for (name, value) in line.get("results").and_then(Value::as_object).into_iter().flatten() {
            if let Some(value) = value.as_f64() {
                let curves = self.metrics.entry(metric.to_owned()).or_default();
                curves.entry(name.clone()).or_default().push((kimg, value));
            }
        }
    }
}

/// `…/network-snapshot-000123.pkl` → 123
fn snapshot_kimg(name: &str) -> Option<f64> {
    let digits = name.rsplit("network-snapshot-").next().filter(|rest| rest.len() < name.len())?;
    digits.split('.').next()?.parse::<u32>().ok().map(f64::from)
}

fn between<'a>(name: &'a str, start: &str, end: &str) -> Option<&'a str> {
    name.strip_prefix(start)?.strip_suffix(end)
}

/// Files of a folder with their names.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let describe = || format!("cannot read the folder `{}`", folder.display());
    let entries = fs::read_dir(folder).with_context(describe)?;
    let named = entries.map(|entry| {
        let entry = entry.with_context(describe)?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
    });
    named.collect()
}

/// The whole lines of a file of JSON objects.
fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_published_trainer_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let line = |kimg: f64, loss: &str| {
            format!(
                "{{\"Progress/kimg\": {{\"num\": 1, \"mean\": {kimg}}}, \"Loss/G/loss\": {{\"mean\": {loss}}}, \"timestamp\": 1.0}}\n"
            )
        };
        write("stats.jsonl", &(line(0.1, "1.5") + &line(4.0, "NaN") + &line(4.1, "0.5") + "{\"Progress/k"));
        let metric = "{\"results\": {\"fid50k_full\": 12.5}, \"snapshot_pkl\": \"network-snapshot-000004.pkl\"}\n";
        write("metric-fid50k_full.jsonl", metric);
        write("training_options.json", "{\"training_set_kwargs\": {\"resolution\": 64}}");
        for name in ["fakes000004.png", "fakes_init.png", "reals.png", "fakes000000.png"] {
            write(name, "");
        }
        let record = RunRecord::read(folder.path()).unwrap();
        assert_eq!(record.curves["Loss/G/loss"], [(0.1, 1.5), (4.1, 0.5)]);
        assert_eq!(record.metrics["fid50k_full"]["fid50k_full"], [(4.0, 12.5)]);
        assert_eq!(record.fakes.keys().copied().collect::<Vec<_>>(), [0, 4]);
        assert_eq!(record.cell_px(), Some(64));
    }

    #[test]
    fn a_folder_without_a_run_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = format!("{:#}", RunRecord::read(folder.path()).unwrap_err());
        assert!(error.contains("stats.jsonl"), "{error}");
        fs::write(folder.path().join("stats.jsonl"), "").unwrap();
        let error = format!("{:#}", RunRecord::read(folder.path()).unwrap_err());
        assert!(error.contains("no statistics yet"), "{error}");
    }
}
