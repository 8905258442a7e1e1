//! The statistics of a run for TensorBoard: what `stats.jsonl` says, as an event file that grows with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::store::event_file::{EventFile, Scalars};

/// What TensorBoard looks for is `tfevents` in the name.
pub const FILE_NAME: &str = "events.out.tfevents.0.toonify";

/// Copies the statistics to an event file, line by line as they come.
pub struct TensorBoard {
    statistics: PathBuf,
    events: EventFile,
    /// Bytes of the statistics that have been copied.
    copied: u64,
}

impl TensorBoard {
    /// Writes the event file of the run in `folder` anew from its statistics so far, which may be none yet.
    ///
    /// # Errors
    /// When the one cannot be read or the other not be written.
    pub fn open(folder: &Path) -> Result<TensorBoard> {
        let statistics = folder.join("stats.jsonl");
        let mut copied = 0;
        let history = if statistics.is_file() { read_from(&statistics, &mut copied)? } else { Vec::new() };
        Ok(TensorBoard { events: EventFile::create(&folder.join(FILE_NAME), history)?, statistics, copied })
    }

    /// Copies the lines that have come since the last call.
    ///
    /// # Errors
    /// As [`TensorBoard::open`].
    pub fn follow(&mut self) -> Result<()> {
        for scalars in read_from(&self.statistics, &mut self.copied)? {
            self.events.append(&scalars)?;
        }
        Ok(())
    }
}

/// The whole lines behind byte `copied`, which moves to their end.
fn read_from(path: &Path, copied: &mut u64) -> Result<Vec<Scalars>> {
    let describe = || format!("cannot read `{}`", path.display());
    let mut file = File::open(path).with_context(describe)?;
    file.seek(SeekFrom::Start(*copied)).with_context(describe)?;
    let (mut reader, mut line, mut found) = (BufReader::new(file), String::new(), Vec::new());
    while reader.read_line(&mut line).with_context(describe)? > 0 && line.ends_with('\n') {
        *copied += line.len() as u64;
        found.extend(scalars(&line));
        line.clear();
    }
    Ok(found)
}

/// The means of a line, over thousands of images as the published trainer has them: rounded down.
fn scalars(line: &str) -> Option<Scalars> {
    let line: Value = serde_json::from_str(line).ok()?;
    let mean = |value: &Value| value.get("mean").and_then(Value::as_f64);
    let kimg = mean(line.get("Progress/kimg")?)?;
    let values = line.as_object()?.iter().filter_map(|(name, value)| Some((name.clone(), mean(value)? as f32)));
    let wall_time = line.get("timestamp").and_then(Value::as_f64).unwrap_or_default();
    Some(Scalars { wall_time, step: kimg as i64, values: values.collect() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(kimg: f64) -> String {
        format!(
            "{{\"Progress/kimg\": {{\"mean\": {kimg}}}, \"Loss/G/loss\": {{\"mean\": null}}, \"timestamp\": 1.0}}\n"
        )
    }

    #[test]
    fn lines_are_copied_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.jsonl");
        let mut copied = 0;
        fs::write(&path, line(0.5) + "{\"Progress").unwrap();
        let read = |copied: &mut u64| read_from(&path, copied).unwrap().iter().map(|s| s.step).collect::<Vec<_>>();
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
        for tick in 1..4 {
            text += &line(4.0 * f64::from(tick));
            fs::write(folder.path().join("stats.jsonl"), &text).unwrap();
            followed.follow().unwrap();
        }
        let grown = fs::read(&events).unwrap();
        TensorBoard::open(folder.path()).unwrap();
        assert_eq!(fs::read(&events).unwrap(), grown);
    }
}
