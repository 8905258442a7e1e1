//! The numbers of a run for TensorBoard: what `stats.jsonl` and `metric-*.jsonl` say, as an event file that grows with them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::store::event_file::{EventFile, Scalars};

/// What TensorBoard looks for is `tfevents` in the name.
pub const FILE_NAME: &str = "events.out.tfevents.0.toonify";

/// Copies statistics and metrics to an event file, line by line as they come.
pub struct TensorBoard {
    folder: PathBuf,
    events: EventFile,
    /// Bytes of each file that have been copied.
    copied: BTreeMap<PathBuf, u64>,
}

impl TensorBoard {
    /// Writes the event file of the run in `folder` anew from its statistics and metrics so far, which may be none yet.
    ///
    /// # Errors
    /// When these cannot be read or the event file not be written.
    pub fn open(folder: &Path) -> Result<TensorBoard> {
        let mut copied = BTreeMap::new();
        let history = read_on(folder, &mut copied)?;
        Ok(TensorBoard {
            events: EventFile::create(&folder.join(FILE_NAME), history)?,
            folder: folder.to_owned(),
            copied,
        })
    }

    /// Copies the lines that have come since the last call.
    ///
    /// # Errors
    /// As [`TensorBoard::open`].
    pub fn follow(&mut self) -> Result<()> {
        for scalars in read_on(&self.folder, &mut self.copied)? {
            self.events.append(&scalars)?;
        }
        Ok(())
    }
}

/// What has come to the files of a run, in the order of time.
fn read_on(folder: &Path, copied: &mut BTreeMap<PathBuf, u64>) -> Result<Vec<Scalars>> {
    let describe = || format!("cannot read the folder `{}`", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(describe)? {
        let path = entry.with_context(describe)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let understand = match name.as_str() {
            "stats.jsonl" => of_statistics,
            name if name.starts_with("metric-") && name.ends_with(".jsonl") => of_metrics,
            _ => continue,
        };
        found.extend(read_from(&path, copied.entry(path.clone()).or_default())?.iter().filter_map(understand));
    }
    found.sort_by(|a, b| a.wall_time.total_cmp(&b.wall_time));
    Ok(found)
}

/// The whole lines behind byte `copied`, which moves to their end.
fn read_from(path: &Path, copied: &mut u64) -> Result<Vec<Value>> {
    let describe = || format!("cannot read `{}`", path.display());
    let mut file = File::open(path).with_context(describe)?;
    file.seek(SeekFrom::Start(*copied)).with_context(describe)?;
    let (mut reader, mut line, mut found) = (BufReader::new(file), String::new(), Vec::new());
    while reader.read_line(&mut line).with_context(describe)? > 0 && line.ends_with('\n') {
        *copied += line.len() as u64;
        found.extend(serde_json::from_str::<Value>(&line));
        line.clear();
    }
    Ok(found)
}

/// The means of a line, over thousands of images as the published trainer has them: rounded down.
fn of_statistics(line: &Value) -> Option<Scalars> {
    let mean = |value: &Value| value.get("mean").and_then(Value::as_f64);
    let kimg = mean(line.get("Progress/kimg")?)?;
    let values = line.as_object()?.iter().filter_map(|(name, value)| Some((name.clone(), mean(value)? as f32)));
    Some(Scalars { wall_time: wall_time(line), step: kimg as i64, values: values.collect() })
}

/// The results of a line, under the published names: `Metrics/fid50k_full`.
fn of_metrics(line: &Value) -> Option<Scalars> {
    let snapshot = line.get("snapshot_pkl")?.as_str()?;
    let step = snapshot.strip_prefix("network-snapshot-")?.split('.').next()?.parse().ok()?;
    let results = line.get("results")?.as_object()?.iter();
    let values = results.filter_map(|(name, value)| Some((format!("Metrics/{name}"), value.as_f64()? as f32)));
    Some(Scalars { wall_time: wall_time(line), step, values: values.collect() })
}

fn wall_time(line: &Value) -> f64 {
    line.get("timestamp").and_then(Value::as_f64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(kimg: f64) -> String {
        format!(
            "{{\"Progress/kimg\": {{\"mean\": {kimg}}}, \"Loss/G/loss\": {{\"mean\": null}}, \"timestamp\": {kimg}}}\n"
        )
    }

    fn measured(kimg: u64) -> String {
        let name = format!("network-snapshot-{kimg:06}.safetensors");
        format!("{{\"results\": {{\"swd\": 7.5}}, \"snapshot_pkl\": \"{name}\", \"timestamp\": {kimg}.5}}\n")
    }

    #[test]
    fn lines_are_copied_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.jsonl");
        let mut copied = 0;
        fs::write(&path, line(0.5) + "{\"Progress").unwrap();
        let read = |copied: &mut u64| {
            let lines = read_from(&path, copied).unwrap();
            lines.iter().filter_map(of_statistics).map(|scalars| scalars.step).collect::<Vec<_>>()
        };
        assert_eq!(read(&mut copied), [0]);
        assert_eq!(read(&mut copied), [0i64; 0]);
        fs::write(&path, line(0.5) + &line(4.9)).unwrap();
        assert_eq!(read(&mut copied), [4]);
    }

    #[test]
    fn an_event_file_that_follows_is_the_one_that_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let events = folder.path().join(FILE_NAME);
        let mut text = line(0.1);
        fs::write(folder.path().join("stats.jsonl"), &text).unwrap();
        let mut followed = TensorBoard::open(folder.path()).unwrap();
        let mut metrics = String::new();
        for tick in 1..4 {
            text += &line(4.0 * f64::from(tick));
            fs::write(folder.path().join("stats.jsonl"), &text).unwrap();
            followed.follow().unwrap();
            metrics += &measured(4 * u64::try_from(tick).unwrap());
            fs::write(folder.path().join("metric-swd.jsonl"), &metrics).unwrap();
            followed.follow().unwrap();
        }
        let grown = fs::read(&events).unwrap();
        assert_eq!(grown.windows(11).filter(|bytes| bytes == b"Metrics/swd").count(), 3);
        TensorBoard::open(folder.path()).unwrap();
        assert_eq!(fs::read(&events).unwrap(), grown);
    }
}
